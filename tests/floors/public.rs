//! Only what another room uses is public: what is left over shows as unused to the compiler. A name counts as used where
//! it stands in another room, in the program or in a test. Types are not looked at: the signatures of what is public name
//! them.

use super::{
    none,
    paths::{Source, files, mentions, references, sources},
    snippet, src,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// The beginnings of public items that are not types.
const ITEMS: [&str; 5] = ["pub fn ", "pub const fn ", "pub async fn ", "pub const ", "pub static "];

/// The room of a module; the program is one.
fn room(module: &str) -> &str {
    match module.split("::").next() {
        Some("main" | "cli") => "cli",
        room => room.unwrap_or_default(),
    }
}

fn words(code: &str) -> BTreeSet<&str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect()
}

/// The modules that `source` makes public, whoever may see the source itself.
fn public_modules(source: &Source) -> impl Iterator<Item = String> {
    let own = if source.module == "lib" { String::new() } else { format!("{}::", source.module) };
    let names = source.code.lines().filter_map(|line| {
        let rest = line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("pub(crate) mod "))?;
        rest.strip_suffix(';')
    });
    names.map(move |name| format!("{own}{name}")).collect::<Vec<_>>().into_iter()
}

/// The public items and modules of the library that nobody of another room names.
fn unused(all: &[Source], tests: &[Source]) -> Vec<String> {
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut paths: Vec<(&str, String)> = Vec::new();
    for source in all {
        used.entry(room(&source.module)).or_default().extend(words(&source.code));
        paths.extend(references(source).into_iter().map(|path| (room(&source.module), path)));
    }
    for source in tests {
        used.entry("tests").or_default().extend(words(&source.code));
        let outer = mentions(&source.code, &["cygnet::"]);
        paths.extend(outer.iter().filter_map(|path| Some(("tests", path.strip_prefix("cygnet::")?.to_owned()))));
    }
    let public: BTreeSet<_> = all.iter().flat_map(public_modules).collect();
    let is_public = |module: &str| {
        let parts: Vec<_> = module.split("::").collect();
        (1..=parts.len()).all(|length| public.contains(&parts[..length].join("::")))
    };
    let mut wrong = Vec::new();
    for module in public.iter().filter(|module| module.contains("::") && is_public(module)) {
        let is_named = |path: &str| path == module || path.starts_with(&format!("{module}::"));
        let by_path = paths.iter().any(|(other, path)| *other != room(module) && is_named(path));
        // What is imported may be the module above it.
        let short = module.rsplitn(3, "::").take(2).collect::<Vec<_>>();
        let short = format!("{}::{}::", short[1], short[0]);
        let is_short = |source: &&Source| room(&source.module) != room(module) && source.code.contains(&short);
        if !by_path && !all.iter().chain(tests).any(|source| is_short(&source)) {
            wrong.push(format!("the module {module}"));
        }
    }
    for source in all.iter().filter(|source| is_public(&source.module)) {
        let names = source.code.lines().filter_map(|line| {
            let rest = ITEMS.iter().find_map(|item| line.trim_start().strip_prefix(item))?;
            rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
        });
        let others = || used.iter().filter(|(other, _)| **other != room(&source.module));
        let unused = names.filter(|name| !others().any(|(_, words)| words.contains(name)));
        wrong.extend(unused.map(|name| format!("{}: {name}", source.name)));
    }
    wrong
}

#[test]
fn only_what_another_room_uses_is_public() {
    let tests = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    assert!(tests.len() > 20, "the tests were found");
    let mut all = src();
    // Templates call methods of what they render.
    for path in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("templates")) {
        all.push(snippet("strongswan::templates", &std::fs::read_to_string(path).expect("a template")));
    }
    none(&unused(&all, &tests));
}

#[test]
fn the_checker_sees_what_nobody_uses() {
    let lib = snippet("lib", "pub mod ipsec;\nmod host;");
    let model =
        snippet("ipsec", "pub mod a;\npub mod b;\nmod c;\npub fn f() {}\n    pub fn g() {}\n    pub(super) fn h() {}");
    let inner = [snippet("ipsec::a", "pub const fn x() {}"), snippet("ipsec::c", "pub fn y() {}")];
    let user = snippet("cli", "use cygnet::ipsec::a::x;\nfn z() { f() }");
    let all: Vec<_> = [lib, model, user].into_iter().chain(inner).collect();
    assert_eq!(unused(&all, &[]), ["the module ipsec::b", "snippet.rs: g"]);
    assert_eq!(unused(&all, &[snippet("x", "use cygnet::ipsec::{b::B, g};")]), [""; 0]);
}
