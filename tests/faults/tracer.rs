//! strace on a running agent: makes one of its system calls fail, and tells which.

use crate::{
    serve::{Bench, wait_until},
    skip::skipped,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// strace, attached; it lets go when dropped.
pub struct Tracer {
    strace: Child,
    output: PathBuf,
}

impl Tracer {
    /// Attaches to the agent, all of whose threads get `fault` (`fsync:error=EIO:when=1`; it is counted per thread),
    /// with `path` only where that is the file. Says so and returns nothing where that is not allowed.
    pub fn attach(b: &Bench, fault: &str, path: Option<&Path>) -> Option<Self> {
        let output = b.path("strace");
        let (syscall, _) = fault.split_once(':').expect("a system call and what becomes of it");
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-p", &b.pid().to_string(), "-e", &format!("trace={syscall}")]);
        if let Some(path) = path {
            command.arg("-P").arg(path);
        }
        command
            .arg("-e")
            .arg(format!("inject={fault}"))
            .arg("-o")
            .arg(&output)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let Ok(mut strace) = command.spawn() else {
            skipped("strace is not installed");
            return None;
        };
        let mut said = String::new();
        let mut stderr = BufReader::new(strace.stderr.take().expect("piped"));
        stderr.read_line(&mut said).expect("a line");
        if said.contains("attached") {
            // It may say more, which nobody waits for, and must not fail for want of a reader.
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
            return Some(Self { strace, output });
        }
        strace.wait().expect("a child");
        skipped(&format!("strace cannot attach: {said}"));
        None
    }

    /// Lets go of the agent, and returns the calls that were made to fail.
    pub fn detach(mut self) -> Vec<String> {
        self.release();
        let output = fs::read_to_string(&self.output).expect("strace writes what it sees");
        output.lines().filter(|line| line.ends_with("(INJECTED)")).map(ToOwned::to_owned).collect()
    }

    fn release(&mut self) {
        // It has ended if the agent did.
        let _ = kill(Pid::from_raw(self.strace.id().try_into().expect("a pid")), Signal::SIGINT);
        wait_until("strace ends", || self.strace.try_wait().expect("a child"));
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if self.strace.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.release();
        }
    }
}
