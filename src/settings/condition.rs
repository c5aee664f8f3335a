//! `[condition]`: the times after which the condition of a child says more than `up`.

use super::duration::seconds;
use serde::Deserialize;
use std::time::Duration;

/// Times for the conditions of children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// A child without a packet for this time is idle.
    #[serde(deserialize_with = "seconds")]
    pub idle_after: Duration,
    /// Packets in one direction only for this time are one-way traffic.
    #[serde(deserialize_with = "seconds")]
    pub one_way_after: Duration,
}

impl Default for Condition {
    fn default() -> Self {
        Self { idle_after: Duration::from_mins(5), one_way_after: Duration::from_secs(10) }
    }
}
