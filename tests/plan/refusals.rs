//! What cannot be planned: the errors are those of the change.

use super::{ask, bench};
use crate::serve::{change, params, uuid};
use serde_json::{Value, json};

#[test]
fn a_wrong_change_has_the_same_error_as_a_plan() {
    let b = bench();
    b.create(&params(8, &json!({}))).expect(200);
    b.charon.lacks(&["CURVE_25519"]);
    for wrong in [
        json!({ "peerAddress": null }),
        json!({ "authKey": "test only" }),
        json!({ "lifeTime": 1 }),
        json!({ "lifeTime": "long" }),
        json!({ "ikeDhGroup": 999 }),
        json!({ "policyMode": "transport" }),
        json!({ "peerAddress": "2001:db8::7" }),
        json!({ "ikeVersion": "ikev1", "ikeEncryptionAlgorithm": "aes-256-gcm" }),
        // What another connection has: its peer, and its identity with another key.
        json!({ "peerAddress": "198.51.100.8" }),
        json!({ "remoteId": "198.51.100.8", "authKey": "test-only-other" }),
    ] {
        let planned = ask(&b, 7, &change(7, &wrong));
        let changed = b.change(&uuid(7), &change(7, &wrong));
        assert!(changed.status >= 400, "{wrong} is wrong");
        assert_eq!((planned.status, planned.text()), (changed.status, changed.text()), "{wrong}");
    }
}

#[test]
fn a_connection_that_does_not_exist_is_not_found() {
    let b = bench();
    let planned = ask(&b, 9, &change(9, &json!({})));
    let changed = b.change(&uuid(9), &change(9, &json!({})));
    assert_eq!((planned.status, planned.text()), (503, changed.text()));
    assert_eq!(changed.json()["error"]["code"], "SYS.1003");
    b.ask("POST", "/cygnet/v1/connections/no-uuid/plan", b"{\"params\":{}}").expect(503);
    let empty: Value = b.ask("POST", &format!("/cygnet/v1/connections/{}/plan", uuid(7)), b"").expect(503).json();
    assert!(empty["error"]["details"].is_string(), "{empty}");
}

#[test]
fn nobody_plans_without_a_token() {
    let b = bench();
    let path = format!("/cygnet/v1/connections/{}/plan", uuid(7));
    let answer = b.tcp().request("POST", &path, &[], b"{}").expect("an answer");
    assert!(answer.status >= 400 && !answer.text().contains("impact"), "{}", answer.text());
}
