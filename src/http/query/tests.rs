//! What queries cost, counted in steps.

use super::*;
use crate::store::{Record, format};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

static LENS: LazyLock<Lens> =
    LazyLock::new(|| Lens { zone: TimeZone::UTC, mask: false, keys: true, gateway: Arc::default() });

/// A connection whose texts are as long as may be, with `more`.
fn view(more: &Value) -> View {
    let time = "2026-01-01T08:00:00Z";
    let remote =
        |n| json!({ "uuid": "e0000000000040008000000000000001", "cidr": format!("10.2.{n}.0/24"), "created": time });
    let mut record = json!({
        "version": 1, "uuid": "c0000000000040008000000000000001", "name": "n".repeat(255), "enabled": true,
        "description": "d".repeat(2048), "user_tags": vec!["a".repeat(256); 100], "created": time, "changed": time,
        "vip": { "uuid": "a", "address": "192.0.2.1" }, "peer": "198.51.100.9", "identity": { "kind": "ip" },
        "ike": { "version": 2, "encryption": "aes-128", "integrity": "sha1", "group": 5, "lifetime_s": 7200 },
        "child": { "protocol": "esp", "mode": "tunnel", "encryption": "aes-128", "integrity": "sha1", "lifetime_s": 1800 },
        "local": [], "remote": (0..255).map(remote).collect::<Vec<_>>(), "psk_hex": "6b".repeat(4096),
    });
    for (name, value) in more.as_object().expect("an object") {
        record[name.as_str()] = value.clone();
    }
    let record: Record = format::from_bytes(record.to_string().as_bytes()).expect("a record");
    View { record: Arc::new(record), running: None, discount: None }
}

fn query(conditions: &[String]) -> Result<Query, Failure> {
    Query::parse(&conditions.iter().map(|text| ("q".to_owned(), text.clone())).collect::<Vec<_>>())
}

/// The steps that these conditions take with one connection.
fn steps(conditions: &[String], view: &View) -> u64 {
    let (query, mut steps) = (query(conditions).expect("a query"), Steps::default());
    query.holds(view, &LENS, &mut steps).expect("few steps");
    steps.taken()
}

#[test]
fn steps_grow_with_what_is_looked_at_alone() {
    let view = view(&json!({}));
    // Bytes, and one for each value; eight to make it.
    let tags = 100 * 257 + 900;
    assert_eq!(steps(&["__userTag__~=%b".into()], &view), tags);
    // Patterns that a machine with one place would try again and again.
    for pattern in ["%a".repeat(31) + "%b", "%".to_owned() + &"a".repeat(62) + "b", "%_".repeat(60)] {
        assert!(steps(&[format!("__userTag__~={pattern}")], &view) <= tags, "{pattern}");
    }
    let longest = "%a".repeat(255) + "%b";
    let words = 256 / 64 + 1;
    assert_eq!(steps(&[format!("__userTag__~={longest}")], &view), 100 * 257 * words + 900);
    // A list of a thousand dates is read once, not once for each network.
    let many = vec!["2020-01-01"; 1000].join(",");
    let dates = format!("peerCidrs.createDate!?={many}");
    assert!(steps(std::slice::from_ref(&dates), &view) <= 255 * (64 + 11 * 30 + 1), "{}", steps(&[dates], &view));
    assert!(steps(&[format!("createDate!?={many}")], &view) <= 400);
    assert!(steps(&["authKey~=%k%k%k%".into()], &view) <= 4100);
    assert!(steps(&[format!("peerCidrs.cidr!={}", "9".repeat(60_000))], &view) <= 255 * (64 + 16));
    // What is made is paid for, whether it is looked at or not.
    for condition in
        ["peerCidrs.cidr is null", "peerCidrs.cidr not null", "peerCidrs.uuid!=e0000000000040008000000000000001"]
    {
        assert!(steps(&[condition.into()], &view) > 255 * 64, "{condition}");
    }
    assert!(steps(&["authKey is null".into()], &view) > 4096 && steps(&["__userTag__~=%".into()], &view) > 800);
}

#[test]
fn conditions_lists_and_patterns_have_a_most() {
    let words = |conditions: &[String]| match query(conditions) {
        Err(Failure::Text(status, text)) => format!("{} {text}", status.as_u16()),
        other => panic!("{other:?}"),
    };
    assert!(query(&vec!["name~=a%".to_owned(); MAX_CONDITIONS]).is_ok());
    let many = words(&vec!["name~=a%".to_owned(); MAX_CONDITIONS + 1]);
    assert_eq!(many, "400 Invalid query parameter[q], at most 32 conditions are possible, there are 33");
    assert!(query(&[format!("name?={}", ",".repeat(999))]).is_ok());
    let long = words(&[format!("name!?={}", ",".repeat(1000))]);
    assert!(long.ends_with("a condition on [name] must have at most 1000 values, it has 1001"), "{long}");
    assert!(query(&[format!("name~={}", "_".repeat(4096))]).is_ok());
    let long = words(&[format!("name!~={}", "é".repeat(4097))]);
    assert!(
        long.ends_with("a condition on [name] must have at most 4096 characters in its pattern, it has 4097"),
        "{long}"
    );
    let fields = Query::parse(&[("fields".into(), "uuid,name,".repeat(5000) + "name")]).expect("fields");
    assert_eq!(fields.shown(), ["uuid", "name"], "each once");
}

