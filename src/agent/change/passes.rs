//! The pass policies of a connection: the host's directly connected networks, which a tunnel must not take. They follow
//! the host's addresses.

use crate::{
    agent::{Agent, CharonLink, Presence, View, Warning},
    error::{Error, Result},
    ipsec::{Connection, ConnectionId, Part, Pass, Protection, TrafficSelector, passes, passes_beside},
    store::Record,
    strongswan::{Charon, conf::Traps, requests::Loadable},
};
use ipnet::IpNet;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How often the host's addresses are compared; reading them costs microseconds.
const LOOK: Duration = Duration::from_secs(1);

/// What charon is to accept of `record`, without earlier proposals that it cannot read any more: it would refuse all.
fn usable<'a>(record: &'a Record, charon: &Charon) -> Cow<'a, Connection> {
    let mut accepting = record.accepting();
    let can = |one: &Protection| {
        let missing = charon.missing(&record.connection.accepting(&[*one]));
        missing.len() <= charon.missing(&record.connection).len()
    };
    if !accepting.accepted.iter().all(can) {
        accepting.to_mut().accepted.retain(can);
    }
    accepting
}

impl Agent {
    /// The forms of `record` for charon, or `None` if it is not loaded.
    pub(in crate::agent) fn loadable(&self, record: &Record, charon: &Charon) -> Result<Option<Loadable>> {
        let accepting = usable(record, charon);
        let wanted = Some(&*accepting).filter(|_| record.is_loaded());
        // On a standby, traffic begins nothing.
        let traps = if self.is_standby(record) { Traps::Unsupported } else { charon.traps };
        let passing = |c: &Connection| Loadable::passing(c, traps, self.passes_of(c, charon));
        wanted.map(passing).transpose().map_err(|e| {
            // A fault of this program: nothing was loaded or stored.
            Error::Internal(format!("the configuration of connection {} fails its self-check: {e}", record.id))
        })
    }

    /// The pass policies of `connection` in `charon`, with the host's current networks.
    pub(in crate::agent) fn passes_of(&self, connection: &Connection, charon: &Charon) -> Vec<Pass> {
        let is_standby = self.observer.presence(connection.local_addr) == Presence::Standby;
        if charon.passes() && !is_standby { self.passes_now(connection, &self.observer.networks()) } else { Vec::new() }
    }

    /// The same with given networks, for any charon. Parts that another connection carries are left out.
    fn passes_now(&self, connection: &Connection, networks: &BTreeSet<IpNet>) -> Vec<Pass> {
        let all = passes(connection, networks);
        if all.is_empty() {
            return all;
        }
        let uniqueness = self.changes.uniqueness();
        let inside = |net: &IpNet| uniqueness.networks.inside(*net, connection.id()).collect::<Vec<_>>();
        let others: Vec<_> = networks.iter().flat_map(inside).collect();
        if others.is_empty() { all } else { passes_beside(connection, networks, &others) }
    }

    /// The pass policies of the connection; `None` while charon does not answer.
    #[must_use]
    pub fn passes(&self, view: &View) -> Option<Vec<Pass>> {
        match self.link() {
            _ if !view.record.is_loaded() => Some(Vec::new()),
            CharonLink::Up(charon) => Some(self.passes_of(&view.record.connection, &charon)),
            CharonLink::Starting | CharonLink::Down { .. } => None,
        }
    }

    /// The warning about `connection` and the host's own networks.
    pub(in crate::agent) fn neighbour_warnings(&self, connection: &Connection) -> Vec<Warning> {
        let CharonLink::Up(charon) = self.link() else { return Vec::new() };
        let covered: Vec<_> =
            passes(connection, self.observer.networks().iter()).into_iter().flat_map(|p| p.remote).collect();
        let warning = |code, message| Warning { code, part: Some(Part::RemoteNets), message, remedy: None };
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

    /// Reconciles each connection whose pass policies changed with the host's networks or with those of another
    /// connection.
    pub(in crate::agent) async fn follow_networks(&self) {
        // The first comparison finds changes during the first synchronisation.
        let (mut seen, mut known) = (None, BTreeMap::new());
        loop {
            sleep(LOOK).await;
            let networks = self.observer.networks();
            let now = Some((Arc::clone(&networks), self.changes.uniqueness().networks.revision()));
            if now == seen {
                continue;
            }
            let of = |record: &Arc<Record>| (record.id, self.passes_now(&record.connection, &networks));
            let all = self.store.all();
            let left_alone: BTreeMap<_, _> = all.iter().filter(|record| record.is_loaded()).map(of).collect();
            let differs = |id: &&ConnectionId| {
                let of = |all: &BTreeMap<ConnectionId, Vec<Pass>>| all.get(id).cloned().unwrap_or_default();
                of(&left_alone) != of(&known)
            };
            left_alone.keys().filter(differs).for_each(|id| self.reconciler.enqueue(*id, Instant::now()));
            (seen, known) = (now, left_alone);
        }
    }
}

fn list(nets: &[TrafficSelector]) -> String {
    nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
