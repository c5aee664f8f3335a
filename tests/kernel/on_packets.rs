//! What each kind of tunnel does to packets, and what the kernel has of it afterwards. Each is created and changed over
//! the API.

use serde_json::{Value, json};

use crate::bed::{LAN6, Protection, Tunnel, VIP6, gateways, goes, lives};
use crate::pair::{ORDER, PATIENCE, Pair, with};
use crate::support::lab::{Lab, Side};
use crate::support::{poll, run};

pub const HOSTS: [&str; 2] = ["10.1.0.1", "10.2.0.1"];
pub const GATEWAYS: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
pub const HOSTS6: [&str; 2] = ["fd00:1::1", "fd00:2::1"];
pub const GATEWAYS6: [&str; 2] = ["2001:db8::1", "2001:db8::2"];

/// Other algorithms for packets and for IKE.
fn others() -> Value {
    json!({ "policyEncryptionAlgorithm": "aes-128", "policyAuthAlgorithm": "sha512", "pfs": "dh-group31",
            "ikeEncryptionAlgorithm": "aes-256", "ikeDhGroup": 19 })
}

/// Between the gateways themselves.
pub fn transport() -> Value {
    json!({ "policyMode": "transport", "l3NetworkUuid": null, "peerCidrs": null })
}

/// Between the gateways' IPv6 addresses.
pub fn ipv6(side: Side) -> Value {
    json!({ "vipUuid": VIP6, "peerAddress": side.other().wan6(), "l3NetworkUuid": LAN6,
            "peerCidrs": [side.other().lan6()] })
}

#[test]
#[ignore = "on a machine of its own"]
fn esp_in_tunnel_mode() {
    let changes = vec![json!({ "policyEncryptionAlgorithm": "aes-256-gcm" }), others()];
    lives(gateways(), &Tunnel { options: |_| json!({}), changes, ends: HOSTS, protection: Protection::Esp });
}

#[test]
#[ignore = "on a machine of its own"]
fn esp_in_transport_mode() {
    let options = |_| transport();
    lives(gateways(), &Tunnel { options, changes: vec![others()], ends: GATEWAYS, protection: Protection::Esp });
}

#[test]
#[ignore = "on a machine of its own"]
fn ah_in_tunnel_mode() {
    let options = |_| json!({ "transformProtocol": "ah" });
    lives(gateways(), &Tunnel { options, changes: vec![others()], ends: HOSTS, protection: Protection::Ah });
}

#[test]
#[ignore = "on a machine of its own"]
fn ah_in_transport_mode() {
    let options = |_| with(&transport(), &json!({ "transformProtocol": "ah" }));
    lives(gateways(), &Tunnel { options, changes: vec![others()], ends: GATEWAYS, protection: Protection::Ah });
}

#[test]
#[ignore = "on a machine of its own"]
fn ah_in_transport_mode_ikev1() {
    let options = |_| with(&transport(), &json!({ "transformProtocol": "ah", "ikeVersion": "ikev1" }));
    lives(gateways(), &Tunnel { options, changes: vec![others()], ends: GATEWAYS, protection: Protection::Ah });
}

#[test]
#[ignore = "on a machine of its own"]
fn esp_in_tunnel_mode_over_ipv6() {
    lives(gateways(), &Tunnel { options: ipv6, changes: vec![others()], ends: HOSTS6, protection: Protection::Esp });
}

#[test]
#[ignore = "on a machine of its own"]
fn ah_in_transport_mode_over_ipv6() {
    let options = |side| with(&ipv6(side), &with(&transport(), &json!({ "transformProtocol": "ah" })));
    lives(gateways(), &Tunnel { options, changes: vec![others()], ends: GATEWAYS6, protection: Protection::Ah });
}

