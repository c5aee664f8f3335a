//! A gateway made of files, on which nothing is wrong: one stored connection, `192.0.2.1` to `198.51.100.77`.

use crate::{executables, fake_charon::FakeCharon};
use cygnet::{
    doctor::{
        self, Level, Report,
        facts::{Places, tools::Tools},
    },
    settings::Settings,
    strongswan::{StrongSwan, vici::Vici},
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    time::Duration,
};
use tempfile::TempDir;

/// The connection that is stored.
pub const UUID: &str = "c0000000000040008000000000000001";
/// Its key, and the key as the record has it.
pub const KEYS: [&str; 2] = ["test-only-old-key", "746573742d6f6e6c792d6f6c642d6b6579"];

/// Sockets on 500 and 4500, any address.
const UDP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
    \x20 1: 00000000:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1001 2 0 0\n\
    \x20 2: 00000000:1194 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1002 2 0 0\n";
const ADDRESSES: &str = r#"[{"ifname":"lo","flags":["LOOPBACK","UP"],"addr_info":[{"local":"127.0.0.1"},{"local":"10.1.0.1"}]},
    {"ifname":"wan","flags":["BROADCAST","UP"],"addr_info":[{"local":"192.0.2.1"}]}]"#;
const RULESET: &str = r#"{"nftables":[
    {"chain":{"family":"inet","table":"nat","name":"post","type":"nat","hook":"postrouting","prio":100}},
    {"rule":{"family":"inet","table":"nat","chain":"post","expr":[
        {"match":{"op":"==","left":{"rt":{"key":"ipsec"}},"right":true}},{"accept":null}]}},
    {"rule":{"family":"inet","table":"nat","chain":"post","expr":[
        {"match":{"op":"==","left":{"meta":{"key":"oifname"}},"right":"wan"}},{"masquerade":null}]}},
    {"chain":{"family":"inet","table":"nat","name":"clamp","type":"filter","hook":"forward","prio":-150}},
    {"rule":{"family":"inet","table":"nat","chain":"clamp","expr":[
        {"match":{"op":"in","left":{"payload":{"protocol":"tcp","field":"flags"}},"right":"syn"}},
        {"mangle":{"key":{"tcp option":{"name":"maxseg","field":"size"}},"value":{"rt":{"key":"mtu"}}}}]}}]}"#;

/// The gateway.
pub struct Tree {
    /// Its charon.
    pub charon: FakeCharon,
    directory: TempDir,
}

impl Tree {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let charon = FakeCharon::start(&directory.path().join("charon.vici"));
        let tree = Self { charon, directory };
        tree.files();
        tree.programs();
        tree
    }

    fn files(&self) {
        for (path, text) in [
            ("proc/net/udp", UDP),
            ("proc/net/udp6", "  sl\n"),
            ("proc/42/comm", "charon-systemd\n"),
            ("proc/sys/net/ipv4/ip_forward", "1\n"),
            ("proc/sys/net/ipv4/conf/all/rp_filter", "0\n"),
            ("proc/sys/net/ipv4/conf/wan/rp_filter", "2\n"),
            ("swanctl/swanctl.conf", "include conf.d/*.conf\n"),
            (&format!("swanctl/conf.d/cygnet-{UUID}.conf"), "# only its name and mode are looked at\n"),
            ("tokens", "test:test-only-token\n"),
        ] {
            self.write(path, text);
        }
        self.write(&Self::record(), include_str!("../golden/change-another-key-after-an-odd-number/given.json"));
        for path in [format!("swanctl/conf.d/cygnet-{UUID}.conf"), Self::record(), "tokens".into()] {
            self.mode(&path, 0o600);
        }
        self.holds(42, 1001);
        self.holds(42, 1002);
    }

    fn programs(&self) {
        self.write("answers/addresses", ADDRESSES);
        self.write("answers/ruleset", RULESET);
        self.write("answers/routes", "[]");
        self.write("answers/policies", "");
        let cat = |name: &str| format!("exec /bin/cat {}", self.path(&format!("answers/{name}")).display());
        self.write("answers/into", "");
        let (addresses, routes, policies, into) = (cat("addresses"), cat("routes"), cat("policies"), cat("into"));
        let ip = format!(
            "case \"$*\" in *address*) {addresses};; *220*) {routes};; *-4*all*) {into};; *xfrm\\ policy*) {policies};; esac"
        );
        self.program("ip", &ip);
        self.program("nft", &cat("ruleset"));
        self.program("timedatectl", "echo yes");
    }

    /// The record's path.
    pub fn record() -> String {
        format!("state/connections/{UUID}.json")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(&path, text).unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    pub fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// Lets a script stand for a program.
    pub fn program(&self, name: &str, script: &str) {
        fs::create_dir_all(self.path("bin")).expect("made");
        executables::script(self.path(&format!("bin/{name}")), script);
    }

    /// Lets a process hold a socket.
    pub fn holds(&self, pid: u32, inode: u32) {
        let descriptors = self.path(&format!("proc/{pid}/fd"));
        fs::create_dir_all(&descriptors).expect("made");
        symlink(format!("socket:[{inode}]"), descriptors.join(inode.to_string())).expect("a link");
    }

    /// What the doctor finds here.
    #[track_caller]
    pub fn examine(&self) -> Report {
        let place = self.directory.path().display();
        let settings = Settings::parse(&format!(
            "state_dir = \"{place}/state\"\nswanctl_dir = \"{place}/swanctl\"\n\
             [charon]\nvici = \"{place}/charon.vici\"\ntimeout = \"2s\"\n[auth]\ntokens_file = \"{place}/tokens\"\n\
             [[gateway.vips]]\nuuid = \"a0000000000040008000000000000001\"\naddress = \"192.0.2.1\"\n"
        ))
        .expect("settings");
        let mut places = Places::of(&settings, None);
        places.root = self.directory.path().into();
        places.tools = Tools { path: Some(self.path("bin").into()) };
        let swan = StrongSwan::from(Vici::new(&settings.charon.vici, Duration::from_secs(2)));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let report = runtime
            .expect("a runtime")
            .block_on(async { doctor::examine(&settings, &places, &swan, "connection refused".into()).await });
        let text = format!("{report:?}");
        assert!(KEYS.iter().all(|key| !text.contains(key)), "a key is shown: {text}");
        report
    }

    /// Fails unless exactly these checks find something that counts, but for the agent, which does not run here.
    #[track_caller]
    pub fn finds(&self, expected: &[&str]) -> Report {
        let report = self.examine();
        let counted = report.findings.iter().filter(|f| f.level != Level::Info && f.check != "agent");
        let mut found: Vec<_> = counted.map(|finding| finding.check).collect();
        found.dedup();
        assert_eq!(found, expected, "{:#?}", report.findings);
        report
    }
}

/// All texts of a report, for looking for words.
pub fn words(report: &Report) -> String {
    let texts =
        report.findings.iter().flat_map(|f| [f.what.as_str(), f.fix.as_str(), f.evidence.as_deref().unwrap_or("")]);
    texts.collect::<Vec<_>>().join("\n")
}
