//! Connections that join the same networks: the warning, and which of them gets the packets.
//!
//! The kernel has one policy for several CHILD_SAs with the same selectors. charon installs the one that came last
//! (strongSwan `kernel_netlink_ipsec.c`, `policy_entry_t.used_by`): the CHILD_SA with the highest number, because a rekey
//! gives a new number and installs the policy again.

use crate::{
    agent::{
        Agent,
        change::{
            conflicts::held,
            overlaps::{Found, Overlaps, Owner, SHOWN, pairs},
            policy::refused_by_policy,
        },
    },
    error::Result,
    ipsec::{
        Child, Connection, ConnectionId, Finding, IkeSa, Part, State, Weakness, clash::Stored, condition::carriers,
    },
    settings::policy::Stance,
    store::Record,
};
use std::sync::PoisonError;

/// The most others with one pair of networks that are compared: the time must not grow with their square.
const LOOKED_AT: usize = 64;

impl Agent {
    /// The warning for `record`, if others have the same or overlapping networks.
    pub(in crate::agent) fn same_networks(&self, record: &Record) -> Option<Finding> {
        self.same_among(&self.changes.uniqueness().networks, record, |id| self.stored(id))
    }

    /// The same among `networks`, whose owners `named` names.
    pub(in crate::agent) fn same_among(
        &self,
        networks: &Overlaps,
        record: &Record,
        named: impl Fn(ConnectionId) -> Stored,
    ) -> Option<Finding> {
        if !record.is_loaded() || self.changes.stance(Weakness::SameNetworks.setting()) == Stance::Off {
            return None;
        }
        let found = networks.of(Owner::of(&record.connection), pairs(&record.connection));
        (!found.is_empty()).then(|| finding(&found, named))
    }

    /// Refuses networks of `new` that others took since the first check, if the policy refuses them. Networks that `old`
    /// or its trial already shared are allowed. Concurrent writes are checked one after the other by the same index.
    pub(in crate::agent) fn refuse_same(
        &self,
        networks: &Overlaps,
        old: Option<&Record>,
        new: &Record,
        named: impl Fn(ConnectionId) -> Stored,
    ) -> Result<()> {
        let is_wanted = |record: &&Record| record.state == State::Enabled;
        if self.changes.stance(Weakness::SameNetworks.setting()) != Stance::Refuse || !is_wanted(&new) {
            return Ok(());
        }
        let of = |record: &Record| networks.of(Owner::of(&record.connection), pairs(&record.connection));
        let mut found = of(new);
        for had in old.into_iter().flat_map(held).filter(is_wanted).map(of) {
            for (id, pairs) in had {
                found.entry(id).or_default().retain(|pair| !pairs.contains(pair));
            }
        }
        found.retain(|_, pairs| !pairs.is_empty());
        if found.is_empty() { Ok(()) } else { Err(refused_by_policy(&finding(&found, named))) }
    }

    /// Records the newest SA of each child of `record`.
    pub(in crate::agent) fn record_installed(&self, record: &Record, running: &[IkeSa]) {
        let wanted = &record.connection;
        let newest = |child: &Child| {
            let number = carriers(wanted, child, running).into_iter().map(|sa| sa.unique_id).max()?;
            Some((child.name.clone(), number))
        };
        let newest = wanted.children.iter().filter_map(newest).collect();
        *self.entry(record.id).newest.lock().unwrap_or_else(PoisonError::into_inner) = newest;
    }

