//! How long each member of a request may be: the longest is taken, one more is refused by the member's name. A stored
//! connection that is beyond the limits can be read, disabled, changed elsewhere and deleted.

use crate::{
    certificates::{Ca, Kind},
    serve::{Bench, change, params, uuid},
};
use cygnet::{
    http::parse::limits::{MAX_LIST, MAX_PSK, MAX_TAG, MAX_TAGS},
    ipsec::Certs,
};
use serde_json::{Value, json};
use std::fs;

fn path(n: u8, rest: &str) -> String {
    format!("/zstack/v1/ipsec/{}{rest}", uuid(n))
}

fn tags(count: usize, length: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:0length$}")).collect()
}

/// What an Update of the connection `n` with `members` is answered.
fn update(b: &Bench, n: u8, members: &Value) -> crate::client::Response {
    b.ask("PUT", &path(n, ""), json!({ "updateIPsecConnection": members }).to_string().as_bytes())
}

#[track_caller]
fn refused(answer: &crate::client::Response, words: &str) {
    assert!(answer.status == 503 && answer.text().contains(words), "{} {}", answer.status, answer.text());
}

/// A bundle of `length` bytes: what stands around the blocks is commentary.
fn bundle(length: usize) -> String {
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    // What ends in white space is trimmed before it is measured.
    let blocks = ca.issue(Kind::Ecdsa, "CN=gw", &["gw.example"]).bundle(&[&ca]).trim_end().to_owned();
    "#".repeat(length - blocks.len() - 1) + "\n" + &blocks
}

#[test]
fn keys_and_bundles() {
    let b = Bench::start();
    b.create(&params(1, &json!({ "authKey": "k".repeat(MAX_PSK) }))).expect(200);
    b.change(&uuid(1), &change(1, &json!({ "authKey": "é".repeat(MAX_PSK / 2) }))).expect(200);
    let words = format!("field[authKey] must have at most {MAX_PSK} bytes, it has {}", MAX_PSK + 1);
    let longer = "k".repeat(MAX_PSK + 1);
    refused(&b.create(&params(2, &json!({ "authKey": longer }))), &words);
    refused(&b.change(&uuid(1), &change(1, &json!({ "authKey": longer }))), &words);
    refused(&b.change(&uuid(1), &change(1, &json!({ "authKey": "é".repeat(MAX_PSK / 2) + "k" }))), &words);
    let plan = json!({ "changeIPsecConnection": change(1, &json!({ "authKey": longer })) }).to_string();
    refused(&b.ask("POST", &format!("/cygnet/v1/connections/{}/plan", uuid(1)), plan.as_bytes()), &words);

    let certified =
        |key: String| json!({ "authMode": "certs", "authKey": key, "idType": "name", "remoteId": "CN=peer" });
    b.create(&params(3, &certified(bundle(Certs::MAX)))).expect(200);
    let words = format!("field[authKey] must have at most {} bytes, it has {}", Certs::MAX, Certs::MAX + 1);
    refused(&b.create(&params(4, &certified(bundle(Certs::MAX + 1)))), &words);
    refused(&b.change(&uuid(3), &change(3, &certified(bundle(Certs::MAX + 1)))), &words);
}

/// Each CA of one name may have signed each certificate that names it: what has to be tried is bounded, not only the bytes.
#[test]
fn cas_of_one_name() {
    let b = Bench::start();
    let root = Ca::new(Kind::Ecdsa, "CN=one name");
    let leaf = root.issue(Kind::Ecdsa, "CN=gw", &["gw.example"]);
    let bundle = |count: usize| {
        let others: Vec<_> = (0..count).map(|_| root.intermediate("CN=one name")).collect();
        leaf.bundle(&std::iter::once(&root).chain(&others).collect::<Vec<_>>())
    };
    let certified = |key: &str| json!({ "authMode": "certs", "authKey": key, "idType": "name", "remoteId": "CN=peer" });
    // Of `n` CAs beside the root, and the leaf: n + 2 signatures by n + 1 issuers.
    b.create(&params(1, &certified(&bundle(14)))).expect(200);
    let many = bundle(15);
    let words = format!(
        "field[authKey] has 272 pairs of a certificate or X509 CRL and a CA with its issuer's name, {}",
        Certs::MAX_SIGNATURES
    );
    refused(&b.create(&params(2, &certified(&many))), &words);
    assert!(Certs::new(&many).is_ok(), "one that is stored stays readable");
}

