//! `make demo`: two gateways with a real charon and an agent each, a tunnel between them, and a change
//! of its algorithms under traffic. It prints one screen, and leaves nothing behind, also after Ctrl-C:
//! the work is done in a child process, and whatever ends it, the parent cleans up.
#![expect(clippy::print_stdout, reason = "this is what a demo is for")]

#[path = "../support/mod.rs"]
mod support;

use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};
use std::{
    process::{Child, Command, ExitCode},
    time::{Duration, Instant},
};
use support::{
    agent::{self, Agent, AgentOptions},
    http::Response,
    lab::{Lab, Side},
    wait_until,
};

const KEY: &str = "demo-only-key-not-a-secret";

fn main() -> ExitCode {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD].into_iter().collect();
    if std::env::args().nth(1).as_deref() == Some("inside") {
        signals.thread_unblock().expect("signals can be unblocked");
        return inside();
    }
    if let Err(why) = Lab::available() {
        println!("This machine cannot run the demo: {why}");
        return ExitCode::FAILURE;
    }
    signals.thread_block().expect("signals can be blocked");
    let mut child =
        Command::new(std::env::current_exe().expect("own path")).arg("inside").spawn().expect("the demo starts");
    let success = supervise(&mut child, &signals);
    Lab::sweep();
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Waits for the end of `child`, or for a signal that ends it.
fn supervise(child: &mut Child, signals: &SigSet) -> bool {
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return status.success();
        }
        if signals.wait().expect("signals can be waited for") != Signal::SIGCHLD {
            println!("\ninterrupted: cleaning up");
            // It may have ended by the same Ctrl-C already.
            let _ = child.kill();
            let _ = child.wait();
            return false;
        }
    }
}

/// Prints steps with the time that each took.
struct Steps {
    count: u32,
    began: Instant,
    last: Instant,
}

impl Steps {
    fn done(&mut self, what: &str) {
        self.count += 1;
        let now = Instant::now();
        println!("{:2}. {what:<88} {:>6} ms", self.count, (now - self.last).as_millis());
        self.last = now;
    }
}

struct Demo {
    lab: Lab,
    agents: [Agent; 2],
    uuids: [String; 2],
    steps: Steps,
}

