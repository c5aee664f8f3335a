//! Identities as clients send them: those whose library always says `ip`, those that say nothing, and those that name a
//! kind by a member or a tag. What a call does not name stays as charon has it.

use crate::serve::{Bench, change, params, uuid};
use serde_json::{Value, json};

/// The identities of the connection 7 in its file: the local and the remote one.
fn rendered(b: &Bench) -> Vec<String> {
    let text = std::fs::read_to_string(b.conf(&uuid(7))).expect("a file");
    text.lines().filter_map(|line| Some(line.trim().strip_prefix("id = ")?.trim_matches('"').to_owned())).collect()
}

/// The members that have the warning `ID_TYPE_GUESSED` in `answer`.
fn guessed(answer: &Value) -> Vec<&str> {
    let warnings = answer["warnings"].as_array().into_iter().flatten();
    warnings.filter(|w| w["code"] == "ID_TYPE_GUESSED").filter_map(|w| w["field"].as_str()).collect()
}

/// `text` as charon's `ID_FQDN`, where it is no host name.
fn fqdn(text: &str) -> String {
    format!("fqdn:#{}", crate::serve::hex(text.as_bytes()))
}

#[test]
fn a_library_that_always_says_ip_changes_no_identity_that_it_does_not_name() {
    for before in [
        json!({ "idType": "fqdn", "localId": "left.example", "remoteId": "192.0.2.201" }),
        json!({ "idType": "name", "localId": "l@left.example", "remoteId": "left/gw" }),
        json!({ "idType": "name", "localId": "Left.EXAMPLE", "remoteId": "T\u{fc}r 7" }),
        json!({ "idType": "ip", "localId": "192.0.2.77", "remoteId": "peer.example" }),
        json!({ "idType": "ip", "localId": "192.0.2.77", "remoteId": "192.0.2.78" }),
        json!({ "idType": "fqdn", "localId": "left.example" }),
        json!({ "localId": "branch1", "localIdType": "keyid", "remoteId": "o@r.example", "remoteIdType": "email" }),
        json!({ "peerAddress": "%any", "ikeVersion": "ikev2", "idType": "name", "remoteId": "@peer.example" }),
        json!({ "idType": "ip", "systemTags": ["remoteId::peer.example"] }),
    ] {
        let b = Bench::start();
        b.create(&params(7, &before)).expect(200);
        let (ids, inventory) = (rendered(&b), b.inventory(&uuid(7)));
        let fixed = ["peerAddress", "ikeVersion"].iter().filter_map(|name| Some((*name, before.get(*name)?)));
        let mut rotation: Value = json!({ "idType": "ip", "authKey": "test-only-key-of-a-rotation" });
        fixed.for_each(|(name, value)| rotation[name] = value.clone());
        let answer = b.change(&uuid(7), &change(7, &rotation)).expect(200).json();
        assert_eq!(rendered(&b), ids, "{before}");
        for name in ["idType", "localId", "remoteId"] {
            assert_eq!(answer["inventory"][name], inventory[name], "{name} of {before}");
        }
        // The same for one that sends back what the inventory says, and for one that says nothing of it.
        for kind in [&inventory["idType"], &Value::Null] {
            let mut echo = rotation.clone();
            echo["idType"] = kind.clone();
            for name in ["localId", "remoteId"].iter().filter(|_| !kind.is_null()) {
                echo[*name] = inventory[*name].clone();
            }
            b.change(&uuid(7), &change(7, &echo)).expect(200);
            assert_eq!(rendered(&b), ids, "{before} and {kind}");
        }
    }
}

/// What a connection has, what a Change says, what its file then has, and which members have the warning.
type Step = (Value, Value, [String; 2], &'static [&'static str]);