/// A gateway is behind a NAT, which makes its address the middle's; the other one cannot begin.
pub fn nat(lab: &Lab, side: Side) {
    let (own, peer) = (side.wan(), side.other().wan());
    run(lab.command_in(side, "ip").args(["route", "add", peer, "via", NAT]));
    lab.inside_middle(|| {
        for (key, value) in [("ip_forward", "1"), ("conf/all/send_redirects", "0"), ("conf/br0/send_redirects", "0")] {
            std::fs::write(format!("/proc/sys/net/ipv4/{key}"), value).unwrap_or_else(|error| panic!("{key}: {error}"));
        }
    });
    let mut iptables = lab.command_in_middle(crate::machine::kernel().join("iptables"));
    run(iptables.args(["-t", "nat", "-A", "POSTROUTING", "-s", own, "-d", peer, "-j", "MASQUERADE"]));
}

/// The address that its packets come from behind the NAT.
pub const NAT: &str = "192.0.2.254";

/// Options for A behind the NAT, and for B before it.
pub fn behind_nat(side: Side) -> Value {
    let ids = json!({ "idType": "ip", "localId": GATEWAYS[0], "remoteId": GATEWAYS[1] });
    if side == Side::A { ids } else { with(&ids, &json!({ "peerAddress": NAT })) }
}

#[test]
#[ignore = "on a machine of its own"]
fn esp_through_nat() {
    let pair = gateways();
    nat(&pair.lab, Side::A);
    let changes = vec![others()];
    lives(pair, &Tunnel { options: behind_nat, changes, ends: HOSTS, protection: Protection::EspInUdp });
}

/// AH does not pass a NAT: that is said, and ESP, which does, comes up in its place.
#[test]
#[ignore = "on a machine of its own"]
fn ah_through_nat_is_named_and_esp_repairs_it() {
    let options = |side| with(&behind_nat(side), &json!({ "transformProtocol": "ah" }));
    let mut pair = gateways();
    nat(&pair.lab, Side::A);
    for side in ORDER {
        pair.create(side, &options(side));
    }
    says(&pair, Side::B, "AH would have to pass a NAT");
    let esp = Tunnel { options: behind_nat, changes: Vec::new(), ends: HOSTS, protection: Protection::EspInUdp };
    esp.is_changed(&pair, &json!({}));
    pair.settled(1);
    esp.is_seen(&pair);
    goes(&pair);
}

/// The kernel may lack what charon has: then that is the reason on both ends, not what the peer makes of it.
#[test]
#[ignore = "on a machine of its own"]
fn esp_that_the_kernel_lacks_is_named() {
    let mut pair = gateways();
    for side in ORDER {
        pair.create(side, &json!({ "policyEncryptionAlgorithm": "chacha20-poly1305" }));
    }
    for side in Side::BOTH {
        says(&pair, side, "wanted here: ESP chacha20poly1305");
    }
    pair.change_both(&json!({}));
    pair.settled(1);
    pair.carries();
    goes(&pair);
}

/// Waits until the only child is down because this gateway cannot do what is asked for, with this in the details.
#[track_caller]
fn says(pair: &Pair, side: Side, details: &str) {
    let path = format!("/cygnet/v1/connections/{}", pair.uuid(side));
    let mut last = Value::Null;
    let seen = poll(PATIENCE, || {
        last = pair.agent(side).request("GET", &path, None).expect(200).json()["children"][0]["reason"].clone();
        let told = last["details"].as_str().is_some_and(|said| said.contains(details));
        (last["code"] == "ALGORITHM_UNSUPPORTED" && told).then_some(())
    });
    assert!(seen.is_some(), "{last}");
}

/// Another protocol is a change like any other.
#[test]
#[ignore = "on a machine of its own"]
fn esp_becomes_ah_and_ah_becomes_esp() {
    let mut pair = gateways();
    let tunnel = |protection| Tunnel { options: |_| json!({}), changes: Vec::new(), ends: HOSTS, protection };
    tunnel(Protection::Esp).is_created(&mut pair);
    let mut before = pair.settled(1);
    for (protocol, protection) in [("ah", Protection::Ah), ("esp", Protection::Esp)] {
        tunnel(protection).is_changed(&pair, &json!({ "transformProtocol": protocol }));
        before = pair.renewed(&before, 1);
        tunnel(protection).is_seen(&pair);
    }
    goes(&pair);
}
