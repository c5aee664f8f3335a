//! Addresses that no peer can have, peers on a link, and networks that a tunnel is not made for.

use crate::serve::{Bench, KEY, NETWORK, Options, VIP, change, params, uuid, wait_until};
use serde_json::{Value, json};
use std::{fs, net::IpAddr};

const PATH: &str = "/zstack/v1/ipsec";
/// The uuid of a VIP of IPv6, of one on a link, and of networks.
const VIP6: &str = "a0000000000040008000000000000006";
const ON_LINK: &str = "a0000000000040008000000000000007";
const NETWORK6: &str = "b0000000000040008000000000000006";
const ODD: &str = "b0000000000040008000000000000008";
const AROUND: &str = "b0000000000040008000000000000009";

/// More of the gateway, behind the usual settings.
const GATEWAY: &str = "[[gateway.vips]]\nuuid = \"a0000000000040008000000000000006\"\naddress = \"2001:db8::1\"\n\
    [[gateway.vips]]\nuuid = \"a0000000000040008000000000000007\"\naddress = \"fe80::1\"\n\
    [[gateway.l3_networks]]\nuuid = \"b0000000000040008000000000000006\"\ncidrs = [\"fd00:1::/64\"]\n\
    [[gateway.l3_networks]]\nuuid = \"b0000000000040008000000000000008\"\ncidrs = [\"127.1.0.0/16\"]\n\
    [[gateway.l3_networks]]\nuuid = \"b0000000000040008000000000000009\"\ncidrs = [\"192.0.2.0/24\"]\n\
    [policy]\ndefault = \"off\"\nspecial-network = \"warn\"";

fn bench() -> Bench {
    Bench::with(&Options { policy: GATEWAY, ..Options::default() })
}

/// A connection over IPv6 to this peer.
fn six(n: u8, peer: &str) -> Value {
    let cidr = format!("fd00:{n}::/64");
    params(n, &json!({ "vipUuid": VIP6, "peerAddress": peer, "l3NetworkUuid": NETWORK6, "peerCidrs": [cidr] }))
}

fn details(answer: &Value) -> &str {
    answer["error"]["details"].as_str().expect("details")
}

fn plan(b: &Bench, n: u8, body: &Value) -> Value {
    let body = json!({ "changeIPsecConnection": body }).to_string();
    b.ask("POST", &format!("/cygnet/v1/connections/{}/plan", uuid(n)), body.as_bytes()).json()
}

