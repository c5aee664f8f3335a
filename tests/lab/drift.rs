//! Somebody meddles with what is ours, on disk or in charon: it is put back, and said. What is not ours stays.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cygnet::strongswan::vici::Vici;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::calls::{cygnet, drift};
use crate::operator::Operator;
use crate::pair::{Pair, Tunnel};
use crate::peer::Charon;
use crate::support::lab::Side;
use crate::support::wait_until;
use crate::{lab, say};

/// A look every 5 s, and the work.
const SOON: Duration = Duration::from_secs(10);

/// A connection that nobody stored, under the agent's names.
const STRAY: &str = "cygnet-0123456789abcdef0123456789abcdef";

/// What is ours on A.
#[derive(Debug, PartialEq)]
struct Ours {
    file: Option<String>,
    connections: Map<String, Value>,
    secrets: Vec<String>,
}

struct Bed {
    pair: Pair,
    charon: Charon,
    file: PathBuf,
}

impl Bed {
    fn ours(&self) -> Ours {
        let mut secrets = self.charon.secrets();
        secrets.sort();
        Ours { file: fs::read_to_string(&self.file).ok(), connections: self.pair.lab.conns(Side::A), secrets }
    }

    fn load_all(&self) {
        let output = self.pair.lab.swanctl(Side::A, &["--load-all", "--noprompt"]);
        assert!(output.status.success(), "{output:?}");
    }

    /// As an operator's `clear-creds` and reload would: the secret alone is gone.
    fn lose_the_secret(&self) {
        let runtime = Runtime::new().expect("a runtime");
        let vici = Vici::new(&self.pair.lab.vici_socket(Side::A), SOON);
        let id = format!("ike-{}", self.pair.name(Side::A));
        runtime.block_on(vici.unload_shared(&id)).expect("unload-shared");
    }

    /// The file, with another lifetime and another key.
    fn edited(&self) -> String {
        let text = fs::read_to_string(&self.file).expect("the file");
        let edited = text.replace("life_time = 3600s", "life_time = 3500s").replace("secret = 0x", "secret = 0x2a");
        assert_ne!(edited, text);
        edited
    }
}

/// What somebody does, under a name.
type Deed = (&'static str, fn(&Bed));

const DEEDS: [Deed; 6] = [
    ("the file is edited", |bed| fs::write(&bed.file, bed.edited()).expect("written")),
    ("the file is removed", |bed| fs::remove_file(&bed.file).expect("removed")),
    ("the edited file is loaded", |bed| {
        fs::write(&bed.file, bed.edited()).expect("written");
        bed.load_all();
    }),
    ("the removed file is loaded", |bed| {
        fs::remove_file(&bed.file).expect("removed");
        bed.load_all();
    }),
    ("connection and secret are unloaded", |bed| bed.charon.unload(&bed.pair.name(Side::A))),
    ("the secret is unloaded", |bed| bed.lose_the_secret()),
];

/// What the operator made is listed beside ours, with its SAs.
#[track_caller]
fn is_shown_as_foreign(pair: &Pair) {
    let all = cygnet(pair, Side::A, 80, &["list", "--all"]);
    let row = all.lines().find(|line| line.starts_with("operator ")).unwrap_or_else(|| panic!("{all}"));
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells[..5], ["operator", Side::B.wan(), "172.32.0.0/16", "foreign", "up"], "{all}");
    let page = cygnet(pair, Side::A, 80, &["show", "operator"]);
    for text in [
        "status       foreign, up",
        "version      IKEv2, begun by this gateway",
        "there        172.32.0.0/16",
        "SPIs         in ",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(all.lines().chain(page.lines()).all(|line| line.chars().count() <= 80), "{all}{page}");
}

#[test]
fn what_is_ours_is_put_back() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    let operator = Operator::arrive(&pair);
    is_shown_as_foreign(&pair);
    let file = pair.agent(Side::A).conf_dir().join(format!("{}.conf", pair.name(Side::A)));
    let bed = Bed { charon: Charon::of(&lab, Side::A), file, pair };
    let (before, tunnels) = (bed.ours(), bed.pair.settled(1).each_ref().map(Tunnel::numbers));
    for (index, (what, deed)) in DEEDS.into_iter().enumerate() {
        deed(&bed);
        let start = Instant::now();
        wait_until(SOON, &format!("{what}: it is put back"), || {
            let is_counted = drift(&bed.pair, Side::A).0 > index as u64;
            (is_counted && bed.ours() == before).then_some(())
        });
        let took = start.elapsed();
        let (count, put_back) = drift(&bed.pair, Side::A);
        assert_eq!(count, index as u64 + 1, "{what}: once");
        let part = if index < 4 { "the file in conf.d" } else { "charon's configuration" };
        assert!(put_back.contains(part), "{what}: {put_back}");
        let reports = bed.pair.agent(Side::A).logs().matches("had drifted from its record").count();
        assert_eq!(reports as u64, count);
        assert_eq!(Operator::of(&lab), operator, "{what}: the operator's own");
        say(format!("drift, {what}: put back after {took:?}: {put_back}"));
    }
    assert_eq!(bed.pair.settled(1).each_ref().map(Tunnel::numbers), tunnels, "no SA was touched");
    bed.pair.carries();
}

#[test]
fn a_stranger_under_our_names_is_removed() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    let operator = Operator::arrive(&pair);
    let tunnels = pair.settled(1).each_ref().map(Tunnel::numbers);
    let charon = Charon::of(&lab, Side::A);
    let file = pair.agent(Side::A).conf_dir().join(format!("{STRAY}.conf"));
    charon.load_secret(&format!("ike-{STRAY}"), b"test-only-stray", &["stray.example"]);
    charon.load_connection(STRAY, Side::A);
    fs::write(&file, "connections {\n}\n").expect("written");
    wait_until(SOON, "the stranger is gone", || {
        let is_loaded = lab.list_conns(Side::A).iter().any(|name| name == STRAY);
        let has_secret = charon.secrets().iter().any(|id| id.contains(STRAY));
        (!is_loaded && !has_secret && !file.exists()).then_some(())
    });
    assert_eq!(Operator::of(&lab), operator);
    assert_eq!(pair.settled(1).each_ref().map(Tunnel::numbers), tunnels);
    assert_eq!(drift(&pair, Side::A).0, 0, "nothing of ours had drifted");
    let log = pair.agent(Side::A).logs();
    assert!(log.contains(STRAY.trim_start_matches("cygnet-")), "the log says what was removed:\n{log}");
}

/// An operator's `swanctl --load-all` finds everything as it is in the files.
#[test]
fn loading_everything_disturbs_nothing() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    let operator = Operator::arrive(&pair);
    let tunnels = pair.settled(1).each_ref().map(Tunnel::numbers);
    let ping = lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
    for _ in 0..3 {
        let output = lab.swanctl(Side::A, &["--load-all", "--noprompt"]);
        assert!(output.status.success(), "{output:?}");
        ping.wait_for_replies(10);
    }
    assert_eq!(ping.stop().lost(), 0);
    assert_eq!(Operator::of(&lab), operator);
    assert_eq!(pair.settled(1).each_ref().map(Tunnel::numbers), tunnels);
    assert_eq!(drift(&pair, Side::A).0, 0, "nothing had drifted");
}
