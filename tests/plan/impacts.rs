//! Each impact class, with what differs.

use super::{ask, bench};
use crate::serve::{Bench, KEY, change, hex, uuid};
use serde_json::{Value, json};

/// What a plan of this change says.
fn plan(b: &Bench, more: &Value) -> Value {
    ask(b, 7, &change(7, more)).expect(200).json()
}

/// The value of `key` in each item of a list.
fn each<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().expect("a list").iter().map(|item| item[key].as_str().expect("a text")).collect()
}

/// The settings that differ in the file, without the names of sections.
fn settings(plan: &Value) -> Vec<&str> {
    each(&plan["file"], "setting")
        .into_iter()
        .map(|path| path.rsplit_once('.').map_or(path, |(_, last)| last))
        .collect()
}

/// The item of `fields` for this one.
fn field<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let all = plan["fields"].as_array().expect("a list");
    all.iter().find(|item| item["field"] == name).unwrap_or_else(|| panic!("{name} does not differ: {plan}"))
}

#[test]
fn none_is_no_request_and_no_warning() {
    let b = bench();
    for same in [
        json!({}),
        json!({ "lifeTime": 3600, "ikeDhGroup": 0, "pfs": "dh-group14", "policyMode": "tunnel" }),
        json!({ "localId": "192.0.2.1", "remoteId": "198.51.100.7", "idType": "ip" }),
        json!({ "systemTags": ["a-tag"] }),
    ] {
        let plan = plan(&b, &same);
        assert_eq!(plan["impact"], "none", "{plan}");
        assert_eq!([&plan["file"], &plan["requests"], &plan["steps"], &plan["warnings"]], [&json!([]); 4], "{same}");
    }
    assert_eq!(plan(&b, &json!({}))["fields"], json!([]));
}

/// charon takes both spellings for one identity; the new one is sent to the peer by a new IKE SA.
#[test]
fn an_identity_in_another_case_is_no_other_tunnel() {
    let b = bench();
    let named = |id: &str| json!({ "idType": "fqdn", "remoteId": id });
    b.change(&uuid(7), &change(7, &named("peer.example"))).expect(200);
    assert_eq!(plan(&b, &named("PEER.example"))["impact"], "ike");
    assert_eq!(plan(&b, &named("other.example"))["impact"], "replace");
}

#[test]
fn child_is_what_only_the_child_sas_have() {
    let b = bench();
    for (more, name, setting) in [
        (json!({ "lifeTime": 1000 }), "lifeTime", "life_time"),
        (json!({ "policyEncryptionAlgorithm": "aes-128" }), "policyEncryptionAlgorithm", "esp_proposals"),
        (json!({ "policyAuthAlgorithm": "sha512" }), "policyAuthAlgorithm", "esp_proposals"),
        (json!({ "pfs": "none" }), "pfs", "esp_proposals"),
        (json!({ "transformProtocol": "ah" }), "transformProtocol", "ah_proposals"),
    ] {
        let plan = plan(&b, &more);
        assert_eq!((&plan["impact"], each(&plan["fields"], "field")), (&json!("child"), vec![name]), "{plan}");
        assert_eq!(field(&plan, name)["to"], more[name], "{plan}");
        assert_ne!(field(&plan, name)["from"], more[name], "{plan}");
        assert!(settings(&plan).contains(&setting), "{plan}");
        assert!(each(&plan["file"], "setting").iter().all(|path| path.contains(".children.")), "{plan}");
        // A lifetime needs no agreement: each end has its own.
        let warned = plan["warnings"][0]["message"].as_str().is_some_and(|t| t.contains("the old SA goes on carrying"));
        assert_eq!(warned, name != "lifeTime", "{plan}");
    }
}

