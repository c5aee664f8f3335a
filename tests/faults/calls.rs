//! The three write calls, and the expected state of two connections: the stored one and the one to create.

use crate::{
    client::Response,
    serve::{Bench, Options, TOKEN, change, files, params, uuid, wait_until},
};
use cygnet::strongswan::section::Section;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

const PATH: &str = "/zstack/v1/ipsec";
/// The connection that is there.
pub const OLD: u8 = 7;
/// The connection to be made.
pub const NEW: u8 = 8;

/// A write call; each succeeds on what [`prepare`] leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Create,
    /// Another lifetime and another key.
    Change,
    Delete,
}

impl Call {
    pub const ALL: [Self; 3] = [Self::Create, Self::Change, Self::Delete];

    /// Makes the call.
    #[track_caller]
    pub fn make(self, b: &Bench) -> Response {
        self.attempt(b).unwrap_or_else(|error| panic!("{error}\n{}", b.logs()))
    }

    /// Makes the call, which has no answer if the agent dies of it.
    pub fn attempt(self, b: &Bench) -> std::io::Result<Response> {
        let changed = json!({ "lifeTime": 2000, "authKey": "test-only-new" });
        let (method, path, body) = match self {
            Self::Create => ("POST", PATH.into(), json!({ "params": params(NEW, &json!({})) })),
            Self::Change => ("PUT", format!("{PATH}/config/{}", uuid(OLD)), json!({ "params": change(OLD, &changed) })),
            Self::Delete => ("DELETE", format!("{PATH}/{}", uuid(OLD)), Value::Null),
        };
        // Over TCP: who comes over the Unix socket is looked up in files, which are no targets here.
        let token = format!("OAuth {TOKEN}");
        b.tcp().request(method, &path, &[("Authorization", &token)], body.to_string().as_bytes())
    }

    /// Whether what was done stands everywhere.
    pub fn is_done(self, b: &Bench) -> bool {
        let there = |n| {
            let name = format!("cygnet-{}", uuid(n));
            let charon = (b.charon.connections().contains(&name), b.charon.secrets().contains(&format!("ike-{name}")));
            (b.record(&uuid(n)).exists(), b.conf(&uuid(n)).exists(), charon)
        };
        let conf = || fs::read_to_string(b.conf(&uuid(OLD))).unwrap_or_default();
        match self {
            Self::Create => there(NEW) == (true, true, (true, true)),
            Self::Change => there(OLD) == (true, true, (true, true)) && conf().contains("life_time = 2000s"),
            Self::Delete => there(OLD) == (false, false, (false, false)),
        }
    }
}

/// An agent that is not started yet, and says little: its log is no target of faults.
pub fn idle() -> Bench {
    Bench::idle(&Options { log: "error", ..Options::default() })
}

/// Makes what each call needs: the old connection, as it was at first, and not the new one.
#[track_caller]
pub fn prepare(b: &Bench) {
    b.create(&params(OLD, &json!({ "lifeTime": 1000 })));
    b.change(&uuid(OLD), &change(OLD, &json!({ "lifeTime": 1000 }))).expect(200);
    b.ask("DELETE", &format!("{PATH}/{}", uuid(NEW)), b"");
}

/// All that stands in the store, in conf.d (which may have been moved away) and in charon.
#[derive(PartialEq, Debug)]
pub struct Everything {
    stored: Vec<(String, String)>,
    written: Vec<(String, String)>,
    loaded: Vec<(String, Option<Section>, Option<Section>)>,
}

impl Everything {
    pub fn of(b: &Bench, conf_dir: &Path) -> Self {
        let names =
            b.charon.connections().into_iter().chain(b.charon.secrets().into_iter().map(|id| id[4..].to_owned()));
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names.dedup();
        let loaded = |name: String| {
            let (connection, secret) = (b.charon.connection(&name), b.charon.secret(&format!("ike-{name}")));
            (name, connection, secret)
        };
        let stored = contents(&b.connections_dir());
        Self { stored, written: contents(conf_dir), loaded: names.into_iter().map(loaded).collect() }
    }
}

/// The files of a directory with what is in them.
fn contents(directory: &Path) -> Vec<(String, String)> {
    let read = |name: String| {
        let text = fs::read_to_string(directory.join(&name)).unwrap_or_default();
        (name, text)
    };
    files(directory).into_iter().map(read).collect()
}

/// What a call that failed has to say: all of these words.
#[track_caller]
pub fn assert_named(answer: Response, words: &[&str]) {
    let error: Value = answer.expect(503).json()["error"].take();
    assert_eq!(error["code"], "SYS.1016", "{error}");
    let details = error["details"].as_str().expect("details");
    assert!(words.iter().all(|word| details.contains(word)), "{details} does not say {words:?}");
}

/// Makes `call` under a fault: it fails with these words and changes nothing, and others are served.
#[track_caller]
pub fn assert_refused(b: &Bench, call: Call, words: &[&str], conf_dir: Option<PathBuf>) {
    let conf_dir = conf_dir.unwrap_or_else(|| b.conf_dir());
    let before = Everything::of(b, &conf_dir);
    assert_named(call.make(b), words);
    if call == Call::Delete {
        // It was out of charon already, and is brought back.
        wait_until("everything is as before", || (Everything::of(b, &conf_dir) == before).then_some(()));
    } else {
        assert_eq!(Everything::of(b, &conf_dir), before, "{call:?}: nothing changed");
    }
    assert_serves(b);
}

/// Other calls are answered.
#[track_caller]
pub fn assert_serves(b: &Bench) {
    b.ask("GET", "/readyz", b"").expect(200);
    let listed = b.ask("GET", PATH, b"").expect(200).json();
    assert!(listed["inventories"].as_array().is_some_and(|all| !all.is_empty()), "{listed}");
    b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(OLD)), b"").expect(200);
}

/// Makes `call` without a fault: it succeeds everywhere.
#[track_caller]
pub fn assert_done(b: &Bench, call: Call) {
    call.make(b).expect(200);
    assert!(call.is_done(b), "{call:?} stands everywhere");
}