/// An answer that is sent in pieces is the same as one that is not.
#[test]
fn long_lists_come_in_pieces() {
    let b = Bench::start();
    for n in 1..=30 {
        b.create(&params(n, &json!({ "description": "d".repeat(2048), "authKey": "k".repeat(MAX_PSK) }))).expect(200);
    }
    let short = b.ask("GET", "/zstack/v1/ipsec?limit=2&sort=name", b"").expect(200);
    assert!(short.header("content-length").is_some());
    for list in ["/zstack/v1/ipsec?replyWithCount=true", "/cygnet/v1/connections?replyWithCount=true"] {
        let long = b.ask("GET", list, b"").expect(200);
        assert_eq!(long.header("transfer-encoding"), Some("chunked"), "{list}");
        let (body, text) = (long.json(), long.text().len());
        assert!(text > 30 * 2048 && body["total"] == 30, "{list}");
        let items = body["inventories"].as_array().or_else(|| body["connections"].as_array()).expect("a list");
        assert_eq!(items.len(), 30, "{list}");
        if let Some(classes) = body["schema"].as_object() {
            assert_eq!(classes.len(), 90);
            assert_eq!(classes["inventories[29].peerCidrs[0]"], "org.zstack.ipsec.IPsecPeerCidrInventory");
        }
    }
    assert_eq!(b.ask("HEAD", "/zstack/v1/ipsec", b"").expect(200).text(), "");
}

#[test]
fn queries() {
    let b = Bench::start();
    b.create(&params(1, &json!({}))).expect(200);
    let many = |count: usize| format!("/zstack/v1/ipsec?{}", "q=name~=site%25&".repeat(count));
    assert_eq!(b.ask("GET", &many(32), b"").expect(200).json()["inventories"].as_array().map(Vec::len), Some(1));
    let refused = |path: &str, words: &str| {
        let answer = b.ask("GET", path, b"");
        assert!(answer.status == 400 && answer.text().contains(words), "{} {}", answer.status, answer.text());
    };
    refused(&many(33), "[q], at most 32 conditions are possible, there are 33");
    let list = |count: usize| format!("/zstack/v1/ipsec?q=createDate!?={}", vec!["2020-01-01"; count].join(","));
    b.ask("GET", &list(1000), b"").expect(200);
    refused(&list(1001), "a condition on [createDate] must have at most 1000 values, it has 1001");
    refused(&list(1001).replace("/zstack/v1/ipsec", "/cygnet/v1/connections"), "at most 1000 values");
    let pattern = |count: usize| format!("/zstack/v1/ipsec?q=name~={}", "_".repeat(count));
    b.ask("GET", &pattern(4096), b"").expect(200);
    refused(&pattern(4097), "a condition on [name] must have at most 4096 characters in its pattern, it has 4097");
    let shown = b.ask("GET", &format!("/zstack/v1/ipsec?fields={}uuid", "uuid,name,".repeat(500)), b"").expect(200);
    assert_eq!(shown.json()["inventories"][0].as_object().map(serde_json::Map::len), Some(2));
}

#[test]
fn tags_in_every_call() {
    let b = Bench::start();
    let most = tags(MAX_TAGS, MAX_TAG);
    b.create(&params(1, &json!({ "systemTags": most, "userTags": most }))).expect(200);
    for field in ["systemTags", "userTags"] {
        let many = format!("field[{field}] must have at most {MAX_TAGS} elements, it has {}", MAX_TAGS + 1);
        let long = format!("field[{field}[1]] must have at most {MAX_TAG} bytes, it has {}", MAX_TAG + 1);
        // Bytes count, not characters.
        let wide = vec!["a".to_owned(), "é".repeat(MAX_TAG / 2) + "a"];
        for (list, words) in [(tags(MAX_TAGS + 1, 8), &many), (wide, &long)] {
            refused(&b.create(&params(2, &json!({ field: list }))), words);
            refused(&b.change(&uuid(1), &change(1, &json!({ field: list }))), words);
            refused(&update(&b, 1, &json!({ field: list })), words);
            let body = |key: &str, members: Value| json!({ key: members, field: list }).to_string();
            let state = body("changeIPSecConnectionState", json!({ "stateEvent": "disable" }));
            refused(&b.ask("PUT", &path(1, "/actions"), state.as_bytes()), words);
            let cidrs = body("params", json!({ "peerCidrs": ["10.99.0.0/24"] }));
            refused(&b.ask("POST", &path(1, "/remote-cidrs"), cidrs.as_bytes()), words);
            let query: String = list.iter().flat_map(|tag| ["&", field, "=", tag]).collect();
            let query = query.replace('é', "%C3%A9");
            refused(&b.ask("DELETE", &path(1, &format!("/remote-cidrs?peerCidrs=10.1.2.0/24{query}")), b""), words);
        }
    }
    assert_eq!(b.inventory(&uuid(1))["state"], "Enabled", "nothing was changed");
}

