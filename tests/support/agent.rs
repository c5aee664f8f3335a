//! The agent on a gateway of the lab: its settings (docs/configuration.md), its life, and calls to it. It may not look
//! into the agent except through its interface, its files and its log.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::http::{Client, Response, Stream};
use super::lab::{Lab, Process, Side};
use super::wait_until;

/// The token of the tests, known to every agent started here under the name `test`.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// How long the agent may take to start and to stop, if nothing else is said.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a test wants of its agent.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The binary.
    pub binary: PathBuf,
    /// Names the agent's directory: another name is another agent, the same one finds what an earlier run stored.
    pub name: String,
    /// `charon.backend`.
    pub backend: String,
    /// `charon.wait`.
    pub wait: String,
    /// `charon.timeout`.
    pub timeout: String,
    /// How long it may take to start and to stop.
    pub patience: Duration,
    /// More VIPs, beside [`vip`]: (uuid, address).
    pub vips: Vec<(String, String)>,
    /// More L3 networks, beside [`l3_network`]: (uuid, CIDRs).
    pub l3_networks: Vec<(String, Vec<String>)>,
    /// More lines before the first table of the settings.
    pub top: String,
    /// More lines after the last one: further tables.
    pub tables: String,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            binary: binary(),
            name: "agent".to_owned(),
            backend: "vici".to_owned(),
            wait: "5s".to_owned(),
            timeout: "5s".to_owned(),
            patience: PATIENCE,
            vips: Vec::new(),
            l3_networks: Vec::new(),
            top: String::new(),
            tables: String::new(),
            environment: Vec::new(),
        }
    }
}

/// The uuid of the VIP that is the gateway's WAN address.
pub fn vip(side: Side) -> String {
    format!("{}0000000000040008000000000000001", side.letter())
}

/// The uuid of the L3 network that is the LAN behind the gateway.
pub fn l3_network(side: Side) -> String {
    format!("{}0000000000040008000000000000002", side.letter())
}

/// `$CYGNET_BIN`, else the agent that was built with this test; for a binary that is no test, the one in the directory
/// above this program's.
pub fn binary() -> PathBuf {
    let named = std::env::var_os("CYGNET_BIN").map(PathBuf::from);
    let built = option_env!("CARGO_BIN_EXE_cygnet").map(PathBuf::from);
    let beside = || {
        let own = std::env::current_exe().unwrap_or_default();
        own.parent().and_then(Path::parent).unwrap_or(Path::new("/usr")).join("cygnet")
    };
    named.or(built).unwrap_or_else(beside)
}

/// A running agent; dropping it ends it.
pub struct Agent {
    lab: Lab,
    side: Side,
    options: AgentOptions,
    directory: PathBuf,
    running: Option<(Arc<Process>, SocketAddr)>,
}

impl Agent {
    /// Writes the settings, starts `cygnet serve` in the gateway's namespace and waits until it listens.
    #[track_caller]
    pub fn start(lab: &Lab, side: Side, options: AgentOptions) -> Self {
        let directory = lab.side_directory(side).join(&options.name);
        let mut agent = Self { lab: lab.clone(), side, options, directory, running: None };
        for directory in [agent.state_dir(), agent.conf_dir()] {
            fs::create_dir_all(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        }
        let tokens = agent.directory.join("tokens");
        write(&tokens, &format!("test:{TOKEN}\n"));
        fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).expect("a mode");
        write(&agent.config(), &agent.settings());
        agent.run();
        agent
    }

    /// Stops it, if it runs, and starts it again with the settings file as it is now.
    #[track_caller]
    pub fn restart(&mut self) {
        if self.running.is_some() {
            self.stop();
        }
        self.run();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some((process, _)) = self.running.take() {
            process.kill();
        }
    }

