//! Certificates on two real gateways: every kind of key, chains, what the other end must refuse, renewal, the way from
//! keys to certificates and back, and what is left over afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::calls::{drift, native};
use crate::certificates::{Ca, Issued, Kind, Wanted, year};
use crate::odd_cas::{ODD, OddCa};
use crate::pair::{PATIENCE, Pair, creation, reaches};
use crate::peer::Charon;
use crate::reasons::named;
use crate::support::agent::AgentOptions;
use crate::support::lab::Side;
use crate::support::wait_until;
use crate::{lab, say};

/// The directories that hold certificates and keys.
const DIRECTORIES: [&str; 4] = ["x509", "x509ca", "x509crl", "private"];

/// The subject of a gateway.
fn subject(side: Side) -> String {
    format!("C=CH, O=test only, CN=gw-{}", side.letter())
}

/// The options of one end that prove themselves by subjects.
fn by_subject(side: Side, bundle: &str) -> Value {
    // Swapped for B together with the identities, so it is given as A's.
    let peer = subject(side.other());
    let id = if side == Side::A { "remoteId" } else { "localId" };
    json!({ "authMode": "certs", "authKey": bundle, "idType": "name", id: peer })
}

pub fn issued(ca: &Ca, kind: Kind, side: Side) -> Issued {
    ca.issue(kind, &subject(side), &[])
}

/// Both ends with certificates of these CAs.
pub fn create(pair: &mut Pair, bundles: &[String; 2]) {
    for side in [Side::B, Side::A] {
        let inventory = pair.create(side, &by_subject(side, &bundles[side as usize]));
        let key = inventory["authKey"].as_str().expect("a bundle");
        assert!(key.contains("\n******\n") && key.contains("BEGIN CERTIFICATE"), "{key}");
    }
}

/// The names of our files of certificates and keys on one side.
fn files(pair: &Pair, side: Side) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for directory in DIRECTORIES {
        let path = pair.lab.swanctl_dir(side).join(directory);
        for entry in fs::read_dir(&path).expect("a directory") {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
            found.insert(format!("{directory}/{}", entry.file_name().to_string_lossy()));
        }
    }
    found
}

fn comes_up(kind: Kind) {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    let ca = Ca::new(kind, "CN=test-only CA");
    create(&mut pair, &Side::BOTH.map(|side| issued(&ca, kind, side).bundle(&[&ca])));
    let [a, _] = pair.settled(1);
    assert_eq!([a.ike("local-id"), a.ike("remote-id")], [subject(Side::A), subject(Side::B)]);
    pair.carries();
    for side in Side::BOTH {
        assert_eq!(files(&pair, side).len(), 3, "a certificate, a CA and a key");
    }
}

#[test]
fn rsa() {
    comes_up(Kind::Rsa);
}

#[test]
fn ecdsa() {
    comes_up(Kind::Ecdsa);
}

#[test]
fn ecdsa_384() {
    comes_up(Kind::Ecdsa384);
}

#[test]
fn ed25519() {
    comes_up(Kind::Ed25519);
}

/// CAs whose signatures only charon can check, one after the other on the same two gateways.
#[test]
fn cas_that_only_charon_can_check() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    for odd in &ODD {
        let ca = OddCa::new(odd);
        let options = Side::BOTH.map(|side| {
            let name = |side: Side| format!("{}.example", side.letter());
            // Swapped for B together with the identities, so it is given as A's.
            let bundle = ca.bundle(&ca.issue(&name(side), "")) + &ca.crl();
            json!({ "authMode": "certs", "authKey": bundle, "idType": "fqdn", "localId": name(Side::A), "remoteId": name(Side::B) })
        });
        for side in [Side::B, Side::A] {
            pair.create(side, &options[side as usize]);
        }
        let [a, _] = pair.settled(1);
        say(format!("{}: {}", odd.name, a.ike("remote-id")));
        assert_eq!(a.ike("remote-id"), "b.example", "{}", odd.name);
        for side in Side::BOTH {
            pair.agent(side).delete(pair.uuid(side)).expect(200);
        }
    }
}

/// The root of both ends is signed by another one too, which neither has: charon would follow the chain there.
#[test]
fn a_root_that_another_one_signed_too() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    let (root, other) = (ca(), Ca::new(Kind::Ecdsa, "CN=test-only other"));
    let cross = other.cross_sign(&root, "CN=test-only CA", 7);
    create(&mut pair, &bundles(&root).map(|bundle| bundle + &cross));
    pair.settled(1);
    pair.carries();
    for side in Side::BOTH {
        assert_eq!(files(&pair, side).len(), 3, "a certificate, a CA and a key");
    }
}

