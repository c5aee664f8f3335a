//! The private key of a bundle: in its record, its file and the message to charon, and nowhere else.

use super::needles::Needles;
use crate::{
    certificates::{Ca, Issued, Kind},
    fake_charon::Behaviour,
    serve::{Bench, Options, change, params, uuid},
};
use serde_json::{Value, json};
use std::fs;

/// The digits of base64 that only the private key makes: of 138 bytes, those from 36 to 68.
fn private_digits(issued: &Issued) -> String {
    let digits: String = issued.key.lines().filter(|line| !line.starts_with("-----")).collect();
    assert_eq!(digits.len(), 184, "an ECDSA key as it is expected");
    // Within the second line of the text, so that no line ends in it.
    digits[64..90].to_owned()
}

fn certified(bundle: &str) -> Value {
    json!({ "authMode": "certs", "authKey": bundle, "idType": "name", "remoteId": "CN=peer" })
}

#[test]
fn a_private_key_is_where_it_must_be_and_nowhere_else() {
    // Without `mask_auth_key`: a private key is masked always.
    let mut b = Bench::with(&Options { log: "trace", timeout: "400ms", ..Options::default() });
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let issued = [(); 3].map(|()| ca.issue(Kind::Ecdsa, "CN=gw", &["gw.example"]));
    let digits = issued.each_ref().map(private_digits);
    let needles = Needles::new(&digits.each_ref().map(String::as_str));
    let bundles = issued.each_ref().map(|issued| issued.bundle(&[&ca]));
    let clean = |what: &str, bytes: &[u8]| assert_eq!(needles.found_in(bytes), [""; 0], "{what}");

    clean("a Create", &b.create(&params(7, &certified(&bundles[0]))).expect(200).body);
    let sent = b.charon.requests_of("load-key").pop().expect("loaded");
    assert!(!needles.found_in(&sent.bytes).is_empty(), "the search finds it where it must be");
    let plan = json!({ "changeIPsecConnection": change(7, &certified(&bundles[1])) }).to_string();
    let path = format!("/cygnet/v1/connections/{}", uuid(7));
    clean("a plan", &b.ask("POST", &format!("{path}/plan"), plan.as_bytes()).expect(200).body);
    clean("a Change", &b.change(&uuid(7), &change(7, &certified(&bundles[1]))).expect(200).body);
    for more in [
        json!({ "authKey": issued[2].key }),
        json!({ "authKey": bundles[2].replace("CERTIFICATE", "CERTIFICAT") }),
        json!({ "authKey": bundles[2].replace("-----END PRIVATE", "-----END A PRIVATE") }),
        json!({ "authKey": format!("{}{}", issued[2].key, bundles[0]) }),
        json!({ "authKey": bundles[2], "localId": "other" }),
        json!({ "authKey": bundles[2], "authMode": "psk" }),
        json!({ "authKey": bundles[2], "lifeTime": 1 }),
    ] {
        let mut wrong = change(7, &certified(""));
        wrong.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let refused = b.change(&uuid(7), &wrong);
        assert_eq!(refused.status, 503, "{}", refused.text());
        clean("a refusal", &refused.body);
    }
    for behaviour in
        [Behaviour::Refuse("parsing any private key failed".into()), Behaviour::Silence, Behaviour::Garbage]
    {
        b.charon.on("load-key", behaviour);
        clean("a failure", &b.change(&uuid(7), &change(7, &certified(&bundles[2]))).body);
        b.charon.behave();
    }
    for path in ["/zstack/v1/ipsec", &path, &format!("{path}/log"), "/metrics", "/readyz", "/cygnet/v1/doctor"] {
        clean(path, &b.ask("GET", path, b"").body);
    }
    assert!(b.stop().success());
    b.run();
    clean("the log", b.logs().as_bytes());
    clean("standard output", b.stdout().as_bytes());
    let found = needles.files_below(&b.path(""));
    assert!(found.iter().all(|file| file.contains("/private/") || file.contains("/connections/")), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(7)), b"").expect(200);
    assert_eq!(needles.files_below(&b.path("")), [""; 0]);
    assert_eq!(fs::read_dir(b.conf_dir()).expect("a directory").count(), 0);
}
