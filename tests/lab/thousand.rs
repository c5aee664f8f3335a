//! A thousand connections whose peers do not answer, and one whose peer does: charon is restarted, and the one that
//! can be up is up soon, without charon drowning in the others.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::calls::not_ready;
use crate::pair::{Pair, creation};
use crate::support::agent::AgentOptions;
use crate::support::lab::{CharonOptions, Lab, Side};
use crate::support::wait_until;
use crate::{lab, say};

/// Connections without a peer.
const MANY: usize = 1000;
/// How many may be half open at once: eight times the window of 64, of two kinds of priority, and those that charon is
/// just asked to drop. Without the limit, all 1000 are, for the 165 s in which charon sends again by default.
const HALF_OPEN: usize = 700;
/// How many lists the agent may ask charon for, for each negotiation. Before it looked together, there were four.
const LISTS: usize = 2;

/// The numbers of all IKE SAs and of the half-open ones.
fn open(lab: &Lab) -> (usize, usize) {
    let output = lab.swanctl(Side::A, &["--stats"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("IKE_SAs: ")).unwrap_or_default();
    let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// How often the agent has asked charon for it.
fn requests(pair: &Pair, command: &str) -> usize {
    let text = pair.agent(Side::A).request("GET", "/metrics", None).text();
    let name = format!("cygnet_charon_request_duration_seconds_count{{command=\"{command}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(name.as_str())).and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn create_many(pair: &Pair) {
    let mut client = pair.agent(Side::A).client();
    for n in 0..MANY {
        let (high, low) = (n / 250, n % 250 + 1);
        let mut params = creation(Side::A, &json!({ "peerCidrs": [format!("10.{}.{low}.0/24", 100 + high)] }));
        params["name"] = format!("nobody-{n}").into();
        params["peerAddress"] = format!("198.51.{high}.{low}").into();
        let body = json!({ "params": params }).to_string();
        let headers = [("Content-Type", "application/json")];
        client.request("POST", "/zstack/v1/ipsec", &headers, body.as_bytes()).expect("an answer").expect(200);
    }
}

#[test]
fn a_thousand_connections_come_back() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start_with(&lab, |_| AgentOptions { wait: "0s".to_owned(), ..Default::default() });
    let start = Instant::now();
    create_many(&pair);
    say(format!("{MANY} connections made in {:?}", start.elapsed()));
    for side in Side::BOTH {
        pair.create(side, &json!({}));
    }
    pair.settled(1);
    lab.kill_charon(Side::A);
    wait_until(Duration::from_secs(20), "503 of /readyz", || not_ready(pair.agent(Side::A)));
    let patient =
        CharonOptions { retransmit_timeout: 4.0, retransmit_base: 1.8, retransmit_tries: 5, ..Default::default() };
    let before = ["list-sas", "initiate"].map(|command| requests(&pair, command));
    lab.start_charon_with(Side::A, patient);
    let start = Instant::now();
    wait_until(Duration::from_secs(20), "everything is loaded", || {
        not_ready(pair.agent(Side::A)).is_none().then_some(())
    });
    let loaded = start.elapsed();
    assert_eq!(lab.list_conns(Side::A).len(), MANY + 1);
    let (mut most, mut up) = (0, None);
    // The one that can be up, and all the others tried once.
    wait_until(Duration::from_secs(40), "the tunnel is up, and the others were tried", || {
        most = most.max(open(&lab).1);
        if up.is_none() && pair.status(Side::A) == "Ready" {
            up = Some(start.elapsed());
        }
        up.filter(|_| start.elapsed() > Duration::from_secs(12))
    });
    say(format!("{} loaded after {loaded:?}, the real one up after {up:?}, {most} half open at most", MANY + 1));
    assert!(most <= HALF_OPEN, "{most} half open");
    let [lists, begun] = ["list-sas", "initiate"].map(|command| requests(&pair, command));
    let (lists, begun) = (lists - before[0], begun - before[1]);
    say(format!("{lists} lists for {begun} negotiations"));
    assert!(lists <= LISTS * begun, "{lists} lists for {begun} negotiations");
    pair.settled(1);
    pair.carries();
}