/// The CA's certificates for both ends.
fn bundles(ca: &Ca) -> [String; 2] {
    Side::BOTH.map(|side| issued(ca, Kind::Ecdsa, side).bundle(&[ca]))
}

fn ca() -> Ca {
    Ca::new(Kind::Ecdsa, "CN=test-only CA")
}

#[test]
fn through_an_intermediate() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    let root = ca();
    // Each end knows its own intermediate only, and sends it.
    let bundles = Side::BOTH.map(|side| {
        let between = root.intermediate(&format!("CN=between {}", side.letter()));
        issued(&between, Kind::Ecdsa, side).bundle(&[&between, &root])
    });
    create(&mut pair, &bundles);
    pair.settled(1);
    pair.carries();
}

#[test]
fn by_other_names_than_the_subject() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    let ca = ca();
    let name = |side: Side| format!("{}.example", side.letter());
    let bundle = |side: Side| ca.issue(Kind::Ecdsa, &subject(side), &[&name(side), side.wan()]).bundle(&[&ca]);
    for side in [Side::B, Side::A] {
        let ids = json!({ "authMode": "certs", "authKey": bundle(side), "idType": "fqdn",
                          "localId": name(Side::A), "remoteId": name(Side::B) });
        pair.create(side, &ids);
    }
    let [a, _] = pair.settled(1);
    assert_eq!([a.ike("local-id"), a.ike("remote-id")], [name(Side::A), name(Side::B)]);
    let foreign = json!({ "peerAddress": Side::B.wan(), "authMode": "certs", "authKey": bundle(Side::A), "idType": "fqdn",
                          "localId": "c.example", "remoteId": name(Side::B) });
    let refused = pair.agent(Side::A).change(pair.uuid(Side::A), &foreign);
    let text = refused.text();
    assert!(refused.status == 503 && text.contains("field[localId]"), "{text}");
    assert!([&subject(Side::A), &name(Side::A), Side::A.wan()].iter().all(|has| text.contains(*has)), "{text}");
    pair.carries();
}

/// A pair whose agents do not wait for a tunnel that cannot come up.
fn impatient(lab: &crate::support::lab::Lab) -> Pair {
    Pair::start_with(lab, |_| AgentOptions { wait: "0s".into(), ..Default::default() })
}

/// What the end that sees the other's certificate says of it.
#[track_caller]
fn refuses(pair: &Pair, side: Side, words: &str) {
    let details = wait_until(PATIENCE, "the certificate is named", || {
        let reason = named(pair, side, &["CERT_INVALID"]);
        let details = reason["details"].as_str()?.to_owned();
        details.contains(words).then_some(details)
    });
    say(format!("{words}: {details}"));
    assert_ne!(pair.status(side), "Ready");
}

#[test]
fn of_another_ca() {
    let Some(lab) = lab() else { return };
    let mut pair = impatient(&lab);
    let cas = Side::BOTH.map(|_| ca());
    let bundles = Side::BOTH.map(|side| {
        let ca = &cas[side as usize];
        issued(ca, Kind::Ecdsa, side).bundle(&[ca])
    });
    create(&mut pair, &bundles);
    refuses(&pair, Side::A, "");
    refuses(&pair, Side::B, "");
}

/// charon trusts every CA that it has; the connection only its own.
#[test]
fn of_the_ca_of_another_connection() {
    let Some(lab) = lab() else { return };
    let mut pair = impatient(&lab);
    let (own, other) = (Ca::new(Kind::Ecdsa, "CN=test-only own"), Ca::new(Kind::Ecdsa, "CN=test-only other"));
    // On A the other CA is there, for another connection.
    let mut elsewhere =
        creation(Side::A, &by_subject(Side::A, &issued(&other, Kind::Ecdsa, Side::A).bundle(&[&other])));
    elsewhere["peerAddress"] = "198.51.100.9".into();
    elsewhere["peerCidrs"] = json!(["10.99.0.0/24"]);
    pair.agent(Side::A).create(&elsewhere).expect(200);
    // B trusts both, and has a certificate of the wrong one.
    let b = issued(&other, Kind::Ecdsa, Side::B).bundle(&[&other, &own]);
    create(&mut pair, &[issued(&own, Kind::Ecdsa, Side::A).bundle(&[&own]), b]);
    refuses(&pair, Side::A, "CA");
}

