//! Every file system call of every write call fails once, by strace; and from one on all of a kind.
//!
//! strace counts per thread, and a call of the agent may go on in another thread after it waited for charon. So each
//! place is aimed at in two ways: as the n-th of its thread, and by the path of its directory or file. `write` is left to
//! the full disks in `places.rs`: injected, it hits the wake-up calls between the runtime's threads too.

use super::calls::{Call, Everything, NEW, OLD, assert_done, assert_named, assert_serves, idle, prepare};
use crate::{
    serve::{Bench, uuid, wait_until},
    tracer::Tracer,
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// More of one kind than a call makes; a call that is not hit any more is found earlier.
const MOST: usize = 60;
/// What a broken disk answers: strace's name of it, and what people read.
const EIO: (&str, &str) = ("EIO", "Input/output error");

/// What is made to fail: the calls of this name, in this way, those that `when` counts, on this path only.
struct Fault {
    syscall: &'static str,
    error: (&'static str, &'static str),
    when: String,
    path: Option<PathBuf>,
}

/// What came of a call under a fault.
struct Outcome {
    /// How often the fault fired on a file of the store or of conf.d, and elsewhere.
    fired: (usize, usize),
    refused: bool,
}

/// How many of the calls that were made to fail are on a file of the store or of conf.d, and how many are not.
fn sort(fired: &[String]) -> (usize, usize) {
    let places = ["/state/connections", "/swanctl/conf.d"];
    let is_ours = |line: &&String| places.iter().any(|place| line.contains(place));
    let ours = fired.iter().filter(is_ours).count();
    (ours, fired.len() - ours)
}

/// Makes `call` under a fault; nothing where strace cannot be had. All or nothing happens, and the caller hears which.
fn once(b: &mut Bench, call: Call, fault: &Fault) -> Option<Outcome> {
    prepare(b);
    let Fault { syscall, error, when, path } = fault;
    let before = Everything::of(b, &b.conf_dir());
    let tracer = Tracer::attach(b, &format!("{syscall}:error={}:when={when}", error.0), path.as_deref())?;
    let answer = call.attempt(b);
    let lines = tracer.detach();
    let (fired, place) = (sort(&lines), format!("{call:?}, {syscall} #{when}: {lines:?}"));
    let same = |b: &Bench| (Everything::of(b, &b.conf_dir()) == before).then_some(());
    let Ok(answer) = answer else {
        // It hit the wake-up call between the runtime's threads, of which the agent dies.
        assert!(fired.1 > 0, "{place}: there is no answer");
        b.signal(nix::sys::signal::Signal::SIGKILL);
        b.reap();
        b.run();
        wait_until(&format!("the old or the new is there: {place}"), || {
            call.is_done(b).then_some(()).or_else(|| same(b))
        });
        return Some(Outcome { fired, refused: false });
    };
    let refused = answer.status != 200;
    if refused {
        assert!(fired.0 > 0, "{place}: {}", answer.text());
        assert_named(answer, &["cannot ", b.path("").to_str().expect("text"), error.1]);
        is_as_before(b, &before, &place);
        assert_serves(b);
        assert_done(b, call);
    } else {
        assert!(call.is_done(b), "{place}: it is done everywhere");
    }
    Some(Outcome { fired, refused })
}

/// Waits until all is as before; says what is not.
fn is_as_before(b: &Bench, before: &Everything, place: &str) {
    let soon = Instant::now() + Duration::from_secs(15);
    wait_until(&format!("all is as before: {place}"), || {
        let now = Everything::of(b, &b.conf_dir());
        assert!(now == *before || Instant::now() < soon, "{place}: {now:#?}\nwas {before:#?}\n{}", b.logs());
        (now == *before).then_some(())
    });
}

/// The paths by which a fault is aimed at the files of a call.
fn targets(b: &Bench) -> Vec<Option<PathBuf>> {
    let files = [OLD, NEW].into_iter().flat_map(|n| [b.record(&uuid(n)), b.conf(&uuid(n))]);
    let all = files.chain([b.connections_dir(), b.conf_dir()]).map(Some);
    std::iter::once(None).chain(all).collect()
}

/// Lets each `syscall` of `call` fail, one after the other; how often it fired, and the call was refused.
fn each(
    b: &mut Bench,
    call: Call,
    syscall: &'static str,
    error: (&'static str, &'static str),
) -> Option<(usize, usize)> {
    let (mut fired, mut refused) = (0, 0);
    for path in targets(b) {
        let mut misses = 0;
        for when in 1..=MOST {
            let fault = Fault { syscall, error, when: when.to_string(), path: path.clone() };
            let outcome = once(b, call, &fault)?;
            fired += outcome.fired.0;
            refused += usize::from(outcome.refused);
            misses = if outcome.fired == (0, 0) { misses + 1 } else { 0 };
            // The n-th of a thread: two in a row that no thread makes. By path, where there are few: one.
            if misses == 2 || (misses == 1 && path.is_some()) {
                break;
            }
        }
    }
    Some((fired, refused))
}

/// The same for all calls: each is refused at `least` so often.
fn refused_at_each(syscall: &'static str, error: (&'static str, &'static str), least: [usize; 3]) {
    let mut b = idle();
    b.run();
    for (call, least) in Call::ALL.into_iter().zip(least) {
        let Some((fired, refused)) = each(&mut b, call, syscall, error) else { return };
        eprintln!("{call:?} with {syscall}: {}: {fired} fired, {refused} refusals", error.0);
        assert!(refused >= least, "{call:?} with {syscall}: it was refused {refused} times only");
    }
}

#[test]
fn each_fsync_fails() {
    // The two files together, side by side, and each of their directories; of a deletion, the directories.
    refused_at_each("fsync", EIO, [3, 3, 2]);
}

#[test]
fn each_rename_fails() {
    refused_at_each("/^rename", EIO, [2, 2, 0]);
}

#[test]
fn each_unlink_fails() {
    refused_at_each("/^unlink", EIO, [0, 0, 2]);
}

#[test]
fn no_descriptor_is_left() {
    // Two files and two directories, and the file to compare with.
    refused_at_each("openat", ("EMFILE", "Too many open files"), [5, 5, 2]);
}

/// From the `when`-th on, all fail: what was done cannot be undone at once either. It counts nevertheless that the call
/// failed, and the disk follows when it works again; also a start finds the old connection then.
fn stays_broken(call: Call, syscall: &'static str, when: &str) {
    let mut b = idle();
    b.run();
    let Some(outcome) = once(&mut b, call, &Fault { syscall, error: EIO, when: when.into(), path: None }) else {
        return;
    };
    assert!(outcome.refused, "{call:?}, {syscall} from {when} on: {:?}", outcome.fired);
    prepare(&b);
    let before = Everything::of(&b, &b.conf_dir());
    let fault = format!("{syscall}:error=EIO:when={when}");
    let tracer = Tracer::attach(&b, &fault, None).expect("it could be attached a moment ago");
    call.make(&b).expect(503);
    tracer.detach();
    wait_until("the disk follows", || (Everything::of(&b, &b.conf_dir()) == before).then_some(()));
    assert!(b.stop().success());
    b.run();
    assert_eq!(Everything::of(&b, &b.conf_dir()), before, "{call:?}, {syscall} from {when} on");
}

#[test]
fn a_change_half_way_in_place_cannot_be_undone() {
    // The record is in place, the file in conf.d is not, and the old record cannot be put back.
    stays_broken(Call::Change, "/^rename", "2+");
}

#[test]
fn a_deletion_half_way_done_cannot_be_undone() {
    // The record is gone, and nothing can be made durable any more.
    stays_broken(Call::Delete, "fsync", "2+");
}
