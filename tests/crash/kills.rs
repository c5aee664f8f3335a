//! Kills of an agent that runs: at the n-th system call of a kind of each thread, at those on each path, and while
//! charon is at work on each request.

use super::calls::{Call, idle, lifetime, targets};
use crate::{
    fake_charon::Behaviour,
    serve::{Bench, wait_until},
    tracer::Tracer,
};
use nix::sys::signal::Signal;
use std::{path::Path, thread};

/// More of one kind than a call makes; a call that survives is found earlier.
const MOST: usize = 40;

/// What came of the call is the old or the new connection, and the new one if the call was answered.
#[track_caller]
fn assert_whole(b: &Bench, call: Call, answer: Option<u16>, place: &str) {
    let (now, (old, new)) = (lifetime(b), call.states());
    assert!(now == old || now == new, "{place}: {now:?} is neither {old:?} nor {new:?}");
    assert!(answer != Some(200) || now == new, "{place}: an acknowledged change is lost");
}

/// Kills the agent at one `syscall` of `call`; whether that came to pass, or nothing where strace cannot be had.
fn killed_at(b: &mut Bench, call: Call, syscall: &str, when: usize, path: Option<&Path>) -> Option<bool> {
    call.prepare(b);
    let tracer = Tracer::attach(b, &format!("{syscall}:signal=SIGKILL:when={when}"), path)?;
    let answer = call.make(b);
    let seen = tracer.seen();
    let killed = b.tcp().request("GET", "/healthz", &[], b"").is_err();
    let place = format!("{call:?}, {syscall} #{when} on {path:?}: {seen:?}");
    assert!(killed || answer == Some(200) || call == Call::Trial, "{place}: {answer:?}");
    if call == Call::Trial && !killed {
        b.signal(Signal::SIGKILL);
    }
    if call == Call::Trial || killed {
        b.reap();
        b.run();
    }

    assert_whole(b, call, answer, &place);
    Some(killed)
}

/// Kills at each `syscall` of each call; `least` says how often that is for each. It is more often when a call stays in
/// one thread, whose every system call has a number of its own then.
fn each(syscall: &str, least: [usize; 7]) {
    let mut b = idle();
    b.run();
    let paths: Vec<_> = [None].into_iter().chain(targets(&b).into_iter().map(Some)).collect();
    for (call, least) in Call::ALL.into_iter().zip(least) {
        let mut kills = 0;
        for path in &paths {
            let mut survived = 0;
            for when in 1..=MOST {
                let Some(killed) = killed_at(&mut b, call, syscall, when, path.as_deref()) else { return };
                kills += usize::from(killed);
                survived = if killed { 0 } else { survived + 1 };
                // The n-th of a thread: two in a row that no thread makes. By path, where there are few: one.
                if survived == 2 || (survived == 1 && path.is_some()) {
                    break;
                }
            }
        }
        eprintln!("{call:?}: killed {kills} times at {syscall}");
        assert!(kills >= least, "{call:?}: the kill fired {kills} times only at {syscall}");
    }
}

#[test]
fn at_each_fsync() {
    each("fsync", [3, 3, 2, 3, 3, 5, 5]);
}

#[test]
fn at_each_rename() {
    each("/^rename", [2, 2, 0, 3, 3, 4, 4]);
}

#[test]
fn at_each_unlink() {
    each("/^unlink", [0, 0, 2, 0, 0, 0, 1]);
}

#[test]
fn at_each_write() {
    each("write", [1, 1, 0, 1, 1, 2, 2]);
}

#[test]
fn at_each_open() {
    each("openat", [3, 3, 2, 4, 4, 5, 5]);
}

#[test]
fn at_each_message() {
    each("/^(sendto|writev|sendmsg)$", [1, 1, 1, 1, 1, 1, 1]);
}

/// Kills the agent while charon has obeyed the first `command` of `call` and has not said so yet.
fn while_charon_obeys(b: &mut Bench, call: Call, command: &str) -> bool {
    call.prepare(b);
    b.charon.forget_requests();
    b.charon.once(command, Behaviour::Silence);
    let (answer, killed) = thread::scope(|scope| {
        let b = &*b;
        let asked = scope.spawn(move || call.make(b));
        let obeyed = || !b.charon.requests_of(command).is_empty();
        wait_until("charon obeys, or the call is over", || (obeyed() || asked.is_finished()).then_some(()));
        let killed = obeyed();
        b.signal(Signal::SIGKILL);
        (asked.join().expect("no panic"), killed)
    });
    b.charon.behave();
    b.reap();
    b.run();
    assert_whole(b, call, answer, &format!("{call:?}, {command}"));
    killed
}

#[test]
fn while_charon_obeys_each_request() {
    let mut b = idle();
    b.run();
    let mut kills = 0;
    for call in Call::ALL {
        for command in [
            "load-cert",
            "load-key",
            "load-shared",
            "load-conn",
            "unload-conn",
            "unload-shared",
            "unload-key",
            "list-sas",
            "initiate",
            "terminate",
        ] {
            kills += usize::from(while_charon_obeys(&mut b, call, command));
        }
    }
    eprintln!("killed {kills} times while charon was at work");
    assert!(kills >= 18, "the kill fired {kills} times only");
}
