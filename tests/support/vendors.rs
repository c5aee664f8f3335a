//! What gateways of other vendors are set up as: the rows of tests/lab/vendors/*.toml. The lab runs them
//! (tests/lab/vendors.rs), and docs/interoperability.md shows them (tests/floors/vendors.rs).
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A file: one vendor, or a habit of many.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    /// Where the file stands.
    #[serde(skip)]
    pub file: String,
    /// Its place on the page.
    pub place: u32,
    /// The heading on the page.
    pub heading: String,
    /// What is said below the heading.
    #[serde(default)]
    pub about: String,
    /// The rows.
    #[serde(rename = "row")]
    pub rows: Vec<Row>,
}

/// A set of parameters.
///
/// `<peer>`, `<vip>`, `<net>`, `<inner>` and `<name>` in its texts are the peer's address, ours, the first two numbers of
/// the peer's networks, its address behind its NAT, and the name of its address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub name: String,
    /// What it is, for the page.
    pub what: String,
    /// Arguments of `cygnet create` behind peer, network and key.
    pub cygnet: String,
    #[serde(default = "peer_address")]
    pub address: String,
    /// `--network`.
    #[serde(default = "lan")]
    pub network: String,
    /// `--peer-cidr`.
    #[serde(default = "one_network")]
    pub networks: Vec<String>,
    /// The key.
    #[serde(default = "key")]
    pub key: String,
    /// The peer's settings in its own words, for the page.
    #[serde(default)]
    pub theirs: String,
    /// What to watch, for the page.
    #[serde(default)]
    pub watch: String,
    /// Which end begins: one test for each.
    #[serde(default = "both")]
    pub begins: Vec<Role>,
    /// How a charon behaves so; nothing for what is refused.
    #[serde(default)]
    pub peer: Peer,
    /// `refused = "text"`, else the peer is met.
    pub refused: Option<String>,
    /// The code of the reason; else it is Ready and carries.
    pub reason: Option<String>,
    /// What the details of the reason have.
    #[serde(default)]
    pub says: Vec<String>,
    /// The code of a warning that it comes to have.
    pub warns: Option<String>,
    /// How many CHILD_SAs carry.
    pub children: Option<usize>,
    /// How many CHILD_SAs, one after the other, are seen while it stays Ready.
    pub rekeys: Option<usize>,
    /// There is a second peer with the same networks.
    #[serde(default)]
    pub twice: bool,
    /// The test is this one, `file::function`, instead of the bed.
    pub test: Option<String>,
    /// What that test holds, for the page.
    #[serde(default)]
    pub holds: String,
}

/// Who begins.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The agent's end.
    We,
    /// The vendor's.
    Peer,
}

/// The connection of a charon, in swanctl's words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peer {
    pub version: u8,
    pub ike: String,
    pub esp: String,
    /// More lines of the connection.
    pub connection: String,
    pub local: String,
    pub remote: String,
    /// Its networks and ours; every pair is a child of its own with `pairs`.
    pub local_ts: Vec<String>,
    pub remote_ts: Vec<String>,
    pub pairs: bool,
    /// More lines of each child.
    pub child: String,
    /// More secrets.
    pub secrets: String,
    /// It is behind a NAT that changes ports.
    pub nat: bool,
    /// It has one CHILD_SA at a time and closes the older ones.
    pub one_child: bool,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            version: 2,
            ike: "aes256-sha256-modp2048".into(),
            esp: "aes256-sha256".into(),
            connection: String::new(),
            local: "id = <peer>".into(),
            remote: "id = <vip>".into(),
            local_ts: one_network(),
            remote_ts: vec!["10.1.0.0/24".into()],
            pairs: false,
            child: String::new(),
            secrets: String::new(),
            nat: false,
            one_child: false,
        }
    }
}

fn peer_address() -> String {
    "<peer>".into()
}

fn lan() -> String {
    "lan".into()
}

fn one_network() -> Vec<String> {
    vec!["<net>.0.0/24".into()]
}

fn key() -> String {
    "test-only-key-of-the-vendors".into()
}

fn both() -> Vec<Role> {
    vec![Role::We, Role::Peer]
}

impl Row {
    /// The arguments of `cygnet create` but its name and key.
    pub fn arguments(&self) -> String {
        if self.networks.is_empty() {
            // Transport mode has none.
            return format!("--peer {} {}", self.address, self.cygnet);
        }
        let networks = self.networks.join(" --peer-cidr ");
        let all = format!("--peer {} --network {} --peer-cidr {networks} {}", self.address, self.network, self.cygnet);
        all.trim_end().to_owned()
    }
}

/// Where the rows are.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/vendors")
}

/// All vendors, in the order of the page.
#[track_caller]
pub fn vendors() -> Vec<Vendor> {
    let entries = std::fs::read_dir(directory()).expect("a directory").map(|entry| entry.expect("an entry").path());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut vendor: Vendor = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        vendor.file = path.file_name().expect("a name").to_string_lossy().into_owned();
        vendor
    };
    let mut all: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).map(read).collect();
    all.sort_by_key(|vendor| vendor.place);
    all
}
