//! The document itself, as text and as it is served.

use crate::serve::Bench;
use serde_json::Value;
use std::collections::BTreeSet;

/// The methods that an item of `paths` may have.
pub const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// The document as it is served.
pub fn document() -> Value {
    serde_json::from_str(&cygnet::http::openapi::DOCUMENT).expect("JSON")
}

/// Every operation: path, method, and what is said of it.
pub fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of = |(path, item)| {
        let item: &Value = item;
        let path: &String = path;
        item.as_object()
            .expect("an item")
            .iter()
            .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    };
    paths.iter().flat_map(of).collect()
}

/// Calls `see` with every value in `value`.
fn walk<'a>(value: &'a Value, see: &mut impl FnMut(&'a Value)) {
    see(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, see)),
        Value::Object(members) => members.values().for_each(|member| walk(member, see)),
        _ => {}
    }
}

#[test]
fn it_is_served_to_everybody_with_the_version_in_it() {
    let bench = Bench::start();
    let answer = bench.tcp().request("GET", "/openapi.json", &[], b"").expect("answered").expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    let expected = document();
    assert_eq!(expected["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(answer.json(), expected);
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    walk(&document, &mut |value| used.extend(value.get("$ref").and_then(Value::as_str)));
    let mut there = BTreeSet::new();
    for kind in ["schemas", "parameters", "responses"] {
        let names = document["components"][kind].as_object().expect(kind).keys();
        there.extend(names.map(|name| format!("#/components/{kind}/{name}")));
    }
    assert_eq!(used, there.iter().map(String::as_str).collect());
}

#[test]
fn operations_have_names_of_their_own_and_known_methods() {
    let document = document();
    let operations = operations(&document);
    let names: BTreeSet<_> =
        operations.iter().filter_map(|(.., operation)| operation["operationId"].as_str()).collect();
    assert_eq!(names.len(), operations.len());
    assert!(operations.iter().all(|(_, method, _)| METHODS.contains(method)));
    walk(&document, &mut |value| {
        if let Some(link) = value.get("operationId").and_then(Value::as_str) {
            assert!(names.contains(link), "{link}");
        }
    });
}

#[test]
fn parameters_in_a_path_are_those_of_the_path() {
    let document = document();
    for (path, method, operation) in operations(&document) {
        let resolve = |parameter: &Value| match parameter["$ref"].as_str() {
            Some(pointer) => document.pointer(&pointer[1..]).expect("there").clone(),
            None => parameter.clone(),
        };
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice).iter().map(resolve);
        let said: Vec<_> = parameters.filter(|parameter| parameter["in"] == "path").collect();
        let wanted = usize::from(path.contains("{uuid}"));
        assert_eq!(said.len(), wanted, "{method} {path}");
        assert!(said.iter().all(|parameter| parameter["name"] == "uuid" && parameter["required"] == true));
    }
}
