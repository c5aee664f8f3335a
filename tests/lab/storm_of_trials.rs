//! The storm of trials: sixteen callers write to the same four connections, with and without `confirm`, while charon is
//! paused and killed, and the agent is killed. Afterwards each value of each connection must be one that some order of
//! the calls explains, in which whoever was answered was answered truly. `CYGNET_SEED` repeats a storm, and
//! `CYGNET_STORMS` says how many there are.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::calls::not_ready;
use crate::dice::Dice;
use crate::pair::{KEY, Pair, creation, with};
use crate::storm::{self, cidr, host, names, options, uuid};
use crate::support::http::{Client, Response};
use crate::support::lab::Side;
use crate::support::{poll, wait_until};
use crate::{lab, say};

const CONNECTIONS: usize = 4;
const CALLERS: usize = 16;
const CALLS: usize = 10;
/// How many storms there are, where nobody says.
const STORMS: u64 = 2;
/// How long everything may take to be up after the storm.
const CALM: Duration = Duration::from_mins(1);
/// How long a pause of charon lasts at most.
const PAUSE: Duration = Duration::from_secs(3);

/// What a connection is not there has for each value.
const GONE: &str = "gone";

/// The values of a connection, each of which is a register of its own.
const REGISTERS: [&str; 7] = ["lifeTime", "ikeLifeTime", "authKey", "name", "state", "peerCidrs", "l3NetworkRefs"];

