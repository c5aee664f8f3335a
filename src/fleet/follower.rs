//! What the tasks of a follower share.

use super::{
    agent::Agent,
    board::Board,
    config::Config,
    etcd::Etcd,
    stop::{Result, Stop},
    vault::FleetKeys,
};
use std::sync::Mutex;
use tokio::sync::{Semaphore, watch};

/// The most writes to the agent at once: it takes 64 connections of one user.
const AT_ONCE: usize = 40;

/// A session with etcd: the connection and the lease.
#[derive(Clone)]
pub struct Session {
    /// The connection.
    pub etcd: Etcd,
    /// The lease of the statuses.
    pub lease: i64,
}

/// The follower of one gateway.
pub struct Follower {
    /// The settings.
    pub config: Config,
    /// The gateway's name.
    pub gateway: String,
    /// The keys of the fleet.
    pub keys: FleetKeys,
    /// The agent.
    pub agent: Agent,
    /// What is wanted.
    pub board: Board,
    /// The present session with etcd.
    pub session: watch::Sender<Option<Session>>,
    /// The last parts of own status keys that somebody else's lease has taken away.
    pub lost: Mutex<Vec<String>>,
    /// One for each write to the agent.
    pub permits: Semaphore,
}

impl Follower {
    /// A follower with these settings, if its files are good: a wrong one is said at the start, not at the first connection.
    pub fn new(config: Config) -> Result<Self> {
        let (gateway, keys) = (config.own_gateway()?.to_owned(), config.keys()?);
        config.credentials()?;
        if !keys.can_seal() && !config.allow_unsealed {
            return Err(Stop::failed("set fleet_key_file, or allow_unsealed: else every spec with a key is refused"));
        }
        let (agent, board) = (Agent::at(&config.agent), Board::default());
        let (session, permits) = (watch::Sender::new(None), Semaphore::new(AT_ONCE));
        Ok(Self { config, gateway, keys, agent, board, session, lost: Mutex::default(), permits })
    }
}