#[tokio::test]
async fn a_query_over_everything_ends_at_its_bound() {
    let view = view(&json!({}));
    let costly = query(&vec![format!("__userTag__!~={}", "%a".repeat(255) + "b"); MAX_CONDITIONS]).expect("a query");
    let mut steps = Steps::of(3_000_000);
    let refused = costly.select_within(vec![view.clone(); 1000], &LENS, &mut steps).await.map(|found| found.total);
    let Err(Failure::Text(status, text)) = refused else { panic!("it is answered") };
    assert_eq!((status.as_u16(), text.contains("50000000 steps")), (400, true), "{text}");
    // What people ask of as many connections is far from it.
    let usual = query(&["name~=%site%".into(), "peerCidrs.cidr=10.2.3.0/24".into()]).expect("a query");
    let mut steps = Steps::default();
    let found = usual.select_within(vec![view; 1000], &LENS, &mut steps).await.expect("few steps");
    assert!(found.total == 0 && steps.taken() * 10 < steps::MAX_STEPS / 10, "{}", steps.taken());
}

#[tokio::test]
async fn what_has_no_value_sorts_first_and_groups_once() {
    let (a, b) = (view(&json!({ "name": "a" })), view(&json!({ "name": "b", "description": null })));
    let views = || vec![a.clone(), b.clone(), a.clone()];
    let pairs = |sort: &str| vec![("sort".to_owned(), sort.to_owned()), ("groupBy".into(), "name".into())];
    for (sort, names) in [("description", ["b", "a"]), ("-description", ["a", "b"]), ("-name", ["b", "a"])] {
        let found = Query::parse(&pairs(sort)).expect("a query").select(views(), &LENS).await.expect("few steps");
        let seen: Vec<_> = found.page.iter().map(|view| view.record.spec.names.name.as_str()).collect();
        assert_eq!(seen, names, "{sort}");
    }
}

#[tokio::test]
async fn what_sorts_is_kept_in_part_and_what_groups_as_a_digest() {
    let views: Vec<_> = ["b", "a", "b"].map(|name| view(&json!({ "name": name }))).into();
    let mut steps = Steps::default();
    let keys = read(&views, "description", &LENS, &mut steps, Datum::shortened).await.expect("few steps");
    assert!(keys.iter().flatten().all(|key| key.text.len() == order::COMPARED && key.text.capacity() < 2000));
    assert_eq!(steps.taken(), 3 * (1 + 2048), "all of it was made");
    let query =
        Query::parse(&[("sort".into(), "description".into()), ("groupBy".into(), "name".into())]).expect("a query");
    assert_eq!(query.select(views, &LENS).await.expect("few steps").total, 2);
}

/// The hour from 2 to 3 comes twice in the night of 2026-10-25.
#[tokio::test]
async fn dates_sort_by_time_also_where_the_clock_goes_back() {
    let lens = Lens { zone: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone"), ..LENS.clone() };
    let made = |name: &str, time: &str| view(&json!({ "name": name, "created": time, "changed": time }));
    let views = || {
        vec![
            made("d", "2026-11-01T08:00:00Z"),
            made("c", "2026-10-25T01:20:00Z"),
            made("a", "2026-04-01T11:00:00Z"),
            made("b", "2026-10-25T00:40:00Z"),
        ]
    };
    let names = async |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = Query::parse(&pairs).expect("a query").select(views(), &lens).await.expect("few steps");
        found.page.iter().map(|view| view.record.spec.names.name.clone()).collect::<String>()
    };
    for field in ["createDate", "lastOpDate"] {
        assert_eq!(names(&[("sort", field)]).await, "abcd", "{field}");
        assert_eq!(names(&[("sort", &format!("-{field}"))]).await, "dcba", "{field}");
        for (condition, found) in [
            (">2026-10-25T00:40:00Z", "cd"),
            (">=2026-10-25T02:40:00+02:00", "bcd"),
            (">=2026-10-25T02:40:00 02:00", "bcd"),
            ("<2026-10-25T02:20:00+01:00", "ab"),
            ("=Oct 25, 2026 2:40:00 AM", "b"),
            ("!=2026-10-25 02:20:00", "abd"),
            ("?=Apr 1, 2026 1:00:00 PM,2026-10-25T01:20:00Z", "ac"),
            ("!?=Apr 1, 2026 1:00:00 PM,2026-10-25T01:20:00Z", "bd"),
            ("~=Oct 25%", "bc"),
            ("<=Apr 1, 2026 1:00:00 PM", "a"),
            ("<Apr 1, 2026 12:59:59 PM", ""),
            (" not null", "abcd"),
            (" is null", ""),
        ] {
            assert_eq!(names(&[("q", &format!("{field}{condition}")), ("sort", "name")]).await, found, "{condition}");
        }
    }
}
