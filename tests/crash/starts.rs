//! Kills of an agent that starts, and has a trial to end and an unfinished file to remove.

use super::calls::{Call, N, idle, lifetime};
use crate::{
    serve::{Bench, uuid, wait_until},
    skip::skipped,
};
use nix::sys::signal::Signal;
use std::{
    fs,
    os::unix::{
        net::UnixStream,
        process::{CommandExt, ExitStatusExt},
    },
    process::{Command, Stdio},
};

/// More of one kind than a start makes.
const MOST: usize = 40;

/// Leaves what an agent leaves that is killed while a change is on trial, and another file is being written.
fn interrupted(b: &mut Bench) {
    Call::Trial.prepare(b);
    assert_eq!(Call::Trial.make(b), None);
    b.signal(Signal::SIGKILL);
    b.reap();
    let record = fs::read_to_string(b.record(&uuid(N))).expect("a record");
    assert!(record.contains("\"trial\""), "the change is on trial");
    for directory in [b.connections_dir(), b.conf_dir()] {
        fs::write(directory.join(".cygnet-abc.tmp"), "half").expect("written");
    }
}

/// Starts the agent under strace, which kills it at a `syscall`; whether it did.
fn killed_at(b: &Bench, syscall: &str, when: usize) -> bool {
    let agent = b.command();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={syscall}"), "-e"]);
    command.arg(format!("inject={syscall}:signal=SIGKILL:when={when}")).arg(agent.get_program()).args(agent.get_args());
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut strace = command.spawn().expect("strace starts");
    let is_up = || b.unix().request("GET", "/readyz", &[], b"").is_ok_and(|answer| answer.status == 200);
    let ended = wait_until("it is up or dead", || {
        let ended = strace.try_wait().expect("a child");
        if ended.is_some() || is_up() { Some(ended) } else { None }
    });
    if ended.is_none() {
        let group = nix::unistd::Pid::from_raw(strace.id().try_into().expect("a pid"));
        nix::sys::signal::killpg(group, Signal::SIGKILL).expect("it runs");
        strace.wait().expect("a child");
    }
    let socket = b.path("cygnet.sock");
    wait_until("the agent is gone", || UnixStream::connect(&socket).is_err().then_some(()));
    // strace ends as its child did.
    ended.is_some_and(|status| status.signal() == Some(9))
}

fn each(syscall: &str, least: usize) {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        return skipped("strace is not installed");
    }
    let mut b = idle();
    b.run();
    let mut kills = 0;
    for when in 1..=MOST {
        interrupted(&mut b);
        let killed = killed_at(&b, syscall, when);
        b.run();
        assert_eq!(lifetime(&b), Call::Trial.states().0, "{syscall} #{when} of a start");
        kills += usize::from(killed);
        if !killed {
            break;
        }
    }
    eprintln!("a start: killed {kills} times at {syscall}");
    assert!(kills >= least, "the kill fired {kills} times only at {syscall}");
}

#[test]
fn at_each_fsync() {
    each("fsync", 4);
}

#[test]
fn at_each_rename() {
    // The others are of a thread that was not counted yet.
    each("/^rename", 1);
}

#[test]
fn at_each_unlink() {
    each("/^unlink", 3);
}