/// What was written to registers by a call, and when.
#[derive(Clone, Debug)]
struct Write {
    values: BTreeMap<&'static str, String>,
    begun: Instant,
    /// When it was answered, for good; nothing if nobody knows whether it was done, or is still being done.
    done: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Death {
    Agent,
    Charon(Side),
    Pause,
}

/// What happens, each after as many answers.
const DEATHS: [(usize, Death); 6] = [
    (10, Death::Pause),
    (25, Death::Agent),
    (40, Death::Charon(Side::A)),
    (55, Death::Agent),
    (70, Death::Pause),
    (80, Death::Charon(Side::B)),
];

/// A call, and the registers that it writes if it is done.
struct Call {
    method: &'static str,
    path: String,
    body: Value,
    values: BTreeMap<&'static str, String>,
    is_confirmed: bool,
}

fn values<const N: usize>(list: [(&'static str, String); N]) -> BTreeMap<&'static str, String> {
    list.into_iter().collect()
}

/// What a connection that is there has in a register.
fn value(inventory: &Value, register: &str) -> String {
    match &inventory[register] {
        // Networks come and go whole.
        Value::Array(list) => (!list.is_empty()).to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Call {
    /// A call of whatever kind; `v` is different in each.
    fn any(dice: &mut Dice, n: usize, v: usize) -> Self {
        let end = (Side::A, n);
        let is_confirmed = dice.roll(2) == 0;
        let query = if is_confirmed { format!("confirm={}s", 1 + dice.roll(3)) } else { String::new() };
        let (base, id) = ("/zstack/v1/ipsec", uuid(end));
        let (life, ike) = ((1000 + v).to_string(), (10_000 + v).to_string());
        let change = |tail: &str, members: Value, values| Self {
            method: "PUT",
            path: format!("{base}/config/{id}?{tail}{query}"),
            body: json!({ "changeIPsecConnection": members }),
            values,
            is_confirmed,
        };
        let plain = |method, path: String, body, values| Self { method, path, body, values, is_confirmed };
        match dice.roll(14) {
            0..3 => {
                let members = options(end, &json!({ "lifeTime": 1000 + v, "ikeLifeTime": 10_000 + v, "authKey": KEY }));
                let values = values([("lifeTime", life), ("ikeLifeTime", ike), ("authKey", KEY.to_owned())]);
                change("", members, values)
            }
            3 => change("keep=true&", json!({ "lifeTime": 1000 + v }), values([("lifeTime", life)])),
            4 => change("keep=true&", json!({ "ikeLifeTime": 10_000 + v }), values([("ikeLifeTime", ike)])),
            // A key that the peer does not have, on trial only: it is never proven.
            5 | 6 => Self {
                path: format!("{base}/config/{id}?keep=true&confirm=1s"),
                is_confirmed: true,
                ..change(
                    "",
                    json!({ "authKey": format!("test-only-{v}"), "lifeTime": 1000 + v }),
                    values([("lifeTime", life), ("authKey", format!("test-only-{v}"))]),
                )
            },
            7 | 8 => {
                let (path, name) = (format!("{base}/{id}"), format!("name-{v}"));
                let body = json!({ "updateIPsecConnection": { "name": name } });
                Self { is_confirmed: false, ..plain("PUT", path, body, values([("name", name)])) }
            }
            9 => {
                let (event, state) = [("enable", "Enabled"), ("disable", "Disabled")][dice.roll(2)];
                let body = json!({ "changeIPSecConnectionState": { "stateEvent": event } });
                plain("PUT", format!("{base}/{id}/actions?{query}"), body, values([("state", state.to_owned())]))
            }
            10 => {
                let body = json!({ "reconnectIPsecConnection": {} });
                plain("PUT", format!("{base}/{id}/actions?{query}"), body, BTreeMap::new())
            }
            11 => Self::networks(dice, n, &query, is_confirmed),
            12 => {
                let gone = REGISTERS.map(|register| (register, GONE.to_owned()));
                Self { is_confirmed: false, ..plain("DELETE", format!("{base}/{id}"), Value::Null, values(gone)) }
            }
            _ => Self::create(n, v, &query, is_confirmed),
        }
    }

    fn networks(dice: &mut Dice, n: usize, query: &str, is_confirmed: bool) -> Self {
        let (id, there, network) = (uuid((Side::A, n)), cidr(Side::B, n), names((Side::A, n))[1].clone());
        let (part, list, item, register) = [
            ("remote-cidrs", "peerCidrs", there, "peerCidrs"),
            ("l3networks", "l3NetworkUuids", network, "l3NetworkRefs"),
        ][dice.roll(2)]
        .clone();
        let path = format!("/zstack/v1/ipsec/{id}/{part}?{query}");
        let (method, path, body) = if dice.roll(3) == 0 {
            ("DELETE", format!("{path}&{list}={}", item.replace('/', "%2F")), Value::Null)
        } else {
            ("POST", path, json!({ "params": { list: [item] } }))
        };
        let values = values([(register, (method == "POST").to_string())]);
        Self { method, path, body, values, is_confirmed }
    }

    fn create(n: usize, v: usize, query: &str, is_confirmed: bool) -> Self {
        let (end, name) = ((Side::A, n), format!("name-{v}"));
        let [vip, network] = names(end);
        let own = json!({ "resourceUuid": uuid(end), "vipUuid": vip, "l3NetworkUuid": network, "name": name,
                          "peerCidrs": [cidr(Side::B, n)] });
        let change = json!({ "lifeTime": 1000 + v, "ikeLifeTime": 10_000 + v, "authKey": KEY });
        let body = json!({ "params": with(&creation(Side::A, &options(end, &change)), &own) });
        let values = values([
            ("lifeTime", (1000 + v).to_string()),
            ("ikeLifeTime", (10_000 + v).to_string()),
            ("authKey", KEY.to_owned()),
            ("name", name),
            ("state", "Enabled".to_owned()),
            ("peerCidrs", "true".to_owned()),
            ("l3NetworkRefs", "true".to_owned()),
        ]);
        Self { method: "POST", path: format!("/zstack/v1/ipsec?{query}"), body, values, is_confirmed }
    }

    /// What is known to be written after this answer, and whether that is certain.
    fn outcome(&self, answer: Option<&Response>) -> Option<(BTreeMap<&'static str, String>, bool)> {
        let Some(answer) = answer else { return Some((self.values.clone(), false)) };
        if answer.status == 200 {
            self.assert_true(&answer.json()["inventory"]);
            return Some((self.values.clone(), true));
        }
        assert_eq!(answer.status, 503, "{}", answer.text());
        let said = answer.json()["error"]["details"].to_string();
        if said.contains("it was removed again") {
            // It was there for a while, and others may have written to it.
            return Some((values(REGISTERS.map(|register| (register, GONE.to_owned()))), false));
        }
        // As another call left it: that may have kept some of what was on trial.
        said.contains("another call changed").then(|| (self.values.clone(), false))
    }

    /// An answer of success is about what its caller wrote, and if it was on trial, that is up.
    fn assert_true(&self, inventory: &Value) {
        if self.method == "DELETE" && inventory.is_null() {
            return;
        }
        // A name that another wrote during the trial stays; it says nothing of the tunnel.
        let is_mine = |(register, wanted): (&&str, &String)| {
            self.is_confirmed && *register == "name" || value(inventory, register) == *wanted
        };
        let is_mine = self.values.iter().all(is_mine);
        assert!(is_mine, "{} {} was answered {inventory}", self.method, self.path);
        let is_idle = ["peerCidrs", "l3NetworkRefs"].iter().any(|list| value(inventory, list) == "false");
        let is_proven = inventory["status"] == "Ready" || inventory["state"] == "Disabled" || is_idle;
        assert!(!self.is_confirmed || is_proven, "{} {} was confirmed: {inventory}", self.method, self.path);
    }
}

/// All that the callers share.
struct Storm {
    socket: PathBuf,
    /// How many calls were answered, and how many callers have made all of theirs.
    done: AtomicUsize,
    ended: AtomicUsize,
    histories: [Mutex<Vec<Write>>; CONNECTIONS],
    kinds: Mutex<BTreeMap<String, usize>>,
}

impl Storm {
    fn work(&self, which: usize, seed: u64) {
        let mut dice = Dice::new(seed.wrapping_mul(31).wrapping_add(which as u64 * 7919));
        // The first numbers of neighbouring seeds are alike.
        for _ in 0..8 {
            dice.roll(2);
        }
        for number in 0..CALLS {
            let n = dice.roll(CONNECTIONS);
            let call = Call::any(&mut dice, n, 1 + number * CALLERS + which);
            // Who calls an agent that is not there learns nothing.
            wait_until(CALM, "the agent is there", || {
                Client::unix(&self.socket).request("GET", "/healthz", &[], b"").ok()
            });
            self.done.fetch_add(usize::from(self.make(n, &call)), Ordering::Relaxed);
        }
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Makes a call and notes what it wrote; whether it was answered.
    fn make(&self, n: usize, call: &Call) -> bool {
        let begun = Instant::now();
        let body = if call.body.is_null() { Vec::new() } else { call.body.to_string().into_bytes() };
        let mut client = Client::unix(&self.socket).with_timeout(Duration::from_secs(50));
        let answer = client.request(call.method, &call.path, &[("Content-Type", "application/json")], &body);
        let answer = answer.ok();
        let word = match (&answer, call.is_confirmed) {
            (None, _) => "without an answer",
            (Some(answer), true) if answer.status == 200 => "confirmed",
            (Some(_), true) => "not confirmed",
            (Some(answer), false) if answer.status == 200 => "done",
            (Some(_), false) => "refused",
        };
        *self.kinds.lock().expect("no panic").entry(word.to_owned()).or_default() += 1;
        if let Some((values, is_certain)) = call.outcome(answer.as_ref()) {
            // Without an answer it may even be done later.
            let done = is_certain.then(Instant::now);
            self.histories[n].lock().expect("no panic").push(Write { values, begun, done });
        }
        answer.is_some()
    }
}

/// Whether the agent says that charon is not there.
fn has_lost_charon(pair: &Pair) -> bool {
    not_ready(pair.agent(Side::A)).is_some()
}

/// Does what happens to the daemons, each at its time.
fn deaths(pair: &mut Pair, storm: &Storm) {
    let done = || storm.done.load(Ordering::Relaxed);
    for (after, death) in DEATHS {
        // Of many calls the agent dies before it answers: then fewer things happen.
        let is_over = || storm.ended.load(Ordering::Relaxed) == CALLERS;
        wait_until(Duration::from_mins(3), "the calls go on", || (done() >= after || is_over()).then_some(()));
        if is_over() {
            return;
        }
        match death {
            Death::Agent => {
                pair.agent_mut(Side::A).kill();
                pair.agent_mut(Side::A).restart();
            }
            Death::Charon(side) => {
                pair.lab.kill_charon(side);
                pair.lab.start_charon(side);
            }
            Death::Pause => {
                pair.lab.pause_charon(Side::A);
                // Long enough that calls meet it, and sometimes that the agent calls charon lost.
                let _ = poll(PAUSE, || has_lost_charon(pair).then_some(()));
                pair.lab.resume_charon(Side::A);
            }
        }
    }
}

/// Every value that is there was written, and by no call that another one, begun after it had been answered, overwrote.
fn assert_explained(history: &[Write], found: impl Fn(&str) -> String, place: &str) {
    for register in REGISTERS {
        let now = found(register);
        let writes: Vec<_> = history.iter().filter(|write| write.values.contains_key(register)).collect();
        let overwritten = |write: &Write| {
            write.done.is_some_and(|done| writes.iter().any(|later| later.done.is_some() && later.begun > done))
        };
        let explains = |write: &&&Write| write.values[register] == now && !overwritten(write);
        assert!(writes.iter().any(|write| explains(&write)), "{place}: {register} is {now:?}; {writes:#?}");
    }
}

/// Checks what is there after the storm, and makes all whole again.
fn judge(pair: &Pair, storm: &Storm, seed: u64) {
    let agent = pair.agent(Side::A);
    for n in 0..CONNECTIONS {
        let id = uuid((Side::A, n));
        let place = format!("seed {seed}, connection {n}");
        let path = agent.state_dir().join(format!("connections/{id}.json"));
        let is_decided = || !fs::read_to_string(&path).is_ok_and(|record| record.contains("\"trial\""));
        wait_until(CALM, "no trial is left", || is_decided().then_some(()));
        let inventory = agent.get(&id).expect(200).json()["inventories"][0].clone();
        let found = |register: &str| if inventory.is_null() { GONE.to_owned() } else { value(&inventory, register) };
        assert_explained(&storm.histories[n].lock().expect("no panic"), found, &place);
        assert_eq!(path.exists(), !inventory.is_null(), "{place}: the record");
        let is_loaded = ["state", "peerCidrs", "l3NetworkRefs"].map(found) == ["Enabled", "true", "true"];
        let conf = agent.conf_dir().join(format!("cygnet-{id}.conf"));
        wait_until(CALM, "conf.d follows", || (conf.exists() == is_loaded).then_some(()));
        if is_loaded {
            let life = format!("life_time = {}s", found("lifeTime"));
            wait_until(CALM, "the file follows", || {
                fs::read_to_string(&conf).is_ok_and(|t| t.contains(&life)).then_some(())
            });
        }
    }
    let ready = agent.request("GET", "/readyz", None).json();
    assert_eq!(ready["set_aside"], Value::Null, "seed {seed}: {ready}");
}

/// Makes each connection as at first, and waits until all are up.
fn calm(pair: &Pair, seed: u64) {
    let agent = pair.agent(Side::A);
    for n in 0..CONNECTIONS {
        // It may be gone already.
        let _ = agent.request("DELETE", &format!("/zstack/v1/ipsec/{}", uuid((Side::A, n))), None);
        storm::create(pair, (Side::A, n), &base());
    }
    let is_up = |n: usize| agent.get(&uuid((Side::A, n))).json()["inventories"][0]["status"] == "Ready";
    let all = poll(CALM, || (0..CONNECTIONS).all(is_up).then_some(()));
    assert!(all.is_some(), "seed {seed}: not all are up\n{}", agent.logs());
    for n in 0..CONNECTIONS {
        let ping = pair.lab.ping(Side::A, &host(Side::A, n), &host(Side::B, n), 3, Duration::from_millis(10));
        assert!(ping.received > 0, "seed {seed}, connection {n}: {ping:?}");
    }
}

fn base() -> Value {
    json!({ "lifeTime": 999, "ikeLifeTime": 9999, "authKey": KEY })
}

/// What is there before the storm, as writes of its own.
fn before(n: usize) -> Write {
    let now = Instant::now();
    let Call { mut values, .. } = Call::create(n, 0, "", false);
    values.extend([("lifeTime", "999".to_owned()), ("ikeLifeTime", "9999".to_owned()), ("name", "lab-a".to_owned())]);
    Write { values, begun: now, done: Some(now) }
}

fn storm(pair: &mut Pair, seed: u64) {
    say(format!("storm of trials: CYGNET_SEED={seed}"));
    let start = Instant::now();
    let storm = Storm {
        socket: pair.agent(Side::A).socket(),
        done: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
        histories: std::array::from_fn(|n| Mutex::new(vec![before(n)])),
        kinds: Mutex::default(),
    };
    thread::scope(|scope| {
        for which in 0..CALLERS {
            let storm = &storm;
            scope.spawn(move || storm.work(which, seed));
        }
        deaths(pair, &storm);
    });
    judge(pair, &storm, seed);
    let kinds = storm.kinds.lock().expect("no panic").clone();
    say(format!("storm of trials {seed}: {kinds:?} in {:?}", start.elapsed()));
    calm(pair, seed);
}

#[test]
fn a_storm_of_trials() {
    let Some(lab) = lab() else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let (first, storms) = (number("CYGNET_SEED").unwrap_or_else(clock), number("CYGNET_STORMS").unwrap_or(STORMS));
    let mut pair = storm::start(&lab);
    for end in (0..CONNECTIONS).flat_map(|n| Side::BOTH.map(|side| (side, n))) {
        storm::create(&pair, end, &base());
    }
    (first..first + storms).for_each(|seed| storm(&mut pair, seed));
}
