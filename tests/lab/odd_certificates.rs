//! Certificates that charon refuses for what stands in them, and peers that have a key where certificates are wanted, or
//! the other way round: in both roles, the cause is the one that charon names first.

use std::fs;

use serde_json::{Value, json};

use crate::certificates::{Ca, Issued, Kind};
use crate::odd_peers::{Bed, FIRST, Peer, Role, SAME};
use crate::support::lab::{Lab, Side};
use crate::{lab_for, say};

/// A raw charon that has a certificate for `b.example`.
const CERTIFIED: Peer = Peer {
    local: "id = b.example\n auth = pubkey\n certs = peer.pem",
    remote: "id = a.example\n auth = pubkey",
    connection: "send_cert = always",
    ..SAME
};
/// One with a key, and the same identities.
const BY_KEY: Peer = Peer { local: "id = b.example\n auth = psk", remote: "id = a.example\n auth = psk", ..SAME };

fn ids(options: &Value) -> Value {
    crate::pair::with(&json!({ "idType": "fqdn", "localId": "a.example", "remoteId": "b.example" }), options)
}

/// The agent's end with a good certificate of `ca`, which knows `cas`.
fn ours(ca: &Ca, cas: &[&Ca]) -> Value {
    let bundle = ca.issue(Kind::Ecdsa, "CN=gw-a", &["a.example"]).bundle(cas);
    ids(&json!({ "authMode": "certs", "authKey": bundle }))
}

/// Gives the peer its certificate, and the CAs.
fn lay(lab: &Lab, leaf: &Issued, cas: &[&Ca]) {
    let write = |name: &str, text: &str| {
        fs::write(lab.swanctl_dir(Side::B).join(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    };
    write("x509/peer.pem", &leaf.pem);
    write("private/peer.pem", &leaf.key);
    for (number, ca) in cas.iter().enumerate() {
        write(&format!("x509ca/{number}.pem"), ca.pem());
    }
}

/// What is said when we begin, and when the peer does.
#[track_caller]
fn says(version: &str, peer: &Peer, options: &Value, files: Option<(&Issued, &[&Ca])>, expected: [(&str, &[&str]); 2]) {
    for (role, (code, words)) in [Role::We, Role::Peer].into_iter().zip(expected) {
        let Some(lab) = lab_for(version) else { return };
        if let Some((leaf, cas)) = files {
            lay(&lab, leaf, cas);
        }
        let options = crate::pair::with(options, &json!({ "ikeVersion": version }));
        let bed = Bed::start(lab, peer, version, &options, (role == Role::Peer).then_some(FIRST));
        say(format!("{version}, {role:?}: {}", bed.named(role, code, words)["details"]));
    }
}

#[test]
fn what_a_certificate_may_not_do() {
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let leaf = ca.issue_for_encryption("CN=gw-b", &["b.example"]);
    let usage: (&str, &[&str]) =
        ("CERT_INVALID", &["key usage", "(charon: rejecting certificate without digitalSignature"]);
    for version in ["ikev2", "ikev1"] {
        says(version, &CERTIFIED, &ours(&ca, &[&ca]), Some((&leaf, &[&ca])), [usage, usage]);
    }
}

#[test]
fn what_a_ca_does_not_allow() {
    let (own, other) =
        (Ca::new(Kind::Ecdsa, "CN=test-only own"), Ca::for_domain("CN=test-only domain", "allowed.example"));
    let leaf = other.issue(Kind::Ecdsa, "CN=gw-b", &["b.example"]);
    let names: (&str, &[&str]) = ("CERT_INVALID", &["name constraints", "does not match permitted name constraint"]);
    says("ikev2", &CERTIFIED, &ours(&own, &[&own, &other]), Some((&leaf, &[&own, &other])), [names, names]);
    let flat = Ca::without_intermediates("CN=test-only flat");
    let between = flat.intermediate("CN=test-only between");
    let leaf = between.issue(Kind::Ecdsa, "CN=gw-b", &["b.example"]);
    let length: (&str, &[&str]) = ("CERT_INVALID", &["(path length)", "path length of 1 violates constraint of 0"]);
    says("ikev2", &CERTIFIED, &ours(&own, &[&own, &flat]), Some((&leaf, &[&own, &flat, &between])), [length, length]);
}

#[test]
fn of_another_issuer_or_for_another_name() {
    let (own, other) = (Ca::new(Kind::Ecdsa, "CN=test-only own"), Ca::new(Kind::Ecdsa, "CN=test-only other"));
    let leaf = other.issue(Kind::Ecdsa, "CN=gw-b", &["b.example"]);
    let issuer: (&str, &[&str]) =
        ("CERT_INVALID", &["issuer is unknown here", "no issuer certificate found for \"CN=gw-b\""]);
    says("ikev2", &CERTIFIED, &ours(&own, &[&own]), Some((&leaf, &[&own, &other])), [issuer, issuer]);
}

/// One end has a key, the other certificates.
#[test]
fn by_another_method() {
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let leaf = ca.issue(Kind::Ecdsa, "CN=gw-b", &["b.example"]);
    let refused: (&str, &[&str]) = ("PEER_REFUSED_AUTH", &["this gateway sends fqdn:a.example"]);
    let ours_is: (&str, &[&str]) =
        ("PEER_REFUSED_AUTH", &["refuses this gateway's certificate, or expects another identity"]);
    let by_key: (&str, &[&str]) =
        ("AUTH_FAILED", &["authenticates with a pre-shared key, and certificates are configured here"]);
    says("ikev2", &BY_KEY, &ours(&ca, &[&ca]), None, [ours_is, by_key]);
    says("ikev1", &BY_KEY, &ours(&ca, &[&ca]), None, [refused, by_key]);
    let files = Some((&leaf, &[&ca][..]));
    let constraint: (&str, &[&str]) =
        ("AUTH_FAILED", &["the peer authenticates with a certificate, and a pre-shared key is configured"]);
    says("ikev2", &CERTIFIED, &ids(&json!({})), files, [refused, constraint]);
    let method: (&str, &[&str]) =
        ("AUTH_FAILED", &["the peer authenticates with ECDSA-256 signature", "using Main Mode"]);
    says("ikev1", &CERTIFIED, &ids(&json!({})), files, [refused, method]);
}