#[test]
fn a_new_name_that_is_said_to_be_an_address_is_a_host_name() {
    let s = str::to_owned;
    let names = json!({ "idType": "name", "localId": "l@left.example", "remoteId": "left/gw" });
    let steps: [Step; 9] = [
        (
            json!({}),
            json!({ "idType": "ip", "remoteId": "peer.example" }),
            [s("192.0.2.1"), s("fqdn:peer.example")],
            &["remoteId"],
        ),
        (
            json!({}),
            json!({ "localId": "Gw_1", "remoteId": "2001:DB8::1" }),
            [s("fqdn:Gw_1"), s("2001:db8::1")],
            &["localId"],
        ),
        (
            json!({}),
            json!({ "idType": "ip", "localId": "@a.example", "remoteId": "b" }),
            [s("fqdn:a.example"), s("fqdn:b")],
            &["localId", "remoteId"],
        ),
        (
            names.clone(),
            json!({ "idType": "ip", "localId": "a.example" }),
            [s("fqdn:a.example"), fqdn("left/gw")],
            &["localId"],
        ),
        (
            names.clone(),
            json!({ "idType": "ip", "remoteId": "192.0.2.99" }),
            [fqdn("l@left.example"), s("192.0.2.99")],
            &[],
        ),
        (names.clone(), json!({ "idType": "ip", "localId": "" }), [s("192.0.2.1"), fqdn("left/gw")], &[]),
        (
            names.clone(),
            json!({ "idType": "ip", "localId": "l@left.example" }),
            [fqdn("l@left.example"), fqdn("left/gw")],
            &[],
        ),
        (
            names.clone(),
            json!({ "idType": "ip", "localId": "a.example", "localIdType": "keyid" }),
            [s("keyid:#612e6578616d706c65"), fqdn("left/gw")],
            &[],
        ),
        (names, json!({ "idType": "ip", "localId": "", "remoteId": "" }), [s("192.0.2.1"), s("198.51.100.7")], &[]),
    ];
    for (before, step, wanted, warned) in steps {
        let b = Bench::start();
        b.create(&params(7, &before)).expect(200);
        let body = json!({ "changeIPsecConnection": change(7, &step) }).to_string();
        let plan =
            b.ask("POST", &format!("/cygnet/v1/connections/{}/plan", uuid(7)), body.as_bytes()).expect(200).json();
        let answer = b.change(&uuid(7), &change(7, &step)).expect(200).json();
        let view = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json();
        assert_eq!(rendered(&b), wanted, "{before} and {step}");
        for told in [&plan, &answer, &view] {
            assert_eq!(guessed(told), warned, "{before} and {step}: {told}");
        }
        // Who says what it is has no warning any more.
        let kind = json!({ "idType": answer["inventory"]["idType"], "localId": answer["inventory"]["localId"], "remoteId": answer["inventory"]["remoteId"] });
        let answer = b.change(&uuid(7), &change(7, &kind)).expect(200).json();
        assert_eq!((rendered(&b), guessed(&answer)), (wanted.to_vec(), vec![]), "{kind}");
    }
}

#[test]
fn what_is_neither_an_address_nor_a_host_name_is_refused_with_the_cure() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    for text in [
        "l@left.example",
        "left/gw",
        "1.2.3",
        "192.0.2.300",
        "10.0.0.0/8",
        "0x7f.1",
        "peer..example",
        "a b",
        "C=CH, CN=gw",
    ] {
        for field in ["localId", "remoteId"] {
            for kind in [json!("ip"), Value::Null] {
                let given = json!({ field: text, "idType": kind });
                for refused in [b.create(&params(8, &given)), b.change(&uuid(7), &change(7, &given))] {
                    let said = refused.expect(503).text();
                    let cure = format!("field[{field}]");
                    assert!(said.contains(&cure) && said.contains("set the idType to fqdn or name"), "{given}: {said}");
                }
            }
        }
    }
    for text in ["%any", "*.example", "*", "%"] {
        let given = json!({ "remoteId": text, "idType": "ip" });
        assert!(b.create(&params(8, &given)).expect(503).text().contains("field[remoteId]"), "{text}");
    }
}

#[test]
fn a_name_is_what_a_zstack_router_sends_and_every_kind_can_be_said() {
    let s = str::to_owned;
    let mail = "l@left.example";
    for (given, wanted) in [
        (json!({ "idType": "name", "remoteId": mail }), fqdn(mail)),
        (json!({ "idType": "fqdn", "remoteId": mail }), fqdn(mail)),
        (json!({ "idType": "name", "remoteId": "left/gw" }), fqdn("left/gw")),
        (json!({ "idType": "name", "remoteId": "left:gw 1, 2" }), fqdn("left:gw 1, 2")),
        (json!({ "idType": "name", "remoteId": "CN=gw" }), s("keyid:#40434e3d6777")),
        (json!({ "idType": "name", "remoteId": "192.0.2.9" }), s("fqdn:192.0.2.9")),
        (json!({ "idType": "name", "remoteId": "@left.example" }), s("fqdn:left.example")),
        (json!({ "idType": "name", "remoteId": "@l@left.example" }), fqdn(mail)),
        (json!({ "idType": "name", "remoteId": mail, "remoteIdType": "email" }), s("email:l@left.example")),
        (
            json!({ "idType": "name", "remoteId": mail, "systemTags": ["cygnet::remoteIdType::email"] }),
            s("email:l@left.example"),
        ),
        (
            json!({ "idType": "ip", "remoteId": "gw1", "systemTags": ["cygnet::remoteIdType::keyid"] }),
            s("keyid:#677731"),
        ),
        (json!({ "idType": "ip", "systemTags": ["remoteId::gw1", "cygnet::remoteIdType::keyid"] }), s("keyid:#677731")),
        (
            json!({ "idType": "name", "remoteId": "192.0.2.9", "systemTags": ["cygnet::remoteIdType::ip"] }),
            s("192.0.2.9"),
        ),
        (
            json!({ "idType": "ip", "remoteId": "192.0.2.9", "systemTags": ["cygnet::remoteIdType::fqdn"] }),
            s("fqdn:192.0.2.9"),
        ),
    ] {
        let b = Bench::start();
        let answer = b.create(&params(7, &given)).expect(200).json();
        assert_eq!((&rendered(&b)[1], guessed(&answer)), (&wanted, vec![]), "{given}");
    }
}
