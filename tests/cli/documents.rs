//! The documents: those that are made from definitions are current, and what the others point at exists.

use super::ships::man::documents;
use cygnet::ipsec::Code;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// `CYGNET_BLESS=1` writes them.
#[test]
fn pages_in_docs_are_current() {
    for (name, text) in [
        ("cli.md", documents::command_line()),
        ("fleet-cli.md", documents::fleet_command_line()),
        ("configuration.md", documents::configuration()),
    ] {
        let path = Path::new(ROOT).join("docs").join(name);
        if std::env::var_os("CYGNET_BLESS").is_some_and(|value| value == "1") {
            fs::write(&path, &text).expect("written");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "docs/{name} is stale: CYGNET_BLESS=1 cargo test --test agent pages_in_docs");
    }
}

/// The files below `directory` whose names end in `.extension`.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let (directories, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found.extend(directories.iter().flat_map(|directory| files(directory, extension)));
    found
}

/// The pages in the root of the tree, and those below docs.
fn pages() -> Vec<PathBuf> {
    let mut found = files(&Path::new(ROOT).join("docs"), "md");
    found.extend(
        ["README", "CHANGELOG", "CONTRIBUTING", "SECURITY"].map(|name| Path::new(ROOT).join(format!("{name}.md"))),
    );
    found
}

/// The names by which the headings of a page can be pointed at.
fn anchors(text: &str) -> BTreeSet<String> {
    let name = |heading: &str| {
        let kept = heading.trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    text.lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')))
        .map(name)
        .collect()
}

#[test]
fn links_in_documents_have_targets() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name("").join(file) };
            // It may be a picture.
            let found = fs::read(&target).unwrap_or_else(|e| panic!("{}: {link}: {e}", page.display()));
            let found = String::from_utf8_lossy(&found);
            assert!(anchor.is_empty() || anchors(&found).contains(anchor), "{}: {link}", page.display());
            count += 1;
        }
    }
    assert!(count > 40, "{count} links were found");
}

/// What stands in backquotes and begins like a path of the tree is one; a pattern, or a folder of each case, is none.
#[test]
fn paths_in_documents_exist() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let words = text.split(['`', ' ', '\n']).map(|word| word.trim_end_matches(['.', ',', ';', ':', ')']));
        let is_path =
            |word: &&str| ["src/", "tests/", "packaging/", "docs/"].iter().any(|start| word.starts_with(start));
        for path in words.filter(is_path).filter(|word| !word.contains(['<', '*', '(', '[', ']'])) {
            assert!(Path::new(ROOT).join(path).exists(), "{}: there is no {path}", page.display());
            count += 1;
        }
    }
    assert!(count > 40, "{count} paths were found");
}

/// What a person looks up: each reason in the table of the operator's page, each call of our own in the page of them.
#[test]
fn reasons_and_calls_are_described() {
    let page = |name: &str| fs::read_to_string(Path::new(ROOT).join("docs").join(name)).expect("a page");
    let (operate, native) = (page("operate.md"), page("api/native.md"));
    for name in Code::ALL.map(Code::name) {
        assert!(operate.contains(&format!("| `{name}` |")), "docs/operate.md has no row for {name}");
    }
    let document: Value = serde_json::from_str(&cygnet::http::openapi::DOCUMENT).expect("JSON");
    let calls = document["paths"].as_object().expect("paths").keys().filter(|path| !path.starts_with("/zstack/"));
    for path in calls {
        assert!(native.contains(&format!(" {path}`")), "docs/api/native.md does not have {path}");
    }
}

/// Comments cite sections of two pages: `facts 3.1` and `contract 1.4`. In sections 0 and 20 of the facts, the second
/// number is that of an item.
#[test]
fn what_comments_cite_exists() {
    let mut count = 0;
    for (word, page) in [("facts ", "strongswan/facts.md"), ("contract ", "api/zstack-contract.md")] {
        let text = fs::read_to_string(Path::new(ROOT).join("docs").join(page)).expect("a page");
        let sections = numbers(&text);
        for path in ["src", "tests"].iter().flat_map(|name| files(&Path::new(ROOT).join(name), "rs")) {
            let source = fs::read_to_string(&path).expect("a source");
            for rest in source.split(word).skip(1).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
                let cited = rest[..end].trim_end_matches('.');
                assert!(sections.contains(cited), "{} cites {word}{cited}, which {page} does not have", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count} citations were found");
}

/// The numbers of sections, and of the items that lie directly in a section without a dot, as `20.3`.
fn numbers(page: &str) -> BTreeSet<String> {
    let (mut found, mut section) = (BTreeSet::new(), String::new());
    for line in page.lines() {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        if mark.starts_with('#') {
            let number = rest.split(' ').next().unwrap_or_default().trim_end_matches('.');
            number.clone_into(&mut section);
            found.insert(section.clone());
        } else if let Some(item) = mark.strip_suffix('.').filter(|item| item.parse::<u32>().is_ok()) {
            found.insert(format!("{section}.{item}"));
        }
    }
    found
}
