//! Three members of etcd between the gateways of a lab, an agent and a follower on each, and etcd's own client.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};

use crate::say;
use crate::support::agent::{self, Agent, AgentOptions};
use crate::support::lab::{Lab, Process, Side};
use crate::support::{output, run, wait_until};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// The key of the connections.
pub const KEY: &str = "test-only-canary-of-the-fleet";
/// The members.
const MEMBERS: usize = 3;
/// Where they listen: the bridge between the gateways, which both reach without a tunnel.
const HOST: &str = "192.0.2.254";

/// The lab with its etcd, agents and followers.
pub struct Bed {
    pub lab: Lab,
    members: [Option<Arc<Process>>; MEMBERS],
    agents: Vec<Option<Agent>>,
    followers: [Option<Arc<Process>>; 2],
    watcher: Option<Arc<Process>>,
    /// More lines of the followers' and planes' settings.
    pub settings: String,
    /// More arguments of etcd's own client.
    pub login: Vec<String>,
}

/// A bed, or `None` on a machine that cannot hold one.
pub fn bed() -> Option<Bed> {
    let found = |program: &str| Path::new("/usr/bin").join(program).exists();
    let lacks = ["etcd", "etcdctl"].into_iter().find(|program| !found(program));
    match (Lab::available(), lacks) {
        (Ok(()), None) => Some(Bed::new()),
        (Err(why), _) => {
            say(format!("SKIPPED: {why}"));
            None
        }
        (_, Some(program)) => {
            say(format!("SKIPPED: needs {program} (packages etcd-server and etcd-client)"));
            None
        }
    }
}

impl Bed {
    #[track_caller]
    fn new() -> Self {
        let lab = Lab::new();
        let (members, agents) = (Default::default(), vec![None, None]);
        let (followers, settings) = (Default::default(), "allow_unsealed = true\n".to_owned());
        let mut bed = Self { lab, members, agents, followers, watcher: None, settings, login: Vec::new() };
        (0..MEMBERS).for_each(|number| bed.start_member(number));
        bed.wait_for_etcd();
        bed
    }

    /// Waits until etcd takes writes.
    #[track_caller]
    pub fn wait_for_etcd(&self) {
        wait_until(PATIENCE, "etcd takes writes", || {
            self.etcdctl(&["put", "/bed", "up"]).status.success().then_some(())
        });
    }

    /// Where a member listens for clients.
    pub fn endpoint(number: usize) -> String {
        format!("http://{HOST}:{}", 2379 + 10 * number)
    }

    fn endpoints() -> Vec<String> {
        (0..MEMBERS).map(Self::endpoint).collect()
    }

    /// The directory of a member's data.
    pub fn data(&self, number: usize) -> PathBuf {
        self.lab.directory().join(format!("etcd{number}"))
    }

    /// What the members logged.
    pub fn member_log(&self, number: usize) -> PathBuf {
        self.lab.directory().join(format!("etcd{number}.log"))
    }

    #[track_caller]
    pub fn start_member(&mut self, number: usize) {
        let peer = |number: usize| format!("http://127.0.0.1:{}", 2380 + 10 * number);
        let cluster: Vec<_> = (0..MEMBERS).map(|n| format!("m{n}={}", peer(n))).collect();
        let mut command = self.lab.command_in_middle("etcd");
        command.args(["--name", &format!("m{number}"), "--data-dir"]).arg(self.data(number));
        command.args(["--listen-client-urls", &Self::endpoint(number)]);
        command.args(["--advertise-client-urls", &Self::endpoint(number)]);
        command.args(["--listen-peer-urls", &peer(number), "--initial-advertise-peer-urls", &peer(number)]);
        command.args(["--initial-cluster", &cluster.join(","), "--initial-cluster-token", "test-only"]);
        log_to(&mut command, &self.member_log(number));
        self.members[number] = Some(self.lab.spawn("etcd", command));
    }

    pub fn member(&self, number: usize) -> &Process {
        self.members[number].as_deref().expect("the member was started")
    }

    /// SIGKILL.
    pub fn kill_member(&mut self, number: usize) {
        self.members[number].take().into_iter().for_each(|process| process.kill());
    }

    /// The number of the member that leads.
    #[track_caller]
    pub fn leader(&self) -> usize {
        wait_until(PATIENCE, "etcd has a leader", || {
            let mut command = self.lab.command_in_middle("etcdctl");
            command.env("ETCDCTL_API", "3").args(["--endpoints", &Self::endpoints().join(","), "-w", "json"]);
            let all = output(command.args(&self.login).args(["endpoint", "status"])).stdout;
            let all: Value = serde_json::from_slice(&all).ok()?;
            let leads = |item: &&Value| item["Status"]["leader"] == item["Status"]["header"]["member_id"];
            let leader = all.as_array()?.iter().find(leads)?["Endpoint"].as_str()?.to_owned();
            (0..MEMBERS).find(|number| Self::endpoint(*number) == leader)
        })
    }

