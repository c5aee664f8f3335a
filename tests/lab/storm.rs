//! The storm: two hundred random changes on twenty connections, while charon is killed three times and the agent five
//! times. At the end every connection is exactly its last acknowledged change, or one that was tried after it; and every
//! tunnel is up, once. `CYGNET_SEED` repeats a storm.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::pair::{Pair, creation, for_side, with};
use crate::support::agent::AgentOptions;
use crate::support::http::Client;
use crate::support::lab::{Lab, Side};
use crate::support::{poll, wait_until};
use crate::{lab, say};

const CONNECTIONS: usize = 20;
const CHANGES: usize = 200;
/// Callers side by side; each has connections of its own, so the changes of one connection are in order.
const CALLERS: usize = 4;
/// How long everything may take to be up after the storm.
const CALM: Duration = Duration::from_mins(1);

/// What kills what, after so many changes.
const DEATHS: [(usize, Death); 8] = [
    (20, Death::Agent(Side::A)),
    (45, Death::Charon(Side::B)),
    (70, Death::Agent(Side::B)),
    (90, Death::Agent(Side::A)),
    (110, Death::Charon(Side::A)),
    (135, Death::Agent(Side::A)),
    (160, Death::Charon(Side::A)),
    (165, Death::Agent(Side::B)),
];

/// How many changes may be made while one dies and comes back, and before the next.
const LEAD: usize = 15;

#[derive(Clone, Copy, Debug)]
enum Death {
    Agent(Side),
    Charon(Side),
}

/// Some options; the lifetime makes each change different.
fn change(dice: &mut Dice, number: usize) -> Value {
    let (group, key) = ([19, 20, 31][dice.roll(3)], format!("test-only-key-{}", dice.roll(4)));
    let cipher = ["aes-128", "aes-256"][dice.roll(2)];
    json!({ "ikeDhGroup": group, "authKey": key, "policyEncryptionAlgorithm": cipher, "lifeTime": 1000 + number })
}

/// What one end may be: its last acknowledged change, and what was tried after it.
#[derive(Default)]
struct Possible(Vec<Value>);

/// One end of one connection.
pub type End = (Side, usize);

pub fn uuid((side, n): End) -> String {
    format!("{n:06x}{}000004000800000000000000a", side.letter())
}

/// The addresses: a pair for each connection, and a network behind each end.
pub fn wan(side: Side, n: usize) -> String {
    format!("192.0.2.{}", 100 * side.number() + n)
}

pub fn host(side: Side, n: usize) -> String {
    format!("10.{}.{n}.1", 10 + side.number())
}

pub fn cidr(side: Side, n: usize) -> String {
    format!("10.{}.{n}.0/24", 10 + side.number())
}

pub fn options((side, n): End, change: &Value) -> Value {
    with(&for_side(side, change), &json!({ "peerAddress": wan(side.other(), n) }))
}

/// The uuids of the VIP and of the network of an end, in the settings.
pub fn names((side, n): End) -> [String; 2] {
    ["c", "d"].map(|kind| format!("{kind}{n:05x}{}000004000800000000000000b", side.letter()))
}

pub fn start(lab: &Lab) -> Pair {
    for side in Side::BOTH {
        for n in 0..CONNECTIONS {
            lab.add_address(side, &format!("{}/24", wan(side, n)));
            lab.add_lan(side, &format!("{}/24", host(side, n)));
        }
    }
    Pair::start_with(lab, |side| AgentOptions {
        wait: "0s".to_owned(),
        vips: (0..CONNECTIONS).map(|n| (names((side, n))[0].clone(), wan(side, n))).collect(),
        l3_networks: (0..CONNECTIONS).map(|n| (names((side, n))[1].clone(), vec![cidr(side, n)])).collect(),
        ..Default::default()
    })
}

pub fn create(pair: &Pair, end: End, change: &Value) {
    let (side, n) = end;
    let [vip, network] = names(end);
    let own = json!({ "resourceUuid": uuid(end), "vipUuid": vip, "l3NetworkUuid": network,
                      "peerCidrs": [cidr(side.other(), n)] });
    pair.agent(side).create(&with(&creation(side, &options(end, change)), &own)).expect(200);
}

/// One call, over a socket that may lead to an agent that was just killed: the status, or `None` without an answer.
fn call(socket: &Path, end: End, change: &Value) -> Option<u16> {
    let body = json!({ "changeIPsecConnection": options(end, change) }).to_string();
    let path = format!("/zstack/v1/ipsec/config/{}", uuid(end));
    let answer = Client::unix(socket).request("PUT", &path, &[("Content-Type", "application/json")], body.as_bytes());
    answer.ok().map(|answer| answer.status)
}

