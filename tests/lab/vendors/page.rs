//! docs/interoperability.md shows every row of tests/lab/vendors/*.toml, with the settings that the lab runs, and no other.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::vendor_rows::{Role, Row, Vendor, vendors};

const PAGE: &str = "docs/interoperability.md";
/// What stands around the part that is made.
const MARKS: [&str; 2] = [
    "<!-- made of tests/lab/vendors: CYGNET_BLESS=1 cargo test --locked --test library vendors -->\n",
    "<!-- end of what is made -->\n",
];

/// A file of the repository.
fn path(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text as an example with addresses, fit for a cell.
fn shown(text: &str) -> String {
    let words = [
        ("<peer>", "192.0.2.2"),
        ("<vip>", "192.0.2.1"),
        ("<net>", "10.2"),
        ("<inner>", "172.16.0.2"),
        ("<name>", "branch.example.net"),
    ];
    words.iter().fold(text.to_owned(), |text, (word, meaning)| text.replace(word, meaning)).replace('|', "\\|")
}

/// What the test holds.
fn holds(row: &Row) -> String {
    if !row.holds.is_empty() {
        return format!("{}.", row.holds);
    }
    if let Some(text) = &row.refused {
        return format!("Refused: \"{text}\".");
    }
    let begins = match &*row.begins {
        [Role::We] => "where cygnet begins",
        [Role::Peer] => "where the peer begins",
        _ => "whichever end begins",
    };
    if let Some(code) = &row.reason {
        return format!("Not Ready, {begins}: `{code}`.");
    }
    let children = row
        .children
        .map_or_else(String::new, |count| format!(", {count} CHILD_SA{}", if count == 1 { "" } else { "s" }));
    let rekeys = row.rekeys.map_or_else(String::new, |count| format!(", and stays so through {count} new CHILD_SAs"));
    let warns = row.warns.as_ref().map_or_else(String::new, |code| format!("; the warning `{code}`"));
    let carries = if row.twice { "Both are Ready" } else { "Ready, packets both ways" };
    format!("{carries}, {begins}{children}{rekeys}{warns}.")
}

/// Where the test is.
fn link(file: &str, row: &Row) -> String {
    match row.test.as_ref().and_then(|test| test.split_once("::")) {
        Some((file, function)) => format!("{}: [`{function}`](../{file})", row.name),
        None => format!("[{}](../tests/lab/vendors/{file})", row.name),
    }
}

fn table(Vendor { heading, about, rows, file, .. }: &Vendor) -> String {
    let mut text = format!("\n### {heading}\n\n");
    if !about.is_empty() {
        let _ = writeln!(text, "{about}\n");
    }
    text += "| case, test | `cygnet create` | the other end | what holds, what to watch |\n|---|---|---|---|\n";
    for row in rows {
        let said = [holds(row), row.watch.clone()].join(" ");
        let cells = [
            format!("{}<br>{}", link(file, row), row.what),
            format!("`{}`", row.arguments()),
            row.theirs.clone(),
            said,
        ];
        let cells = cells.map(|cell| shown(cell.trim()));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

#[test]
fn the_page_shows_every_row() {
    let page = read(PAGE);
    let split = |mark: &str, text: &str| {
        let (before, after) = text.split_once(mark).unwrap_or_else(|| panic!("{PAGE} has no {mark}"));
        (before.to_owned() + mark, after.to_owned())
    };
    let (before, rest) = split(MARKS[0], &page);
    let (_, after) = split(MARKS[1], &rest);
    let made = before + &vendors().iter().map(table).collect::<String>() + "\n" + MARKS[1] + &after;
    if std::env::var_os("CYGNET_BLESS").is_some() {
        std::fs::write(path(PAGE), made).expect("written");
    } else {
        assert!(page == made, "{PAGE} is not what the rows of tests/lab/vendors make: {}", MARKS[0]);
    }
}

#[test]
fn each_row_is_a_test_of_its_own() {
    let vendors = vendors();
    let rows: Vec<_> = vendors.iter().flat_map(|vendor| &vendor.rows).collect();
    let names: BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
    assert!(names.len() == rows.len() && rows.len() > 40, "{} names of {} rows", names.len(), rows.len());
    for row in rows {
        assert!(!row.begins.is_empty() && !row.what.is_empty(), "{}", row.name);
        assert!(row.refused.is_some() || !row.theirs.is_empty(), "{}: the other end has settings", row.name);
        assert_eq!(row.test.is_some(), !row.holds.is_empty(), "{}", row.name);
        if let Some((file, function)) = row.test.as_ref().map(|test| test.split_once("::").expect("file::function")) {
            assert!(read(file).contains(&format!("fn {function}(")), "{}: no {function} in {file}", row.name);
        }
    }
}
