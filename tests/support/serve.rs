//! `cygnet serve` as a process of its own, between a fake charon and HTTP clients, in a directory of its own. It may
//! panic (it is test code), and it sleeps in one place only: [`wait_until`].
#![allow(dead_code, reason = "each test binary uses a part of it")]

use crate::{
    client::{Client, Response, Stream},
    fake_charon::FakeCharon,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The token of the tests.
pub const TOKEN: &str = "test-only-token-0123456789abcdef";
/// The key of [`params`].
pub const KEY: &str = "test-only-key-4711";
/// How long anything may take before the test has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a test wants of its agent.
pub struct Options {
    /// `charon.wait`: with "0s" an answer has the status of that moment, and the fake charon has no SAs at first.
    pub wait: &'static str,
    /// `charon.timeout`.
    pub timeout: &'static str,
    /// More lines at the top of the settings.
    pub top: &'static str,
    /// `RUST_LOG`.
    pub log: &'static str,
    /// The tables `policy` and `condition`. Warnings are off where they are not the matter: some depend on the machine.
    pub policy: &'static str,
    /// `TZ`.
    pub zone: &'static str,
    /// `metrics.listen`: the default port is one for all tests of this machine.
    pub metrics: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait: "0s",
            timeout: "5s",
            top: "",
            log: "info",
            policy: "[policy]\ndefault = \"off\"",
            zone: "UTC",
            metrics: "none",
        }
    }
}

/// A fake charon and the agent beside it.
pub struct Bench {
    /// The charon.
    pub charon: FakeCharon,
    running: Option<(Child, SocketAddr)>,
    stdout: Arc<Mutex<String>>,
    log: &'static str,
    zone: &'static str,
    directory: TempDir,
}

impl Bench {
    /// Both, running, with the usual settings.
    #[track_caller]
    pub fn start() -> Self {
        Self::with(&Options::default())
    }

    /// Both, running.
    #[track_caller]
    pub fn with(options: &Options) -> Self {
        let mut bench = Self::idle(options);
        bench.run();
        bench
    }

