//! The paths, methods and operations of the document against the table of routes, and against what the agent answers.

use super::document::{METHODS, document, operations};
use crate::serve::{Bench, uuid};
use cygnet::http::{Message, ROUTES};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn the_operations_are_those_of_the_table() {
    let document = document();
    let operation = |(path, method, said): (&str, &str, &Value)| {
        let id = said["operationId"].as_str().unwrap_or_default();
        format!("{method} {path} {id}")
    };
    let described: BTreeSet<_> = operations(&document).into_iter().map(operation).collect();
    let calls = ROUTES.iter().flat_map(|route| route.calls.iter().map(move |call| (route.path, call)));
    let served: BTreeSet<_> =
        calls.map(|(path, call)| format!("{} {path} {}", call.method.described(), call.operation)).collect();
    assert_eq!(described, served);
}

/// The bodies that the document describes have the members that the messages are read from.
#[test]
fn the_bodies_have_the_members_of_the_messages() {
    let document = document();
    for (path, method, said) in operations(&document) {
        let route = ROUTES.iter().find(|route| route.path == path).expect("it is in the table");
        let call = route.calls.iter().find(|call| call.method.described() == method).expect("it is in the table");
        let schema = &said["requestBody"]["content"]["application/json"]["schema"];
        let members: BTreeSet<_> = schema["anyOf"]
            .as_array()
            .map_or_else(|| vec![schema], |all| all.iter().collect())
            .into_iter()
            .flat_map(|schema| resolved(&document, schema)["properties"].as_object().into_iter().flatten())
            .map(|(name, _)| name.as_str())
            .collect();
        let read = |message: &&Message| message.reads_body();
        for message in call.meaning.messages().iter().filter(read) {
            assert!(members.contains(message.key()), "{method} {path}: {} is not among {members:?}", message.key());
        }
    }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    schema["$ref"].as_str().map_or(schema, |pointer| document.pointer(&pointer[1..]).expect("there"))
}

#[test]
fn no_other_file_makes_routes() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories = vec![directory.clone()];
    while let Some(place) = directories.pop() {
        for entry in fs::read_dir(place).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("text");
                let made =
                    [".route(", ".nest", ".route_service(", ".fallback_service("].map(|way| text.matches(way).count());
                let wanted = if path == directory.join("http/routes.rs") { [1, 0, 0, 0] } else { [0; 4] };
                assert_eq!(made, wanted, "{}", path.display());
            }
        }
    }
}

#[test]
fn the_methods_are_those_that_have_a_meaning() {
    let document = document();
    let described: BTreeSet<_> = operations(&document).into_iter().map(|(path, method, _)| (path, method)).collect();
    let bench = Bench::start();
    // HEAD goes with GET; the log does not look at the method at all; the answer of the events has no end.
    let methods = METHODS.into_iter().filter(|method| *method != "head");
    for path in
        ROUTES.iter().map(|route| route.path).filter(|path| !path.ends_with("/ipseclog") && !path.ends_with("/events"))
    {
        for method in methods.clone() {
            let answer = bench.ask(&method.to_uppercase(), &path.replace("{uuid}", &uuid(9)), b"");
            let text = answer.text();
            assert!(!text.starts_with("no api mapping"), "{path} is not served");
            let is_none = answer.status == 405
                || (answer.status == 500 && text.starts_with("No "))
                || (answer.status == 400 && text.starts_with("the body doesn't contain action"));
            let is_described = described.contains(&(path, method));
            // A PUT whose meaning hangs on the body's key says the same of an empty body.
            if !(is_described && method == "put") {
                assert_eq!(is_described, !is_none, "{method} {path}: {} {text}", answer.status);
            }
        }
    }
}
