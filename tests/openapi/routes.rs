//! The paths and methods of the document against the router's own text, and against what the agent answers to each.

use crate::{
    document::{METHODS, document, operations},
    serve::{Bench, uuid},
};
use std::{collections::BTreeSet, fs, path::Path};

/// The paths in the router's text; whatever makes a route in another way than a literal path fails the test.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../../src/http.rs");
    let literal: Vec<_> = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for other in [".nest", ".route_service(", ".fallback_service("] {
        assert!(!source.contains(other), "{other} is not understood here");
    }
    assert_eq!(source.matches(".route(").count(), literal.len(), "a path that is not literal");
    let paths: BTreeSet<_> = literal.iter().map(ToString::to_string).collect();
    assert_eq!(paths.len(), literal.len(), "a path twice");
    paths
}

#[test]
fn the_paths_are_those_of_the_router() {
    let document = document();
    let described: BTreeSet<_> = operations(&document).into_iter().map(|(path, ..)| path.to_owned()).collect();
    assert_eq!(described, routes());
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
            } else if path != directory.join("http.rs") {
                assert!(!fs::read_to_string(&path).expect("text").contains(".route("), "{}", path.display());
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
    for path in routes().iter().filter(|path| !path.ends_with("/ipseclog") && !path.ends_with("/events")) {
        for method in methods.clone() {
            let answer = bench.ask(&method.to_uppercase(), &path.replace("{uuid}", &uuid(9)), b"");
            let text = answer.text();
            assert!(!text.starts_with("no api mapping"), "{path} is not served");
            let is_none = answer.status == 405
                || (answer.status == 500 && text.starts_with("No "))
                || (answer.status == 400 && text.starts_with("the body doesn't contain action"));
            let is_described = described.contains(&(path.as_str(), method));
            // A PUT whose meaning hangs on the body's key says the same of an empty body.
            if !(is_described && method == "put") {
                assert_eq!(is_described, !is_none, "{method} {path}: {} {text}", answer.status);
            }
        }
    }
}
