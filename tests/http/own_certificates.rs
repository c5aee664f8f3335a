//! Certificates of the peer that no CA has signed, and keys of ours that only charon can use, as a client sees them.

use crate::{
    certificates::{Ca, Issued, Kind},
    odd_cas::{ODD, OddCa, P521, RSA_PSS, openssl, self_signed},
    serve::{Bench, change, params, uuid},
};
use cygnet::ipsec::Certs;
use serde_json::{Value, json};
use std::fs;

fn by_name(bundle: &str, peer: &str) -> Value {
    json!({ "authMode": "certs", "authKey": bundle, "idType": "fqdn", "localId": "gw.example", "remoteId": peer })
}

#[track_caller]
fn refused(b: &Bench, options: &Value, words: &str) {
    let answer = b.create(&params(99, options));
    assert!(answer.status == 503 && answer.text().contains(words), "{words}: {}", answer.text());
}

fn text(b: &Bench, n: u8) -> String {
    fs::read_to_string(b.conf(&uuid(n))).expect("written")
}

fn join(own: &Issued, others: &[&str]) -> String {
    format!("{}{}{}", own.key, own.pem, others.concat())
}

#[test]
fn keys_on_p_521_and_for_rsa_pss_are_taken() {
    let b = Bench::start();
    let ca = OddCa::new(&ODD[0]);
    let limited =
        [RSA_PSS, &["-pkeyopt", "rsa_pss_keygen_md:sha384", "-pkeyopt", "rsa_pss_keygen_saltlen:48"]].concat();
    for (n, key, auth) in [
        (1, P521, "pubkey"),
        (2, RSA_PSS, "ike:rsa/pss-sha256-sha384-sha512"),
        (3, limited.as_slice(), "ike:rsa/pss-sha384"),
    ] {
        let issued = ca.issue_to(key, "gw.example", "");
        b.create(&params(n, &by_name(&ca.bundle(&issued), "peer.example"))).expect(200);
        assert!(text(&b, n).contains(&format!("auth = {auth}\n")), "{}", text(&b, n));
    }
    assert_eq!(b.charon.keys().len(), 3);
    // In SEC 1 too, and not with the certificate of another key.
    let issued = ca.issue_to(P521, "gw.example", "");
    let sec1 = openssl(&["ec"], &issued.key);
    assert!(sec1.contains("BEGIN EC PRIVATE KEY"), "{sec1}");
    let written = Issued { key: sec1, pem: issued.pem.clone() };
    b.create(&params(4, &by_name(&ca.bundle(&written), "peer.example"))).expect(200);
    let foreign = Issued { key: ca.issue_to(P521, "gw.example", "").key, pem: issued.pem.clone() };
    refused(&b, &by_name(&ca.bundle(&foreign), "peer.example"), "does not belong to the certificate");
    let bare = Issued { key: openssl(&["ec", "-no_public"], &issued.key), pem: issued.pem };
    refused(&b, &by_name(&ca.bundle(&bare), "peer.example"), "on P-521 without its public key");
}

#[test]
fn what_charon_cannot_do_with_them_is_refused_by_name() {
    let b = Bench::start();
    let ca = OddCa::new(&ODD[0]);
    let mut options = by_name(&ca.bundle(&ca.issue_to(RSA_PSS, "gw.example", "")), "peer.example");
    options["ikeVersion"] = "ikev1".into();
    refused(&b, &options, "has an RSA-PSS key, with which IKEv1 cannot sign (RFC 7427 is for IKEv2 only): use ikev2");
    let sha1 = [RSA_PSS, &["-pkeyopt", "rsa_pss_keygen_md:sha1"]].concat();
    let bundle = ca.bundle(&ca.issue_to(&sha1, "gw.example", ""));
    refused(&b, &by_name(&bundle, "peer.example"), "for a hash that strongSwan does not sign with");
    for kind in [&["ED448"][..], &["EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"]] {
        let bundle = ca.bundle(&ca.issue_to(kind, "gw.example", ""));
        refused(&b, &by_name(&bundle, "peer.example"), "ECDSA on P-256, P-384 or P-521");
    }
}

