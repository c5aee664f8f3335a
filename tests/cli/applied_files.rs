//! The files of `cygnet apply`: which are read, and what is refused with its place.

use super::{
    applied::{document, file},
    run::{OTHER_KEY, fed, run},
};
use crate::serve::{Bench, KEY, files, uuid};
use std::{fs, os::unix::fs::symlink};

/// A connection that lacks nothing.
fn whole(n: u8, more: &str) -> String {
    document(n, &format!("authKey: {KEY}\n{more}"))
}

/// What is said of a file; nothing is written.
#[track_caller]
fn refused(b: &Bench, name: &str, text: &[u8]) -> String {
    let path = b.path(name);
    fs::write(&path, text).expect("a file");
    let path = path.display().to_string();
    let ended = run(b, &["apply", "-f", &path, "--yes"]).ends(1);
    assert!(files(&b.connections_dir()).is_empty(), "{}", ended.err);
    ended.err.replace(&path, name)
}

#[test]
fn what_is_wrong_has_its_file_document_and_line() {
    let b = Bench::start();
    let two = |second: &str| whole(1, "") + &whole(2, second);
    for (text, said) in [
        (
            two("lifeTme: 60\n"),
            "a.yaml, document 2, line 19: lifeTme is no member of a connection: did you mean lifeTime?",
        ),
        (two("lifeTime: soon\n"), "a.yaml, document 2, line 19: lifeTime must be a whole number"),
        (two("pfs: dh-group3\n"), "a.yaml, document 2, line 19: pfs must be one of none, "),
        (two("ikeAuthAlgorithm: [a]\n"), "a.yaml, document 2, line 19: ikeAuthAlgorithm must be a string"),
        (two("").replace("10.2.2.0/24", "10.2.2.1/24"), "a.yaml, document 2, line 16: peerCidrs "),
        (
            two("").replace("site-2", "site-1"),
            "a.yaml, document 2, line 11: the name site-1 stands in a.yaml, document 1, line 2 too",
        ),
        (two("").replace(&uuid(2), &uuid(1)), "a.yaml, document 2, line 12: the uuid "),
        (two("").replace("100.2", "100.1"), "a.yaml, document 2, line 14: peerAddress: the connection site-1"),
        (two("authKeyFile: x\n"), "a.yaml, document 2, line 19: authKeyFile stands beside authKey"),
        (document(1, "authKeyFile: /nowhere\n"), "a.yaml, line 9: cannot read the key from /nowhere"),
        (document(1, ""), "a.yaml, line 2: authKey is missing"),
        (document(1, "authKey: 0x1234567890\n"), "a.yaml, line 9: some readers of YAML take this for a number"),
        ("a: 1\nb:\n\tc: 2\n".into(), "a.yaml, line 3: it is no YAML"),
        ("a: &x [1]\n".into(), "a.yaml, line 1: an anchor (&) is not read"),
        ("just text\n".into(), "a.yaml, line 1: a connection is a mapping of members"),
        ("connections: 7\n".into(), "a.yaml, line 1: connections must be a list"),
        ("[[]]".into(), "a.yaml, line 1: a connection is a mapping of members"),
    ] {
        let err = refused(&b, "a.yaml", text.as_bytes());
        assert!(err.contains(said), "{said}\n{err}\n{text}");
    }
    // All of them at once.
    let err = refused(&b, "a.yaml", (whole(1, "x: 1\n") + &whole(2, "y: 1\n")).as_bytes());
    assert!(
        err.contains("x is no member") && err.contains("y is no member") && err.contains("2 faults; nothing was done"),
        "{err}"
    );
}

#[test]
fn bytes_that_are_no_text_and_files_that_are_too_long_are_refused() {
    let b = Bench::start();
    assert!(refused(&b, "a.yaml", b"name: \xff\n").contains("a.yaml: it is not UTF-8"));
    let utf16: Vec<u8> = "\u{feff}name: a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(refused(&b, "a.yaml", &utf16).contains("it is not UTF-8"));
    assert!(refused(&b, "a.yaml", &vec![b'#'; 5 << 20]).contains("at most 4194304 are read"));
    let long = "x".repeat((8 << 20) + 1);
    assert!(fed(&b, &["apply", "-f", "-", "--yes"], &long).ends(1).err.contains("longer than 8388608 bytes"));
    let bomb: String =
        (1..20).fold("a0: &a0 [x]\n".into(), |text, n| text + &format!("a{n}: &a{n} [*a{0},*a{0}]\n", n - 1));
    assert!(refused(&b, "a.yaml", bomb.as_bytes()).contains("line 1: an anchor"));
    let bom = format!("\u{feff}{}", whole(1, "").replace('\n', "\r\n"));
    let path = file(&b, "bom.yaml", &bom);
    assert!(run(&b, &["apply", "-f", &path, "--dry-run"]).ends(0).out.contains("1 to create"));
}

#[test]
fn of_a_directory_its_own_files_are_read() {
    let b = Bench::start();
    file(&b, "set/b.yml", &whole(2, ""));
    file(&b, "set/a.yaml", &format!("connections:\n{}", whole(1, "").replace("---\n", "  - ").replace('\n', "\n    ")));
    file(
        &b,
        "set/c.json",
        &format!(
            "[{{\"name\":\"site-3\",\"vipUuid\":\"192.0.2.1\",\"peerAddress\":\"198.51.100.3\",\n\t\"authKey\":\"{OTHER_KEY}\"}}]"
        ),
    );
    file(&b, "set/README.md", "not YAML: [");
    file(&b, "set/.hidden.yaml", "not YAML: [");
    file(&b, "set/below/d.yaml", "not YAML: [");
    file(&b, "elsewhere/e.yaml", &whole(5, ""));
    symlink(b.path("elsewhere"), b.path("set/link.yaml")).expect("a link");
    symlink(b.path("set"), b.path("set/loop")).expect("a link");
    symlink(b.path("elsewhere/e.yaml"), b.path("set/e.yaml")).expect("a link");
    let set = b.path("set").display().to_string();
    let ended = run(&b, &["apply", "-f", &set, "--dry-run", "--json"]).ends(0);
    let names: Vec<_> =
        ended.json()["connections"].as_array().expect("a list").iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["site-1", "site-2", "site-3", "site-5"]);
    let skipped: Vec<_> = ["README.md", "below", "link.yaml", "loop"]
        .into_iter()
        .filter(|name| !ended.err.contains(&format!("set/{name} is not read")))
        .collect();
    assert!(skipped.is_empty() && !ended.err.contains("hidden"), "{skipped:?} {}", ended.err);
    nix::unistd::mkfifo(&b.path("set/pipe.yaml"), nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
    assert!(run(&b, &["apply", "-f", &set, "--dry-run"]).ends(1).err.contains("a named pipe"));
    let empty = b.path("empty");
    fs::create_dir(&empty).expect("a directory");
    let none = run(&b, &["apply", "-f", &empty.display().to_string(), "--yes"]).ends(0);
    assert_eq!(none.out, "0 to create, 0 to change, 0 to delete, 0 as the files say\n");
    assert!(run(&b, &["apply", "-f", "/nowhere", "--yes"]).ends(1).err.contains("cannot read /nowhere"));
}
