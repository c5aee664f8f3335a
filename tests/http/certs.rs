//! Certificates as a client and a monitor see them, with a fake charon: the masked bundle, what is loaded and forgotten,
//! what a refusal by charon leaves over (nothing), when certificates end.

use crate::{
    certificates::{Ca, Kind, Wanted, year},
    fake_charon::Behaviour,
    odd_cas::{BEYOND, ODD, OddCa},
    serve::{Bench, Options, change, files, params, uuid, wait_until},
};
use cygnet::{ipsec::Certs, store::format};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs};

const DIRECTORIES: [&str; 4] = ["x509", "x509ca", "x509crl", "private"];

/// A CA.
pub fn ca() -> Ca {
    Ca::new(Kind::Ecdsa, "CN=test-only CA")
}

/// Parameters with certificates in place of a key.
pub fn certified(bundle: &str) -> Value {
    json!({ "authMode": "certs", "authKey": bundle, "idType": "name", "remoteId": "CN=peer" })
}

/// A bundle of the gateway.
pub fn bundle(ca: &Ca) -> String {
    ca.issue(Kind::Ecdsa, "CN=gw", &["gw.example"]).bundle(&[ca])
}

/// What lies in swanctl's directories of certificates and keys.
fn placed(b: &Bench) -> BTreeSet<String> {
    let swanctl = b.conf_dir().parent().expect("a directory").to_owned();
    let listed = DIRECTORIES.iter().filter(|directory| swanctl.join(directory).exists());
    listed
        .flat_map(|directory| files(&swanctl.join(directory)).into_iter().map(move |f| format!("{directory}/{f}")))
        .collect()
}

fn keys(b: &Bench) -> Vec<String> {
    b.charon.keys()
}

#[test]
fn a_whole_life() {
    let b = Bench::start();
    b.charon.establish(true);
    let ca = ca();
    let first = bundle(&ca);
    let created = b.create(&params(7, &certified(&first))).expect(200).json();
    let shown = created["inventory"]["authKey"].as_str().expect("a bundle");
    assert_eq!(created["inventory"]["authMode"], "certs");
    assert!(shown.starts_with("-----BEGIN PRIVATE KEY-----\n******\n-----END PRIVATE KEY-----\n"), "{shown}");
    assert!(shown.ends_with(ca.pem()) && shown.matches("BEGIN CERTIFICATE").count() == 2, "{shown}");
    let order: Vec<_> = b.charon.commands().into_iter().filter(|command| command.starts_with("load-")).collect();
    assert_eq!(order, ["load-cert", "load-cert", "load-key", "load-conn"]);
    let (files_before, keys_before) = (placed(&b), keys(&b));
    assert_eq!((files_before.len(), keys_before.len()), (3, 1));
    // What is shown cannot be sent back: the key is not in it.
    let back = b.change(&uuid(7), &change(7, &certified(shown)));
    assert!(back.status == 503 && back.text().contains("field[authKey] has the mask"), "{}", back.text());
    // The same again changes nothing.
    b.charon.forget_requests();
    b.change(&uuid(7), &change(7, &certified(&first))).expect(200);
    assert_eq!(b.charon.requests_of("load-conn").len(), 0);
    b.change(&uuid(7), &change(7, &certified(&bundle(&ca)))).expect(200);
    assert_eq!((placed(&b).len(), placed(&b).intersection(&files_before).count()), (3, 1), "the CA stays");
    assert!(keys(&b).len() == 1 && keys(&b) != keys_before);
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(7)), b"").expect(200);
    assert_eq!((placed(&b), keys(&b)), (BTreeSet::new(), Vec::new()));
}

#[test]
fn a_shared_private_key_stays_until_nobody_has_it() {
    let b = Bench::start();
    let bundle = bundle(&ca());
    for n in [7, 8] {
        b.create(&params(n, &certified(&bundle))).expect(200);
    }
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(7)), b"").expect(200);
    assert_eq!((placed(&b).len(), keys(&b).len()), (3, 1));
    b.change(&uuid(8), &change(8, &json!({ "authKey": "test-only-key", "idType": "fqdn", "remoteId": "peer" })))
        .expect(200);
    assert_eq!((placed(&b), keys(&b)), (BTreeSet::new(), Vec::new()));
    assert_eq!(b.charon.secrets().len(), 1);
}