#[test]
fn expired() {
    let Some(lab) = lab() else { return };
    let mut pair = impatient(&lab);
    let ca = ca();
    let end = Timestamp::from_second(Timestamp::now().as_second() + 5).expect("a time");
    let wanted = Wanted {
        kind: Kind::Ecdsa,
        subject: &subject(Side::B),
        alternatives: &[],
        valid: (year(2000), end),
        serial: 2,
    };
    pair.create(Side::B, &by_subject(Side::B, &ca.issue_as(&wanted).bundle(&[&ca])));
    let warned = native(&pair, Side::B)["warnings"].to_string();
    assert!(warned.contains("EXPIRING_CERT"), "{warned}");
    wait_until(PATIENCE, "it has expired", || (Timestamp::now().as_second() > end.as_second() + 1).then_some(()));
    pair.create(Side::A, &by_subject(Side::A, &issued(&ca, Kind::Ecdsa, Side::A).bundle(&[&ca])));
    refuses(&pair, Side::A, "");
    // Whose own it is, knows it without being told.
    refuses(&pair, Side::B, "expired");
}

#[test]
fn revoked() {
    let Some(lab) = lab() else { return };
    let mut pair = impatient(&lab);
    let ca = ca();
    let serial = 4711;
    let b = subject(Side::B);
    let wanted = Wanted { kind: Kind::Ecdsa, subject: &b, alternatives: &[], valid: (year(2000), year(2090)), serial };
    let a = issued(&ca, Kind::Ecdsa, Side::A).bundle(&[&ca]) + &ca.crl(&[serial]);
    create(&mut pair, &[a, ca.issue_as(&wanted).bundle(&[&ca])]);
    refuses(&pair, Side::A, "revoked");
}

#[test]
fn renewed_under_ping() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start_waiting(&lab, ["100ms", "100ms"]);
    let ca = ca();
    create(&mut pair, &bundles(&ca));
    let mut now = pair.settled(1);
    let before = Side::BOTH.map(|side| (files(&pair, side), Charon::of(&lab, side).keys()));
    // As with other changes: a busy machine is measured once more.
    let mut lost = Vec::new();
    for _ in 0..2 {
        let ping = pair.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
        ping.wait_for_replies(5);
        for side in Side::BOTH {
            pair.change(side, &by_subject(side, &issued(&ca, Kind::Ecdsa, side).bundle(&[&ca])));
            now = pair.renewed(&now, 1);
        }
        ping.wait_for_replies(10);
        lost.push(ping.stop().lost());
        if lost.last() <= Some(&1) {
            break;
        }
    }
    say(format!("two renewals: lost {lost:?}"));
    assert!(lost.last() <= Some(&1), "{lost:?}");
    for side in Side::BOTH {
        let (files_before, keys_before) = &before[side as usize];
        let (files_now, keys_now) = (files(&pair, side), Charon::of(&lab, side).keys());
        assert_eq!(files_now.len(), 3, "{files_now:?}");
        assert_eq!(files_before.intersection(&files_now).count(), 1, "the CA alone is the same");
        assert!(keys_now.len() == 1 && keys_now != *keys_before, "the old key is forgotten: {keys_now:?}");
    }
}

/// From a key to certificates and back.
#[test]
fn from_keys_and_back() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    let before = pair.settled(1);
    let bundles = bundles(&ca());
    for side in [Side::B, Side::A] {
        pair.change(side, &by_subject(side, &bundles[side as usize]));
    }
    let certified = pair.renewed(&before, 1);
    pair.carries();
    for side in Side::BOTH {
        assert_eq!(Charon::of(&lab, side).secrets(), [""; 0], "the key is forgotten");
        assert_eq!(files(&pair, side).len(), 3);
    }
    let [a, b] = [Side::A.wan(), Side::B.wan()];
    let back = json!({ "authKey": "test-only-key-of-the-way-back", "idType": "ip", "localId": a, "remoteId": b });
    for side in [Side::B, Side::A] {
        pair.change(side, &back);
    }
    pair.renewed(&certified, 1);
    pair.carries();
    for side in Side::BOTH {
        assert_eq!(files(&pair, side), BTreeSet::new());
        assert_eq!(Charon::of(&lab, side).keys(), [""; 0]);
        assert_eq!(Charon::of(&lab, side).secrets().len(), 1);
    }
}

