//! A connection is named by its uuid, by first digits of it, or by its name.

use super::run::run;
use crate::serve::{Bench, params, uuid};
use serde_json::json;

#[test]
fn a_connection_is_found_by_what_names_it_alone() {
    let b = Bench::start();
    let with_uuid = |n, uuid: &str, name: &str| {
        b.create(&params(n, &json!({ "resourceUuid": uuid, "name": name }))).expect(200);
    };
    let (first, second) = ("aaaa0000000040008000000000000001", "aaaabbbb000040008000000000000002");
    with_uuid(1, first, "site a=b & c");
    with_uuid(2, second, "twin");
    with_uuid(3, &uuid(3), "twin");
    with_uuid(4, &uuid(4), "aaaab");
    let found = |text: &str| run(&b, &["show", text, "--json"]);
    for (text, wanted) in [
        (first, first),
        ("AAAA0000000040008000000000000001", first),
        ("aaaa0000-0000-4000-8000-000000000001", first),
        ("aaaa0", first),
        ("site a=b & c", first),
        ("aaaabb", second),
    ] {
        assert_eq!(found(text).ends(0).json()["inventory"]["uuid"], wanted, "{text}");
    }
    for (text, said) in [
        ("aaaa", "aaaa means 2 connections"),
        ("twin", "(twin)"),
        ("aaaab", "(aaaab)"),
        ("aaa", "at least 4 digits of a uuid"),
        ("Twin", "no connection has the name or the uuid Twin"),
        ("nowhere", "`cygnet list` shows all connections"),
        ("", "no connection"),
    ] {
        let ended = found(text).ends(1);
        assert!(ended.err.contains(said) && ended.out.is_empty(), "{text}: {}", ended.err);
    }
    let gone = run(&b, &["show", &uuid(99)]).ends(1);
    assert!(gone.err.contains("there is no connection with the uuid"), "{}", gone.err);
}