#[test]
fn what_charon_refuses_leaves_nothing() {
    let b = Bench::start();
    let ca = ca();
    for command in ["load-cert", "load-key", "load-conn"] {
        b.charon.once(command, Behaviour::Refuse("parsing any private key failed".into()));
        let refused = b.create(&params(7, &certified(&bundle(&ca))));
        assert!(
            refused.status == 503 && refused.text().contains("parsing any private key failed"),
            "{}",
            refused.text()
        );
        assert_eq!((placed(&b), keys(&b)), (BTreeSet::new(), Vec::new()), "{command}");
    }
    // Of a Change too: the old one stays in force.
    b.create(&params(7, &certified(&bundle(&ca)))).expect(200);
    let before = (placed(&b), keys(&b), b.inventory(&uuid(7))["authKey"].clone());
    b.charon.once("load-conn", Behaviour::Refuse("no".into()));
    assert_eq!(b.change(&uuid(7), &change(7, &certified(&bundle(&ca)))).status, 503);
    assert_eq!((placed(&b), keys(&b), b.inventory(&uuid(7))["authKey"].clone()), before);
}

/// An agent that dies leaves files behind at any moment; the next one takes away what nobody has.
#[test]
fn a_restart_finds_everything_and_sweeps() {
    let mut b = Bench::start();
    b.create(&params(7, &certified(&bundle(&ca())))).expect(200);
    let wanted = placed(&b);
    let swanctl = b.conf_dir().parent().expect("a directory").to_owned();
    assert!(b.stop().success());
    let key = wanted.iter().find(|name| name.starts_with("private/")).expect("a key");
    for stray in [uuid(7), uuid(9)].map(|uuid| format!("private/cygnet-{uuid}-00000000.pem")) {
        fs::copy(swanctl.join(key), swanctl.join(stray)).expect("copied");
    }
    fs::remove_file(swanctl.join(key)).expect("removed");
    b.charon.kill();
    b.charon.revive();
    b.run();
    wait_until("the files are as they should be", || (placed(&b) == wanted).then_some(()));
    wait_until("the key is there", || (keys(&b).len() == 1).then_some(()));
}

#[test]
fn the_end_is_announced() {
    let b =
        Bench::with(&Options { policy: "[policy]\ndefault = \"off\"\nexpiring-cert = \"warn\"", ..Options::default() });
    let ca = ca();
    let until = |days: i64| {
        let valid = (year(2000), Timestamp::now() + SignedDuration::from_hours(24 * days));
        let wanted = Wanted { kind: Kind::Ecdsa, subject: "CN=gw", alternatives: &[], valid, serial: 2 };
        ca.issue_as(&wanted).bundle(&[&ca])
    };
    let soon = b.create(&params(7, &certified(&until(29)))).expect(200).json();
    let warning = &soon["warnings"][0];
    assert_eq!([&warning["code"], &warning["field"]], ["EXPIRING_CERT", "authKey"], "{soon}");
    assert!(warning["message"].as_str().is_some_and(|text| text.contains("'CN=gw', which expires at ")), "{warning}");
    let late = b.create(&params(8, &certified(&until(31)))).expect(200).json();
    assert_eq!(late.get("warnings"), None, "{late}");
    let view = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json();
    let certificates = view["certificates"].as_array().expect("a list");
    assert_eq!(certificates.iter().map(|one| one["role"].as_str()).collect::<Vec<_>>(), [Some("gateway"), Some("ca")]);
    let seconds = 29 * 86_400;
    let near = |value: i64| (seconds - 60..=seconds).contains(&value);
    assert!(near(certificates[0]["expires_s"].as_i64().expect("a number")), "{certificates:?}");
    let metrics = b.ask("GET", "/metrics", b"").expect(200).text();
    let start = format!("cygnet_cert_expiry_seconds{{uuid=\"{}\",certificate=\"gateway\"}} ", uuid(7));
    let line = metrics.lines().find_map(|line| line.strip_prefix(&start)).expect(&metrics);
    assert!(near(line.parse().expect("a number")), "{line}");
}

#[test]
fn a_record_has_the_proof_that_its_version_promises() {
    let b = Bench::start();
    b.create(&params(7, &certified(&bundle(&ca())))).expect(200);
    let text = fs::read_to_string(b.record(&uuid(7))).expect("there");
    let read = |text: &str| format::from_bytes(text.as_bytes()).map(|record| record.connection.auth.certs().is_some());
    assert_eq!(read(&text), Ok(true));
    for (from, to) in [
        ("\"version\": 2", "\"version\": 1"),
        ("\"version\": 2", "\"version\": 3"),
        ("\"certs_pem\"", "\"psk_hex\""),
        ("\"certs_pem\"", "\"psk_hex\": \"00\",\n  \"certs_pem\""),
        ("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE"),
    ] {
        assert!(text.contains(from));
        let why = read(&text.replacen(from, to, 1)).expect_err(to);
        assert!(!why.contains("BEGIN"), "{why}");
    }
}

