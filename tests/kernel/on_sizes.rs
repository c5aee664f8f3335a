//! The packet size that the view names: the kernel sends a packet of exactly that size uncut, and refuses one that is a
//! byte larger. Each algorithm that this kernel has, with and without NAT, in both families, tunnel and transport, AH.

use serde_json::{Value, json};

use crate::bed::{Protection, Tunnel, gateways};
use crate::on_packets::{GATEWAYS, GATEWAYS6, HOSTS, HOSTS6, behind_nat, ipv6, nat, transport};
use crate::pair::{PATIENCE, Pair, with};
use crate::support::lab::Side;
use crate::support::{output, poll, run};

/// ESP with the algorithms of this kernel, and with each way to pad; not first what a tunnel has by default.
fn esp() -> Vec<Value> {
    let of = |cipher: &str, hash: &str| json!({ "policyEncryptionAlgorithm": cipher, "policyAuthAlgorithm": hash });
    vec![
        of("aes-256", "sha1"),
        of("aes-128", "sha256"),
        of("aes-128", "sha256-96"),
        of("3des", "sha1"),
        of("aes-192", "sha384"),
        of("aes-256", "sha512"),
        of("aes-128-gcm", "sha256"),
        of("aes-256-gcm", "sha256"),
    ]
}

/// Brings a tunnel up, and gives it each of `algorithms`; then exactly what A's view names fits between `ends`.
#[track_caller]
fn fits(mut pair: Pair, options: fn(Side) -> Value, algorithms: &[Value], ends: [&'static str; 2]) {
    let tunnel = Tunnel { options, changes: Vec::new(), ends, protection: Protection::Esp };
    tunnel.is_created(&mut pair);
    let mut now = pair.settled(1);
    for algorithm in algorithms {
        tunnel.is_changed(&pair, algorithm);
        now = pair.renewed(&now, 1);
        exactly(&pair, algorithm, ends);
    }
}

/// A packet of the size of A's only SA comes back; with one byte more none does.
#[track_caller]
fn exactly(pair: &Pair, what: &Value, [from, to]: [&str; 2]) -> u64 {
    let sa = sa(pair);
    let size = sa["mtu"].as_u64().unwrap_or_else(|| panic!("{what}: {sa}"));
    // The headers of IP and ICMP.
    let headers = if from.contains(':') { 48 } else { 28 };
    assert_eq!(size - sa["mss"].as_u64().unwrap_or_default(), headers + 12, "{what}: {sa}");
    let ping = |size: u64| {
        let length = (size - headers).to_string();
        let mut command = pair.lab.command_in(Side::A, "ping");
        command.args(["-n", "-M", "do", "-c", "3", "-i", "0.2", "-W", "5", "-s", &length, "-I", from, to]);
        let said = output(&mut command);
        (said.status.success(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
    };
    let whole = ping(size);
    assert!(whole.0, "{what}: {size} is too much: {}", whole.1);
    let more = ping(size + 1);
    // Mostly it says why; from a host itself over IPv6 it just sends none.
    assert!(!more.0 && more.1.contains("100% packet loss"), "{what}: {size}: {}", more.1);
    size
}

fn sa(pair: &Pair) -> Value {
    let path = format!("/cygnet/v1/connections/{}", pair.uuid(Side::A));
    let mut view = pair.agent(Side::A).request("GET", &path, None).expect(200).json();
    view["children"][0]["sas"][0].take()
}

#[test]
#[ignore = "on a machine of its own"]
fn esp_in_tunnel_mode() {
    fits(gateways(), |_| json!({}), &esp(), HOSTS);
}

#[test]
#[ignore = "on a machine of its own"]
fn esp_through_nat() {
    let pair = gateways();
    nat(&pair.lab, Side::A);
    fits(pair, behind_nat, &esp(), HOSTS);
}

#[test]
#[ignore = "on a machine of its own"]
fn esp_over_ipv6() {
    fits(gateways(), ipv6, &esp(), HOSTS6);
}

#[test]
#[ignore = "on a machine of its own"]
fn of_transport_mode_and_ah() {
    let ah = |hash: &str| json!({ "transformProtocol": "ah", "policyAuthAlgorithm": hash });
    let all = [ah("sha1"), ah("sha256"), ah("sha256-96"), ah("sha384"), ah("sha512")];
    fits(gateways(), |_| json!({}), &all, HOSTS);
    let with_esp: Vec<_> = all.iter().cloned().chain(esp().into_iter().take(3)).collect();
    fits(gateways(), |_| transport(), &all, GATEWAYS);
    fits(gateways(), |side| with(&ipv6(side), &transport()), &with_esp[1..], GATEWAYS6);
}

/// The way to the peer takes less than its interface: by its route, and by what a router said.
#[test]
#[ignore = "on a machine of its own"]
fn of_the_way() {
    let mut pair = gateways();
    for side in [Side::B, Side::A] {
        pair.create(side, &json!({ "policyEncryptionAlgorithm": "aes-128-gcm" }));
    }
    pair.settled(1);
    assert_eq!(exactly(&pair, &json!("the interface"), HOSTS), 1446);
    run(pair.lab.command_in(Side::A, "ip").args(["route", "add", GATEWAYS[1], "dev", "wan", "mtu", "1400"]));
    assert_eq!(exactly(&pair, &json!("the route"), HOSTS), 1346);
    run(pair.lab.command_in(Side::A, "ip").args(["route", "del", GATEWAYS[1]]));
    run(pair.lab.command_in(Side::A, "ip").args(["link", "set", "wan", "mtu", "1300"]));
    let smaller = poll(PATIENCE, || (sa(&pair)["mtu"] == 1246).then_some(()));
    assert!(smaller.is_some(), "{}", sa(&pair));
}
