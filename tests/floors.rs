//! The rules of the design that a compiler does not check, read off the text of `src/` and `templates/`: imports go
//! downwards only, the model does no I/O, nothing unwraps, no template trusts a value, and ZStack's words stay outside.
//! It knows Rust only as far as its paths; what stands behind `#[cfg(test)] mod` is not looked at.

#[path = "floors/paths.rs"]
mod paths;

use paths::{Source, mentions, references, sources};
use std::path::Path;

/// Which floor each module stands on. The longest prefix counts; a module that is not named here fails the test.
const FLOORS: [(&str, u8); 31] = [
    ("error", 0),
    ("settings", 0),
    ("ipsec", 1),
    ("swan::alert", 2),
    ("swan::charon", 2),
    ("swan::conf", 2),
    ("swan::credentials", 2),
    ("swan::message", 2),
    ("swan::names", 2),
    ("swan::observe", 2),
    ("swan::packet", 2),
    ("swan::plan", 2),
    ("swan::pretty", 2),
    ("swan::section", 2),
    ("swan::tale", 2),
    ("swan::words", 2),
    ("moment", 3),
    ("disk", 3),
    ("host", 3),
    ("gateway", 3),
    ("store", 3),
    ("swan", 3),
    ("swan::rehearsal", 3),
    ("swan::swanctl", 3),
    ("swan::vici", 3),
    ("agent", 4),
    ("http", 5),
    ("cli", 6),
    ("main", 6),
    // Only names the modules.
    ("lib", 6),
    ("cygnet", 0),
];

/// Words of ZStack's API as JSON members.
const ZSTACK: [&str; 5] =
    ["\"policyAuthAlgorithm\"", "\"peerCidrs\"", "\"vipUuid\"", "\"transformProtocol\"", "\"pfs\""];

/// What does I/O, or waits for it.
const IO: [&str; 8] =
    ["std::fs", "std::io::", "std::net::Tcp", "std::net::Udp", "std::os", "std::process", "tokio::", "axum::"];

/// The floor of a module or of a path into it.
fn floor(path: &str) -> Option<u8> {
    let within = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    FLOORS.iter().filter(|(prefix, _)| within(prefix)).max_by_key(|(prefix, _)| prefix.len()).map(|(_, floor)| *floor)
}

/// The paths in `source` that lead upwards, or to nowhere.
fn upward(source: &Source) -> Vec<String> {
    let Some(own) = floor(&source.module) else { return vec![format!("{}: it has no floor", source.name)] };
    let wrong = |path: &String| match floor(path) {
        None => Some(format!("{}: {path} has no floor", source.name)),
        Some(other) if other > own => Some(format!("{}: floor {own} uses {path} of floor {other}", source.name)),
        Some(_) => None,
    };
    references(source).iter().filter_map(wrong).collect()
}

/// Fails with all of `wrong`.
#[track_caller]
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The sources of the program.
fn src() -> Vec<Source> {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 20, "the sources were found");
    sources
}

#[test]
fn imports_go_downwards_only() {
    none(&src().iter().flat_map(upward).collect::<Vec<_>>());
}

/// The places where one of `words` stands in `source`.
fn holds(source: &Source, words: &[&str]) -> Vec<String> {
    let found = words.iter().filter(|word| source.code.contains(**word));
    found.map(|word| format!("{}: {word}", source.name)).collect()
}

/// The paths in `source` that do I/O.
fn io(source: &Source) -> Vec<String> {
    let paths = mentions(source, &["std::", "tokio::", "axum::"]);
    let wrong = paths.into_iter().filter(|path| IO.iter().any(|io| path.starts_with(io)));
    wrong.map(|path| format!("{}: {path}", source.name)).collect()
}

#[test]
fn the_model_does_no_io() {
    let sources = src();
    let model = sources.iter().filter(|source| floor(&source.module) == Some(1)).collect::<Vec<_>>();
    assert!(model.len() > 8, "the model was found");
    none(&model.into_iter().flat_map(io).collect::<Vec<_>>());
}

#[test]
fn nothing_unwraps() {
    none(&src().iter().flat_map(|source| holds(source, &[".unwrap()"])).collect::<Vec<_>>());
}

#[test]
fn zstacks_words_stay_on_the_floor_of_http() {
    // The command line above it speaks HTTP too.
    let below = |source: &&Source| floor(&source.module) < Some(5);
    none(&src().iter().filter(below).flat_map(|source| holds(source, &ZSTACK)).collect::<Vec<_>>());
}

#[test]
fn no_template_trusts_a_value() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let templates = paths::files(&directory);
    assert!(templates.iter().any(|path| path.ends_with("connection.conf")), "the templates were found");
    for path in templates {
        let text = std::fs::read_to_string(&path).expect("a template");
        let squeezed = text.replace(' ', "");
        assert!(!squeezed.contains("|safe") && !squeezed.contains("autoescape"), "{}", path.display());
    }
}

/// A source of the module `module`.
fn snippet(module: &str, text: &str) -> Source {
    Source::new("snippet.rs".into(), module.into(), text)
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let wrong = [
        ("ipsec::psk", "use crate::store::Store;"),
        ("ipsec", "use crate::{error::Error, store::{self as s, Store}, disk::{self}};"),
        ("swan::conf", "use super::vici::Vici;"),
        ("swan::conf", "use super::{section::Section, swanctl::Swanctl};"),
        ("swan::vici::pool", "fn f() { super::super::super::agent::run() }"),
        ("store::format", "fn f(x: &crate::agent::Agent) {}"),
        ("disk", "use crate::nowhere::X;"),
        ("swan::plan", "use crate::swan::Swan;"),
        ("nowhere", ""),
    ];
    for (module, text) in wrong {
        assert!(!upward(&snippet(module, text)).is_empty(), "{module}: {text}");
    }
    let right = [
        ("agent::apply", "use crate::{error::{Error, Result}, ipsec::Connection, store::Record, swan::{Swan, names}};"),
        ("swan::conf", "use super::{names, section::{Section, Value}}; use crate::ipsec::Auth;"),
        ("ipsec", "/// See [`crate::agent`].\npub use connection::Connection; // crate::http\n"),
        ("ipsec::psk", "fn f() { let x = \"crate::agent::run\"; }"),
        (
            "ipsec::psk",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::agent::X;\n    fn g() { x.unwrap() }\n}\n",
        ),
        ("swan::vici::pool", "pub(super) fn f(x: self::Pool) { super::failed() }"),
    ];
    for (module, text) in right {
        none(&upward(&snippet(module, text)));
    }
    assert_eq!(io(&snippet("ipsec", "use std::{fmt, fs, net::{IpAddr, TcpStream}};\nuse tokio::time;")).len(), 3);
    assert_eq!(holds(&snippet("agent", "x . y.unwrap()"), &[".unwrap()"]).len(), 1);
    assert_eq!(holds(&snippet("agent", "json[\"pfs\"]"), &ZSTACK).len(), 1);
}
