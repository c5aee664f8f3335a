//! State is what the user wants, status what was observed. Status is computed, never stored.

use super::{Child, Connection, IkeSa, IkeState, condition::carriers, native::StartMode};

/// Whether the user wants the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is to be up.
    Enabled,
    /// It is kept in the store only.
    Disabled,
}

/// What charon's SAs say of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being negotiated, or something else runs than what is wanted, or it waits for the peer or for traffic to begin.
    Connecting,
    /// Every wanted pair of networks is carried as wanted, by one SA or by several together.
    Ready,
    /// No SA.
    Disconnected,
}

/// Whether the SAs together carry `child` of `wanted` as it is wanted.
#[must_use]
pub fn carries(wanted: &Connection, child: &Child, running: &[IkeSa]) -> bool {
    !carriers(wanted, child, running).is_empty()
}

/// The status of `wanted`, given the IKE SAs that bear its name.
#[must_use]
pub fn status(wanted: &Connection, running: &[IkeSa]) -> Status {
    if !wanted.children.is_empty() && wanted.children.iter().all(|child| carries(wanted, child, running)) {
        Status::Ready
    } else if running.iter().any(|ike| ike.state != IkeState::Closing) || wanted.start_mode() != StartMode::Initiate {
        Status::Connecting
    } else {
        Status::Disconnected
    }
}
