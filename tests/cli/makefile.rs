//! On a machine that lacks something, `make` names it and says what to do.

use crate::{executables, skip::skipped};
use std::{os::unix::fs::symlink, path::Path, process::Command};

/// What `make build` says where only these programs are, each a line of shell, beside those that the makefile runs.
fn make(programs: &[(&str, &str)]) -> Option<(bool, String)> {
    let directory = tempfile::tempdir().expect("a directory");
    let usual =
        |name: &str| ["/usr/bin", "/bin"].map(|place| Path::new(place).join(name)).into_iter().find(|p| p.exists());
    let Some(make) = usual("make") else {
        skipped("the makefile is not tried: there is no make");
        return None;
    };
    for name in ["sed", "grep", "sh"] {
        symlink(usual(name).expect(name), directory.path().join(name)).expect("a link");
    }
    for (name, text) in programs {
        executables::script(directory.path().join(name), text);
    }
    let mut command = Command::new(make);
    let output = command.arg("build").current_dir(env!("CARGO_MANIFEST_DIR")).env("PATH", directory.path());
    let output = output.env_remove("MAKEFLAGS").output().expect("make runs");
    Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn make_says_what_is_missing_and_what_to_do() {
    let Some((success, said)) = make(&[]) else { return };
    let wanted = format!("Install Rust {} or newer", env!("CARGO_PKG_RUST_VERSION"));
    assert!(!success && said.contains("no cargo in PATH") && said.contains(&wanted), "{said}");

    let (cargo, none, user) = (("cargo", "exit 9"), ("dpkg-query", "exit 1"), ("id", "echo 1000"));
    let (success, said) = make(&[cargo, none, user, ("apt-get", "exit 9")]).expect("there is make");
    assert!(!success && said.contains("only root can install them") && said.contains("sudo apt-get install"), "{said}");
    let (success, said) = make(&[cargo, none, user]).expect("there is make");
    assert!(!success && said.contains("Install what these packages of Debian have: gcc"), "{said}");
}
