//! The input of the checks.

use crate::{
    agent::CharonLink,
    doctor::facts::{Facts, Probe, Unchecked},
    ipsec::Connection,
    settings::{Gateway, policy::Stance},
    store::{Damaged, Record, Timestamp, dropped::DroppedCa},
    strongswan::log_parser::Fragments,
};
use serde_json::Value;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// A peer's name without an address, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The connection's name.
    pub connection: String,
    /// Why the name has none.
    pub why: String,
    /// Whether it never had one: then the connection is not even loaded.
    pub is_new: bool,
}

/// A connection whose peer does not answer a message that takes several packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// The connection's name.
    pub connection: String,
    /// Where the peer is.
    pub peer: IpAddr,
    /// The message.
    pub sent: Fragments,
}

/// What comparing this gateway with another one gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paired {
    /// Where the other one is.
    pub with: String,
    /// What differs, as `http::comparison` says it, or why nobody knows.
    pub outcome: Result<Value, String>,
}

/// The input of the checks.
#[derive(Debug)]
pub struct Case {
    /// The facts about the gateway.
    pub facts: Facts,
    /// The stored records.
    pub records: Vec<Arc<Record>>,
    /// The records that cannot be read.
    pub damaged: Vec<Damaged>,
    /// Why this user cannot read the records, if so.
    pub unread: Option<Unchecked>,
    /// The section `[gateway]` of the settings.
    pub gateway: Gateway,
    /// The local addresses that this host lacks because it is a standby for them.
    pub standby: BTreeSet<IpAddr>,
    /// The agent's link to charon, or why the agent does not answer.
    pub agent: Probe<CharonLink>,
    /// The policy for connections that join the same networks.
    pub same_networks: Stance,
    /// The CAs that charon keeps although no connection uses them.
    pub dropped_cas: Vec<DroppedCa>,
    /// The names of peers that have no address.
    pub unresolved: Vec<Unresolved>,
    /// The connections whose peers do not answer what takes several packets.
    pub unanswered: Vec<Unanswered>,
    /// The comparison with the other gateway of a pair, if the settings name one.
    pub pair: Option<Paired>,
    /// The current time.
    pub now: Timestamp,
}

impl Case {
    /// The connections that charon should have loaded.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Connection> {
        self.records.iter().filter(|record| record.is_loaded()).map(|record| &record.connection)
    }
}