/// A part of a Change keeps the bundle, and another proof needs its own key.
#[test]
fn what_a_change_does_not_say_is_kept() {
    let b = Bench::start();
    b.create(&params(7, &certified(&bundle(&ca())))).expect(200);
    let before = (placed(&b), b.inventory(&uuid(7))["authKey"].clone());
    let part = |more: &Value| {
        let body = json!({ "changeIPsecConnection": more }).to_string();
        b.ask("PUT", &format!("/zstack/v1/ipsec/config/{}?keep=true", uuid(7)), body.as_bytes())
    };
    part(&json!({ "lifeTime": 1234 })).expect(200);
    assert_eq!((placed(&b), b.inventory(&uuid(7))["authKey"].clone()), before);
    assert_eq!(b.inventory(&uuid(7))["authMode"], "certs");
    let refused = part(&json!({ "authMode": "psk" }));
    assert!(refused.status == 503 && refused.text().contains("field[authKey]"), "{}", refused.text());
}

/// As charon does: names and mail addresses without letter case, addresses by value, distinguished names by the types of
/// their strings. The file says what the caller wrote.
#[test]
fn a_certificate_is_for_its_names_in_any_case() {
    let b = Bench::start();
    let ca = ca();
    let names = ["GW.example", "Ops@Site.example", "192.0.2.1", "2001:db8::1"];
    let bundle = ca.issue(Kind::Ecdsa, "C=CH, O=Test only, CN=gw", &names).bundle(&[&ca]);
    let with = |kind: &str, id: &str| {
        let remote = if kind == "ip" { "2001:db8::9" } else { "peer" };
        json!({ "authMode": "certs", "authKey": bundle, "idType": kind, "localId": id, "remoteId": remote })
    };
    for (kind, id, spelled) in [
        ("fqdn", "gw.EXAMPLE", "fqdn:gw.EXAMPLE"),
        ("name", "ops@SITE.EXAMPLE", "email:ops@SITE.EXAMPLE"),
        ("ip", "2001:0db8:0:0::1", "2001:db8::1"),
    ] {
        b.create(&params(7, &with(kind, id))).expect(200);
        let text = fs::read_to_string(b.conf(&uuid(7))).expect("written");
        assert!(text.contains(&format!("id = \"{spelled}\"")), "{text}");
        b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(7)), b"").expect(200);
    }
    // PrintableStrings without case; a UTF8String, as CN is here, with it.
    for (id, fits) in [("c=CH, O=TEST ONLY, CN=gw", true), ("C=CH, O=Test only, CN=GW", false)] {
        let answer = b.create(&params(7, &with("name", id)));
        assert_eq!(answer.status, if fits { 200 } else { 503 }, "{id}: {}", answer.text());
        b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(7)), b"");
    }
    for (kind, id) in [("fqdn", "gw.example.org"), ("name", "op@site.example"), ("ip", "2001:db8::2")] {
        assert!(
            b.create(&params(7, &with(kind, id))).expect(503).text().contains("is not in the gateway's certificate"),
            "{id}"
        );
    }
}

#[test]
fn a_certificate_without_an_end_is_taken_and_never_ends_soon() {
    let b =
        Bench::with(&Options { policy: "[policy]\ndefault = \"off\"\nexpiring-cert = \"warn\"", ..Options::default() });
    let ca = ca();
    let bundle = ca.issue_without_end("CN=gw").bundle(&[&ca]);
    let created = b.create(&params(7, &certified(&bundle))).expect(200);
    assert_eq!(created.json().get("warnings"), None, "{}", created.text());
    let view = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json();
    let ends: Vec<_> = view["certificates"].as_array().expect("a list").iter().map(|one| &one["not_after"]).collect();
    assert!(ends[0] == "never" && ends[1] != "never", "{ends:?}");
    let metrics = b.ask("GET", "/metrics", b"").expect(200).text();
    let start = format!("cygnet_cert_expiry_seconds{{uuid=\"{}\",certificate=\"gateway\"}} ", uuid(7));
    let line = metrics.lines().find_map(|line| line.strip_prefix(&start)).expect(&metrics);
    let centuries = line.parse::<i64>().expect("a number") / (100 * 365 * 86_400);
    assert!(centuries > 70, "{line}");
}