/// A management plane of its own: the changes of every fourth connection, each on both ends.
struct Caller<'a> {
    sockets: [PathBuf; 2],
    done: &'a AtomicUsize,
    gate: &'a AtomicUsize,
    possible: &'a Mutex<BTreeMap<(usize, usize), Possible>>,
}

impl Caller<'_> {
    fn work(&self, which: usize, seed: u64) {
        let mut dice = Dice::new(seed.wrapping_add(which as u64 * 7919));
        for number in 0..CHANGES / CALLERS {
            wait_until(CALM, "the next may die", || {
                (self.done.load(Ordering::Relaxed) < self.gate.load(Ordering::Relaxed)).then_some(())
            });
            let n = dice.roll(CONNECTIONS / CALLERS) * CALLERS + which;
            let (change, first) = (change(&mut dice, number * CALLERS + which), dice.roll(2));
            // Most callers insist; some give up, and never learn what became of their change.
            let insists = dice.roll(4) > 0;
            for side in [Side::BOTH[first], Side::BOTH[1 - first]] {
                self.change((side, n), &change, insists);
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn change(&self, end: End, change: &Value, insists: bool) {
        let tried = poll(if insists { Duration::from_secs(20) } else { Duration::ZERO }, || {
            self.with(end, |possible| possible.0.push(change.clone()));
            let status = call(&self.sockets[end.0 as usize], end, change);
            if status == Some(200) {
                self.with(end, |possible| possible.0 = vec![change.clone()]);
            }
            assert!(matches!(status, None | Some(200 | 503)), "{status:?}");
            status.filter(|status| *status == 200)
        });
        assert!(tried.is_some() || !insists, "no acknowledgement of {change} on {end:?}");
    }

    fn with(&self, (side, n): End, work: impl FnOnce(&mut Possible)) {
        let mut all = self.possible.lock().expect("no caller has panicked");
        work(all.entry((side as usize, n)).or_default());
    }
}

/// Kills and restarts, each at its time and while changes are made; `gate` is how far those may go.
fn deaths(pair: &mut Pair, done: &AtomicUsize, gate: &AtomicUsize) {
    for (after, death) in DEATHS {
        gate.store(after + LEAD, Ordering::Relaxed);
        wait_until(CALM, "the changes go on", || (done.load(Ordering::Relaxed) >= after).then_some(()));
        match death {
            Death::Agent(side) => {
                pair.agent_mut(side).kill();
                pair.agent_mut(side).restart();
            }
            Death::Charon(side) => {
                pair.lab.kill_charon(side);
                pair.lab.start_charon(side);
            }
        }
    }
    gate.store(usize::MAX, Ordering::Relaxed);
}

/// Whether everything that the change says stands in the inventory.
fn is(inventory: &Value, change: &Value) -> bool {
    change.as_object().is_some_and(|members| members.iter().all(|(name, value)| inventory[name] == *value))
}

/// What an end is now, in all three places; which of the possible ones that is.
fn found(pair: &Pair, end: End, possible: &Possible) -> Value {
    let (side, uuid) = (end.0, uuid(end));
    let agent = pair.agent(side);
    let inventory = agent.get(&uuid).expect(200).json()["inventories"][0].clone();
    let now = possible.0.iter().find(|change| is(&inventory, change));
    let now = now.unwrap_or_else(|| panic!("{end:?} is {inventory}, none of {:?}", possible.0));
    let stored = fs::read_to_string(agent.state_dir().join(format!("connections/{uuid}.json"))).expect("a record");
    let file = fs::read_to_string(agent.conf_dir().join(format!("cygnet-{uuid}.conf"))).expect("a file");
    let key = now["authKey"].as_str().expect("a key");
    let hex = key.bytes().fold("0x".to_owned(), |hex, byte| format!("{hex}{byte:02x}"));
    assert!(file.contains(&format!("secret = {hex}\n")), "{end:?}: {file}");
    assert!(file.contains(&format!("life_time = {}s", now["lifeTime"])), "{end:?}: {file}");
    let stored: Value = serde_json::from_str(&stored).expect("JSON");
    assert!(stored.to_string().contains(&now["lifeTime"].to_string()), "{end:?}: {stored}");
    now.clone()
}

/// The one IKE SA of an end, if it and its one child are up, with what was negotiated.
fn tunnel(sas: &Value, end: End) -> Option<Value> {
    let name = format!("cygnet-{}", uuid(end));
    let ours: Vec<_> = sas.as_array()?.iter().filter(|sa| sa["name"] == *name).collect();
    let [ike] = ours.as_slice() else { return None };
    let [child] = ike["children"].as_array()?.as_slice() else { return None };
    (ike["state"] == "ESTABLISHED" && child["state"] == "INSTALLED").then(|| (*ike).clone())
}

/// Every tunnel is up, once, and as wanted.
fn is_calm(pair: &Pair, wanted: &[Value]) -> Result<(), String> {
    for side in Side::BOTH {
        let sas = pair.lab.sas(side);
        for (n, wanted) in wanted.iter().enumerate() {
            let end = (side, n);
            let Some(ike) = tunnel(&sas, end) else { return Err(format!("{end:?} is not one tunnel: {sas:#}")) };
            let group = match wanted["ikeDhGroup"].as_i64() {
                Some(19) => "ECP_256",
                Some(20) => "ECP_384",
                _ => "CURVE_25519",
            };
            let bits = wanted["policyEncryptionAlgorithm"].as_str().unwrap_or_default().trim_start_matches("aes-");
            if ike["dh-group"] != group || ike["children"][0]["encr-keysize"] != bits {
                return Err(format!("{end:?} wants {wanted}: {ike:#}"));
            }
            let inventory = pair.agent(side).get(&uuid(end)).expect(200).json()["inventories"][0].clone();
            if inventory["status"] != "Ready" {
                return Err(format!("{end:?} is {}", inventory["status"]));
            }
        }
    }
    Ok(())
}

/// Where one end took a change that the other has not, the other gets it; what all are to be.
fn agree(pair: &Pair, possible: &BTreeMap<(usize, usize), Possible>) -> Vec<Value> {
    let mut mended = 0;
    let wanted = (0..CONNECTIONS).map(|n| {
        let [a, b] = Side::BOTH.map(|side| found(pair, (side, n), &possible[&(side as usize, n)]));
        if a != b {
            mended += 1;
            pair.agent(Side::B).change(&uuid((Side::B, n)), &options((Side::B, n), &a)).expect(200);
        }
        a
    });
    let wanted = wanted.collect();
    say(format!("storm: {mended} connections had ends that differed, as their callers gave up"));
    wanted
}

#[test]
fn a_storm() {
    let Some(lab) = lab() else { return };
    let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let seed = std::env::var("CYGNET_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(clock);
    say(format!("storm: CYGNET_SEED={seed}"));
    let mut pair = start(&lab);
    let possible = Mutex::new(BTreeMap::new());
    let plain =
        json!({ "lifeTime": 999, "ikeDhGroup": 31, "policyEncryptionAlgorithm": "aes-256", "authKey": "test-only" });
    for end in (0..CONNECTIONS).flat_map(|n| Side::BOTH.map(|side| (side, n))) {
        create(&pair, end, &plain);
        possible.lock().expect("nobody else").insert((end.0 as usize, end.1), Possible(vec![plain.clone()]));
    }
    let (start, done, gate) = (Instant::now(), AtomicUsize::new(0), AtomicUsize::new(0));
    let sockets = Side::BOTH.map(|side| pair.agent(side).socket());
    thread::scope(|scope| {
        for which in 0..CALLERS {
            let caller = Caller { sockets: sockets.clone(), done: &done, gate: &gate, possible: &possible };
            scope.spawn(move || caller.work(which, seed));
        }
        deaths(&mut pair, &done, &gate);
    });
    say(format!("storm: {CHANGES} changes in {:?}", start.elapsed()));
    let wanted = agree(&pair, &possible.into_inner().expect("no caller has panicked"));
    let start = Instant::now();
    let mut why = String::new();
    let calm = poll(CALM, || is_calm(&pair, &wanted).map_err(|error| why = error).ok());
    assert!(calm.is_some(), "seed {seed}: {why}\n{}", pair.agent(Side::A).logs());
    say(format!("storm: calm after {:?}", start.elapsed()));
    for n in 0..CONNECTIONS {
        let ping = lab.ping(Side::A, &host(Side::A, n), &host(Side::B, n), 3, Duration::from_millis(10));
        assert!(ping.received > 0, "{n}: {ping:?}");
    }
}
