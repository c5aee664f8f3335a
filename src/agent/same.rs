//! Connections that join the same networks: a warning, and which of them takes the packets.
//!
//! Of several policies with the same selectors the kernel has one, and charon gives it the one that was installed last
//! (strongSwan `kernel_netlink_ipsec.c`, `policy_entry_t.used_by`): the CHILD_SA with the highest number, since a rekeyed one
//! has a new number and is installed anew.

use super::{
    Agent,
    overlaps::{Found, SHOWN, pairs},
};
use crate::{
    ipsec::{Finding, Weakness},
    settings::policy::Stance,
    store::Record,
};

impl Agent {
    /// What there is to say of the networks of `record`, if others have the same or overlapping ones.
    pub(super) fn same_networks(&self, record: &Record) -> Option<Finding> {
        if !record.is_loaded() || self.policy.stance(Weakness::SameNetworks.setting()) == Stance::Off {
            return None;
        }
        let found = self.lock_claims().networks.of(record.id, pairs(&record.connection));
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

    /// The others with what they share.
    fn others(&self, found: &Found) -> String {
        let other =
            |(id, pairs): (&crate::ipsec::ConnectionId, &std::collections::BTreeSet<(ipnet::IpNet, ipnet::IpNet)>)| {
                let pairs: Vec<_> = pairs.iter().map(|(local, remote)| format!("{local} to {remote}")).collect();
                format!("the ipsec connection[uuid:{id}, name:{}] ({})", self.name_of(*id), pairs.join(", "))
            };
        let more = if found.len() < SHOWN { "" } else { ", and perhaps others" };
        found.iter().map(other).collect::<Vec<_>>().join(", ") + more
    }
}