/// What is removed, by us and by others; what is foreign stays.
#[test]
fn files_are_looked_after() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    let ca = ca();
    create(&mut pair, &bundles(&ca));
    let tunnel = pair.settled(1);
    let ours = files(&pair, Side::A);
    let directory = lab.swanctl_dir(Side::A);
    let foreign = ["x509ca/operator.pem", "private/cygnet.pem", "x509/cygnet-1.pem"];
    for name in foreign {
        fs::write(directory.join(name), ca.pem()).expect("written");
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    let stray = "x509/cygnet-00112233445566778899aabbccddeeff-01234567.pem";
    fs::write(directory.join(stray), ca.pem()).expect("written");
    let lost = ours.iter().find(|name| name.starts_with("private/")).expect("a key");
    fs::remove_file(directory.join(lost)).expect("removed");
    let wanted: BTreeSet<_> = ours.iter().cloned().chain(foreign.map(str::to_owned)).collect();
    wait_until(PATIENCE, "the files are as they should be", || {
        (!directory.join(stray).exists() && files(&pair, Side::A) == wanted).then_some(())
    });
    wait_until(PATIENCE, "that is told", || drift(&pair, Side::A).1.contains("the file").then_some(()));

    // An operator loads everything: nothing of ours changes.
    fs::remove_file(directory.join(foreign[1])).expect("removed");
    let output = lab.swanctl(Side::A, &["--load-all", "--noprompt"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(pair.settled(1)[0].numbers(), tunnel[0].numbers());

    // A charon of its own accord.
    lab.kill_charon(Side::A);
    lab.start_charon(Side::A);
    pair.renewed(&tunnel, 1);
    pair.carries();

    let uuid = pair.uuid(Side::A).to_owned();
    pair.agent(Side::A).delete(&uuid).expect(200);
    let left: BTreeSet<_> = [foreign[0], foreign[2]].map(str::to_owned).into();
    assert_eq!(files(&pair, Side::A), left);
    assert_eq!(Charon::of(&lab, Side::A).keys(), [""; 0]);
}

/// The uuid of the IPv6 VIP.
const VIP6: &str = "c0000000000040008000000000000004";

/// A connection by certificates and one by a key, to two addresses; each goes its own way.
#[test]
fn beside_a_connection_by_key() {
    let Some(lab) = lab() else { return };
    for side in Side::BOTH {
        lab.add_lan(side, &format!("172.2{}.0.1/16", side.number()));
    }
    let mut pair = Pair::start_with(&lab, |side| AgentOptions {
        vips: vec![(VIP6.to_owned(), side.wan6().to_owned())],
        l3_networks: vec![(VIP6.to_owned(), vec![format!("172.2{}.0.0/16", side.number())])],
        ..Default::default()
    });
    let ca = ca();
    create(&mut pair, &bundles(&ca));
    let certified = pair.settled(1);
    let host = |side: Side| format!("172.2{}.0.1", side.number());
    let mut by_key = [String::new(), String::new()];
    for side in [Side::B, Side::A] {
        let mut params = creation(side, &json!({ "peerAddress": side.other().wan6() }));
        params["vipUuid"] = VIP6.into();
        params["l3NetworkUuid"] = VIP6.into();
        params["peerCidrs"] = json!([format!("172.2{}.0.0/16", side.other().number())]);
        let answer = pair.agent(side).create(&params).expect(200).json();
        answer["inventory"]["uuid"].as_str().expect("a uuid").clone_into(&mut by_key[side as usize]);
    }
    wait_until(PATIENCE, "both are up", || {
        let inventories = pair.agent(Side::A).request("GET", "/zstack/v1/ipsec", None).expect(200).json();
        inventories["inventories"].as_array()?.iter().all(|one| one["status"] == "Ready").then_some(())
    });
    reaches(&lab, Side::A, &host(Side::A), &host(Side::B));
    pair.carries();
    // The one by certificates is renewed, and goes; the other is not touched.
    for side in [Side::B, Side::A] {
        pair.change(side, &by_subject(side, &issued(&ca, Kind::Ecdsa, side).bundle(&[&ca])));
    }
    pair.renewed(&certified, 1);
    for side in Side::BOTH {
        pair.agent(side).delete(pair.uuid(side)).expect(200);
        assert_eq!(files(&pair, side), BTreeSet::new());
        assert_eq!(Charon::of(&lab, side).secrets(), [format!("ike-cygnet-{}", by_key[side as usize])]);
    }
    reaches(&lab, Side::A, &host(Side::A), &host(Side::B));
}
