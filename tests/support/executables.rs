//! Programs that tests make. The kernel starts no file that somebody has open for writing, and a thread that starts a process
//! at that moment hands it the open file for as long as that takes. So another process writes them.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// Copies the program `from` to `to`.
#[track_caller]
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    install(from.as_ref(), to.as_ref(), b"");
}

/// Makes `path` a script of the shell.
#[track_caller]
pub fn script(path: impl AsRef<Path>, text: &str) {
    install(Path::new("/dev/stdin"), path.as_ref(), format!("#!/bin/sh\n{text}\n").as_bytes());
}

#[track_caller]
fn install(from: &Path, to: &Path, input: &[u8]) {
    let mut command = Command::new("/usr/bin/install");
    let mut child =
        command.args(["-m", "755"]).arg(from).arg(to).stdin(Stdio::piped()).spawn().expect("install starts");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    assert!(child.wait().expect("it ends").success(), "{} is not made", to.display());
}
