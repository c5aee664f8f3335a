//! Connections that join the same networks: a warning, and which of them takes the packets.
//!
//! Of several policies with the same selectors the kernel has one, and charon gives it the one that was installed last
//! (strongSwan `kernel_netlink_ipsec.c`, `policy_entry_t.used_by`): the CHILD_SA with the highest number, since a rekeyed one
//! has a new number and is installed anew.

use crate::{
    agent::{
        Agent,
        change::overlaps::{Found, SHOWN, pairs},
    },
    ipsec::{Child, ConnectionId, Finding, IkeSa, Weakness, condition::carriers},
    settings::policy::Stance,
    store::Record,
};
use std::sync::PoisonError;

/// So many others with one pair of networks are looked at: a reader's time must not grow with their square.
const LOOKED_AT: usize = 64;

impl Agent {
    /// What there is to say of the networks of `record`, if others have the same or overlapping ones.
    pub(in crate::agent) fn same_networks(&self, record: &Record) -> Option<Finding> {
        if !record.is_loaded() || self.policy.stance(Weakness::SameNetworks.setting()) == Stance::Off {
            return None;
        }
        let found = self.lock_uniqueness().networks.of(record.id, pairs(&record.connection));
        (!found.is_empty()).then(|| Finding {
            weakness: Weakness::SameNetworks,
            part: "remote_nets",
            advice: format!(
                "overlaps what {} joins: of two tunnels for the same packets, the one that was installed last takes them all; \
                 if it is not meant as a standby, name other networks or disable one of the two",
                self.others(&found)
            ),
        })
    }

    /// Remembers the newest SA of each child of `record`.
    pub(in crate::agent) fn record_installed(&self, record: &Record, running: &[IkeSa]) {
        let wanted = &record.connection;
        let newest = |child: &Child| {
            let number = carriers(wanted, child, running).into_iter().map(|sa| sa.unique_id).max()?;
            Some((child.name.clone(), number))
        };
        let newest = wanted.children.iter().filter_map(newest).collect();
        *self.entry(record.id).newest.lock().unwrap_or_else(PoisonError::into_inner) = newest;
    }

    /// Whether other connections take all packets of `child` of the connection `id`, which runs: for each pair of its
    /// networks, an SA for just that pair was installed after its own. What overlaps without being the same has policies
    /// of its own.
    pub(in crate::agent) fn is_shadowed(&self, id: ConnectionId, child: &Child) -> bool {
        let Some(own) = self.newest(id, &child.name) else { return false };
        let pairs = || child.local.iter().flat_map(|local| child.remote.iter().map(move |remote| (*local, *remote)));
        pairs().all(|(local, remote)| {
            let others: Vec<_> = {
                let uniqueness = self.lock_uniqueness();
                uniqueness.networks.same((local.net(), remote.net()), id).take(LOOKED_AT).collect()
            };
            others.into_iter().filter_map(|other| self.store.get(other)).any(|other| {
                let has = |c: &&Child| c.local.contains(&local) && c.remote.contains(&remote);
                let children = other.connection.children.iter().filter(has);
                children.filter_map(|c| self.newest(other.id, &c.name)).any(|number| number > own)
            })
        })
    }

    fn newest(&self, id: ConnectionId, child: &str) -> Option<u64> {
        self.entry(id).newest.lock().unwrap_or_else(PoisonError::into_inner).get(child).copied()
    }

    /// The others with what they share.
    fn others(&self, found: &Found) -> String {
        let other = |(id, pairs): (&ConnectionId, &std::collections::BTreeSet<(ipnet::IpNet, ipnet::IpNet)>)| {
            let pairs: Vec<_> = pairs.iter().map(|(local, remote)| format!("{local} to {remote}")).collect();
            format!("the ipsec connection[uuid:{id}, name:{}] ({})", self.name_of(*id), pairs.join(", "))
        };
        let more = if found.len() < SHOWN { "" } else { ", and perhaps others" };
        found.iter().map(other).collect::<Vec<_>>().join(", ") + more
    }
}