/// What the agent cannot check itself is no fault of the bundle; a short key is a warning.
#[test]
fn cas_that_only_charon_can_check_are_taken() {
    let b = Bench::with(&Options { policy: "[policy]\ndefault = \"off\"\nweak-cert = \"warn\"", ..Options::default() });
    for (n, odd) in (1..).zip(&ODD) {
        let ca = OddCa::new(odd);
        let bundle = ca.bundle(&ca.issue("gw.example", "")) + &ca.crl();
        let created = b.create(&params(n, &certified(&bundle))).expect(200).json();
        let codes: Vec<_> = created["warnings"].as_array().into_iter().flatten().map(|w| w["code"].clone()).collect();
        let expected: &[&str] = if odd.name == "RSA-1024" { &["WEAK_CERT"] } else { &[] };
        assert_eq!(codes, expected, "{}: {created}", odd.name);
    }
}

#[test]
fn what_charon_cannot_check_is_refused_by_name() {
    let b = Bench::start();
    let (ca, known) = (OddCa::new(&BEYOND), ca());
    let leaf = ca.issue("gw.example", "");
    let ours = bundle(&known);
    for bundle in [ca.bundle(&leaf), format!("{ours}{}", ca.pem())] {
        let refused = b.create(&params(7, &certified(&bundle)));
        let is_named = refused.text().contains("signature is of the algorithm 1.2.840.10045.4.3.1, which strongSwan");
        assert!(refused.status == 503 && is_named, "{}", refused.text());
    }
}

/// What cannot be checked is not right by that: a certificate of a CA with another kind of key has another issuer.
#[test]
fn a_signature_of_another_kind_of_key_is_wrong() {
    let b = Bench::start();
    let odd = |name: &str| ODD.iter().find(|odd| odd.name == name).expect("known");
    let (signer, other) = (OddCa::named(odd("P-521"), "one"), OddCa::named(odd("RSA-1024"), "one"));
    let leaf = signer.issue("gw.example", "");
    let refused = b.create(&params(7, &certified(&other.bundle(&leaf))));
    assert!(refused.status == 503 && refused.text().contains("does not reach a CA"), "{}", refused.text());
}

/// Creates with `bundle`; the names of what was left out, and how many certificates are shown.
fn left_out(n: u8, b: &Bench, bundle: &str) -> (Vec<String>, usize) {
    let created = b.create(&params(n, &certified(bundle))).expect(200).json();
    let warnings = created["warnings"].as_array().into_iter().flatten().filter(|one| one["code"] == "CERT_LEFT_OUT");
    let name = |one: &Value| one["message"].as_str()?.split('\'').nth(1).map(str::to_owned);
    let shown = created["inventory"]["authKey"].as_str().expect("a bundle").matches("BEGIN CERTIFICATE").count();
    (warnings.filter_map(name).collect(), shown)
}

#[test]
fn a_ca_of_no_use_is_left_out_and_refuses_nothing() {
    let b = Bench::start();
    let (ca, old, ended) = (ca(), Ca::new(Kind::Ecdsa, "CN=old"), Ca::expired("CN=ended"));
    let plain = bundle(&ca);
    let cross = old.cross_sign(&ca, "CN=test-only CA", 7);
    let crossed = vec!["CN=test-only CA".to_owned()];
    // Signed by a root that is not there, by one that has ended, and revoked by one that is good.
    assert_eq!(left_out(1, &b, &format!("{plain}{cross}")), (crossed.clone(), 2));
    let by_ended = ended.cross_sign(&ca, "CN=test-only CA", 7);
    let both = left_out(2, &b, &format!("{plain}{by_ended}{}{}", ended.pem(), ended.crl(&[])));
    assert_eq!(both, ([crossed.clone(), vec!["CN=ended".into()]].concat(), 2));
    assert_eq!(left_out(3, &b, &format!("{plain}{cross}{}{}", old.pem(), old.crl(&[7]))), (crossed, 3));
    // What is good stays: another root, and a way to it.
    assert_eq!(left_out(4, &b, &format!("{plain}{cross}{}", old.pem())), (Vec::new(), 4));
    // The same again changes nothing, and what is stored is read without a word.
    let stored = fs::read_to_string(b.record(&uuid(1))).expect("there");
    assert!(format::from_bytes(stored.as_bytes()).is_ok_and(|record| record.connection.auth.certs().is_some()));
    b.charon.forget_requests();
    b.change(&uuid(1), &change(1, &certified(&format!("{plain}{cross}")))).expect(200);
    assert_eq!(b.charon.requests_of("load-conn").len(), 0);
    let path = format!("/cygnet/v1/connections/{}/plan", uuid(4));
    let body = json!({ "changeIPsecConnection": change(4, &certified(&format!("{plain}{cross}"))) }).to_string();
    let planned = b.ask("POST", &path, body.as_bytes());
    assert!(planned.expect(200).text().contains("CERT_LEFT_OUT"));
}

