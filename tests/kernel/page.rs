//! docs/interoperability.md against what it tells of: the tests that it names are there, and the settings that it shows
//! are those that the peers are given.

use serde_json::Value;

use crate::foreign::{Configuration, Kind};
use crate::foreign_bed::wanted;
use crate::foreign_texts::text;

/// A file of the repository.
#[track_caller]
fn read(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_page_names_tests_that_are_there() {
    let page = read("docs/interoperability.md");
    let links: Vec<_> = page.split("[`").skip(1).filter_map(|rest| rest.split_once("`](../")).collect();
    assert!(links.len() >= 15, "{links:?}");
    for (test, rest) in links {
        let file = rest.split(')').next().unwrap_or_default();
        assert!(read(file).contains(&format!("fn {test}(")), "{test} is not in {file}");
    }
}

#[test]
fn the_page_has_the_settings_of_the_tests() {
    let page = read("docs/interoperability.md");
    let (_, rest) = page.split_once("\n## Settings\n").expect("a section");
    let rows = rest.split("\n## ").next().unwrap_or_default().lines().filter(|line| line.starts_with("| "));
    let rows: Vec<Vec<_>> = rows.skip(1).map(|row| row.split(" | ").collect()).collect();
    assert_eq!(rows.len(), 8, "{rows:?}");
    let ours = wanted();
    for row in &rows {
        for pair in quoted(row[1]).collect::<Vec<_>>().chunks(2) {
            let value = ours.get(pair[0]).unwrap_or_else(|| panic!("{pair:?} is not in {ours}"));
            let said = match value {
                Value::Array(all) => all[0].clone(),
                one => one.clone(),
            };
            let said = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
            assert!(pair.get(1).is_none_or(|shown| said == *shown), "{pair:?}: {value}");
        }
        for (kind, cell) in [(Kind::Libreswan, row[2]), (Kind::Openiked, row[3])] {
            let given = text(kind, &Configuration::RIGHT, false);
            let cell = cell.split([',', '(']).next().unwrap_or_default();
            assert!(quoted(cell).count() >= 1 && quoted(cell).all(|part| given.contains(part)), "{cell}: {given}");
        }
    }
}