fn inside() -> ExitCode {
    println!("cygnet demo: gateway A 192.0.2.1 (10.1.0.0/24)  <-- IPsec -->  gateway B 192.0.2.2 (10.2.0.0/24)\n");
    let began = Instant::now();
    let mut steps = Steps { count: 0, began, last: began };
    let lab = Lab::new();
    for side in Side::BOTH {
        lab.start_charon(side);
    }
    steps.done("two network namespaces, a strongSwan charon in each");
    let agents = Side::BOTH.map(|side| Agent::start(&lab, side, AgentOptions::default()));
    steps.done("a cygnet agent on each, its HTTP API on 127.0.0.1");
    let mut demo = Demo { lab, agents, uuids: Default::default(), steps };
    demo.create();
    demo.ping();
    demo.change();
    demo.mistakes();
    demo.delete();
    println!("\nEverything worked, in {:.1} s. Nothing is left behind.", demo.steps.began.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

impl Demo {
    fn on_both(&self, call: impl Fn(usize, Side, &Agent) -> Response + Sync) -> [Response; 2] {
        let call = &call;
        std::thread::scope(|scope| {
            let calls = [0, 1].map(|i| scope.spawn(move || call(i, Side::BOTH[i], &self.agents[i])));
            calls.map(|thread| thread.join().expect("the call returns").expect(200))
        })
    }

    fn create(&mut self) {
        let answers = self.on_both(|_, side, agent| {
            let body = json!({ "params": {
                "name": format!("to {:?}", side.other()), "peerAddress": side.other().wan(), "authKey": KEY,
                "vipUuid": agent::vip(side), "l3NetworkUuid": agent::l3_network(side),
                "peerCidrs": [format!("10.{}.0.0/24", side.other().number())], "ikeVersion": "ikev2", "ikeDhGroup": 14,
            }});
            agent.request_tcp("POST", "/zstack/v1/ipsec", Some(&body))
        });
        self.uuids = answers.map(|answer| text(&answer.json()["inventory"]["uuid"]));
        self.steps.done("POST /zstack/v1/ipsec on both: CreateIPsecConnection");
        self.show();
    }

    fn ping(&mut self) {
        let result = self.lab.ping_tunnel(Side::A);
        assert_eq!(result.lost(), 0, "the tunnel carries");
        self.steps.done(&format!("ping through the tunnel: {} of {} came back", result.received, result.sent));
    }

    fn change(&mut self) {
        let ping = self.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(20));
        ping.wait_for_replies(5);
        let uuids = self.uuids.clone();
        let _ = self.on_both(|i, side, agent| {
            let body = json!({ "changeIPsecConnection": {
                "peerAddress": side.other().wan(), "authKey": KEY, "ikeVersion": "ikev2",
                "ikeEncryptionAlgorithm": "aes-256-gcm", "ikeAuthAlgorithm": "sha384", "ikeDhGroup": 20,
                "policyEncryptionAlgorithm": "chacha20-poly1305", "pfs": "dh-group31",
            }});
            agent.request_tcp("PUT", &format!("/zstack/v1/ipsec/config/{}", uuids[i]), Some(&body))
        });
        self.steps.done("PUT /zstack/v1/ipsec/config/{uuid} on both: ChangeIPsecConnection, under traffic");
        self.show();
        wait_until(Duration::from_secs(20), "the old SAs are closed", || {
            Side::BOTH.iter().all(|side| self.lab.sas(*side).as_array().is_some_and(|sas| sas.len() == 1)).then_some(())
        });
        let result = ping.stop();
        self.steps.done(&format!(
            "the old SAs are closed; of {} pings during the change {}",
            result.sent,
            match result.lost() {
                0 => "none was lost".into(),
                1 => "1 was lost".into(),
                lost => format!("{lost} were lost"),
            }
        ));
    }

    /// The negotiated algorithms, as charon lists them.
    fn show(&self) {
        for (i, side) in Side::BOTH.into_iter().enumerate() {
            let status = self.agents[i].get(&self.uuids[i]).json();
            let native =
                self.agents[i].request("GET", &format!("/cygnet/v1/connections/{}", self.uuids[i]), None).json();
            let current = |list: &Value| {
                let wanted = list.as_array().into_iter().flatten().find(|sa| sa["as_wanted"] == true).cloned();
                wanted.unwrap_or(Value::Null)
            };
            let (ike, child) = (current(&native["ike_sas"]), current(&native["children"][0]["sas"]));
            println!(
                "      {side:?}  {:<10} IKE {:<52} ESP {}",
                text(&status["inventories"][0]["status"]),
                suite(&ike),
                suite(&child)
            );
        }
    }

    fn mistakes(&mut self) {
        let path = format!("/zstack/v1/ipsec/config/{}", self.uuids[0]);
        for (field, value) in [
            ("ikeEncryptionAlgorithm", json!("aes-512")),
            ("lifeTime", json!(10)),
            ("transformProtocol", json!("ah-esp")),
        ] {
            let mut body = json!({ "changeIPsecConnection": { "peerAddress": Side::B.wan(), "authKey": KEY } });
            body["changeIPsecConnection"][field] = value.clone();
            let error = self.agents[0].request_tcp("PUT", &path, Some(&body)).expect(503).json()["error"].clone();
            let details =
                text(&error["details"]).replace(" of message[org.zstack.header.message.ApiMessageParamValidator]", "");
            println!("      {} {details}", text(&error["code"]));
        }
        self.steps.done("wrong values: refused by name, and nothing is changed");
        self.ping();
    }

    fn delete(&mut self) {
        let uuids = self.uuids.clone();
        let _ =
            self.on_both(|i, _, agent| agent.request_tcp("DELETE", &format!("/zstack/v1/ipsec/{}", uuids[i]), None));
        for side in Side::BOTH {
            assert!(self.lab.list_conns(side).is_empty(), "no connection is left in charon");
        }
        self.steps.done("DELETE /zstack/v1/ipsec/{uuid} on both: no connection, secret, SA or file is left");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

fn suite(sa: &Value) -> String {
    let parts = ["encryption", "key_bits", "integrity", "prf", "group"].iter().filter(|key| !sa[**key].is_null());
    let parts: Vec<_> = parts.map(|key| sa[*key].as_str().map_or_else(|| sa[*key].to_string(), Into::into)).collect();
    if parts.is_empty() { "-".into() } else { parts.join(" ").replace("HMAC_", "").replace("PRF_", "prf ") }
}