#[test]
fn a_ca_that_the_gateway_needs_is_not_left_out() {
    let b = Bench::start();
    let ended = Ca::expired("CN=ended");
    let refused = b.create(&params(7, &certified(&(bundle(&ended) + ca().pem()))));
    assert!(refused.status == 503 && refused.text().contains("'CN=ended', which expired at"), "{}", refused.text());
}

#[test]
fn joined_and_folded_texts_say_the_same() {
    let b = Bench::start();
    let plain = bundle(&ca());
    let create = |n: u8, text: &str| b.create(&params(n, &certified(text))).expect(200).json();
    let expected = create(1, &plain)["inventory"]["authKey"].clone();
    let words = |end: &str| plain.replace('\n', end);
    let glued = plain.replace("-----\n-----", "----------");
    let marked = plain.replace("-----BEGIN", "\u{feff}-----BEGIN");
    let texts = [glued, marked, words("\\n"), words("\\r\\n"), words("\r\n"), words(" "), words("")];
    for (n, text) in (2..).zip(&texts) {
        assert_eq!(create(n, text)["inventory"]["authKey"], expected, "{text:?}");
    }
    for text in [
        plain.replace("-----END CERTIFICATE-----", ""),
        plain.replace("-----END", "-----BEGIN"),
        plain.replace("CERTIFICATE-----", "CERTIFICATE---"),
        format!("{plain}-----"),
        format!("-----END CERTIFICATE-----{plain}"),
    ] {
        assert_eq!(b.create(&params(99, &certified(&text))).status, 503, "{text:?}");
    }
}

/// What peers refuse for what stands in it is said here; a stored one stays readable.
#[test]
fn an_own_certificate_that_peers_refuse_is_refused_by_name() {
    let b = Bench::start();
    let (flat, domain) = (Ca::without_intermediates("CN=flat"), Ca::for_domain("CN=domain", "allowed.example"));
    let (between, plain, odd) = (flat.intermediate("CN=between"), ca(), OddCa::new(&ODD[0]));
    let purpose = |extensions: &str| odd.bundle(&odd.issue("gw.example", extensions));
    let issued = |ca: &Ca, name: &str, cas: &[&Ca]| ca.issue(Kind::Ecdsa, "CN=gw", &[name]).bundle(cas);
    for (bundle, word) in [
        (plain.issue_for_encryption("CN=gw", &[]).bundle(&[&plain]), "have it issued with digitalSignature"),
        (purpose("keyUsage=keyAgreement"), "have it issued with digitalSignature"),
        (purpose("extendedKeyUsage=codeSigning"), "extended key usage"),
        (
            issued(&between, "gw.example", &[&between, &flat]),
            "longer than its CA 'CN=flat' allows (path length of CAs below it: 1, at most 0)",
        ),
        (issued(&domain, "gw.example", &[&domain]), "whose name 'gw.example' is not among those"),
        (issued(&domain, "notallowed.example", &[&domain]), "(name constraints)"),
    ] {
        let refused = b.create(&params(7, &certified(&bundle)));
        assert!(refused.status == 503 && refused.text().contains(word), "{word}: {}", refused.text());
        assert!(Certs::new(&bundle).is_ok(), "{word}");
    }
    for (n, bundle) in (1..).zip([
        purpose("keyUsage=nonRepudiation"),
        purpose("keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth"),
        purpose("extendedKeyUsage=codeSigning,1.3.6.1.5.5.7.3.17"),
        purpose("extendedKeyUsage=anyExtendedKeyUsage"),
        issued(&flat, "gw.example", &[&flat]),
        issued(&domain, "GW.allowed.example", &[&domain]),
        issued(&domain, "gw@any.example", &[&domain]),
    ]) {
        b.create(&params(n, &certified(&bundle))).expect(200);
    }
}
