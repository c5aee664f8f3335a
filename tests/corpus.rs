//! The corpus of the fuzzers, replayed: each file through its target, which must not panic. What a fuzzer finds is
//! added to `tests/fuzz/corpus` and so stays fixed.

#[path = "fuzz/targets.rs"]
mod targets;

use std::{fs, path::Path};

fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is there") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("a file");
        // Its beginnings too: half a file is what a crash or a cut connection leaves.
        (0..=bytes.len()).step_by(bytes.len() / 64 + 1).for_each(|end| target(&bytes[..end]));
        target(&bytes);
        count += 1;
    }
    assert!(count >= 10, "{}: {count} files", folder.display());
}

#[test]
fn conf() {
    replay("conf", targets::conf);
}

#[test]
fn message() {
    replay("message", targets::message);
}

#[test]
fn body() {
    replay("body", targets::body);
}

#[test]
fn record() {
    replay("record", targets::record);
}
