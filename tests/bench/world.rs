//! The gateway that is measured: a real charon in a namespace of its own, the agent beside it, and connections whose
//! peers do not answer. What is sent to them is routed to the lab's bridge, which drops it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cygnet::{store::Store, strongswan::names};
use serde_json::Value;

use crate::bare::Bare;
use crate::seed;
use crate::support::agent::{Agent, AgentOptions, TOKEN};
use crate::support::http::Client;
use crate::support::lab::{CharonOptions, Lab, Side};
use crate::support::{poll, wait_until};

/// The gateway; the other one of the lab stays dark.
pub const SIDE: Side = Side::A;
/// How long the agent may take to start, whatever it has to load.
const PATIENCE: Duration = Duration::from_mins(5);
/// More negotiations than this are never on their way at once among peers that were tried before: five in two seconds, for 4 s
/// each, and a first burst of 32.
const TRIED_AGAIN: usize = 60;
/// The lifetimes that changes set, from the one that is stored upwards.
const LIFETIMES: (u32, u32) = (3601, 600_000);

/// Which connection is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Each time another one, that nobody touched for long.
    Another,
    /// The same each time, as that of the floor is.
    Same,
}

/// The gateway.
pub struct World {
    /// The namespaces and charon.
    pub lab: Lab,
    /// The agent.
    pub agent: Agent,
    /// How many connections the agent has.
    pub size: u32,
    /// How many of the networks behind the peers have a host.
    hosts: u32,
    changes: AtomicU32,
}

impl World {
    /// A gateway without connections; both programs run.
    pub fn new() -> Self {
        let lab = Lab::new();
        lab.start_charon(SIDE);
        let environment = of_the_unit();
        let options =
            AgentOptions { wait: "0s".to_owned(), patience: PATIENCE, environment, ..AgentOptions::default() };
        let agent = Agent::start(&lab, SIDE, options);
        Self { lab, agent, size: 0, hosts: 0, changes: AtomicU32::new(0) }
    }

    /// A bare client of the charon that runs now.
    pub fn bare(&self) -> Bare {
        Bare::new(&self.lab.vici_socket(SIDE))
    }

    /// Restarts the agent with `size` stored connections, which lie in conf.d as well, as after a reboot.
    pub fn grow(&mut self, size: u32) {
        if size == self.size {
            return;
        }
        crate::progress(&format!("storing {size} connections"));
        self.agent.stop();
        let bare = self.bare();
        let store = Store::open(&self.agent.state_dir()).expect("the store");
        for n in self.size..size {
            store.commit(store.stage(seed::record(n)).expect("staged")).expect("stored");
            let file = self.agent.conf_dir().join(names::file(seed::id(n)));
            fs::write(file, bare.loadable(n).conf.expose()).expect("a file in conf.d");
        }
        self.size = size;
        let took = self.start_agent();
        crate::progress(&format!("the agent has them, after {:.1} s", took.as_secs_f64()));
        assert!(bare.connections() >= size as usize, "charon has all connections");
    }

    /// Starts the agent, which does not run; how long it took until it was ready.
    pub fn start_agent(&mut self) -> Duration {
        let start = Instant::now();
        self.agent.restart();
        self.wait_until_ready();
        start.elapsed()
    }

    /// Kills charon and starts it anew with the default retransmission; with `answering`, there is a peer for all
    /// connections. Returns when the agent has loaded them.
    pub fn restart_charon(&mut self, answering: bool) {
        self.end_charon();
        self.stop_responder();
        if answering {
            self.start_responder();
        }
        self.start_patient_charon();
        self.wait_until_ready();
    }

    /// Kills charon, and waits until the agent knows.
    pub fn end_charon(&self) {
        self.lab.kill_charon(SIDE);
        wait_until(PATIENCE, "503 of /readyz", || {
            (self.agent.request("GET", "/readyz", None).status == 503).then_some(())
        });
    }

    /// Starts the gateway's charon with the retransmission that it has by default: 165 s.
    pub fn start_patient_charon(&self) {
        let patient = CharonOptions {
            retransmit_timeout: 4.0,
            retransmit_base: 1.8,
            retransmit_tries: 5,
            ..CharonOptions::default()
        };
        self.lab.start_charon_with(SIDE, patient);
    }

    /// Starts the charon of the other side anew, which answers for all peers.
    pub fn start_responder(&mut self) {
        self.stop_responder();
        let other = SIDE.other();
        // kernel-libipsec needs a host in each network: it makes the routes with its address. charon
        // must find them when it starts: it misses many that come at once.
        let hosts: Vec<_> = (self.hosts..self.size).map(seed::host).collect();
        self.lab.add_many(other, &[], &hosts);
        self.hosts = self.size;
        let extra = "dos_protection = no\n".to_owned();
        self.lab.start_charon_with(other, CharonOptions { extra, ..CharonOptions::default() });
        self.lab.answer_for(other, seed::PEERS);
        self.lab.load_conf(other, "responder", &seed::responder());
    }

