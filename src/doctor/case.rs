//! Everything that is judged.

use crate::{
    agent::CharonLink,
    doctor::facts::Facts,
    ipsec::Connection,
    settings::{Gateway, policy::Stance},
    store::{Damaged, Record, Timestamp, dropped::DroppedCa},
};
use std::sync::Arc;

/// What the checks look at.
#[derive(Debug)]
pub struct Case {
    /// What the gateway is.
    pub facts: Facts,
    /// What is stored.
    pub records: Vec<Arc<Record>>,
    /// The records that cannot be read.
    pub damaged: Vec<Damaged>,
    /// What the settings say of the gateway.
    pub gateway: Gateway,
    /// What the agent says of charon; `None` when it does not run.
    pub agent: Option<CharonLink>,
    /// What is done about connections that join the same networks.
    pub same_networks: Stance,
    /// The CAs that charon keeps and no connection has.
    pub dropped_cas: Vec<DroppedCa>,
    /// The time.
    pub now: Timestamp,
}

impl Case {
    /// The connections that charon is to hold.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Connection> {
        self.records.iter().filter(|record| record.is_loaded()).map(|record| &record.connection)
    }
}
