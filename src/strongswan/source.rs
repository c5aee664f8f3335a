//! Where the news of charon's SAs come from.

use super::vici;

/// The source of events that say when to reconcile.
pub enum Events {
    /// charon's events, and its log on a socket of its own, because the log has many lines.
    Vici {
        /// Events of SAs.
        happenings: vici::Events,
        /// Log lines and alerts.
        words: vici::Events,
    },
    /// swanctl has no sufficient events.
    None,
}
