//! A row of tests/lab/vendors/*.toml in one of its roles: its addresses, and the charon that behaves as the row says.

use std::collections::BTreeSet;

use crate::support::lab::Side;
use crate::vendor_rows::{Peer, Role, Row, Vendor};

/// A row with one of its roles, its number, and what became of it.
pub struct Case<'a> {
    pub row: &'a Row,
    pub role: Role,
    pub number: usize,
    /// Whose networks it has: another number where there are two peers with the same ones.
    pub networks: usize,
    pub uuid: String,
    /// What it has not done yet.
    pub lacks: String,
    /// The CHILD_SAs that were seen while it was Ready.
    pub seen: BTreeSet<String>,
}

impl Case<'_> {
    pub fn name(&self) -> String {
        format!("{}-{}", self.row.name, ["we", "peer"][usize::from(self.role == Role::Peer)])
            + if self.number == self.networks { "" } else { "-again" }
    }

    pub fn address(&self) -> String {
        format!("192.0.2.{}", 10 + self.number)
    }

    pub fn inner(&self) -> String {
        format!("172.31.{}.1", self.number)
    }

    pub fn is_ready_wanted(&self) -> bool {
        self.row.reason.is_none() && self.row.refused.is_none()
    }

    /// The text with what its words stand for.
    pub fn filled(&self, text: &str) -> String {
        text.replace("<peer>", &self.address())
            .replace("<vip>", Side::A.wan())
            .replace("<net>", &format!("10.{}", 100 + self.networks))
            .replace("<inner>", &self.inner())
            .replace("<name>", &format!("peer-{}.example", self.number))
    }

    /// A host in each network behind the peer.
    pub fn hosts(&self) -> Vec<String> {
        let host = |network: &String| self.filled(network.split(".0/").next().unwrap_or_default()) + ".1";
        self.row.networks.iter().filter(|_| self.row.refused.is_none()).map(host).collect()
    }

    /// The connection and the secrets of a charon that behaves so.
    pub fn peer(&self) -> (String, String) {
        let Peer { version, ike, connection, local, remote, local_ts, remote_ts, pairs, secrets, nat, .. } =
            &self.row.peer;
        let children = if *pairs {
            let all = remote_ts.iter().flat_map(|remote| local_ts.iter().map(move |local| (local, remote)));
            all.enumerate().map(|(n, (local, remote))| self.child(n, local, remote)).collect()
        } else {
            self.child(0, &local_ts.join(", "), &remote_ts.join(", "))
        };
        let (name, own) = (self.name(), if *nat { self.inner() } else { self.address() });
        let connection = format!(
            "{name} {{\n version = {version}\n local_addrs = {own}\n remote_addrs = <vip>\n proposals = {ike}\n unique = no\n \
             local {{\n auth = psk\n {local}\n }}\n remote {{\n auth = psk\n {remote}\n }}\n {connection}\n children {{\n \
             {children} }}\n}}\n"
        );
        (self.filled(&connection), self.filled(secrets))
    }

    fn child(&self, number: usize, local: &str, remote: &str) -> String {
        let Peer { esp, child, .. } = &self.row.peer;
        let name = self.child_name(number);
        format!("{name} {{\n local_ts = {local}\n remote_ts = {remote}\n esp_proposals = {esp}\n {child}\n }}\n")
    }

    pub fn child_name(&self, number: usize) -> String {
        format!("{}-{number}", self.name())
    }

    /// How many children its charon has.
    pub fn children(&self) -> usize {
        let Peer { pairs, local_ts, remote_ts, .. } = &self.row.peer;
        if *pairs { local_ts.len() * remote_ts.len() } else { 1 }
    }
}

/// One case for each role of a row, two where it has two peers.
pub fn cases(vendors: &[Vendor], spoken: impl Fn(u8) -> bool) -> Vec<Case<'_>> {
    let rows = vendors.iter().flat_map(|vendor| &vendor.rows).filter(|row| row.test.is_none());
    let mut all: Vec<Case<'_>> = Vec::new();
    for row in rows.filter(|row| spoken(row.peer.version)) {
        for role in &row.begins {
            let networks = all.len() + 1;
            for number in networks..=networks + usize::from(row.twice) {
                let (uuid, lacks, seen) = (String::new(), String::new(), BTreeSet::new());
                all.push(Case { row, role: *role, number, networks, uuid, lacks, seen });
            }
        }
    }
    assert!(all.len() > 40 && all.len() < 150, "{} cases have an address each", all.len());
    all
}