    /// SIGTERM; how it ended.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        let (process, _) = self.running.take().expect("the agent runs");
        process.signal(Signal::SIGTERM);
        process.wait(self.options.patience)
    }

    /// Sends a signal to it, for example SIGHUP.
    pub fn signal(&self, signal: Signal) {
        self.running.iter().for_each(|(process, _)| process.signal(signal));
    }

    /// Its pid, `None` when it does not run.
    pub fn pid(&self) -> Option<i32> {
        let (process, _) = self.running.as_ref()?;
        process.status().is_none().then(|| process.pid())
    }

    /// What it wrote to stderr, in all its runs.
    pub fn logs(&self) -> String {
        fs::read_to_string(self.directory.join("stderr")).unwrap_or_default()
    }

    /// Its settings file.
    pub fn config(&self) -> PathBuf {
        self.directory.join("cygnet.toml")
    }

    /// Its `state_dir`.
    pub fn state_dir(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Where it writes swanctl's files.
    pub fn conf_dir(&self) -> PathBuf {
        self.lab.swanctl_dir(self.side).join("conf.d")
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("cygnet.sock")
    }

    /// Its TCP address, inside the gateway's namespace.
    pub fn address(&self) -> SocketAddr {
        self.running.as_ref().expect("the agent runs").1
    }

    /// A client over the Unix socket.
    pub fn client(&self) -> Client {
        Client::unix(&self.socket())
    }

    /// A client over TCP, made in the gateway's namespace, for the address of this run.
    pub fn client_tcp(&self) -> Client {
        let (lab, side, address) = (self.lab.clone(), self.side, self.address());
        Client::new(move || lab.connect_tcp(side, address).map(Stream::Tcp))
    }

    /// One request over a Unix socket connection of its own.
    pub fn try_request(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Response> {
        self.client().request(method, path, &[("Content-Type", "application/json")], &bytes(body))
    }

    /// As [`Agent::try_request`]; panics when there is no answer.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        self.try_request(method, path, body).unwrap_or_else(|error| panic!("{error}\n{}", self.logs()))
    }

    /// One request over a TCP connection of its own, with the token of the tests.
    #[track_caller]
    pub fn request_tcp(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let token = format!("OAuth {TOKEN}");
        let headers = [("Content-Type", "application/json"), ("Authorization", token.as_str())];
        let answer = self.client_tcp().request(method, path, &headers, &bytes(body));
        answer.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()))
    }

    /// `CreateIPsecConnection`.
    #[track_caller]
    pub fn create(&self, params: &Value) -> Response {
        self.request("POST", "/zstack/v1/ipsec", Some(&json!({ "params": params })))
    }

    /// `ChangeIPsecConnection`.
    #[track_caller]
    pub fn change(&self, uuid: &str, change: &Value) -> Response {
        let body = json!({ "changeIPsecConnection": change });
        self.request("PUT", &format!("/zstack/v1/ipsec/config/{uuid}"), Some(&body))
    }

    /// `DeleteIPsecConnection`.
    #[track_caller]
    pub fn delete(&self, uuid: &str) -> Response {
        self.request("DELETE", &format!("/zstack/v1/ipsec/{uuid}"), None)
    }

    /// `QueryIPSecConnection` by uuid.
    #[track_caller]
    pub fn get(&self, uuid: &str) -> Response {
        self.request("GET", &format!("/zstack/v1/ipsec/{uuid}"), None)
    }

    #[track_caller]
    fn run(&mut self) {
        let (stdout, stderr) = (self.directory.join("stdout"), self.directory.join("stderr"));
        let out = File::create(&stdout).unwrap_or_else(|error| panic!("{}: {error}", stdout.display()));
        let log = OpenOptions::new().create(true).append(true).open(&stderr);
        let log = log.unwrap_or_else(|error| panic!("{}: {error}", stderr.display()));
        let mut command = self.lab.command_in(self.side, &self.options.binary);
        command.args(["serve", "--config"]).arg(self.config()).stdout(out).stderr(log);
        // Each step of the reconciler is at debug; tests count them.
        command.env("RUST_LOG", "info,cygnet::agent::reconcile=debug");
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        let process = self.lab.spawn("cygnet serve", command);
        let address = wait_until(self.options.patience, "cygnet's first line", || {
            let said = fs::read_to_string(&stdout).unwrap_or_default();
            let ended = process.status();
            assert!(ended.is_none(), "cygnet ended: {ended:?}\n{said}\n{}", self.logs());
            said.split_once('\n').map(|(line, _)| line.to_owned())
        });
        let address = address.strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        self.running = Some((process, address.expect("the first line is `listening on http://ADDRESS:PORT`")));
    }

    fn settings(&self) -> String {
        let AgentOptions { backend, wait, timeout, vips, l3_networks, top, tables, .. } = &self.options;
        let path = |path: PathBuf| format!("{:?}", path.display().to_string());
        let mut text = format!("listen = \"127.0.0.1:0\"\nsocket = {}\n", path(self.socket()));
        let _ = write!(
            text,
            "state_dir = {}\nswanctl_dir = {}\n{top}\n[charon]\nbackend = {backend:?}\nvici = {}\ntimeout = {timeout:?}\n\
             wait = {wait:?}\n\n[auth]\ntokens_file = {}\n",
            path(self.state_dir()),
            path(self.lab.swanctl_dir(self.side)),
            path(self.lab.vici_socket(self.side)),
            path(self.directory.join("tokens")),
        );
        let own = (vip(self.side), self.side.wan().to_owned());
        for (uuid, address) in [own].iter().chain(vips) {
            let _ = write!(text, "\n[[gateway.vips]]\nuuid = {uuid:?}\naddress = {address:?}\n");
        }
        let own = (l3_network(self.side), vec![self.side.lan().to_owned()]);
        for (uuid, cidrs) in [own].iter().chain(l3_networks) {
            let _ = write!(text, "\n[[gateway.l3_networks]]\nuuid = {uuid:?}\ncidrs = {cidrs:?}\n");
        }
        text + "\n" + tables
    }
}

fn bytes(body: Option<&Value>) -> Vec<u8> {
    body.map(|body| body.to_string().into_bytes()).unwrap_or_default()
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
