//! What is seen of a connection: its state, its traffic, why it is down, and what happened to it.

pub(crate) mod charon_log;
pub(crate) mod connection_log;
pub(crate) mod down_reason;
pub(crate) mod events;
pub(crate) mod failure_history;
pub(crate) mod same_networks;
pub(crate) mod traffic;
pub(crate) mod view;
