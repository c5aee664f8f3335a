//! A kill at every file syscall of a change: the agent is killed by `strace` at the k-th `fsync`, `rename`, ... of
//! each thread, is started again, and must then have exactly the old or exactly the new connection, the same in its
//! store, in conf.d and in (a fake) charon. A change that was answered must be the one that is there.

mod support;

#[path = "support/fake_charon.rs"]
mod fake_charon;

use cygnet::{
    store::{Record, format},
    swan::{conf, plan},
};
use fake_charon::FakeCharon;
use serde_json::json;
use std::{
    fs,
    os::unix::{
        net::UnixStream,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use support::{http::Client, poll, wait_until};
use tempfile::TempDir;

const UUID: &str = "0123456789ab4def8123456789abcdef";
const KEY: &str = "test-only-key";
const PATIENCE: Duration = Duration::from_secs(20);
/// More of one kind than a change has; a change that survives is found earlier.
const MOST: usize = 40;

/// A directory with everything that survives a kill, and the charon beside it.
struct Bed {
    // Dropped in this order: the charon's socket is in the directory.
    charon: FakeCharon,
    dir: TempDir,
}

/// A running agent, maybe under strace; killed with its whole group on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).expect("a pid fits"));
        // It may be dead already.
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("swanctl/conf.d")).expect("conf.d");
        let at = |name: &str| dir.path().join(name).display().to_string();
        let settings = format!(
            "socket = \"{}\"\nstate_dir = \"{}\"\nswanctl_dir = \"{}\"\n[charon]\nvici = \"{}\"\nwait = \"0s\"\n\
             [[gateway.vips]]\nuuid = \"vip\"\naddress = \"192.0.2.1\"\n\
             [[gateway.l3_networks]]\nuuid = \"net\"\ncidrs = [\"10.1.0.0/24\"]\n",
            at("agent.sock"),
            at("state"),
            at("swanctl"),
            at("vici")
        );
        fs::write(dir.path().join("cygnet.toml"), settings).expect("settings");
        let charon = FakeCharon::start(&dir.path().join("vici"));
        Self { charon, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn client(&self) -> Client {
        Client::unix(&self.path("agent.sock"))
    }

    /// Starts the agent; with `fault`, under strace, which kills it there.
    fn start(&self, fault: Option<(&str, usize)>) -> Running {
        // A killed agent may take a moment to go, and hold its socket until then.
        let socket = self.path("agent.sock");
        wait_until(PATIENCE, "the agent before is gone", || UnixStream::connect(&socket).is_err().then_some(()));
        let program = env!("CARGO_BIN_EXE_cygnet");
        let mut command = match fault {
            None => Command::new(program),
            Some((syscall, when)) => {
                let mut strace = Command::new("strace");
                let inject = format!("inject={syscall}:signal=SIGKILL:when={when}");
                strace
                    .args(["-f", "-qq", "-o", "/dev/null", "-e"])
                    .arg(format!("trace={syscall}"))
                    .args(["-e", &inject, program]);
                strace
            }
        };
        command.args(["serve", "--config"]).arg(self.path("cygnet.toml")).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().expect("it starts"))
    }

    /// Waits until the agent answers; false if it died before.
    fn answers(&self, running: &mut Running) -> bool {
        let ready = || {
            let died = running.0.try_wait().expect("it can be waited for").is_some();
            let up = || self.client().request("GET", "/readyz", &[], b"").is_ok_and(|r| r.status == 200);
            if died { Some(false) } else { up().then_some(true) }
        };
        wait_until(PATIENCE, "the agent answers or dies", ready)
    }

    fn call(&self, method: &str, path: &str, body: &serde_json::Value) -> Option<u16> {
        self.client().request(method, path, &[], body.to_string().as_bytes()).ok().map(|r| r.status)
    }

    fn create(&self) -> Option<u16> {
        let body = json!({ "params": { "name": "t", "vipUuid": "vip", "l3NetworkUuid": "net", "peerAddress": "192.0.2.2",
            "authKey": KEY, "peerCidrs": ["10.2.0.0/24"], "resourceUuid": UUID, "lifeTime": 1000 } });
        self.call("POST", "/zstack/v1/ipsec", &body)
    }

    fn change(&self, life_time: u32) -> Option<u16> {
        let body = json!({ "changeIPsecConnection": { "peerAddress": "192.0.2.2", "authKey": format!("{KEY}-{life_time}"), "lifeTime": life_time } });
        self.call("PUT", &format!("/zstack/v1/ipsec/config/{UUID}"), &body)
    }

    fn delete(&self) -> Option<u16> {
        self.call("DELETE", &format!("/zstack/v1/ipsec/{UUID}"), &json!({}))
    }

    fn record(&self) -> Option<Record> {
        let bytes = fs::read(self.path(&format!("state/connections/{UUID}.json"))).ok()?;
        Some(format::from_bytes(&bytes).expect("the record is whole"))
    }

    /// Store, conf.d and charon say the same, and nothing else lies about. Returns the lifetime.
    fn consistent(&self) -> Option<u32> {
        let record = self.record();
        let files = |name: &str| names_in(&self.path(name));
        let (conf, secret) = (self.path(&format!("swanctl/conf.d/cygnet-{UUID}.conf")), format!("ike-cygnet-{UUID}"));
        let Some(record) = record else {
            assert_eq!((files("state/connections"), files("swanctl/conf.d")), (vec![], vec![]));
            assert!(self.charon.connections().is_empty() && self.charon.secrets().is_empty(), "charon holds nothing");
            return None;
        };
        assert_eq!((files("state/connections").len(), files("swanctl/conf.d").len()), (1, 1), "no temporary files");
        let text = fs::read_to_string(conf).expect("the file in conf.d");
        let requests = plan::load(&conf::parse(&text).expect("it parses")).expect("it means something");
        let name = format!("cygnet-{UUID}");
        assert_eq!(self.charon.connection(&name).as_ref(), requests[1].body.section(&name), "charon and conf.d");
        let key = self.charon.secret(&secret).and_then(|s| s.bytes("data").map(<[u8]>::to_vec));
        assert_eq!(key.as_deref(), requests[0].body.bytes("data"), "the key in charon and conf.d");
        let cygnet::ipsec::Auth::Psk(psk) = &record.connection.auth;
        assert_eq!(key.as_deref(), Some(psk.expose()), "the key in charon and the store");
        Some(record.connection.lifetime.hard())
    }

    /// After a kill: starts the agent again and checks what it made of it.
    fn recover(&self) -> Option<u32> {
        let mut running = self.start(None);
        assert!(self.answers(&mut running), "the agent starts after a kill");
        self.consistent()
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// Kills at each `syscall` of `write`, which goes from one of `states` to the other; returns the number of kills.
fn kill_at_each(
    syscall: &str,
    bed: &Bed,
    prepare: impl Fn(&Bed),
    write: impl Fn(&Bed) -> Option<u16>,
    new: Option<u32>,
) -> usize {
    let (mut kills, mut survived) = (0, 0);
    for when in 1..=MOST {
        let old = {
            let mut running = bed.start(None);
            assert!(bed.answers(&mut running), "the agent starts");
            prepare(bed);
            bed.consistent()
        };
        assert_ne!(old, new, "the change changes something");
        let mut running = bed.start(Some((syscall, when)));
        let answer = if bed.answers(&mut running) { write(bed) } else { None };
        // The answer and the kill may be on their way together.
        let died = poll(Duration::from_millis(200), || running.0.try_wait().expect("it can be waited for"));
        let fired = died.is_some_and(|status| status.signal() == Some(9));
        drop(running);
        let now = bed.recover();
        let place = format!("{syscall} #{when}");
        assert!(now == old || now == new, "{place}: {now:?} is neither {old:?} nor {new:?}");
        assert!(answer != Some(200) || now == new, "{place}: an acknowledged change is lost");
        kills += usize::from(fired);
        survived = if fired { 0 } else { survived + 1 };
        if survived == 2 {
            return kills;
        }
    }
    kills
}

fn changes(syscall: &str, at_least: usize) {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        support::skipped("strace is not installed");
        return;
    }
    let bed = Bed::new();
    let kills = kill_at_each(
        syscall,
        &bed,
        |bed| {
            assert!(matches!(bed.create(), Some(200 | 503)), "it exists");
            assert_eq!(bed.change(1000), Some(200));
        },
        |bed| bed.change(2000),
        Some(2000),
    );
    assert!(kills >= at_least, "the kill fired {kills} times only");
}

#[test]
fn killed_at_each_fsync() {
    changes("fsync", 2);
}

#[test]
fn killed_at_each_rename() {
    changes("/^rename", 2);
}

#[test]
fn killed_at_each_write() {
    changes("write", 2);
}

#[test]
fn killed_at_each_message_to_charon() {
    changes("/^(sendto|writev|sendmsg)", 2);
}

#[test]
fn killed_at_each_unlink_of_a_deletion() {
    let bed = Bed::new();
    let prepare = |bed: &Bed| assert!(matches!(bed.create(), Some(200 | 503)), "it exists");
    let kills = kill_at_each("/^unlink", &bed, prepare, Bed::delete, None);
    assert!(kills >= 1, "the kill fired {kills} times only");
}

#[test]
fn killed_at_each_fsync_of_a_creation() {
    let bed = Bed::new();
    let prepare = |bed: &Bed| assert!(matches!(bed.delete(), Some(200 | 503)), "it does not exist");
    let kills = kill_at_each("fsync", &bed, prepare, Bed::create, Some(1000));
    assert!(kills >= 2, "the kill fired {kills} times only");
}
