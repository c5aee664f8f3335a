//! Directories that cannot be written: full, read-only, immutable, gone, or no directory.

use super::calls::{Call, NEW, OLD, assert_done, assert_refused, idle, prepare};
use crate::{
    serve::{Bench, KEY, change, params, uuid, wait_until},
    skip::skipped,
};
use serde_json::json;
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Runs a command; whether it succeeded.
fn succeeds(program: &str, arguments: &[&str], path: &Path) -> bool {
    let done = Command::new(program).args(arguments).arg(path).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

/// A small file system on a directory of the test's own; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    /// Mounts it; says so and returns nothing where that is not allowed.
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).expect("the mount point");
        if succeeds("mount", &["-t", "tmpfs", "-o", "size=256k,mode=0755", "tmpfs"], &path) {
            return Some(Self(path));
        }
        skipped("no file system can be mounted here");
        None
    }

    /// Leaves not a byte of space.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).expect("a file");
        let full = loop {
            if let Err(error) = ballast.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("ballast")).expect("the ballast is there");
    }

    fn set(&self, mode: &str) {
        assert!(succeeds("mount", &["-o", &format!("remount,{mode}")], &self.0), "remount {mode}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the agent is ended after it.
        succeeds("umount", &["-l"], &self.0);
    }
}

/// An agent with both connections' needs met, whose `name` is a disk of its own.
fn on_disk(name: &str) -> Option<(Bench, Disk)> {
    let mut b = idle();
    let disk = Disk::mount(b.path(name))?;
    fs::create_dir_all(b.conf_dir()).expect("conf.d");
    b.run();
    prepare(&b);
    Some((b, disk))
}

/// Every call succeeds now.
fn recovered(b: &Bench) {
    for call in Call::ALL {
        assert_done(b, call);
    }
}

fn full(name: &str, file: &str) {
    let Some((b, disk)) = on_disk(name) else { return };
    disk.fill();
    for call in [Call::Create, Call::Change] {
        assert_refused(&b, call, &["cannot write", file, "No space left on device"], None);
    }
    // To delete needs no space: it is how space is made.
    assert_done(&b, Call::Delete);
    disk.empty();
    prepare(&b);
    recovered(&b);
}

/// The ballast would be a stranger in these directories: the disk is full one level above.
#[test]
fn the_disk_of_the_store_is_full() {
    full("state", "state/connections/");
}

#[test]
fn the_disk_of_conf_d_is_full() {
    full("swanctl", "swanctl/conf.d/cygnet-");
}

fn read_only(name: &str, file: &str) {
    let Some((b, disk)) = on_disk(name) else { return };
    disk.set("ro");
    let stage = "create a file beside";
    for (call, doing) in Call::ALL.into_iter().zip([stage, stage, "remove"]) {
        assert_refused(&b, call, &["cannot", doing, file, "Read-only file system"], None);
    }
    disk.set("rw");
    recovered(&b);
}

#[test]
fn the_disk_of_the_store_is_read_only() {
    read_only("state", "state/connections/");
}

#[test]
fn the_disk_of_conf_d_is_read_only() {
    read_only("swanctl", "swanctl/conf.d/cygnet-");
}

/// A directory that cannot be written, not even by root; writable when dropped.
struct Immutable(PathBuf);

impl Drop for Immutable {
    fn drop(&mut self) {
        succeeds("chattr", &["-i"], &self.0);
    }
}

#[test]
fn a_directory_is_immutable() {
    let mut b = idle();
    b.run();
    prepare(&b);
    for directory in [b.conf_dir(), b.connections_dir()] {
        if !succeeds("chattr", &["+i"], &directory) {
            return skipped("this file system has no immutable directories");
        }
        let locked = Immutable(directory.clone());
        let directory = directory.display().to_string();
        for call in Call::ALL {
            assert_refused(&b, call, &["cannot", &directory, "Operation not permitted"], None);
        }
        drop(locked);
        recovered(&b);
        prepare(&b);
    }
}

#[test]
fn what_failed_has_taken_nothing() {
    let mut b = idle();
    b.run();
    prepare(&b);
    let directory = b.conf_dir();
    if !succeeds("chattr", &["+i"], &directory) {
        return skipped("this file system has no immutable directories");
    }
    let locked = Immutable(directory);
    Call::Create.make(&b).expect(503);
    b.change(&uuid(OLD), &change(OLD, &json!({ "peerAddress": "198.51.100.99" }))).expect(503);
    drop(locked);
    let with_peer = |n, peer: u8| b.create(&params(n, &json!({ "peerAddress": format!("198.51.100.{peer}") })));
    with_peer(20, NEW).expect(200);
    with_peer(21, 99).expect(200);
    with_peer(22, OLD).expect(503);
}

