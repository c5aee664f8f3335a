//! How what runs follows what is wanted: which SAs to negotiate and to close, and when.

pub(crate) mod charon_session;
pub(crate) mod heal;
pub(crate) mod initiation_limiter;
pub(crate) mod queue;
pub(crate) mod reconciler;
pub(crate) mod resync;
pub(crate) mod sa_planner;
pub(crate) mod split;
pub(crate) mod watchdog;
