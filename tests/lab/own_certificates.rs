//! Certificates that no CA has signed, and keys that only charon can use, on two real gateways.

use serde_json::{Value, json};

use crate::certificates::Issued;
use crate::odd_cas::{ODD, OddCa, P521, RSA_PSS, self_signed};
use crate::pair::Pair;
use crate::reasons::named;
use crate::support::agent::AgentOptions;
use crate::support::lab::{CharonOptions, Side};
use crate::{lab, say};

fn name(side: Side) -> String {
    format!("{}.example", side.letter())
}

/// The options of one end. Swapped for B together with the identities, so they are given as A's.
fn by_name(version: &str, bundle: &str) -> Value {
    json!({ "authMode": "certs", "authKey": bundle, "ikeVersion": version, "idType": "fqdn",
            "localId": name(Side::A), "remoteId": name(Side::B) })
}

/// Each own key on the same two gateways. charon tells which signature it made.
#[test]
fn keys_that_only_charon_can_use() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    let ca = OddCa::new(&ODD[0]);
    for (version, key, scheme) in [
        ("ikev2", P521, "ECDSA_WITH_SHA512_DER"),
        ("ikev1", P521, "ECDSA_WITH_NULL"),
        ("ikev2", RSA_PSS, "RSA_EMSA_PSS_SHA2_256_SALT_32"),
    ] {
        for side in [Side::B, Side::A] {
            let bundle = ca.bundle(&ca.issue_to(key, &name(side), ""));
            pair.create(side, &by_name(version, &bundle));
        }
        pair.settled(1);
        pair.carries();
        let line = format!("authentication of 'b.example' with {scheme} successful");
        let log = lab.charon_log(Side::A);
        say(format!("{version}, {}: {}", key[0], log.contains(&line)));
        assert!(log.contains(&line), "{version} {key:?}: {log}");
        for side in Side::BOTH {
            pair.agent(side).delete(pair.uuid(side)).expect(200);
        }
    }
}

/// A bundle of one's own certificate and the peer's, both signed by themselves.
fn pinned(own: &Issued, peers: &[&Issued]) -> String {
    let peers: String = peers.iter().map(|peer| peer.pem.as_str()).collect();
    format!("{}{}{peers}", own.key, own.pem)
}

fn knows_one_certificate(version: &str, is_ca: bool) {
    let Some(lab) = lab() else { return };
    // Without waiting: one end is to refuse the other.
    let mut pair = Pair::start_with(&lab, |_| AgentOptions { wait: "0s".into(), ..Default::default() });
    let [a, b, other] = [Side::A, Side::B, Side::B].map(|side| self_signed(&name(side), is_ca));
    for (side, own, peer) in [(Side::B, &b, &a), (Side::A, &a, &b)] {
        let inventory = pair.create(side, &by_name(version, &pinned(own, &[peer])));
        assert_eq!(inventory["authKey"].as_str().expect("a bundle").matches("BEGIN CERTIFICATE").count(), 2);
    }
    pair.settled(1);
    pair.carries();
    // Also after charon was started anew from the files.
    lab.stop_charon(Side::A);
    lab.start_charon_with(Side::A, CharonOptions::default());
    pair.settled(1);
    // Another certificate of the same name.
    pair.change(Side::B, &by_name(version, &pinned(&other, &[&a])));
    lab.swanctl(Side::A, &["--terminate", "--ike", &pair.name(Side::A)]);
    let details = named(&pair, Side::A, &["CERT_INVALID"])["details"].clone();
    say(format!("{version}, {is_ca}: {details}"));
    assert!(details.to_string().contains("does not fit the certificate"), "{details}");
    assert_ne!(pair.status(Side::A), "Ready");
    // Both, as while it is renewed.
    pair.change(Side::A, &by_name(version, &pinned(&a, &[&b, &other])));
    pair.settled(1);
    pair.carries();
}

#[test]
fn a_peer_with_one_certificate() {
    knows_one_certificate("ikev2", false);
}

/// `openssl req -x509` says of each certificate that it is a CA.
#[test]
fn a_peer_with_one_certificate_that_says_it_is_a_ca() {
    knows_one_certificate("ikev1", true);
}
