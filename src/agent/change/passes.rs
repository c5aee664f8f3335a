//! What a connection leaves alone: the networks that this host is directly connected to, which a tunnel must not take.
//! The host's addresses are followed as they change.

use crate::{
    agent::{Agent, CharonLink, View, Warning},
    error::{Error, Result},
    ipsec::{Connection, Pass, TrafficSelector, passes},
    store::Record,
    strongswan::{Charon, requests::Loadable},
};
use ipnet::IpNet;
use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How often the host's addresses are compared with what was passed: reading them costs microseconds.
const LOOK: Duration = Duration::from_secs(1);

impl Agent {
    /// The forms in which charon takes `record`, or `None` if it is not to hold it.
    pub(in crate::agent) fn loadable(&self, record: &Record, charon: &Charon) -> Result<Option<Loadable>> {
        let wanted = Some(&record.connection).filter(|_| record.is_loaded());
        let passing = |c: &Connection| Loadable::passing(c, charon.traps, self.passes_of(c, charon));
        wanted.map(passing).transpose().map_err(|e| {
            // Our own fault: nothing was loaded or stored.
            Error::Internal(format!("the configuration of connection {} fails its self-check: {e}", record.id))
        })
    }

    /// What `connection` leaves alone in `charon`, with the networks that this host has now.
    pub(in crate::agent) fn passes_of(&self, connection: &Connection, charon: &Charon) -> Vec<Pass> {
        if charon.passes() { passes(connection, self.networks().iter()) } else { Vec::new() }
    }

    /// What the connection leaves alone; `None` where nobody knows, because charon is away.
    #[must_use]
    pub fn passes(&self, view: &View) -> Option<Vec<Pass>> {
        match self.link() {
            _ if !view.record.is_loaded() => Some(Vec::new()),
            CharonLink::Up(charon) => Some(self.passes_of(&view.record.connection, &charon)),
            CharonLink::Starting | CharonLink::Down { .. } => None,
        }
    }

    /// What is to be said of `connection` and the networks that this host is in.
    pub(in crate::agent) fn neighbour_warnings(&self, connection: &Connection) -> Vec<Warning> {
        let CharonLink::Up(charon) = self.link() else { return Vec::new() };
        let covered: Vec<_> = passes(connection, self.networks().iter()).into_iter().flat_map(|p| p.remote).collect();
        let warning = |code, message| Warning { code, part: Some("remote_nets"), message };
        if covered.is_empty() {
            return Vec::new();
        }
        if !charon.passes() {
            let message = format!(
                "covers {}, which this host is in, and the kernel-libipsec plugin cannot leave them alone: they and this \
                 gateway lose each other; use kernel-netlink, or name smaller networks",
                list(&covered)
            );
            return vec![warning("NEIGHBOURS_TAKEN", message)];
        }
        let remote: BTreeSet<_> = connection.children.iter().flat_map(|child| &child.remote).copied().collect();
        let here: Vec<_> = remote.into_iter().filter(|net| covered.contains(net)).collect();
        if here.is_empty() {
            return Vec::new();
        }
        let message = format!(
            "has {}, which this host is in: the tunnel carries nothing for it; name the part that is behind the peer",
            list(&here)
        );
        vec![warning("CONNECTED_NETWORK", message)]
    }

    /// The networks that this host is directly connected to. A host that does not tell them has those of before.
    fn networks(&self) -> Arc<BTreeSet<IpNet>> {
        let now = self.host();
        let mut known = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(networks) = now.networks.as_ref().filter(|networks| *networks != known.as_ref()) {
            *known = Arc::new(networks.clone());
        }
        Arc::clone(&known)
    }

    /// Has each connection looked at that is to leave something else alone since the host's networks changed.
    pub(in crate::agent) async fn follow_networks(&self) {
        // Whatever changed while charon was given everything is found at the first look.
        let mut seen = Arc::new(BTreeSet::new());
        loop {
            sleep(LOOK).await;
            let now = self.networks();
            if now == seen {
                continue;
            }
            let differs = |record: &&Arc<Record>| {
                let of = |networks: &BTreeSet<IpNet>| passes(&record.connection, networks.iter());
                record.is_loaded() && of(&seen) != of(&now)
            };
            self.store.all().iter().filter(differs).for_each(|record| self.queue.enqueue(record.id, Instant::now()));
            seen = now;
        }
    }
}

fn list(nets: &[TrafficSelector]) -> String {
    nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