    /// etcd's own client.
    pub fn etcdctl(&self, arguments: &[&str]) -> Output {
        let mut command = self.lab.command_in_middle("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &Self::endpoints().join(",")]);
        output(command.args(["--command-timeout", "3s"]).args(&self.login).args(arguments))
    }

    /// A transaction in the lines of etcd's own client.
    #[track_caller]
    pub fn etcdctl_txn(&self, lines: &str) {
        let file = self.lab.directory().join("txn");
        fs::write(&file, lines).expect("a file");
        let mut command = self.lab.command_in_middle("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &Self::endpoints().join(",")]).args(&self.login);
        let said = run(command.arg("txn").stdin(File::open(file).expect("a file"))).stdout;
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("SUCCESS"), "{said}");
    }

    /// All statuses that a gateway publishes.
    pub fn statuses(&self, gateway: &str) -> Vec<(String, Value)> {
        let prefix = format!("/cygnet/{gateway}/status/");
        let all = self.etcdctl(&["get", "--prefix", &prefix]).stdout;
        let all = String::from_utf8_lossy(&all).into_owned();
        let lines: Vec<_> = all.lines().collect();
        let pairs =
            lines.chunks_exact(2).filter_map(|pair| Some((pair[0].to_owned(), serde_json::from_str(pair[1]).ok()?)));
        pairs.collect()
    }

    /// Waits until ten pings in a row come through the tunnel.
    #[track_caller]
    pub fn reaches(&self, side: Side) {
        wait_until(PATIENCE, "pings come through", || (self.lab.ping_tunnel(side).lost() == 0).then_some(()));
    }

    /// The same, which must succeed; what it printed.
    #[track_caller]
    pub fn etcdctl_ok(&self, arguments: &[&str]) -> String {
        let output = self.etcdctl(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Writes a spec as a plane does that knows only the keys; its revision.
    #[track_caller]
    pub fn put(&self, gateway: &str, uuid: &str, spec: &Value) -> i64 {
        let key = format!("/cygnet/{gateway}/spec/{uuid}");
        let answer = self.etcdctl_ok(&["put", &key, &spec.to_string(), "-w", "json"]);
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["header"]["revision"].as_i64().expect("a revision")
    }

    #[track_caller]
    pub fn delete(&self, gateway: &str, uuid: &str) {
        self.etcdctl_ok(&["del", &format!("/cygnet/{gateway}/spec/{uuid}")]);
    }

    /// The status that a gateway publishes.
    pub fn status(&self, gateway: &str, uuid: &str) -> Option<Value> {
        let key = format!("/cygnet/{gateway}/status/{uuid}");
        serde_json::from_slice(&self.etcdctl(&["get", &key, "--print-value-only"]).stdout).ok()
    }

    /// Waits for a status that `fits`.
    #[track_caller]
    pub fn status_with(&self, gateway: &str, uuid: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        let found = crate::support::poll(PATIENCE, || {
            last = self.status(gateway, uuid);
            last.clone().filter(&fits)
        });
        found.unwrap_or_else(|| panic!("{gateway} {uuid}: {what}: {last:?}\n{}", self.logs()))
    }

    /// Waits until the gateway says that this revision is Ready.
    #[track_caller]
    pub fn ready(&self, gateway: &str, uuid: &str, revision: i64) -> Value {
        let fits = |status: &Value| status["revision"] == revision && status["status"] == "Ready";
        self.status_with(gateway, uuid, &format!("revision {revision} is Ready"), fits)
    }

    /// Starts charon and the agent of a side.
    #[track_caller]
    pub fn start_gateway(&mut self, side: Side, options: AgentOptions) {
        if self.lab.charon_pid(side).is_none() {
            self.lab.start_charon(side);
        }
        self.agents[side as usize] = Some(Agent::start(&self.lab, side, options));
    }

    /// Both gateways with their followers, named g1 and g2.
    #[track_caller]
    pub fn start_both(&mut self) {
        for side in Side::BOTH {
            self.start_gateway(side, AgentOptions::default());
            self.start_follower(side, gateway(side));
        }
    }

    pub fn agent(&self, side: Side) -> &Agent {
        self.agents[side as usize].as_ref().expect("the agent was started")
    }

    /// The file of a program's settings, for the gateway of this name.
    #[track_caller]
    pub fn config(&self, side: Side, gateway: &str) -> PathBuf {
        let path = self.lab.side_directory(side).join(format!("fleet-{gateway}.toml"));
        let socket = self.agents[side as usize].as_ref().map(|agent| agent.socket().display().to_string());
        let text = format!(
            "gateway = {gateway:?}\nendpoints = {:?}\nagent = {:?}\nlease = \"3s\"\n{}",
            Self::endpoints(),
            socket.unwrap_or_default(),
            self.settings
        );
        // In one step: planes that run side by side read it.
        let new = tempfile::NamedTempFile::new_in(self.lab.directory()).expect("a file");
        fs::write(new.path(), text).and_then(|()| new.persist(&path).map(drop).map_err(|e| e.error)).expect("settings");
        path
    }

    /// A secret file beside the settings.
    #[track_caller]
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.lab.directory().join(name);
        fs::write(&path, text).expect("a secret");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        path
    }

    #[track_caller]
    pub fn start_follower(&mut self, side: Side, gateway: &str) {
        let mut command = self.lab.command_in(side, program());
        command.arg("follow").arg("--config").arg(self.config(side, gateway));
        log_to(&mut command, &self.follower_log(side));
        self.followers[side as usize] = Some(self.lab.spawn("cygnet-fleet", command));
    }

    pub fn follower_log(&self, side: Side) -> PathBuf {
        self.lab.side_directory(side).join("follower.log")
    }

    pub fn follower(&self, side: Side) -> &Process {
        self.followers[side as usize].as_deref().expect("the follower was started")
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn stop_follower(&mut self, side: Side) {
        let process = self.followers[side as usize].take().expect("the follower was started");
        process.signal(Signal::SIGTERM);
        let status = process.wait(PATIENCE);
        assert!(status.success(), "{status}\n{}", self.logs());
    }

    /// SIGKILL.
    pub fn kill_follower(&mut self, side: Side) {
        self.followers[side as usize].take().into_iter().for_each(|process| process.kill());
    }

    /// Runs `cygnet-fleet` where a plane is.
    pub fn plane(&self, arguments: &[&str]) -> Output {
        output(&mut self.plane_command(arguments))
    }

    pub fn plane_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.command_in_middle(program());
        command.args(arguments).arg("--config").arg(self.config(Side::A, "plane"));
        command
    }

    /// A plane that watches all; the file with its lines. It watches when this returns.
    #[track_caller]
    pub fn watch(&mut self) -> PathBuf {
        let path = self.lab.directory().join("watched");
        let mut command = self.plane_command(&["watch", "--json"]);
        command.stdout(File::create(&path).expect("a file"));
        self.watcher = Some(self.lab.spawn("cygnet-fleet watch", command));
        wait_until(PATIENCE, "it watches", || {
            self.etcdctl_ok(&["put", "/cygnet/bed/spec/up", "{}"]);
            fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n')).then_some(())
        });
        path
    }

    /// The same, which must succeed; what it printed.
    #[track_caller]
    pub fn plane_ok(&self, arguments: &[&str]) -> String {
        let output = run(&mut self.plane_command(arguments));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The names and uuids of the connections of an agent.
    #[track_caller]
    pub fn connections(&self, side: Side) -> Vec<Value> {
        let answer = self.agent(side).request("GET", "/cygnet/v1/export", None).expect(200).json();
        answer["connections"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the agent shows this of the fleet.
    #[track_caller]
    pub fn shows_fleet(&self, side: Side, wanted: &Value) {
        let fleet = || self.agent(side).request("GET", "/cygnet/v1/gateway", None).expect(200).json()["fleet"].clone();
        wait_until(PATIENCE, &format!("{wanted}, not {}", fleet()), || (fleet() == *wanted).then_some(()));
    }

    /// What the followers logged.
    pub fn logs(&self) -> String {
        let logs = Side::BOTH.map(|side| fs::read_to_string(self.follower_log(side)).unwrap_or_default());
        logs.join("\n")
    }
}

/// The program under test: `$CYGNET_FLEET_BIN`, or the one that was built with this test.
pub fn program() -> PathBuf {
    std::env::var_os("CYGNET_FLEET_BIN").map_or_else(|| env!("CARGO_BIN_EXE_cygnet-fleet").into(), PathBuf::from)
}

fn log_to(command: &mut Command, path: &Path) {
    let file = File::options().create(true).append(true).open(path).expect("a log");
    command.stdout(Stdio::null()).stderr(file);
}

/// The name of a side's gateway.
pub fn gateway(side: Side) -> &'static str {
    ["g1", "g2"][side as usize]
}

/// A uuid.
pub fn uuid(number: usize) -> String {
    format!("{number:08x}000040008000000000000000")
}

/// One end of the tunnel between the gateways, with `more` over it.
pub fn spec(side: Side, more: &Value) -> Value {
    let spec = json!({
        "name": format!("fleet-{}", side.letter()), "vipUuid": agent::vip(side), "l3NetworkUuid": agent::l3_network(side),
        "peerCidrs": [side.other().lan()], "peerAddress": side.other().wan(), "authKey": KEY, "ikeVersion": "ikev2",
        "ikeDhGroup": 31, "pfs": "none",
    });
    with(&spec, more)
}

/// The members of `base` with those of `more` over them.
pub fn with(base: &Value, more: &Value) -> Value {
    let members = |value: &Value| value.as_object().expect("an object").clone();
    members(base).into_iter().chain(members(more)).collect::<Map<_, _>>().into()
}
