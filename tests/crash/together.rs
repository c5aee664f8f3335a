//! A key that two connections share is changed, and the agent is killed in between: afterwards both have the old key or
//! both the new one, and the new one if the call was answered.

use super::calls::idle;
use crate::{
    serve::{Bench, TOKEN, change, files, hex, params, uuid, wait_until},
    tracer::Tracer,
};
use serde_json::{Value, json};
use std::{fs, path::Path};

const PATH: &str = "/zstack/v1/ipsec";
const KEYS: [&str; 2] = ["test-only-key-before", "test-only-key-after"];
/// The connections. The second is changed, and the first with it.
const BOTH: [u8; 2] = [7, 8];
/// More of one kind than a call makes.
const MOST: usize = 40;

fn shared(key: &str) -> Value {
    json!({ "remoteId": "198.51.100.7", "authKey": key })
}

fn send(b: &Bench, method: &str, path: &str, body: &Value) -> Option<u16> {
    let token = format!("OAuth {TOKEN}");
    let answer = b.tcp().request(method, path, &[("Authorization", &token)], body.to_string().as_bytes());
    answer.ok().map(|answer| answer.status)
}

fn change_to(b: &Bench, key: &str) -> Option<u16> {
    let body = json!({ "params": change(8, &shared(key)) });
    send(b, "PUT", &format!("{PATH}/config/{}?together=true", uuid(8)), &body)
}

/// The one key of both connections, in the store, in conf.d and in charon; nothing else lies about.
#[track_caller]
fn key(b: &Bench, place: &str) -> &'static str {
    let names = wait_until("no file is half written", || {
        let names = files(&b.connections_dir());
        names.iter().all(|name| !name.starts_with(".cygnet-")).then_some(names)
    });
    assert_eq!(names, BOTH.map(|n| format!("{}.json", uuid(n))), "{place}");
    let of = |n: u8| {
        let read = |path: &Path| fs::read_to_string(path).expect("a file");
        let (record, conf) = (read(&b.record(&uuid(n))), read(&b.conf(&uuid(n))));
        let secret = b.charon.secret(&format!("ike-cygnet-{}", uuid(n)));
        let loaded = secret.and_then(|secret| secret.bytes("data").map(<[u8]>::to_vec)).unwrap_or_default();
        let has = |key: &&&str| record.contains(&hex(key.as_bytes())) && conf.contains(&hex(key.as_bytes()));
        let found: Vec<_> = KEYS.iter().filter(has).filter(|key| loaded == key.as_bytes()).collect();
        assert_eq!(found.len(), 1, "{place}: {n} has one key everywhere");
        *found[0]
    };
    let [a, b] = BOTH.map(of);
    assert_eq!(a, b, "{place}: both have one key");
    a
}

/// Kills the agent at one `syscall` of a change; whether that came to pass, or nothing where strace cannot be had.
fn killed_at(b: &mut Bench, syscall: &str, when: usize, path: Option<&Path>) -> Option<bool> {
    assert_eq!(change_to(b, KEYS[0]), Some(200));
    wait_until("it is prepared", || (key(b, "prepared") == KEYS[0]).then_some(()));
    let tracer = Tracer::attach(b, &format!("{syscall}:signal=SIGKILL:when={when}"), path)?;
    let answer = change_to(b, KEYS[1]);
    let seen = tracer.seen();
    let place = format!("{syscall} #{when} on {path:?}: {seen:?}");
    let killed = b.tcp().request("GET", "/healthz", &[], b"").is_err();
    assert!(killed || answer == Some(200), "{place}: {answer:?}");
    if killed {
        b.reap();
        b.run();
    }
    let now = key(b, &place);
    assert!(answer != Some(200) || now == KEYS[1], "{place}: an acknowledged change is lost");
    Some(killed)
}

fn each(syscall: &str, least: usize) {
    let mut b = idle();
    b.run();
    for n in BOTH {
        assert_eq!(send(&b, "POST", PATH, &json!({ "params": params(n, &shared(KEYS[0])) })), Some(200));
    }
    let journal = b.connections_dir().join(format!("{}.together", uuid(7)));
    let paths = [None, Some(journal), Some(b.record(&uuid(7))), Some(b.record(&uuid(8))), Some(b.connections_dir())];
    let mut kills = 0;
    for path in &paths {
        let mut survived = 0;
        for when in 1..=MOST {
            let Some(killed) = killed_at(&mut b, syscall, when, path.as_deref()) else { return };
            kills += usize::from(killed);
            survived = if killed { 0 } else { survived + 1 };
            if survived == 2 || (survived == 1 && path.is_some()) {
                break;
            }
        }
    }
    eprintln!("killed {kills} times at {syscall}");
    assert!(kills >= least, "the kill fired {kills} times only at {syscall}");
}

/// Lets one `syscall` of a change fail and kills the agent right after its answer; whether the fault fired.
fn failed_at(b: &mut Bench, syscall: &str, when: usize, path: Option<&Path>) -> Option<bool> {
    assert_eq!(change_to(b, KEYS[0]), Some(200));
    wait_until("it is prepared", || (key(b, "prepared") == KEYS[0]).then_some(()));
    let tracer = Tracer::attach(b, &format!("{syscall}:error=EIO:when={when}"), path)?;
    let answer = change_to(b, KEYS[1]);
    let fired = tracer.detach();
    let place = format!("{syscall} #{when} on {path:?}: {fired:?}");
    b.signal(nix::sys::signal::Signal::SIGKILL);
    b.reap();
    b.run();
    let now = key(b, &place);
    // No answer: the fault hit a wake-up call between the runtime's threads, of which the agent dies.
    let wanted = answer.map(|status| if status == 200 { KEYS[1] } else { KEYS[0] });
    assert!(wanted.is_none_or(|wanted| wanted == now), "{place}: {answer:?} and {now}");
    Some(!fired.is_empty())
}

/// What was answered is what is there after the next start, whatever a broken disk refuses: also where a record that is
/// committed cannot be put in its place.
#[test]
fn a_disk_that_fails_once() {
    let mut b = idle();
    b.run();
    for n in BOTH {
        assert_eq!(send(&b, "POST", PATH, &json!({ "params": params(n, &shared(KEYS[0])) })), Some(200));
    }
    let journal = b.connections_dir().join(format!("{}.together", uuid(7)));
    let paths = [Some(journal), Some(b.record(&uuid(7))), Some(b.record(&uuid(8))), Some(b.connections_dir())];
    let mut faults = 0;
    for syscall in ["/^rename", "fsync", "/^unlink"] {
        for path in &paths {
            for when in 1..=MOST {
                let Some(fired) = failed_at(&mut b, syscall, when, path.as_deref()) else { return };
                faults += usize::from(fired);
                if !fired {
                    break;
                }
            }
        }
    }
    eprintln!("the disk failed {faults} times");
    assert!(faults >= 5, "{faults} faults only");
}

#[test]
fn at_each_fsync() {
    each("fsync", 6);
}

#[test]
fn at_each_rename() {
    each("/^rename", 4);
}

#[test]
fn at_each_unlink() {
    each("/^unlink", 1);
}

#[test]
fn at_each_write() {
    each("write", 3);
}

#[test]
fn at_each_message() {
    each("/^(sendto|writev|sendmsg)$", 2);
}