/// The codes and fields of the warnings.
fn codes(answer: &Value) -> Vec<(String, String)> {
    let all = answer["warnings"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.iter().map(|warning| (text(&warning["code"]), text(&warning["field"]))).collect()
}

#[test]
fn what_no_peer_can_have_is_refused_with_the_reason() {
    let b = bench();
    b.create(&params(7, &json!({}))).expect(200);
    b.create(&six(8, "2001:db8::8")).expect(200);
    for (n, peer, reason) in [
        (7, "127.0.0.1", "loopback"),
        (7, "127.9.9.9", "loopback"),
        (7, "0.0.0.1", "0.0.0.0/8"),
        (7, "0.0.0.0", "not the address of one host"),
        (7, "224.0.0.18", "multicast"),
        (7, "239.1.1.1", "multicast"),
        (7, "255.255.255.255", "broadcast"),
        (8, "::1", "loopback"),
        (8, "::", "not the address of one host"),
        (8, "ff02::1", "multicast"),
        (8, "::ffff:127.0.0.1", "IPv4"),
        (8, "fe80::9", "link-local and needs the interface"),
        (8, "fe80::9%", "name of an interface"),
        (8, "fe80::9%et h0", "name of an interface"),
        (8, "2001:db8::9%eth0", "only IPv6 link-local addresses"),
        (7, "192.0.2.1", "cannot be the same to the VIP address"),
        (8, "fe80::1", "link-local"),
    ] {
        let new = if n == 7 { params(9, &json!({ "peerAddress": peer })) } else { six(9, peer) };
        let changed = change(n, &json!({ "peerAddress": peer }));
        for answer in [b.create(&new), b.change(&uuid(n), &changed)] {
            let answer = answer.expect(503).json();
            assert!(details(&answer).contains(reason) && details(&answer).contains("peerAddress"), "{peer}: {answer}");
        }
        assert!(details(&plan(&b, n, &changed)).contains(reason), "{peer}");
    }
    assert_eq!(b.inventory(&uuid(9)), Value::Null, "nothing of it exists");
    // Two gateways may share their settings: the VIP of one is the peer of the other.
    let of_the_other = json!({ "vipUuid": ON_LINK, "peerAddress": "2001:db8::1", "l3NetworkUuid": NETWORK6, "peerCidrs": ["fd00:9::/64"] });
    b.create(&params(9, &of_the_other)).expect(200);
}

#[test]
fn a_broadcast_address_of_a_network_of_this_host_is_no_peer() {
    let b = bench();
    let broadcast = |net: &ipnet::IpNet| match net {
        ipnet::IpNet::V4(net) if net.prefix_len() < 31 => {
            Some([IpAddr::V4(net.broadcast()), IpAddr::V4(net.network())])
        }
        _ => None,
    };
    for net in cygnet::host::networks().expect("this host's networks") {
        for address in broadcast(&net).into_iter().flatten() {
            let answer = b.create(&params(9, &json!({ "peerAddress": address.to_string() }))).expect(503).json();
            assert!(details(&answer).contains(&format!("no host's address in {net}")), "{answer}");
        }
    }
}

fn no_interface() -> (String, String) {
    ("NO_INTERFACE".into(), "peerAddress".into())
}

#[test]
fn a_peer_on_a_link_is_known_with_its_interface() {
    let mut b = bench();
    b.charon.establish(true);
    let created = b.create(&six(8, "fe80:0::8%eth0")).expect(200).json();
    assert_eq!(created["inventory"]["peerAddress"], "fe80::8%eth0");
    wait_until("its SA is known as its own", || (b.inventory(&uuid(8))["status"] == "Ready").then_some(()));
    let rendered = || fs::read_to_string(b.conf(&uuid(8))).expect("the file");
    assert!(rendered().contains("remote_addrs = fe80::8%eth0\n"), "{}", rendered());
    // The same address on another link is another peer; on the same one it is not.
    b.create(&json!({ "name": "other", "vipUuid": VIP6, "peerAddress": "fe80::8%eth1", "authKey": KEY, "resourceUuid": uuid(9) })).expect(200);
    let taken = six(10, "fe80::8%eth0");
    assert!(details(&b.create(&taken).expect(503).json()).contains("same vrouter and peerAddress"));
    let moved = plan(&b, 8, &change(8, &json!({ "peerAddress": "fe80::8%eth2" })));
    assert_eq!(moved["impact"], "replace", "{moved}");
    let away = plan(&b, 8, &change(8, &json!({ "peerAddress": "fe80::8%no-such-one" })));
    assert!(codes(&away).contains(&no_interface()) && away["warnings"].to_string().contains("no-such-one"), "{away}");
    let here = plan(&b, 8, &change(8, &json!({ "peerAddress": "fe80::8%lo" })));
    assert!(!codes(&here).contains(&no_interface()), "{here}");
    let found = b.ask("GET", &format!("{PATH}?q=peerAddress=fe80::8%25eth0"), b"").expect(200).json();
    assert_eq!(found["inventories"].as_array().map(Vec::len), Some(1));
    // From a VIP on the link, and to one behind an address of clouds' insides.
    let on_link = json!({ "vipUuid": ON_LINK, "peerAddress": "fe80::1%eth9", "l3NetworkUuid": NETWORK6, "peerCidrs": ["fd00:11::/64"] });
    assert!(details(&b.create(&params(11, &on_link)).expect(503).json()).contains("VIP"), "both ends have one address");
    b.create(&params(11, &json!({ "vipUuid": ON_LINK, "peerAddress": "fe80::b%eth0", "l3NetworkUuid": NETWORK6, "peerCidrs": ["fd00:11::/64"] }))).expect(200);
    b.create(&params(12, &json!({ "peerAddress": "169.254.169.12" }))).expect(200);
    // It is stored so.
    b.stop();
    b.run();
    assert_eq!(b.inventory(&uuid(8))["peerAddress"], "fe80::8%eth0");
    b.change(&uuid(8), &change(8, &json!({ "peerAddress": "fe80::8%eth0", "lifeTime": 900 }))).expect(200);
}

/// Records that were stored by a program that knew none of this.
#[test]
fn what_is_stored_loads_and_can_be_worked_on() {
    let mut b = bench();
    b.create(&params(7, &json!({}))).expect(200);
    b.create(&six(8, "2001:db8::8")).expect(200);
    b.stop();
    for (n, peer, network) in [(7, "127.0.0.9", "127.0.0.0/8"), (8, "fe80::8", "fd00:8::/64")] {
        let text = fs::read_to_string(b.record(&uuid(n))).expect("the record");
        let mut record: Value = serde_json::from_str(&text).expect("JSON");
        (record["peer"], record["remote"][0]["cidr"]) = (json!(peer), json!(network));
        fs::write(b.record(&uuid(n)), record.to_string()).expect("written");
    }
    b.run();
    for (n, peer) in [(7, "127.0.0.9"), (8, "fe80::8")] {
        wait_until("it is loaded", || b.charon.connections().contains(&format!("cygnet-{}", uuid(n))).then_some(()));
        assert_eq!(b.inventory(&uuid(n))["peerAddress"], peer);
        let same = change(n, &json!({ "peerAddress": peer, "lifeTime": 900 }));
        b.change(&uuid(n), &same).expect(200);
        let path = format!("{PATH}/{}/remote-cidrs", uuid(n));
        let more = if n == 7 { "10.99.0.0/24" } else { "fd00:99::/64" };
        b.ask("POST", &path, json!({ "params": { "peerCidrs": [more] } }).to_string().as_bytes()).expect(200);
    }
    let view = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json();
    assert!(codes(&view).contains(&("SPECIAL_NETWORK".into(), "peerCidrs".into())), "{}", view["warnings"]);
}

#[test]
fn networks_that_no_tunnel_carries_are_refused_by_name() {
    let b = bench();
    b.create(&params(7, &json!({}))).expect(200);
    let add = |cidr: &str| {
        let body = json!({ "params": { "peerCidrs": ["10.70.0.0/24", cidr] } }).to_string();
        b.ask("POST", &format!("{PATH}/{}/remote-cidrs", uuid(7)), body.as_bytes())
    };
    for cidr in ["127.0.0.0/8", "127.0.0.1/32", "0.0.0.0/8", "255.255.255.255/32", "::1/128", "::/128"] {
        for answer in [b.create(&params(9, &json!({ "peerCidrs": [cidr] }))), add(cidr)] {
            let answer = answer.expect(503).json();
            assert!(details(&answer).contains(&format!("field[peerCidrs] {cidr} has ")), "{answer}");
        }
    }
    // The settings are the operator's: what stands there is warned of.
    let body = json!({ "params": { "l3NetworkUuids": [ODD] } }).to_string();
    let attached = b.ask("POST", &format!("{PATH}/{}/l3networks", uuid(7)), body.as_bytes()).expect(200).json();
    assert_eq!(codes(&attached), [("SPECIAL_NETWORK".to_owned(), "l3NetworkUuid".to_owned())], "{attached}");
    assert!(attached["warnings"].to_string().contains("127.1.0.0/16"), "{attached}");
}

/// Which address this machine has depends on the machine: without one, there is nothing to see.
#[test]
fn an_address_of_this_host_is_warned_of() {
    let b = bench();
    let own = cygnet::host::addresses().expect("this host's addresses");
    let Some(own) = own.iter().find(|address| address.is_ipv4() && !address.is_loopback()) else { return };
    let answer = b.create(&params(9, &json!({ "peerAddress": own.to_string() }))).expect(200).json();
    assert!(codes(&answer).contains(&("OWN_ADDRESS".into(), "peerAddress".into())), "{answer}");
    let usual = b.create(&params(10, &json!({}))).expect(200).json();
    assert!(usual.get("warnings").is_none(), "{usual}");
}

#[test]
fn doubtful_networks_are_warned_of_by_name() {
    let b = bench();
    let view = |n: u8| b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(n)), b"").expect(200).json();
    let pair = |code: &str, field: &str| vec![(code.to_owned(), field.to_owned())];
    for (n, local, peer, cidr, wanted) in [
        (20, NETWORK, "198.51.100.20", "239.20.0.0/16", pair("SPECIAL_NETWORK", "peerCidrs")),
        (21, AROUND, "198.51.100.21", "198.51.100.0/27", pair("SPECIAL_NETWORK", "peerCidrs")),
        // The peer alone, the VIP alone, everything (it has a warning of its own where one is due), and others.
        (22, NETWORK, "198.51.100.22", "198.51.100.0/27", Vec::new()),
        (23, AROUND, "198.51.100.23", "10.23.0.0/24", Vec::new()),
        (24, AROUND, "198.51.100.24", "0.0.0.0/0", Vec::new()),
        (25, NETWORK, "198.51.100.25", "10.25.0.0/24", Vec::new()),
    ] {
        let body = params(n, &json!({ "peerAddress": peer, "l3NetworkUuid": local, "peerCidrs": [cidr] }));
        let answer = b.create(&body).expect(200).json();
        let own = |answer: &Value| {
            let all = codes(answer).into_iter();
            all.filter(|(code, _)| code == "SPECIAL_NETWORK").collect::<Vec<_>>()
        };
        assert_eq!(own(&answer), wanted, "{cidr}: {answer}");
        assert_eq!(own(&view(n)), wanted, "{cidr}");
        assert_eq!(own(&plan(&b, n, &change(n, &json!({ "peerAddress": peer, "lifeTime": 900 })))), wanted, "{cidr}");
        let text = answer["warnings"].to_string();
        assert!(wanted.is_empty() || text.contains(cidr), "{text}");
    }
    // The gateways themselves, in transport mode: that is what it is for.
    let body = json!({ "policyMode": "transport", "l3NetworkUuid": null, "peerCidrs": null, "vipUuid": VIP });
    assert_eq!(codes(&b.create(&params(26, &body)).expect(200).json()), []);
}