#[test]
fn ike_is_what_the_ike_sa_is_made_of() {
    let b = bench();
    for (more, name, setting) in [
        (json!({ "ikeDhGroup": 20 }), "ikeDhGroup", "proposals"),
        (json!({ "ikeEncryptionAlgorithm": "aes-192" }), "ikeEncryptionAlgorithm", "proposals"),
        (json!({ "ikeAuthAlgorithm": "sha384" }), "ikeAuthAlgorithm", "proposals"),
        (json!({ "ikeLifeTime": 7200 }), "ikeLifeTime", "over_time"),
        (json!({ "ikeVersion": "ikev2" }), "ikeVersion", "version"),
    ] {
        let plan = plan(&b, &more);
        assert_eq!((&plan["impact"], each(&plan["fields"], "field")), (&json!("ike"), vec![name]), "{plan}");
        assert!(settings(&plan).contains(&setting), "{plan}");
    }
    let both = plan(&b, &json!({ "ikeDhGroup": 20, "authKey": "test-only-new-key" }));
    assert_eq!(both["impact"], "ike", "the key is not alone: {both}");
}

#[test]
fn reauth_is_the_key_alone_and_does_not_tell_it() {
    let b = bench();
    let new = "test-only-new-key";
    let answer = ask(&b, 7, &change(7, &json!({ "authKey": new }))).expect(200);
    let plan = answer.json();
    assert_eq!(
        (&plan["impact"], &plan["fields"]),
        (&json!("reauth"), &json!([{ "field": "authKey", "changed": "yes" }]))
    );
    // Beside the secret: what makes charon see that the IKE SA is to be another one.
    assert_eq!(settings(&plan), ["rand_time", "secret"], "{plan}");
    assert_eq!(
        plan["file"][1],
        json!({ "setting": format!("secrets.ike-cygnet-{}.secret", uuid(7)), "changed": "yes" })
    );
    let text = answer.text();
    for key in [KEY, new].into_iter().flat_map(|key| [key.to_owned(), hex(key.as_bytes())]) {
        assert!(!text.contains(&key), "{text}");
    }
    assert!(text.contains("immediate=true"), "a leaked key: what to do is said: {text}");
}

#[test]
fn replace_is_another_tunnel() {
    let b = bench();
    for (more, name) in [
        (json!({ "peerAddress": "198.51.100.99" }), "peerAddress"),
        (json!({ "localId": "a.example", "idType": "fqdn" }), "localId"),
        (json!({ "remoteId": "b.example", "idType": "fqdn" }), "remoteId"),
    ] {
        let plan = plan(&b, &more);
        assert_eq!(plan["impact"], "replace", "{plan}");
        assert_eq!(field(&plan, name)["to"], more[name], "{plan}");
    }
    let moved = plan(&b, &json!({ "peerAddress": "198.51.100.99" }));
    assert!(moved["warnings"].to_string().contains("the tunnel to 198.51.100.7 is closed"), "{moved}");
}

#[test]
fn the_requests_are_those_that_the_change_sends() {
    let b = bench();
    let name = format!("cygnet-{}", uuid(7));
    let change = change(7, &json!({ "lifeTime": 1000, "authKey": "test-only-new-key" }));
    let planned = ask(&b, 7, &change).expect(200).json();
    let requests = ["load-conn N-guard", "load-shared ike-N", "load-conn N", "unload-conn N-guard"];
    assert_eq!(planned["requests"], json!(requests.map(|request| request.replace('N', &name))));
    let steps: Vec<_> = planned["steps"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(steps[..2], ["load into charon", "write the file in conf.d"], "{planned}");
    assert!(steps.len() == 3 && steps[2].starts_with(&format!("negotiate {name}-")), "{planned}");
    b.charon.forget_requests();
    b.change(&uuid(7), &change).expect(200);
    let sent = b.charon.commands();
    let loads: Vec<_> = sent.iter().filter(|command| command.contains("load-")).collect();
    assert_eq!(loads, ["load-conn (guard)", "load-shared", "load-conn", "unload-conn (guard)"]);
}
