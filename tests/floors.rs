//! The rules of the design that a compiler does not check, read off the text of `src/` and `templates/`: imports go
//! downwards only, the model does no I/O, nothing unwraps, no template trusts a value, and ZStack's words stay outside.
//! It knows Rust only as far as its paths; what stands behind `#[cfg(test)] mod` is not looked at.

#[path = "floors/circles.rs"]
mod circles;
#[path = "floors/lines.rs"]
mod lines;
#[path = "floors/paths.rs"]
mod paths;
#[path = "floors/public.rs"]
mod public;

use circles::{circles, edges};
use paths::{Source, mentions, references, sources};
use std::path::Path;

/// Which floor each module stands on. The longest prefix counts; a module that is not named here fails the test.
const FLOORS: [(&str, u8); 40] = [
    // What the model refuses is an error.
    ("error", 2),
    ("settings", 0),
    ("visible", 0),
    ("ranked", 0),
    ("nearest", 0),
    ("rights", 0),
    ("seal", 0),
    // Reading, which the settings need too.
    ("disk::open", 0),
    ("ipsec", 1),
    ("strongswan::alert", 2),
    ("strongswan::charon", 2),
    ("strongswan::conf", 2),
    ("strongswan::credentials", 2),
    ("strongswan::foreign", 2),
    ("strongswan::message", 2),
    ("strongswan::names", 2),
    ("strongswan::observe", 2),
    ("strongswan::packet", 2),
    ("strongswan::requests", 2),
    ("strongswan::pretty", 2),
    ("strongswan::section", 2),
    ("strongswan::log_parser", 2),
    ("strongswan::words", 2),
    ("moment", 3),
    ("disk", 3),
    ("host", 3),
    ("doctor::facts", 3),
    ("store", 3),
    ("strongswan", 3),
    ("strongswan::dry_run", 3),
    ("strongswan::swanctl", 3),
    ("strongswan::vici", 3),
    ("agent", 4),
    ("doctor", 5),
    ("http", 6),
    ("cli", 7),
    ("fleet", 7),
    ("main", 7),
    // Only names the modules.
    ("lib", 7),
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
    let paths = mentions(&source.code, &["std::", "tokio::", "axum::"]);
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

/// At default output the journal shows the message and no fields.
#[test]
fn a_line_of_the_log_says_it_all() {
    none(&src().iter().flat_map(lines::unclear).collect::<Vec<_>>());
}

/// What opens a file to read it.
const OPENING: [&str; 7] =
    ["File::open", "OpenOptions", "fs::read(", "fs::read_to_string", "pem_file", "fs::copy", "File::options"];

#[test]
fn files_are_read_by_one_function() {
    // Directories are opened to be made durable; what a person names on the command line may be a pipe.
    let may = ["disk/open.rs", "disk.rs", "cli/input.rs", "fleet/input.rs"];
    let others: Vec<_> = src().into_iter().filter(|source| !may.contains(&source.name.as_str())).collect();
    none(&others.iter().flat_map(|source| holds(source, &OPENING)).collect::<Vec<_>>());
    assert_eq!(holds(&snippet("store", "let text = std::fs::read_to_string(path);"), &OPENING).len(), 1);
}

/// What writes to a person's terminal or to systemd without making hidden characters visible.
#[test]
fn the_log_has_one_door() {
    let others: Vec<_> = src().into_iter().filter(|source| source.name != "cli/logging.rs").collect();
    none(
        &others
            .iter()
            .flat_map(|source| holds(source, &["eprintln!", "println!", "tracing_journald", "fmt::layer"]))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn zstacks_words_stay_on_the_floor_of_http() {
    // The command line above it speaks HTTP too.
    let below = |source: &&Source| floor(&source.module) < Some(6);
    none(&src().iter().filter(below).flat_map(|source| holds(source, &ZSTACK)).collect::<Vec<_>>());
}

/// A text of a result, searched for words.
const TOLD_BY_WORDS: [&str; 10] = [
    "words.starts_with(\"",
    "words.ends_with(\"",
    "words.contains(\"",
    "details.starts_with(\"",
    "details.contains(\"",
    "message.contains(\"",
    "what.contains(\"",
    "why.contains(\"",
    "to_string().contains(\"",
    "to_string().starts_with(\"",
];

/// charon's words are read where its log is parsed and where its refusals are; what is our own is data.
#[test]
fn no_result_is_told_from_another_by_its_words() {
    let reads_charon = |source: &&Source| {
        let module = source.module.as_str();
        module == "strongswan::refused" || module.starts_with("strongswan::log_parser")
    };
    let others = src().into_iter().filter(|source| !reads_charon(&source)).collect::<Vec<_>>();
    none(&others.iter().flat_map(|source| holds(source, &TOLD_BY_WORDS)).collect::<Vec<_>>());
    assert_eq!(holds(&snippet("agent", "if words.contains(\"SAs\") {}"), &TOLD_BY_WORDS).len(), 1);
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

/// Cargo looks for no programs in `tests/` (`autotests`): a file that nothing names would never run.
#[test]
fn every_file_of_tests_is_in_a_program() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let is_root =
        |path: &std::path::PathBuf| path.parent() == Some(&tests) && path.extension().is_some_and(|e| e == "rs");
    let roots: Vec<_> = paths::files(&tests).into_iter().filter(is_root).collect();
    let text = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("a source");
    let (manifest, programs) = (include_str!("../Cargo.toml"), roots.iter().map(text).collect::<String>());
    for root in roots {
        let name = root.file_stem().expect("a name").to_string_lossy().into_owned();
        let is_program = manifest.contains(&format!("path = \"tests/{name}.rs\""));
        assert!(is_program || programs.contains(&format!("\nmod {name};")), "tests/{name}.rs is in no program");
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
        ("strongswan::conf", "use super::vici::Vici;"),
        ("strongswan::conf", "use super::{section::Section, swanctl::Swanctl};"),
        ("strongswan::vici::pool", "fn f() { super::super::super::agent::run() }"),
        ("store::format", "fn f(x: &crate::agent::Agent) {}"),
        ("disk", "use crate::nowhere::X;"),
        ("strongswan::requests", "use crate::strongswan::StrongSwan;"),
        ("nowhere", ""),
    ];
    for (module, text) in wrong {
        assert!(!upward(&snippet(module, text)).is_empty(), "{module}: {text}");
    }
    let right = [
        (
            "agent::change::transaction",
            "use crate::{error::{Error, Result}, ipsec::Connection, store::Record, strongswan::{StrongSwan, names}};",
        ),
        ("strongswan::conf", "use super::{names, section::{Section, Value}}; use crate::ipsec::Auth;"),
        ("ipsec", "/// See [`crate::agent`].\npub use connection::Connection; // crate::http\n"),
        ("ipsec::psk", "fn f() { let x = \"crate::agent::run\"; }"),
        (
            "ipsec::psk",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::agent::X;\n    fn g() { x.unwrap() }\n}\n",
        ),
        ("strongswan::vici::pool", "pub(super) fn f(x: self::Pool) { super::failed() }"),
    ];
    for (module, text) in right {
        none(&upward(&snippet(module, text)));
    }
    assert_eq!(io(&snippet("ipsec", "use std::{fmt, fs, net::{IpAddr, TcpStream}};\nuse tokio::time;")).len(), 3);
    assert_eq!(holds(&snippet("agent", "x . y.unwrap()"), &[".unwrap()"]).len(), 1);
    assert_eq!(holds(&snippet("agent", "json[\"pfs\"]"), &ZSTACK).len(), 1);
}

#[test]
fn no_file_is_in_a_circle() {
    let sources = src();
    let told = |circle: &Vec<String>| format!("a circle of {}:\n{}", circle.len(), edges(&sources, circle));
    none(&circles(&sources).iter().map(told).collect::<Vec<_>>());
}

#[test]
fn the_checker_sees_circles() {
    let found = |files: &[(&str, &str)]| {
        let sources: Vec<_> = files.iter().map(|(module, text)| snippet(module, text)).collect();
        circles(&sources).into_iter().map(|circle| circle.join(" ")).collect::<Vec<_>>()
    };
    let facade = ("http", "mod a;\nmod b;\npub use crate::http::a::A;\npub(crate) use b::B;");
    assert_eq!(found(&[facade, ("http::a", "use super::B;"), ("http::b", "use super::A;")]), ["http::a http::b"]);
    assert_eq!(
        found(&[facade, ("http::a", "fn f() { super::b::g() }"), ("http::b", "use crate::http::{A as X, C};")]),
        ["http::a http::b"]
    );
    assert!(found(&[facade, ("http::a", "use super::B;"), ("http::b", "struct B;")]).is_empty(), "a facade is none");
    let parent = ("cli", "mod run;\nfn f() { run::run() }\npub struct Shared;");
    assert_eq!(found(&[parent, ("cli::run", "use super::Shared;")]), ["cli cli::run"]);
    assert!(
        found(&[parent, ("cli::run", "pub fn run() {}\n#[cfg(test)]\nmod tests {\n    use crate::cli::Shared;\n}")])
            .is_empty()
    );
    let three =
        [("a", "use crate::b::B;"), ("b", "use crate::c;"), ("c", "fn f(x: crate::a::A) {}"), ("d", "use crate::a;")];
    assert_eq!(found(&three), ["a b c"]);
}

/// The item of the standard library in `src/` that is the newest, and the Rust that first had it. clippy refuses what is
/// newer than `rust-version`; with this, the version is the lowest that builds.
const NEWEST: (&str, &str) = (".floor_char_boundary(", "1.91");

/// The lowest Rust that builds is what the manifest says: that of the newest item that we use, or of the dependency that
/// wants the newest.
#[test]
fn the_manifest_names_the_lowest_rust_that_builds() {
    let version = |text: &str| -> Vec<u32> {
        let mut parts: Vec<u32> = text.split('.').map(|part| part.parse().expect("a number")).collect();
        parts.resize(3, 0);
        parts
    };
    let mut command = std::process::Command::new(env!("CARGO"));
    command.args(["metadata", "--locked", "--offline", "--format-version", "1"]);
    // What is for other systems need not be there.
    command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let others =
        metadata["packages"].as_array().expect("packages").iter().filter(|package| package["name"] != "cygnet");
    let wanted =
        others.filter_map(|package| Some((version(package["rust_version"].as_str()?), package["name"].as_str()?)));
    let dependency = wanted.max().expect("dependencies say what they want");
    let used = sources(Path::new("src")).iter().any(|source| source.code.contains(NEWEST.0));
    assert!(used, "{} is not used any more: what is the newest item now?", NEWEST.0);
    let ours = version(env!("CARGO_PKG_RUST_VERSION"));
    assert_eq!(
        ours,
        version(NEWEST.1).max(dependency.0.clone()),
        "the dependency that wants the newest is {dependency:?}"
    );
}