#[test]
fn texts_and_lists() {
    let b = Bench::start();
    b.create(&params(1, &json!({ "name": "n".repeat(255), "description": "d".repeat(2048), "ikeVersion": "ikev2" })))
        .expect(200);
    for (field, most) in [("name", 255), ("description", 2048)] {
        let words = format!("exceeds max length of string. expected was <= {most}, actual was {}", most + 1);
        refused(&b.create(&params(2, &json!({ field: "n".repeat(most + 1) }))), &format!("field[{field}]"));
        refused(&update(&b, 1, &json!({ field: "n".repeat(most + 1) })), &words);
    }
    let nets = |count: usize| (0..count).map(|n| format!("10.{}.{}.0/24", 100 + n / 256, n % 256)).collect::<Vec<_>>();
    // Without a local network nothing is carried, so no child is too many; the list alone is bounded.
    let idle = json!({ "l3NetworkUuid": null, "peerCidrs": nets(MAX_LIST) });
    b.create(&params(3, &idle)).expect(200);
    let words = format!("field[peerCidrs] must have at most {MAX_LIST} elements, it has {}", MAX_LIST + 1);
    refused(&b.create(&params(4, &json!({ "l3NetworkUuid": null, "peerCidrs": nets(MAX_LIST + 1) }))), &words);
    let one_more = json!({ "params": { "peerCidrs": ["10.99.0.0/24"] } }).to_string();
    refused(&b.ask("POST", &path(3, "/remote-cidrs"), one_more.as_bytes()), &words);
    let query = "peerCidrs=10.99.0.0/24&".repeat(MAX_LIST + 1);
    refused(&b.ask("DELETE", &path(3, &format!("/remote-cidrs?{query}")), b""), &words);
    let unknown = json!({ "params": { "l3NetworkUuids": vec!["x"; MAX_LIST + 1] } }).to_string();
    let answer = b.ask("POST", &path(3, "/l3networks"), unknown.as_bytes());
    refused(&answer, &format!("field[l3NetworkUuids] must have at most {MAX_LIST} elements"));
    refused(
        &b.create(&params(5, &json!({ "tagUuids": vec!["x"; MAX_LIST + 1] }))),
        "field[tagUuids] must have at most",
    );
}

#[test]
fn a_connection_has_a_most_of_children_and_of_selectors() {
    let b = Bench::start();
    let nets = |count: usize| (0..count).map(|n| format!("10.100.{n}.0/24")).collect::<Vec<_>>();
    b.create(&params(1, &json!({ "ikeVersion": "ikev1", "peerCidrs": nets(256) }))).expect(200);
    let one_more = json!({ "params": { "peerCidrs": ["10.99.0.0/24"] } }).to_string();
    let answer = b.ask("POST", &path(1, "/remote-cidrs"), one_more.as_bytes());
    refused(&answer, "field[peerCidrs] 257 pairs of networks are too many for one connection: at most 256");
    b.create(&params(2, &json!({ "ikeVersion": "ikev2", "peerCidrs": nets(255) }))).expect(200);
    let answer = b.create(&params(3, &json!({ "ikeVersion": "ikev2", "peerCidrs": nets(256) })));
    refused(&answer, "field[peerCidrs] 256 networks are too many for one child: at most 255");
}

#[test]
fn what_is_stored_beyond_the_limits_stays_usable() {
    let mut b = Bench::start();
    b.create(&params(1, &json!({}))).expect(200);
    assert!(b.stop().success());
    let (key, many) = ("k".repeat(65_535), tags(MAX_TAGS + 1, 4000));
    let mut record: Value = serde_json::from_slice(&fs::read(b.record(&uuid(1))).expect("a record")).expect("JSON");
    record["psk_hex"] = "6b".repeat(65_535).into();
    record["user_tags"] = json!(many);
    fs::write(b.record(&uuid(1)), record.to_string()).expect("written");
    b.run();

    assert_eq!(b.inventory(&uuid(1))["authKey"], key.as_str());
    let found = b.ask("GET", "/zstack/v1/ipsec?q=__userTag__~=%2500", b"").expect(200).json();
    assert_eq!(found["inventories"].as_array().expect("a list").len(), 1);
    update(&b, 1, &json!({ "name": "another" })).expect(200);
    update(&b, 1, &json!({ "name": "a third", "userTags": many })).expect(200);
    // The key that is stored may come again with a Change, which cannot do without.
    b.change(&uuid(1), &change(1, &json!({ "authKey": key, "lifeTime": 1500 }))).expect(200);
    let kept = json!({ "changeIPsecConnection": { "lifeTime": 1600 } }).to_string();
    b.ask("PUT", &format!("/zstack/v1/ipsec/config/{}?keep=true", uuid(1)), kept.as_bytes()).expect(200);
    let other = "j".repeat(65_535);
    refused(
        &b.change(&uuid(1), &change(1, &json!({ "authKey": other }))),
        "field[authKey] must have at most 4096 bytes",
    );
    refused(&update(&b, 1, &json!({ "userTags": tags(MAX_TAGS + 1, 3999) })), "field[userTags] must have at most 100");
    let disable = json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } }).to_string();
    b.ask("PUT", &path(1, "/actions"), disable.as_bytes()).expect(200);
    let inventory = b.inventory(&uuid(1));
    let seen = [&inventory["state"], &inventory["name"], &inventory["lifeTime"]];
    assert_eq!(seen, [&json!("Disabled"), &json!("a third"), &json!(1600)]);
    b.ask("DELETE", &path(1, ""), b"").expect(200);
}