    /// Only the charon, and settings with which the agent can be started.
    pub fn idle(options: &Options) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let charon = FakeCharon::start(&directory.path().join("charon.vici"));
        let (log, zone) = (options.log, options.zone);
        let bench = Self { charon, running: None, stdout: Arc::default(), log, zone, directory };
        fs::create_dir_all(bench.conf_dir()).expect("conf.d");
        fs::write(bench.path("tokens"), format!("# the tests\ntest:{TOKEN}\n")).expect("tokens");
        fs::write(bench.path("cygnet.toml"), bench.settings(options)).expect("settings");
        bench
    }

    /// Starts the agent and waits for its first line.
    #[track_caller]
    pub fn run(&mut self) {
        self.run_within(PATIENCE);
    }

    /// The same, of one that has much to read at its start.
    #[track_caller]
    pub fn run_within(&mut self, patience: Duration) {
        let mut child = self.command().stdout(Stdio::piped()).stderr(self.log_file()).spawn().expect("cygnet starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (first, answer) = mpsc::channel();
        let kept = Arc::clone(&self.stdout);
        thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                *kept.lock().expect("no panic here") += &(line.clone() + "\n");
                // Only the first line is waited for.
                let _ = first.send(line);
            }
        });
        let line = answer.recv_timeout(patience);
        let line = line.unwrap_or_else(|error| panic!("no first line: {error}\n{}", self.logs()));
        let address = line.strip_prefix("listening on http://").or_else(|| line.strip_prefix("listening on https://"));
        let address = address.and_then(|address| address.parse().ok());
        self.running = Some((child, address.unwrap_or_else(|| panic!("the first line is {line:?}"))));
    }

    /// The command that starts the agent.
    pub fn command(&self) -> Command {
        // What is measured is measured of an optimised one.
        let program = std::env::var_os("CYGNET_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_cygnet").into());
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(self.path("cygnet.toml"));
        command.env("RUST_LOG", self.log).env("TZ", self.zone).env_remove("CYGNET_CONFIG").stdin(Stdio::null());
        if let Some(path) = std::env::var_os("PATH").filter(|_| self.path("bin").exists()) {
            // Programs of the test come before those of this machine.
            command.env("PATH", format!("{}:{}", self.path("bin").display(), path.to_string_lossy()));
        }
        command
    }

    fn log_file(&self) -> File {
        OpenOptions::new().create(true).append(true).open(self.path("stderr")).expect("a log file")
    }

    /// SIGTERM; how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.reap()
    }

    /// Waits for the end of an agent that is being ended; how it ended.
    pub fn reap(&mut self) -> ExitStatus {
        let (mut child, _) = self.running.take().expect("it ran");
        wait_until("the end of cygnet", || child.try_wait().expect("a child"))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("it runs");
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        let (child, _) = self.running.as_ref().expect("it runs");
        child.id().try_into().expect("a pid")
    }

    /// A path in the directory of this bench.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the records are.
    pub fn connections_dir(&self) -> PathBuf {
        self.path("state/connections")
    }

    /// Where swanctl's files are.
    pub fn conf_dir(&self) -> PathBuf {
        self.path("swanctl/conf.d")
    }

    /// The file of a record.
    pub fn record(&self, uuid: &str) -> PathBuf {
        self.connections_dir().join(format!("{uuid}.json"))
    }

    /// The file for swanctl.
    pub fn conf(&self, uuid: &str) -> PathBuf {
        self.conf_dir().join(format!("cygnet-{uuid}.conf"))
    }

    /// What it wrote to standard output, in all its runs.
    pub fn stdout(&self) -> String {
        self.stdout.lock().expect("no panic there").clone()
    }

    /// What it wrote to standard error, in all its runs.
    pub fn logs(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.as_ref().expect("it runs").1
    }

    /// A client over TCP.
    pub fn tcp(&self) -> Client {
        let address = self.address();
        Client::new(move || TcpStream::connect(address).map(Stream::Tcp))
    }

    /// A client over the Unix socket.
    pub fn unix(&self) -> Client {
        Client::unix(&self.path("cygnet.sock"))
    }

    /// One request over TCP with the token.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Response {
        let authorization = format!("OAuth {TOKEN}");
        let answer = self.tcp().request(method, path, &[("Authorization", &authorization)], body);
        answer.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()))
    }

    /// `CreateIPsecConnection`.
    #[track_caller]
    pub fn create(&self, params: &Value) -> Response {
        self.ask("POST", "/zstack/v1/ipsec", json!({ "params": params }).to_string().as_bytes())
    }

    /// `ChangeIPsecConnection`.
    #[track_caller]
    pub fn change(&self, uuid: &str, change: &Value) -> Response {
        let body = json!({ "changeIPsecConnection": change }).to_string();
        self.ask("PUT", &format!("/zstack/v1/ipsec/config/{uuid}"), body.as_bytes())
    }

    /// The inventory of a connection.
    #[track_caller]
    pub fn inventory(&self, uuid: &str) -> Value {
        self.ask("GET", &format!("/zstack/v1/ipsec/{uuid}"), b"").expect(200).json()["inventories"][0].clone()
    }

    /// The inventory of the connection with this name.
    #[track_caller]
    pub fn inventory_of(&self, name: &str) -> Value {
        self.ask("GET", &format!("/zstack/v1/ipsec?q=name={name}"), b"").expect(200).json()["inventories"][0].clone()
    }

    fn settings(&self, options: &Options) -> String {
        let place = self.directory.path().display();
        let Options { wait, timeout, top, policy, metrics, .. } = options;
        format!(
            "listen = \"127.0.0.1:0\"\nsocket = \"{place}/cygnet.sock\"\nstate_dir = \"{place}/state\"\n\
             swanctl_dir = \"{place}/swanctl\"\n{top}\n\
             [charon]\nvici = \"{place}/charon.vici\"\ntimeout = \"{timeout}\"\nwait = \"{wait}\"\n\
             [auth]\ntokens_file = \"{place}/tokens\"\n[metrics]\nlisten = \"{metrics}\"\n\
             [[gateway.vips]]\nuuid = \"{VIP}\"\naddress = \"192.0.2.1\"\n\
             [[gateway.l3_networks]]\nuuid = \"{NETWORK}\"\ncidrs = [\"10.1.0.0/24\"]\n{policy}\n"
        )
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The gateway's public address.
pub const VIP: &str = "a0000000000040008000000000000001";
/// The network behind the gateway.
pub const NETWORK: &str = "b0000000000040008000000000000001";

/// The uuid of the connection number `n`.
pub fn uuid(n: u8) -> String {
    format!("c00000000000400080000000000000{n:02x}")
}

/// The parameters of a Create of the connection number `n`, with `more` of them.
pub fn params(n: u8, more: &Value) -> Value {
    let mut params = json!({
        "name": format!("site-{n}"), "vipUuid": VIP, "peerAddress": format!("198.51.100.{n}"), "authKey": KEY,
        "l3NetworkUuid": NETWORK, "peerCidrs": [format!("10.{n}.2.0/24")], "resourceUuid": uuid(n),
    });
    extend(&mut params, more);
    params
}

/// The parameters of a Change of the connection number `n`, with `more` of them.
pub fn change(n: u8, more: &Value) -> Value {
    let mut params = json!({ "peerAddress": format!("198.51.100.{n}"), "authKey": KEY });
    extend(&mut params, more);
    params
}

fn extend(params: &mut Value, more: &Value) {
    for (name, value) in more.as_object().expect("an object") {
        params[name.as_str()] = value.clone();
    }
}

/// The bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Asks `check` until it answers; panics with `what` when that takes too long.
#[track_caller]
pub fn wait_until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = check() {
            return answer;
        }
        assert!(Instant::now() < end, "not seen within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The names of the files in a directory.
pub fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}