/// `put` takes the place of conf.d, which lives on elsewhere.
fn displaced(put: impl Fn(&Path), words: &str) {
    let mut b = idle();
    b.run();
    prepare(&b);
    let (directory, away) = (b.conf_dir(), b.path("away"));
    fs::rename(&directory, &away).expect("moved");
    put(&directory);
    for call in [Call::Create, Call::Change] {
        assert_refused(&b, call, &["cannot", "swanctl/conf.d/cygnet-", words], Some(away.clone()));
    }
    // It may be there or not.
    let _ = fs::remove_file(&directory);
    fs::rename(&away, &directory).expect("moved back");
    recovered(&b);
}

#[test]
fn conf_d_is_gone() {
    displaced(|_| {}, "No such file or directory");
}

#[test]
fn conf_d_is_a_file() {
    displaced(|path| fs::write(path, "no directory\n").expect("a file"), "Not a directory");
}

/// Has a change on trial, lets `broken` break the disk, and the tunnel come up then: what cannot be stored is not
/// confirmed, and the caller hears that. The old connection counts from then on, also after `mend` and a start.
fn unconfirmed(b: &mut Bench, broken: impl FnOnce(), mend: impl FnOnce(), kill: bool) {
    b.charon.establish(true);
    prepare(b);
    let status = |b: &Bench| b.inventory(&uuid(OLD))["status"].clone();
    wait_until("it is up", || (status(b) == "Ready").then_some(()));
    b.charon.establish(false);
    let said = std::thread::scope(|scope| {
        let b = &*b;
        let body = json!({ "params": change(OLD, &json!({ "lifeTime": 2000, "authKey": "test-only-new" })) });
        let path = format!("/zstack/v1/ipsec/config/{}?confirm=10m", uuid(OLD));
        let asked = scope.spawn(move || b.ask("PUT", &path, body.to_string().as_bytes()));
        let native = format!("/cygnet/v1/connections/{}", uuid(OLD));
        let is_on_trial = || b.ask("GET", &native, b"").json()["trial"].is_object();
        wait_until("it is on trial", || is_on_trial().then_some(()));
        broken();
        b.charon.establish(true);
        asked.join().expect("no panic").expect(503).json()["error"]["details"].to_string()
    });
    assert!(said.contains("came up, but that cannot be stored"), "{said}");
    assert!(said.contains("what was there before counts again"), "{said}");
    assert_eq!(b.inventory(&uuid(OLD))["lifeTime"], 1000, "the answer is true at once");
    if kill {
        b.signal(nix::sys::signal::Signal::SIGKILL);
        b.reap();
        mend();
        b.run();
    } else {
        mend();
    }
    wait_until("the disk follows", || {
        let record = fs::read_to_string(b.record(&uuid(OLD))).unwrap_or_default();
        (record.contains("\"lifetime_s\": 1000") && !record.contains("\"trial\"")).then_some(())
    });
    wait_until("it is up", || (status(b) == "Ready").then_some(()));
    // It is stored first, and loaded then.
    let secret = format!("ike-cygnet-{}", uuid(OLD));
    wait_until("the old key is loaded", || {
        (b.charon.secret(&secret)?.bytes("data") == Some(KEY.as_bytes())).then_some(())
    });
}

#[test]
fn a_confirmation_that_a_full_disk_cannot_store_is_none() {
    for kill in [false, true] {
        let Some((mut b, disk)) = on_disk("state") else { return };
        unconfirmed(&mut b, || disk.fill(), || disk.empty(), kill);
        recovered(&b);
    }
}

#[test]
fn a_confirmation_in_an_immutable_directory_is_none() {
    for kill in [false, true] {
        let mut b = idle();
        b.run();
        prepare(&b);
        let directory = b.connections_dir();
        if !succeeds("chattr", &["+i"], &directory) {
            return skipped("this file system has no immutable directories");
        }
        succeeds("chattr", &["-i"], &directory);
        let locked = Immutable(directory.clone());
        unconfirmed(&mut b, || assert!(succeeds("chattr", &["+i"], &directory)), || drop(locked), kill);
        recovered(&b);
    }
}
