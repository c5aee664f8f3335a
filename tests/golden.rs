//! Golden folders: from a request body to swanctl.conf, to the vici requests and to the inventory.
//!
//! `golden/<case>/` holds `request.json` (the body of a Change or Create), for a Change `given.json` (the stored record
//! that it starts from), and what comes of it: `connection.conf`, `messages.txt` (the vici requests, values of bytes in
//! hexadecimal), `inventory.json` (without SAs, dates in UTC), and `warnings.txt` where nobody reads a member; or, of a refused request, `error.json` (what
//! `cygnet render` prints). `golden/cygnet.toml` is the gateway that they are for. Uuids that a Create draws at random
//! stand there as `<random>`.
//!
//! `CYGNET_BLESS=1 cargo test --test library golden::` writes the outputs anew; read the difference before it is committed. A new
//! case is a new folder `change-*` or `create-*` with its inputs (`change-error-*`, `create-error-*` if it is refused).

#[path = "support/golden/case.rs"]
mod case;
#[path = "support/golden/coverage.rs"]
mod coverage;
#[path = "support/golden/library.rs"]
mod library;
#[path = "support/golden/options.rs"]
mod options;
#[path = "support/golden/text.rs"]
mod text;

use case::Case;
use cygnet::{
    store::format,
    strongswan::conf::{Traps, render},
};
use std::{num::NonZero, process::Command};

/// Whether the outputs are being written, by one test: the others must not look at them then.
fn is_blessing() -> bool {
    std::env::var_os("CYGNET_BLESS").is_some_and(|value| value == "1")
}

/// Fails with all complaints at once.
#[track_caller]
fn expect_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn every_case_gives_its_outputs() {
    let gateway = case::gateway();
    let mut complaints = Vec::new();
    for case in case::all() {
        let outputs = library::outputs(&case, &gateway);
        if is_blessing() {
            case.write(&outputs);
        }
        for (file, actual) in outputs {
            let expected = case.text(file).unwrap_or_default();
            complaints.extend(text::difference(&format!("{}/{file}", case.name), &expected, &actual));
        }
        complaints.extend(case.misplaced_files());
    }
    expect_none(&complaints);
}

/// `upgrades/<release>-<what>/` has a record and the file as that release rendered it.
#[test]
fn a_stored_record_means_what_it_meant_to_the_release_that_wrote_it() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrades");
    let mut count = 0;
    for folder in std::fs::read_dir(directory).expect("a directory") {
        let folder = folder.expect("an entry").path();
        let read = |name| std::fs::read_to_string(folder.join(name)).expect("a file");
        let record = format::from_bytes(read("record.json").as_bytes()).expect("a record");
        let again = format::from_bytes(&format::to_bytes(&record).expect("bytes")).expect("a record");
        for record in [&record, &again] {
            let conf = render(&record.accepting(), Traps::Supported).expect("it can be rendered");
            assert_eq!(conf.expose(), read("connection.conf"), "{}", folder.display());
        }
        count += 1;
    }
    assert!(count > 5, "{count} records");
}

/// `cygnet export | cygnet apply` does nothing where it comes from, and makes the same elsewhere, of every record.
#[test]
fn every_case_is_the_same_exported_and_declared() {
    if is_blessing() {
        return;
    }
    let gateway = case::gateway();
    let complaints: Vec<_> = case::all().iter().flat_map(|case| library::exported_again(case, &gateway)).collect();
    expect_none(&complaints);
}

#[test]
fn the_binary_renders_every_case_the_same() {
    if is_blessing() {
        return;
    }
    let cases = case::all();
    let at_once = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = |cases: &[Case]| cases.iter().flat_map(complaints_about_the_binary).collect::<Vec<_>>();
    let complaints: Vec<_> = std::thread::scope(|scope| {
        let shares: Vec<_> =
            cases.chunks(cases.len().div_ceil(at_once)).map(|cases| scope.spawn(move || share(cases))).collect();
        shares.into_iter().flat_map(|share| share.join().expect("no panic")).collect()
    });
    expect_none(&complaints);
}

/// What `cygnet render` does with the case and should not.
fn complaints_about_the_binary(case: &Case) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    command.args(["--config", &case::config(), "render"]).arg(case.path("request.json"));
    if case.is_change() {
        command.arg("--given").arg(case.path("given.json"));
    }
    if case.has_named_peer() && !case.is_refused() {
        command.args(["--peer-address", case::RESOLVED]);
    }
    let done = command.output().expect("cygnet can be started");
    let expected = |file| case.text(file).unwrap_or_default();
    let said = expected(if case.is_refused() { "error.json" } else { case::WARNINGS });
    let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let mut complaints = Vec::new();
    complaints.extend(text::difference(&format!("{}: stdout", case.name), &expected("connection.conf"), &stdout));
    complaints.extend(text::difference(&format!("{}: stderr", case.name), &said, &stderr));
    let code = i32::from(case.is_refused());
    if done.status.code() != Some(code) {
        complaints.push(format!("{}: exit code {:?} instead of {code}", case.name, done.status.code()));
    }
    complaints
}

#[test]
fn every_value_of_the_api_occurs() {
    let occurring = coverage::occurring(&case::all());
    let missing: Vec<_> = coverage::wanted().into_iter().filter(|value| !occurring.contains(value)).collect();
    assert!(missing.is_empty(), "no golden request has {missing:?}");
}

#[test]
fn every_refused_value_occurs() {
    if is_blessing() {
        return;
    }
    let refused: Vec<_> = case::all().into_iter().filter(Case::is_refused).collect();
    let occurring = coverage::refused(&refused);
    assert!(occurring.contains(&("transformProtocol".to_owned(), "ah-esp".to_owned())));
    // Each field that has valid values has a refused one too, whose answer lists them.
    for field in coverage::FIELDS {
        let said = refused.iter().filter_map(|case| case.text("error.json"));
        let lists = |text: &String| text.contains(&format!("valid value for field[{field}]"));
        assert!(said.filter(lists).count() >= 2, "{field}: one Change and one Create with an unknown value");
    }
}

#[test]
fn a_difference_is_seen() {
    assert_eq!(text::difference("case", "a\nb\nc\n", "a\nb\nc\n"), None);
    let seen = text::difference("case", "a\nb\nc\nd\n", "a\nB\nc\nd\n").expect("they differ");
    assert_eq!(seen, "case:\n    a\n  - b\n  + B\n    c\n    d\n");
    let seen = text::difference("case", "a\n", "a").expect("they differ");
    assert!(seen.contains("newline"), "{seen}");
}