    /// Whether other connections take all packets of the running `child` of `id`: for each pair of its networks, an SA
    /// for the same pair was installed later. Overlapping but different networks have policies of their own.
    pub(in crate::agent) fn is_shadowed(&self, connection: &Connection, child: &Child) -> bool {
        let Some(own) = self.newest(connection.id(), &child.name) else { return false };
        let pairs = || child.local.iter().flat_map(|local| child.remote.iter().map(move |remote| (*local, *remote)));
        pairs().all(|(local, remote)| {
            let others: Vec<_> = {
                let uniqueness = self.changes.uniqueness();
                uniqueness.networks.same((local.net(), remote.net()), Owner::of(connection)).take(LOOKED_AT).collect()
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
}

fn finding(found: &Found, named: impl Fn(ConnectionId) -> Stored) -> Finding {
    Finding {
        weakness: Weakness::SameNetworks,
        part: Part::RemoteNets,
        advice: format!(
            "overlaps what {} joins: of two tunnels for the same packets, the one that was installed last takes them all; if \
             it is not meant as a standby, name other networks or disable one of the two",
            others(found, named)
        ),
    }
}

/// The other connections, with the shared networks.
fn others(found: &Found, named: impl Fn(ConnectionId) -> Stored) -> String {
    let other = |(id, pairs): (&ConnectionId, &std::collections::BTreeSet<(ipnet::IpNet, ipnet::IpNet)>)| {
        let pairs: Vec<_> = pairs.iter().map(|(local, remote)| format!("{local} to {remote}")).collect();
        format!("{} ({})", named(*id), pairs.join(", "))
    };
    let more = if found.len() < SHOWN { "" } else { ", and perhaps others" };
    found.iter().map(other).collect::<Vec<_>>().join(", ") + more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        doctor::healthy,
        ipsec::{IkeVersion, Split},
        settings::Settings,
        store::Store,
        strongswan::vici::Vici,
    };
    use std::time::Duration;

    fn record(last: u32, remote: &str) -> Record {
        let spec = healthy::record("192.0.2.1", &format!("192.0.2.{last}"), "10.1.0.0/24", remote).spec.clone();
        let id = format!("c000000000004000800000000000000{last}").parse().expect("an id");
        Record::new(id, spec, 0, jiff::Timestamp::UNIX_EPOCH).expect("a record")
    }

    /// Under IKEv1 a network inside another one has a child of its own, under IKEv2 it has none.
    #[test]
    fn what_a_connection_joins_is_the_same_whichever_version_is_tried() {
        let mut spec = record(2, "10.2.0.0/16").spec;
        spec.local[0].cidrs.push("10.1.0.128/25".parse().expect("a network"));
        (spec.options.version, spec.options.native.split) = (IkeVersion::Any, Split::Auto);
        let id = "c0000000000040008000000000000002".parse().expect("an id");
        let any = Record::new(id, spec, 0, jiff::Timestamp::UNIX_EPOCH).expect("a record");
        let fallback = any.speaking(IkeVersion::V1).expect("IKEv1 can be spoken");
        assert_eq!((any.connection.children.len(), fallback.connection.children.len()), (1, 2));
        let all = |record: &Record| pairs(&record.connection).collect::<Vec<_>>();
        assert_eq!(all(&any), all(&fallback));
    }

    /// Both are judged before one of them is claimed, as two calls at the same moment may be.
    #[tokio::test(flavor = "multi_thread")]
    async fn of_two_that_were_judged_at_once_one_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let settings: Settings =
            toml::from_str("[policy]\ndefault = \"off\"\nsame-networks = \"refuse\"").expect("settings");
        let strongswan = Vici::new(&directory.path().join("vici"), Duration::from_secs(1)).into();
        let agent = Agent::new(&settings, Store::open(directory.path()).expect("a store"), strongswan);
        let (mut one, mut two, mut three) =
            (record(2, "10.2.0.0/16"), record(3, "10.2.3.0/24"), record(4, "10.4.0.0/16"));
        for record in [&one, &two, &three] {
            agent.judge(None, record, false).expect("nobody is there yet");
        }
        agent.claim(None, &mut one).expect("the first");
        let refused = agent.claim(None, &mut two).expect_err("the first has it").to_string();
        assert!(refused.contains("refused by policy.same-networks") && refused.contains("10.2.0.0/16"), "{refused}");
        agent.claim(None, &mut three).expect("other networks");
        // Nothing of the one that was refused is left, and who has it already may keep it.
        assert_eq!(
            agent.changes.uniqueness().networks.of(Owner::of(&one.connection), pairs(&one.connection)),
            Found::new()
        );
        agent.claim(Some(&one), &mut one.clone()).expect("it has it");
    }
}