/// The names of a CA hold for the subject too.
#[test]
fn a_subject_that_its_ca_may_not_certify_is_refused() {
    let b = Bench::start();
    let bundle = |kind: &str, subject: &str| {
        let ca = OddCa::for_directory(kind, "O = Allowed");
        ca.bundle(&ca.issue_as(P521, subject, "gw.example", ""))
    };
    let words = "whose name 'O=Other, CN=gw' is not among those that its CA";
    refused(&b, &by_name(&bundle("permitted", "/O=Other/CN=gw"), "peer.example"), words);
    refused(&b, &by_name(&bundle("excluded", "/O=Allowed/CN=gw"), "peer.example"), "(name constraints)");
    for (n, kind, subject) in [(1, "permitted", "/O=Allowed/CN=gw"), (2, "excluded", "/O=Other/CN=gw")] {
        b.create(&params(n, &by_name(&bundle(kind, subject), "peer.example"))).expect(200);
    }
}

#[test]
fn a_peer_is_known_by_its_own_certificate() {
    let mut b = Bench::start();
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let own = ca.issue(Kind::Ecdsa, "CN=gw", &["gw.example"]);
    let peers = [false, true].map(|is_ca| self_signed("peer.example", is_ca));
    for (n, peer) in (1..).zip(&peers) {
        // With the gateway's own chain beside it, and a gateway without one.
        let with_ca = join(&own, &[ca.pem(), &peer.pem]);
        b.create(&params(n, &by_name(&with_ca, "peer.example"))).expect(200);
        let written = text(&b, n);
        assert!(!written.contains("cacerts") && written.matches("certs = cygnet-").count() == 2, "{written}");
        let alone = join(&self_signed("gw.example", n == 2), &[&peer.pem]);
        b.create(&params(n + 2, &by_name(&alone, "peer.example"))).expect(200);
        let view = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(n)), b"").expect(200).json();
        let roles: Vec<_> = view["certificates"].as_array().expect("a list").iter().map(|one| &one["role"]).collect();
        assert_eq!(roles, ["gateway", "ca", "peer"]);
    }
    // The same is read from the record: nothing changes.
    b.charon.forget_requests();
    let with_ca = join(&own, &[&peers[1].pem, ca.pem()]);
    b.change(&uuid(2), &change(2, &by_name(&with_ca, "peer.example"))).expect(200);
    assert_eq!(b.charon.requests_of("load-conn").len(), 0);
    b.stop();
    b.run();
    assert!(!text(&b, 2).contains("cacerts"));
}

#[test]
fn a_certificate_of_the_peer_must_have_its_identity() {
    let b = Bench::start();
    let peer = self_signed("peer.example", false);
    let own = self_signed("gw.example", false);
    let bundle = join(&own, &[&peer.pem]);
    refused(&b, &by_name(&bundle, "other.example"), "field[remoteId] must be in the peer's certificate");
    // One that says it is a CA is one, unless the peer has its name.
    let root = join(&own, &[&self_signed("root.example", true).pem]);
    b.create(&params(1, &by_name(&root, "peer.example"))).expect(200);
    assert!(text(&b, 1).contains("cacerts = "));
    // A certificate that some CA has issued to the peer says nothing about who else is the peer.
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let leaf = ca.issue(Kind::Ecdsa, "CN=peer", &["peer.example"]);
    let bundle = join(&own, &[ca.pem(), &leaf.pem]);
    refused(&b, &by_name(&bundle, "peer.example"), "nor one of the peer that is signed by itself");
    refused(&b, &by_name(&join(&own, &[]), "peer.example"), "has no CA");
    assert!(Certs::new(&join(&own, &[])).is_err());
}

#[test]
fn of_several_certificates_of_the_peer_the_old_one_is_left_out() {
    let b = Bench::start();
    let own = self_signed("gw.example", false);
    let [old, new] = [Ca::expired("CN=peer").pem().to_owned(), Ca::new(Kind::Ecdsa, "CN=peer").pem().to_owned()];
    let options = |bundle: &str| json!({ "authMode": "certs", "authKey": bundle, "idType": "name", "localId": "gw.example", "remoteId": "CN=peer" });
    let created = b.create(&params(1, &options(&join(&own, &[&old, &new])))).expect(200);
    assert!(created.text().contains("CERT_LEFT_OUT"), "{}", created.text());
    assert_eq!(text(&b, 1).matches("certs = cygnet-").count(), 2);
    refused(&b, &options(&join(&own, &[&old])), "which expired at");
}
