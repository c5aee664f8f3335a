//! Who the gateways say they are: every kind of identity, changed on both ends and read back from the IKE SA.

use std::time::Duration;

use serde_json::{Value, json};

use crate::certificates::{Ca, Kind};
use crate::odd_peers::{Bed, FIRST, Peer, Role, SAME};
use crate::pair::Pair;
use crate::support::lab::{Lab, Side};
use crate::support::poll;
use crate::{lab, lab_for};

/// `idType`, `localId` and `remoteId` as A has them (B has them the other way round), and what charon shows on A.
const IDENTITIES: [(&str, [&str; 2], [&str; 2]); 8] = [
    ("fqdn", ["a.site.example", "b.site.example"], ["a.site.example", "b.site.example"]),
    ("fqdn", ["192.0.2.201", "gw_b"], ["192.0.2.201", "gw_b"]),
    ("name", ["gw-a", "ops+b@site.example"], ["gw-a", "ops+b@site.example"]),
    ("name", ["C=CH, CN=gw-a", "Gateway \"B\"; {#$}"], ["@C=CH, CN=gw-a", "Gateway \"B\"; {#$}"]),
    ("name", ["@#0a", "^.$"], ["@#0a", "^.$"]),
    ("name", ["café", "b"], ["caf??", "b"]),
    ("ip", ["198.51.100.1", "198.51.100.2"], ["198.51.100.1", "198.51.100.2"]),
    ("ip", ["2001:db8:a::1", "192.0.2.2"], ["2001:db8:a::1", "192.0.2.2"]),
];

#[test]
fn every_kind_of_identity() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    for version in Lab::ike_versions() {
        for (kind, [local, remote], shown) in IDENTITIES {
            let options = json!({ "ikeVersion": version, "idType": kind, "localId": local, "remoteId": remote });
            let before = pair.settled(1);
            pair.change_both(&options);
            let [a, b] = pair.renewed(&before, 1);
            let seen = [[a.ike("local-id"), a.ike("remote-id")], [b.ike("remote-id"), b.ike("local-id")]];
            assert_eq!(seen, [shown, shown], "{options}");
            assert_eq!(pair.status(Side::A), "Ready");
        }
    }
    pair.carries();
}

/// What other vendors' gateways send, set up as their operators would: our options, its two identities, and what charon
/// shows of both on our side.
const PEERS: [(&str, &str, &str, [&str; 2]); 5] = [
    // Ours a name, the peer's its address, as behind NAT.
    (
        r#"{"idType": "fqdn", "localId": "branch.example", "remoteId": "192.0.2.2", "remoteIdType": "ip"}"#,
        "id = 192.0.2.2",
        "id = fqdn:branch.example",
        ["branch.example", "192.0.2.2"],
    ),
    // A KEY_ID that looks like a name.
    (
        r#"{"localId": "hub", "localIdType": "fqdn", "remoteId": "branch1", "remoteIdType": "keyid"}"#,
        "id = keyid:branch1",
        "id = fqdn:hub",
        ["hub", "branch1"],
    ),
    // A name that looks like an address.
    (
        r#"{"localId": "branch2", "localIdType": "keyid", "remoteId": "192.168.1.99", "remoteIdType": "fqdn"}"#,
        "id = fqdn:192.168.1.99",
        "id = keyid:branch2",
        ["branch2", "192.168.1.99"],
    ),
    // As people write names for strongSwan, and a mail address sent as ID_FQDN.
    (
        r#"{"idType": "name", "localId": "@gw.example", "remoteId": "l@left.example", "remoteIdType": "fqdn"}"#,
        "id = @l@left.example",
        "id = @gw.example",
        ["gw.example", "l@left.example"],
    ),
    // Names of certificates, proved by a key.
    (
        r#"{"localId": "ops@site.example", "localIdType": "email", "remoteId": "C=US, O=Example\\, Inc., CN=gw", "remoteIdType": "dn"}"#,
        "id = \"asn1dn:#3032310b300906035504061302555331163014060355040a0c0d4578616d706c652c20496e632e310b300906035504030c026777\"",
        "id = email:ops@site.example",
        ["ops@site.example", "C=US, O=Example, Inc., CN=gw"],
    ),
];

/// It comes up with these identities, whoever begins.
fn meets(version: &str, role: Role, (options, theirs, ours, shown): (&str, &'static str, &'static str, [&str; 2])) {
    let Some(lab) = lab_for(version) else { return };
    let local: &'static str = Box::leak(format!("{theirs}\n auth = psk").into_boxed_str());
    let remote: &'static str = Box::leak(format!("{ours}\n auth = psk").into_boxed_str());
    let mut options: Value = serde_json::from_str(options).expect("JSON");
    options["ikeVersion"] = json!(version);
    let drops = (role == Role::Peer).then_some(FIRST);
    let bed = Bed::start(lab, &Peer { local, remote, ..SAME }, version, &options, drops);
    let up = poll(Duration::from_secs(30), || {
        if role == Role::Peer {
            bed.call();
        }
        (bed.view()["inventory"]["status"] == "Ready").then_some(())
    });
    assert!(up.is_some(), "{role:?} {options}: {:#}\n{}", bed.view()["reason"], bed.lab.charon_log(Side::A));
    let sas = bed.lab.sas(Side::A);
    let sa = &sas.as_array().expect("SAs")[0];
    assert_eq!([&sa["local-id"], &sa["remote-id"]], shown.map(|id| json!(id)).each_ref(), "{role:?} {options}");
}

#[test]
fn each_end_has_a_kind_of_its_own() {
    for peer in PEERS {
        for role in [Role::We, Role::Peer] {
            meets("ikev2", role, peer);
        }
        meets("ikev1", Role::We, peer);
    }
}

/// Both ends name the subject of the other's certificate, each in another spelling.
#[test]
fn a_subject_with_a_comma_in_it() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let subject = |side: Side| format!("C=US, O=Example, Inc., CN=gw-{}", side.letter());
    for side in [Side::B, Side::A] {
        let bundle = ca.issue(Kind::Ecdsa, &subject(side), &[]).bundle(&[&ca]);
        let other = side.other().letter();
        let spelled = match side {
            Side::A => format!("C = US, O = \"Example, Inc.\", CN = gw-{other}"),
            Side::B => format!("/C=US/O=Example, Inc./CN=gw-{other}"),
        };
        // The identities of B are given as A's, and swapped.
        let member = if side == Side::A { ["remoteId", "remoteIdType"] } else { ["localId", "localIdType"] };
        let kind = if side == Side::A { "dn" } else { "auto" };
        pair.create(
            side,
            &json!({ "authMode": "certs", "authKey": bundle, "idType": "name", member[0]: spelled, member[1]: kind }),
        );
    }
    let [a, _] = pair.settled(1);
    assert_eq!([a.ike("local-id"), a.ike("remote-id")], [subject(Side::A), subject(Side::B)]);
    pair.carries();
}
