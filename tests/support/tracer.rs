//! strace on a running agent: makes its system calls fail, or kills it at one, and tells which.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use crate::{
    serve::{Bench, wait_until},
    skip::skipped,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long strace may take to let go of an agent before it is killed, which does the same.
const LETTING_GO: Duration = Duration::from_millis(500);

/// strace, attached; it lets go when dropped.
pub struct Tracer {
    strace: Child,
    output: PathBuf,
    agent: i32,
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
            return Some(Self { strace, output, agent: b.pid() });
        }
        strace.wait().expect("a child");
        skipped(&format!("strace cannot attach: {said}"));
        None
    }

    /// Lets go of the agent, and returns the calls that were made to fail.
    pub fn detach(self) -> Vec<String> {
        let lines = self.seen();
        lines.into_iter().filter(|line| line.ends_with("(INJECTED)")).collect()
    }

    /// Lets go of the agent, and returns the calls that strace saw.
    pub fn seen(mut self) -> Vec<String> {
        self.release();
        let output = fs::read_to_string(&self.output).expect("strace writes what it sees");
        whole(&output).into_iter().filter(|line| line.contains('(')).collect()
    }

    /// Ends strace; the agent runs on, if it still does.
    fn release(&mut self) {
        let began = Instant::now();
        wait_until("strace ends", || {
            // strace 6.1 may wait for ever for a process whose threads were killed, and then lets go only so.
            let hopeless = is_dead(self.agent) || began.elapsed() > LETTING_GO;
            let signal = if hopeless { Signal::SIGKILL } else { Signal::SIGINT };
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(self.strace.id().try_into().expect("a pid")), signal);
            self.strace.try_wait().expect("a child")
        });
    }
}

/// The calls, one a line. strace tells a call in two parts where another thread made one meanwhile: the path is in the
/// first, what came of it in the second.
fn whole(output: &str) -> Vec<String> {
    let mut begun = HashMap::new();
    let mut calls = Vec::new();
    for line in output.lines() {
        let thread = line.split_whitespace().next().unwrap_or_default();
        if let Some(first) = line.strip_suffix("<unfinished ...>") {
            begun.insert(thread, first.trim_end());
        } else if let (true, Some((_, rest))) = (line.contains(" <... "), line.split_once(" resumed>")) {
            calls.push(format!("{}{rest}", begun.remove(thread).unwrap_or(thread)));
        } else {
            calls.push(line.to_owned());
        }
    }
    // What never came back is a call too.
    calls.extend(begun.into_values().map(ToOwned::to_owned));
    calls
}

/// Whether the process has ended, waited for or not.
fn is_dead(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    status.map_or(true, |text| text.contains("State:\tZ") || text.contains("State:\tX"))
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if self.strace.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.release();
        }
    }
}
