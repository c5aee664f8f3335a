//! The options of our own before raw charons: what runs is what was asked for, in both roles.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab_for;
use crate::odd_peers::{Bed, FIRST, Peer, Role, SAME};
use crate::pair::{for_side, reaches};
use crate::support::lab::Side;
use crate::support::{output, poll, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

/// A bed before `peer`, up with `options`, whoever begins; its view.
#[track_caller]
fn up(version: &str, peer: &Peer, options: &Value, role: Role) -> Option<(Bed, Value)> {
    let lab = lab_for(version)?;
    let options = crate::pair::with(&json!({ "ikeVersion": version }), options);
    let bed = Bed::start(lab, peer, version, &options, (role == Role::Peer).then_some(FIRST));
    let view = wait_until(PATIENCE, "it is Ready", || {
        if role == Role::Peer {
            bed.call();
        }
        let view = bed.view();
        (view["inventory"]["status"] == "Ready").then_some(view)
    });
    reaches(&bed.lab, Side::A, Side::A.host(), Side::B.host());
    Some((bed, view))
}

/// The userland IPsec of the lab always has ESP in UDP, with the option and without: this shows that charon takes it, and
/// that a peer without it follows.
#[test]
fn a_forced_encapsulation_needs_nothing_of_the_peer() {
    for version in ["ikev2", "ikev1"] {
        for role in [Role::We, Role::Peer] {
            let Some((bed, _)) = up(version, &SAME, &json!({ "forceEncapsulation": true }), role) else { return };
            for side in Side::BOTH {
                let children = bed.lab.children(side);
                let all = children.iter().all(|child| child["encap"] == "yes");
                assert!(!children.is_empty() && all, "{version} {role:?} {side:?}: {children:#?}");
            }
        }
    }
}

/// As many bytes as one may ask for go through, in pings of many fragments: both ends are told, and one of them rekeys.
#[test]
fn traffic_rekeys_a_child() {
    let Some((bed, before)) = up("ikev2", &SAME, &json!({ "childRekeyBytes": 67_108_864 }), Role::We) else { return };
    let child = |view: &Value| view["children"][0]["sas"][0]["id"].clone();
    let listed = bed.lab.swanctl(Side::A, &["--list-conns", "--raw"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("rekey_bytes=67108864"), "{listed:?}");
    let ping = bed.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
    ping.wait_for_replies(5);
    let mut flood = bed.lab.command_in(Side::A, "ping");
    flood.args(["-q", "-f", "-s", "24000", "-c", "3200", "-I", Side::A.host(), Side::B.host()]);
    let flooded = output(&mut flood);
    let after = wait_until(PATIENCE, "another CHILD_SA carries", || {
        let view = bed.view();
        (child(&view) != child(&before) && view["inventory"]["status"] == "Ready").then_some(view)
    });
    ping.wait_for_replies(5);
    let lost = ping.stop();
    // The flood may push one aside on a busy machine; a rekeying that breaks the child would lose many.
    assert!(lost.longest_gap <= 1, "{lost:?} {flooded:?}");
    assert_eq!(after["ike_sas"][0]["id"], before["ike_sas"][0]["id"], "the IKE_SA is the same");
    assert!(bed.lab.charon_log(Side::A).contains("CREATE_CHILD_SA"), "{}", bed.lab.charon_log(Side::A));
}

/// A PRF apart from the integrity, and beside an AEAD cipher.
#[test]
fn the_prf_has_a_hash_of_its_own() {
    let cisco = Peer { connection: "proposals = aes256-sha256-prfsha1-x25519", ..SAME };
    let gcm = Peer { connection: "proposals = aes192gcm16-prfsha512-x25519", ..SAME };
    let with_gcm = json!({ "ikePrf": "sha512", "ikeEncryptionAlgorithm": "aes-192-gcm" });
    let cases = [(cisco, json!({ "ikePrf": "sha1" }), "PRF_HMAC_SHA1"), (gcm, with_gcm, "PRF_HMAC_SHA2_512")];
    for (peer, options, prf) in cases {
        for role in [Role::We, Role::Peer] {
            let Some((bed, _)) = up("ikev2", &peer, &options, role) else { return };
            assert_eq!(bed.lab.sas(Side::A)[0]["prf-alg"], prf, "{role:?}");
        }
    }
}

/// A packet of UDP from this port of A's host to that of B's; whether it came.
fn comes(bed: &Bed, from: u16, to: u16) -> bool {
    let bind = |side: Side, port: u16| {
        let address = (side.host(), port);
        bed.lab.inside(side, || UdpSocket::bind(address)).unwrap_or_else(|error| panic!("{address:?}: {error}"))
    };
    let (ours, theirs) = (bind(Side::A, from), bind(Side::B, to));
    theirs.set_nonblocking(true).expect("it can be set");
    let (sent, mut buffer) = (format!("{from} to {to}"), [0; 16]);
    // One may be lost to a route that is not there yet, and one of an earlier call come late.
    let came = poll(Duration::from_secs(2), || {
        ours.send_to(sent.as_bytes(), (Side::B.host(), to)).ok();
        let length = theirs.recv(&mut buffer).ok()?;
        (&buffer[..length] == sent.as_bytes()).then_some(())
    });
    came.is_some()
}

/// A tunnel for the packets of one port carries these and no others. charon lists the port by its name on this host, and
/// it is the wanted one all the same. A peer with fewer packets than are wanted is named.
#[test]
fn a_tunnel_for_one_port() {
    let l2tp =
        Peer { networks: "10.2.0.0/24[udp/1701]", esp: "aes256-sha256\n remote_ts = 10.1.0.0/24[udp/1701]", ..SAME };
    let all_udp = Peer { networks: "10.2.0.0/24[udp]", esp: "aes256-sha256\n remote_ts = 10.1.0.0/24[udp]", ..SAME };
    let options = json!({ "selectorProtocol": "udp", "selectorLocalPort": 1701, "selectorRemotePort": 1701 });
    for (version, peer, role) in
        [("ikev2", &l2tp, Role::We), ("ikev2", &all_udp, Role::Peer), ("ikev1", &l2tp, Role::Peer)]
    {
        let Some(lab) = lab_for(version) else { return };
        let all = crate::pair::with(&json!({ "ikeVersion": version }), &options);
        let bed = Bed::start(lab, peer, version, &all, (role == Role::Peer).then_some(FIRST));
        let view = wait_until(PATIENCE, "it is Ready", || {
            if role == Role::Peer {
                bed.call();
            }
            let view = bed.view();
            (view["inventory"]["status"] == "Ready").then_some(view)
        });
        let child = &view["children"][0];
        for ends in [child, &child["sas"][0]] {
            let (local, remote) = (json!(["10.1.0.0/24[udp/1701]"]), json!(["10.2.0.0/24[udp/1701]"]));
            assert_eq!((&ends["local"], &ends["remote"]), (&local, &remote), "{version} {role:?}: {child:#}");
        }
        assert_eq!(child["sas"][0]["as_wanted"], true, "{version} {role:?}: {child:#}");
        assert!(comes(&bed, 1701, 1701), "{version} {role:?}");
        assert!(!comes(&bed, 1702, 1701) && !comes(&bed, 1701, 1702), "{version} {role:?}");
        assert_ne!(bed.lab.ping(Side::A, Side::A.host(), Side::B.host(), 3, Duration::from_millis(10)).received, 3);
        if version == "ikev2" && role == Role::We {
            let change = json!({ "selectorLocalPort": 0, "selectorRemotePort": 0, "selectorProtocol": "any" });
            bed.agent.change(&bed.uuid, &for_side(Side::A, &crate::pair::with(&all, &change))).expect(200);
            bed.named(
                role,
                "TS_MISMATCH",
                &["some protocols or ports only", "[udp/1701]", "wanted here: 10.1.0.0/24 ==="],
            );
        }
    }
}

/// What the agent of a bed says of a tunnel that is not up: code and details.
fn reason(bed: &Bed) -> (String, String) {
    let view = bed.view();
    let text = |name: &str| view["reason"][name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("details"))
}

/// The agent begins nothing and says for whom it waits; the peer's call is answered; what ends is not begun again.
#[test]
fn the_peer_alone_begins() {
    let Some(lab) = lab_for("ikev2") else { return };
    let options = json!({ "ikeVersion": "ikev2", "startMode": "respond" });
    let bed = Bed::start(lab, &SAME, "ikev2", &options, None);
    wait_until(PATIENCE, "it waits for the peer", || {
        let (code, details) = reason(&bed);
        (code == "NOT_ATTEMPTED" && details.contains("waits for the peer")).then_some(())
    });
    // Traffic begins nothing either.
    assert_ne!(bed.lab.ping(Side::A, Side::A.host(), Side::B.host(), 3, Duration::from_millis(10)).lost(), 0);
    wait_until(PATIENCE, "it is up by the peer's call", || {
        bed.call();
        (bed.view()["inventory"]["status"] == "Ready").then_some(())
    });
    reaches(&bed.lab, Side::A, Side::A.host(), Side::B.host());
    bed.lab.swanctl(Side::B, &["--terminate", "--ike", "t"]);
    wait_until(PATIENCE, "it waits for the peer again", || {
        let (_, details) = reason(&bed);
        details.contains("waits for the peer").then_some(())
    });
    let log = bed.lab.charon_log(Side::A);
    assert!(!log.contains("initiating IKE_SA"), "{log}");
}

/// A charon without traps would never begin, and the lab's userland IPsec would take the packets of all interfaces: that is
/// refused, and what was there stays. Another charon gets its trap.
#[test]
fn what_charon_cannot_do_is_refused() {
    let Some(lab) = lab_for("ikev2") else { return };
    let bed = Bed::start(lab, &SAME, "ikev2", &json!({ "startMode": "respond" }), None);
    assert!(bed.lab.traps(Side::A).is_empty());
    let interface = bed.agent.change(&bed.uuid, &for_side(Side::A, &json!({ "ifId": 42 }))).expect(503).text();
    assert!(interface.contains("field[ifId] is not possible: the kernel-libipsec"), "{interface}");
    let change = json!({ "startMode": "trap" });
    let answer = bed.agent.change(&bed.uuid, &for_side(Side::A, &change));
    if answer.status == 200 {
        return assert!(!bed.lab.traps(Side::A).is_empty());
    }
    let text = answer.expect(503).text();
    assert!(text.contains("field[startMode] trap is not possible"), "{text}");
    assert!(reason(&bed).1.contains("waits for the peer"));
}

/// Why `ifId` is refused where charon has kernel-libipsec: it would take packets of no interface all the same.
#[test]
fn the_userland_ipsec_ignores_interfaces() {
    let Some(lab) = lab_for("ikev2") else { return };
    for side in Side::BOTH {
        let (other, child) = (side.other(), if side == Side::A { "if_id_in = 42\n if_id_out = 42" } else { "" });
        lab.start_charon(side);
        lab.load_conf(
            side,
            "t",
            &format!(
                "connections {{ t {{\n local_addrs = {}\n remote_addrs = {}\n local {{ auth = psk\n }}\n remote {{ auth = psk\n }}\n \
                 children {{ k {{\n local_ts = {}\n remote_ts = {}\n {child}\n }} }} }} }}\n\
                 secrets {{ ike-1 {{ secret = \"test-only-key\"\n }} }}\n",
                side.wan(),
                other.wan(),
                side.lan(),
                other.lan()
            ),
        );
    }
    assert!(lab.swanctl(Side::A, &["--initiate", "--child", "k", "--timeout", "10"]).status.success());
    assert_eq!(lab.children(Side::A)[0]["if-id-in"], "0000002a");
    reaches(&lab, Side::A, Side::A.host(), Side::B.host());
}