    /// Ends what answers for the peers.
    pub fn stop_responder(&mut self) {
        let other = SIDE.other();
        if self.lab.charon_pid(other).is_some() {
            self.lab.kill_charon(other);
            self.lab.answer_no_longer(other, seed::PEERS);
        }
    }

    /// How often the agent has asked charon what, since its start.
    pub fn requests(&self) -> Vec<(String, f64)> {
        let text = self.agent.request("GET", "/metrics", None).text();
        let counts = text
            .lines()
            .filter_map(|line| line.strip_prefix("cygnet_charon_request_duration_seconds_count{command=\""));
        counts
            .filter_map(|line| line.split_once("\"} "))
            .map(|(name, count)| (name.to_owned(), count.parse().expect("a number")))
            .collect()
    }

    /// Waits until charon holds what the store says.
    pub fn wait_until_ready(&self) {
        wait_until(PATIENCE, "200 of /readyz", || {
            let answer = self.agent.try_request("GET", "/readyz", None).ok()?;
            (answer.status == 200).then_some(())
        });
    }

    /// Waits until every peer was tried once, and all were given up: from then on they are tried as those whose attempts
    /// failed.
    pub fn settle(&self) {
        crate::progress("waiting until every peer was tried once");
        let bare = self.bare();
        let mut most = 0;
        wait_until(PATIENCE, "the end of the first attempts", || {
            let now = bare.half_open();
            most = most.max(now);
            (now < most.min(TRIED_AGAIN)).then_some(())
        });
    }

    /// A durable file that is nobody's, on the disk of the agent's files.
    pub fn spare_file(&self) -> PathBuf {
        self.agent.state_dir().join("spare")
    }

    /// The foreign connection's file in conf.d.
    pub fn foreign_file(&self) -> PathBuf {
        self.agent.conf_dir().join("rivals.conf")
    }

    /// A number for the next change: no connection is set to the same lifetime twice in a row.
    pub fn next(&self) -> u32 {
        self.changes.fetch_add(1, Ordering::Relaxed)
    }

    /// As [`World::change`], over a connection that was just in use: the agent closes those that nobody uses, and
    /// while swanctl works nobody does.
    pub fn change_at_once(&self, client: &mut Client, token: bool, which: Which) -> Duration {
        client.request("GET", "/healthz", &[], &[]).expect("an answer").expect(200);
        let before = client.connections();
        let time = self.change_one(client, token, which);
        assert_eq!(client.connections(), before, "the connection was kept");
        time
    }

    /// Changes a connection over `client`, another one each time; how long the answer took.
    pub fn change(&self, client: &mut Client, token: bool) -> Duration {
        self.change_one(client, token, Which::Another)
    }

    fn change_one(&self, client: &mut Client, token: bool, which: Which) -> Duration {
        let number = self.next();
        let n = if which == Which::Another { number % self.size } else { self.size / 2 };
        let lifetime = lifetime(number);
        let (path, body) = (format!("/zstack/v1/ipsec/config/{}", seed::id(n)), seed::change(n, lifetime).to_string());
        let (time, answer) = crate::race::timed(|| request(client, "PUT", &path, body.as_bytes(), token));
        assert_eq!(answer["inventory"]["lifeTime"], lifetime, "the change was made: {answer}");
        time
    }

    /// Watches for `time` that the agent goes on.
    pub fn idle(&self, time: Duration) {
        assert!(poll(time, || self.agent.pid().is_none().then_some(())).is_none(), "the agent goes on");
    }
}

/// What the unit sets of the C library's memory: the agent runs as it does when it is installed.
fn of_the_unit() -> Vec<(String, String)> {
    let lines = include_str!("../../systemd/cygnet.service").lines();
    let settings = lines.filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    let of_memory = settings.filter(|(name, _)| name == &"GLIBC_TUNABLES");
    of_memory.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A lifetime for the change of this number.
pub fn lifetime(number: u32) -> i64 {
    i64::from(LIFETIMES.0 + number % LIFETIMES.1)
}

/// The JSON of a 200 to one request.
pub fn request(client: &mut Client, method: &str, path: &str, body: &[u8], token: bool) -> Value {
    let token = token.then(|| format!("OAuth {TOKEN}"));
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(token.iter().map(|token| ("Authorization", token.as_str())));
    client.request(method, path, &headers, body).expect("an answer").expect(200).json()
}
