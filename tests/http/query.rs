//! `QueryIPSecConnection`: the query language of the contract, section 1.11.

use super::transcript::Transcript;
use crate::serve::{Bench, params, uuid};
use serde_json::{Value, json};

const PATH: &str = "/zstack/v1/ipsec";

/// An agent with four connections that differ.
fn bench() -> Bench {
    let b = Bench::start();
    for (n, more) in [
        (1, json!({ "name": "alpha", "lifeTime": 600, "pfs": "none" })),
        (2, json!({ "name": "beta", "lifeTime": 3600, "idType": "fqdn", "localId": "a=b.example".replace('=', "-") })),
        (3, json!({ "name": "beta 2", "lifeTime": 10000, "description": "x=y>=z" })),
        (
            4,
            json!({ "name": "al_ha", "lifeTime": 90, "peerCidrs": ["10.4.2.0/24", "10.4.3.0/24"], "l3NetworkUuid": null }),
        ),
    ] {
        b.create(&params(n, &more)).expect(200);
    }
    b
}

/// The query string with its values escaped.
fn query(pairs: &[(&str, &str)]) -> String {
    let escape = |text: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect::<String>()
    };
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    format!("{PATH}?{}", pairs.join("&"))
}

/// The names of the connections that are found, in their order.
#[track_caller]
fn names(b: &Bench, pairs: &[(&str, &str)]) -> Vec<String> {
    let found = b.ask("GET", &query(pairs), b"").expect(200).json();
    let items = found["inventories"].as_array().expect("a list");
    items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn every_operator_works() {
    let b = bench();
    let all = ["alpha", "beta", "beta 2", "al_ha"];
    for (condition, wanted) in [
        ("name=beta", &["beta"][..]),
        (" name =beta", &["beta"]),
        ("name= beta", &[]),
        ("name!=beta", &["alpha", "beta 2", "al_ha"]),
        ("lifeTime>600", &["beta", "beta 2"]),
        ("lifeTime>=600", &["alpha", "beta", "beta 2"]),
        ("lifeTime<600", &["al_ha"]),
        ("lifeTime<=600", &["alpha", "al_ha"]),
        ("lifeTime=600", &["alpha"]),
        ("name?=beta,alpha,gamma", &["alpha", "beta"]),
        ("name!?=beta,alpha", &["beta 2", "al_ha"]),
        ("name~=beta%", &["beta", "beta 2"]),
        ("name~=al_ha", &["alpha", "al_ha"]),
        ("name~=%", &all),
        ("name!~=beta%", &["alpha", "al_ha"]),
        ("description is null", &["alpha", "beta", "al_ha"]),
        ("description not null", &["beta 2"]),
        ("description=x=y>=z", &["beta 2"]),
        ("name=", &[]),
        ("name!=", &all),
        ("peerCidrs.cidr=10.4.3.0/24", &["al_ha"]),
        ("peerCidrs.cidr!=10.4.3.0/24", &["alpha", "beta", "beta 2"]),
        ("l3NetworkRefs.l3NetworkUuid not null", &["alpha", "beta", "beta 2"]),
        ("l3NetworkRefs.l3NetworkUuid is null", &["al_ha"]),
        ("peerAddress=198.51.100.3", &["beta 2"]),
        ("state=Enabled", &all),
        ("status=Ready", &[]),
        ("pfs=none", &["alpha"]),
    ] {
        assert_eq!(names(&b, &[("q", condition)]), wanted, "{condition}");
    }
    let uuid = format!("uuid={}", uuid(2));
    assert_eq!(names(&b, &[("q", &uuid)]), ["beta"]);
}

#[test]
fn conditions_are_joined_and_results_are_paged_and_sorted() {
    let b = bench();
    let both = [("q", "name~=beta%"), ("q", "lifeTime>3600")];
    assert_eq!(names(&b, &both), ["beta 2"]);
    assert_eq!(names(&b, &[("sort", "name")]), ["al_ha", "alpha", "beta", "beta 2"]);
    assert_eq!(names(&b, &[("sort", "+lifeTime")]), ["al_ha", "alpha", "beta", "beta 2"]);
    assert_eq!(names(&b, &[("sort", "-lifeTime")]), ["beta 2", "beta", "alpha", "al_ha"]);
    assert_eq!(names(&b, &[("sort", "name"), ("limit", "2")]), ["al_ha", "alpha"]);
    assert_eq!(names(&b, &[("sort", "name"), ("limit", "2"), ("start", "3")]), ["beta 2"]);
    assert_eq!(names(&b, &[("limit", "0")]), [""; 0]);
    assert_eq!(names(&b, &[("start", "4")]), [""; 0]);
    assert_eq!(names(&b, &[("unknown", "x"), ("groupBy", "name"), ("q", "name=beta")]), ["beta"]);
    let unescaped = b.ask("GET", &format!("{PATH}?sort=+name&limit=1"), b"").expect(200).json();
    assert_eq!(unescaped["inventories"][0]["name"], "al_ha", "a plus sign that was not escaped is a blank");
}

#[test]
fn uuids_of_digits_are_no_numbers_and_dates_are_times() {
    let b = Bench::start();
    for (n, id) in [(1, "11111111111141118111111111111111"), (2, "11111111111141118111111111111112")] {
        b.create(&params(n, &json!({ "resourceUuid": id }))).expect(200);
        assert_eq!(names(&b, &[("q", &format!("uuid={id}"))]), [format!("site-{n}")]);
    }
    for (condition, count) in [
        ("createDate>2020-02-01 00:00:00", 2),
        ("createDate<2020-02-01", 0),
        ("lastOpDate>Apr 1, 2020 1:00:00 AM", 2),
        ("createDate<Sep 1, 2020 1:00:00 PM", 0),
        ("createDate>2099-01-01T00:00:00Z", 0),
        ("createDate<2099-01-01T00:00:00Z", 2),
        ("lastOpDate>2020-01-01T00:00:00+08:00", 2),
        ("peerCidrs.createDate>2099-01-01T00:00:00Z", 0),
        ("peerCidrs.lastOpDate<2099-01-01T00:00:00.5-11:00", 2),
        ("l3NetworkRefs.createDate<=2020-01-01T00:00:00Z", 0),
        ("l3NetworkRefs.lastOpDate?=2020-01-01,Jan 1, 2020 1:00:00 AM", 0),
        ("createDate not null", 2),
    ] {
        assert_eq!(names(&b, &[("q", condition)]).len(), count, "{condition}");
    }
    let shown = b.inventory("11111111111141118111111111111111")["createDate"].as_str().expect("a date").to_owned();
    for operator in ["=", "?=", ">=", "<="] {
        let found = names(&b, &[("q", &format!("createDate{operator}{shown}"))]);
        assert!(found.contains(&"site-1".into()), "{operator}{shown}: {found:?}");
    }
}

#[test]
fn what_is_no_date_is_refused_by_name() {
    let b = Bench::start();
    for (condition, field, shown) in [
        ("createDate>yesterday", "createDate", "yesterday"),
        ("createDate=", "createDate", ""),
        ("lastOpDate<=1700000000000", "lastOpDate", "1700000000000"),
        ("createDate?=2026-01-01,soon", "createDate", "soon"),
        ("createDate!?=", "createDate", ""),
        ("peerCidrs.createDate!=2026-02-30", "peerCidrs.createDate", "2026-02-30"),
        ("l3NetworkRefs.lastOpDate>Nov 14, 2026 13:00:00 PM", "l3NetworkRefs.lastOpDate", "Nov 14, 2026 13:00:00 PM"),
        ("createDate>\u{1b}[31m", "createDate", "\\u{1b}[31m"),
    ] {
        let refused = b.ask("GET", &query(&[("q", condition)]), b"").expect(400);
        let text = String::from_utf8_lossy(&refused.body).into_owned();
        for part in [format!("on [{field}] needs a date"), format!("but was [{shown}]"), "2026-11-14T22:20:57Z".into()]
        {
            assert!(text.contains(&part), "{condition}: {text}");
        }
    }
}

#[test]
fn counts_and_fields() {
    let b = bench();
    let mut t = Transcript::default();
    for pairs in [
        &[("count", "true")][..],
        &[("count", "true"), ("q", "name~=beta%")],
        &[("replyWithCount", "true"), ("limit", "1"), ("fields", "name,uuid"), ("sort", "name")],
        &[("fields", "name, peerCidrs"), ("q", "name=al_ha")],
        &[("q", "name=nobody")],
        &[("q", "name=nobody"), ("replyWithCount", "true")],
    ] {
        t.ask(&b, "GET", &query(pairs), "").expect(200);
    }
    t.check("query_counts_and_fields");
}

#[test]
fn schema_names_the_class_of_every_element_parents_first() {
    let b = bench();
    let found = b.ask("GET", PATH, b"").expect(200).json();
    let schema: Vec<_> = found["schema"].as_object().expect("an object").iter().collect();
    let class = |name: &str| Value::from(format!("org.zstack.ipsec.{name}"));
    let (connection, cidr) = (class("IPsecConnectionInventory"), class("IPsecPeerCidrInventory"));
    let network = class("IPsecL3NetworkRefInventory");
    let mut wanted = Vec::new();
    for index in 0..4 {
        wanted.push((format!("inventories[{index}]"), &connection));
        wanted.push((format!("inventories[{index}].peerCidrs[0]"), &cidr));
        if index == 3 {
            wanted.push((format!("inventories[{index}].peerCidrs[1]"), &cidr));
        } else {
            wanted.push((format!("inventories[{index}].l3NetworkRefs[0]"), &network));
        }
    }
    assert_eq!(schema.len(), wanted.len());
    for ((key, value), (wanted_key, wanted_value)) in schema.into_iter().zip(&wanted) {
        assert_eq!((key, value), (wanted_key, *wanted_value));
    }
}

#[test]
fn wrong_queries_are_named() {
    let b = bench();
    let mut t = Transcript::default();
    for pairs in [
        [("q", "name")],
        [("q", "nosuch=1")],
        [("q", "peerCidrs.nosuch=1")],
        [("q", "=1")],
        [("q", "")],
        [("limit", "many")],
        [("start", "1.5")],
        [("limit", "-1")],
        [("sort", "nosuch")],
        [("fields", "name,nosuch")],
    ] {
        t.ask(&b, "GET", &query(&pairs), "");
    }
    t.check("query_errors");
}

#[test]
fn a_hostile_pattern_costs_no_time() {
    let b = bench();
    let pattern = format!("name~={}z", "%a".repeat(2000));
    assert_eq!(names(&b, &[("q", &pattern)]), [""; 0]);
}

#[test]
fn head_answers_as_get_without_its_body() {
    let b = bench();
    let answer = b.ask("HEAD", PATH, b"").expect(200);
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
}
