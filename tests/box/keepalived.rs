//! Two gateways and Debian's keepalived, set up as docs/operate.md says: its files are what is read here. The address moves
//! because keepalived ends, is killed, loses its link, and because a gateway is made a standby. Each time the tunnel follows,
//! and no daemon is restarted.

use crate::{
    machine::{Machine, possible},
    pair::{NETWORK, VIP, gateway, ip},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

const PAGE: &str = include_str!("../../docs/operate.md");
const KEY: &str = "test-only-key-of-the-pair";
/// The one connection of both.
const UUID: &str = "c0000000000140008000000000000021";

/// keepalived.conf of the page for one of the gateways: with another priority, and following the agent's file.
fn recipe(number: usize) -> String {
    let (_, page) = PAGE.split_once("\n## Two gateways with keepalived\n").expect("the chapter");
    let (page, _) = page.split_once("\n## ").expect("the next chapter");
    let blocks: Vec<_> = page.split("```text\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    let [plain, follows] = blocks[..] else { panic!("{} blocks", blocks.len()) };
    let whole = plain.split_once("{\n").and_then(|(_, rest)| rest.rsplit_once("}\n")).expect("an instance").0;
    assert!(follows.contains("    ...\n") && whole.contains("priority 100\n"), "{follows}{whole}");
    follows.replace("    ...\n", whole).replace("priority 100\n", &format!("priority 10{number}\n"))
}

/// A gateway without its cable.
fn member(number: usize) -> Machine {
    let machine = gateway(1, "[ha]\nrole = \"pair\"\n");
    machine.write("/etc/keepalived/keepalived.conf", &recipe(number));
    machine
}

/// The other end: strongSwan alone, which answers.
fn peer() -> Machine {
    let machine = Machine::boot();
    machine.write(
        "/etc/swanctl/conf.d/peer.conf",
        &format!(
            "connections {{\npair {{\nversion = 2\nlocal_addrs = 192.0.2.2\nremote_addrs = 192.0.2.1\nproposals = aes256-sha256-x25519\n\
             local {{\nauth = psk\n}}\nremote {{\nauth = psk\n}}\n\
             children {{\nnet {{\nesp_proposals = aes256-sha256\nlocal_ts = 10.2.0.0/24\nremote_ts = 10.1.0.0/24\n}}\n}}\n}}\n}}\n\
             secrets {{\nike-pair {{\nsecret = \"{KEY}\"\n}}\n}}\n"
        ),
    );
    machine.run("systemctl enable --now --quiet strongswan");
    machine
}

struct Bed {
    gateways: [Machine; 2],
    peer: Machine,
}

impl Bed {
    fn start() -> Self {
        let [one, two, other] = [1, 2, 3].map(|n| thread::spawn(move || if n < 3 { member(n) } else { peer() }));
        let [one, two, peer] = [one, two, other].map(|machine| machine.join().expect("a machine"));
        let bed = Self { gateways: [one, two], peer };
        bed.cable();
        bed
    }

    /// The peer's network has the switch that all are at.
    fn cable(&self) {
        let switch = self.peer.network();
        ip(&format!("-n {switch} link add wan type bridge"));
        ip(&format!("-n {switch} address add 192.0.2.2/24 dev wan"));
        ip(&format!("-n {switch} address add 10.2.0.1/24 dev lo"));
        ip(&format!("-n {switch} link set wan up"));
        for (at, gateway) in self.gateways.iter().enumerate() {
            let network = gateway.network();
            ip(&format!("link add eth0 netns {network} type veth peer name port{at} netns {switch}"));
            ip(&format!("-n {network} address add 192.0.2.1{at}/24 dev eth0"));
            ip(&format!("-n {network} address add 10.1.0.1/24 dev lo"));
            ip(&format!("-n {network} link set eth0 up"));
            ip(&format!("-n {switch} link set port{at} master wan up"));
        }
    }

    /// Both get the connection: one by a call, the other one by what the first one exports.
    fn connect(&self) {
        let [one, two] = &self.gateways;
        one.call(
            "POST",
            "/zstack/v1/ipsec",
            &json!({ "params": { "name": "pair", "resourceUuid": UUID, "vipUuid": VIP, "peerAddress": "192.0.2.2",
                "authKey": KEY, "l3NetworkUuid": NETWORK, "peerCidrs": ["10.2.0.0/24"], "ikeVersion": "ikev2",
                "ikeDhGroup": 31, "pfs": "none" } }),
        );
        two.write("/root/pair.yaml", &format!("{}authKey: {KEY}\n", one.run("cygnet export")));
        two.run("cygnet apply --yes --file /root/pair.yaml");
    }

    fn role(&self, at: usize) -> String {
        let answer = self.gateways[at].try_call("GET", "/readyz", &Value::Null);
        answer.filter(|(status, _)| *status == 200).map(|(_, said)| said["role"].to_string()).unwrap_or_default()
    }

    /// Waits until the gateway has the tunnel, which carries, and the other one stands by without SAs.
    #[track_caller]
    fn works_at(&self, at: usize) {
        let (holder, other) = (&self.gateways[at], &self.gateways[1 - at]);
        let list = |machine: &Machine| machine.try_call("GET", "/zstack/v1/ipsec", &Value::Null).unwrap_or_default().1;
        holder.wait("the tunnel is Ready", || list(holder)["inventories"][0]["status"] == "Ready");
        holder
            .wait("packets come through", || holder.try_run("ping -q -c 1 -W 1 -I 10.1.0.1 10.2.0.1").status.success());
        other.wait("the other one stands by", || {
            self.role(1 - at) == "\"standby\"" && other.run("swanctl --list-sas").is_empty()
        });
        assert_eq!(self.role(at), "\"active\"");
        assert_eq!(list(other)["inventories"][0]["status"], "Disconnected");
    }

    /// What keeps running while the address moves.
    fn processes(&self) -> Vec<String> {
        let of = |machine: &Machine| ["cygnet", "strongswan"].map(|unit| machine.show(unit, "MainPID"));
        self.gateways.iter().flat_map(of).collect()
    }

    /// Starts keepalived again, which has only to wait now.
    #[track_caller]
    fn waits_again(&self, at: usize) {
        let since = self.gateways[at].run("date +@%s.%N");
        self.gateways[at].run("systemctl start keepalived");
        self.waits_since(at, since.trim());
    }

    #[track_caller]
    fn waits_since(&self, at: usize, since: &str) {
        let gateway = &self.gateways[at];
        gateway.wait("keepalived is a backup", || {
            gateway
                .run(&format!("journalctl --no-pager -u keepalived --since {since}"))
                .contains("Entering BACKUP STATE")
        });
    }
}

/// The IKE packets that a gateway sends while this lives.
struct Heard(Child);

impl Heard {
    fn from(bed: &Bed, at: usize) -> Self {
        let line = format!(
            "netns exec {} tcpdump --immediate-mode -n -l -Q in -i port{at} udp port 500 or udp port 4500",
            bed.peer.network()
        );
        let mut command = Command::new("ip");
        let mut child =
            command.args(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
        assert!(said.any(|line| line.is_ok_and(|line| line.starts_with("listening on"))), "tcpdump does not listen");
        // What it says at its end goes nowhere.
        thread::spawn(move || said.for_each(drop));
        Self(child)
    }

    /// What was heard.
    fn end(mut self) -> Vec<String> {
        self.0.kill().expect("it runs");
        let lines = BufReader::new(self.0.stdout.take().expect("piped")).lines();
        let heard = lines.map_while(Result::ok).collect();
        self.0.wait().expect("it ended");
        heard
    }
}

/// A healthy standby has nothing to do, and says what it is.
fn says_that_it_stands_by(gateway: &Machine) {
    assert!(gateway.run("cygnet status").contains("standby"));
    assert!(gateway.run("cygnet list").contains("standby"));
    let report = String::from_utf8_lossy(&gateway.try_run("cygnet doctor").stdout).into_owned();
    let of = |check: &str| {
        let line = report.lines().find(|line| line.split_whitespace().nth(1) == Some(check));
        line.filter(|line| line.starts_with("ok")).unwrap_or_else(|| panic!("{check}: {report}"))
    };
    assert!(of("addresses").ends_with("standby: 192.0.2.1 is not on this host"), "{report}");
    of("nonlocal_bind");
}

#[test]
#[ignore = "needs the package: make box"]
fn keepalived_moves_the_tunnel_and_restarts_nothing() {
    if !possible() {
        return;
    }
    let bed = Bed::start();
    bed.connect();
    for gateway in &bed.gateways {
        gateway.run("systemctl start keepalived");
    }
    let [one, two] = &bed.gateways;
    one.wait("one of them has the address", || [0, 1].into_iter().any(|at| bed.role(at) == "\"active\""));
    let first = usize::from(bed.role(1) == "\"active\"");
    let (holder, other) = (&bed.gateways[first], &bed.gateways[1 - first]);
    bed.works_at(first);
    let processes = bed.processes();

    // keepalived ends.
    let heard = Heard::from(&bed, 1 - first);
    says_that_it_stands_by(other);
    bed.works_at(first);
    let sent = heard.end();
    assert!(sent.is_empty(), "a standby sends nothing: {sent:?}");
    holder.run("systemctl stop keepalived");
    bed.works_at(1 - first);
    bed.waits_again(first);

    // keepalived is killed.
    other.run("systemctl kill --kill-who=main --signal=KILL keepalived");
    bed.works_at(first);
    let heard = Heard::from(&bed, 1 - first);
    bed.waits_again(1 - first);
    bed.works_at(first);
    let sent = heard.end();
    assert!(sent.is_empty(), "a standby sends nothing: {sent:?}");

    // The cable is cut.
    let (switch, since) = (bed.peer.network(), holder.run("date +@%s.%N"));
    ip(&format!("-n {switch} link set port{first} down"));
    bed.works_at(1 - first);
    ip(&format!("-n {switch} link set port{first} up"));
    bed.waits_since(first, since.trim());
    bed.works_at(1 - first);

    // Maintenance of the gateway that works. What takes over is heard, so what stands by would be.
    let heard = Heard::from(&bed, first);
    other.run("cygnet standby");
    bed.works_at(first);
    assert!(!heard.end().is_empty(), "nothing is heard of a negotiation");
    let since = other.run("date +@%s.%N");
    other.run("cygnet active");
    bed.waits_since(1 - first, since.trim());
    bed.works_at(first);

    assert_eq!(bed.processes(), processes, "no daemon was restarted");
    for gateway in [one, two] {
        let said = gateway.run("journalctl --no-pager --output=cat -u keepalived -u cygnet");
        let is_bad = |line: &&str| ["Unknown keyword", "deprecated", "panicked"].iter().any(|bad| line.contains(bad));
        assert_eq!(said.lines().filter(is_bad).collect::<Vec<_>>(), [""; 0]);
        let told = ["took over 192.0.2.1", "gave up 192.0.2.1"].map(|what| said.matches(what).count());
        assert!(told.iter().all(|count| *count > 0), "{told:?}: {said}");
        gateway.run("systemctl stop keepalived");
    }
}
