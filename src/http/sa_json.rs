//! The SAs of a connection in the native view: what charon lists of each, and why one is not wanted.

use super::child_json::{child, extend};
use crate::{
    agent::{Seen, View},
    doctor::facts::path,
    ipsec::{
        Child, ChildSa, ChildState, Connection, IkeSa, IkeState, Mode,
        condition::{carriers, duplicates},
        coverage,
    },
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The SAs of a connection, and which of them are needless.
pub struct Running<'a> {
    wanted: &'a Connection,
    all: Option<&'a [IkeSa]>,
    /// The numbers of CHILD_SAs that are one too many.
    duplicates: BTreeSet<u64>,
    /// The numbers of CHILD_SAs that carry what is wanted, none of them needless.
    carriers: BTreeSet<u64>,
}

impl<'a> Running<'a> {
    /// Those of `view`.
    pub fn of(view: &'a View) -> Self {
        let (wanted, running) = (&view.record.connection, view.running.as_deref());
        let all = running.unwrap_or_default();
        let carriers = wanted.children.iter().flat_map(|child| carriers(wanted, child, all)).map(|sa| sa.unique_id);
        let duplicates = duplicates(wanted, all).into_iter().map(|sa| sa.unique_id).collect();
        Self { wanted, all: running, duplicates, carriers: carriers.collect() }
    }

    /// `ike_sas`: null if charon does not answer.
    pub fn ike_sas(&self) -> Value {
        let Some(running) = self.all else { return Value::Null };
        running.iter().map(|ike| self.ike_sa(ike)).collect()
    }

    /// `children`: what is wanted of each, and what runs of it.
    pub fn children(&self, conditions: &[Seen]) -> Value {
        let item = |(number, wanted): (usize, &Child)| {
            // A second SA that could do it alone is as wanted too, and only one too many.
            let is_as_wanted = |ike: &IkeSa, sa: &ChildSa| {
                let alone = || coverage::uncovered(wanted, [sa]).is_empty();
                let counts = ike.runs(self.wanted) && coverage::counts(sa, self.wanted);
                counts && (self.carriers.contains(&sa.unique_id) || alone())
            };
            let own = self.all_children().filter(|(_, sa)| sa.name == wanted.name);
            let sas: Vec<_> = own.map(|(ike, sa)| self.child_sa(ike, sa, is_as_wanted(ike, sa))).collect();
            let (local, remote): (Vec<_>, Vec<_>) = (wanted.local_texts().collect(), wanted.remote_texts().collect());
            let mut item = json!({ "name": wanted.name, "local": local, "remote": remote,
                                   "sas": self.all.map(|_| sas) });
            extend(&mut item, child(self.wanted, conditions.get(number)));
            item
        };
        self.wanted.children.iter().enumerate().map(item).collect()
    }

    /// `other_sas`: the CHILD_SAs that belong to none of the children, which are those of an earlier configuration, and
    /// those that the peer asked for.
    pub fn other_sas(&self) -> Value {
        if self.all.is_none() {
            return Value::Null;
        }
        let children = &self.wanted.children;
        let others = self.all_children().filter(|(_, sa)| !children.iter().any(|child| child.name == sa.name));
        let item = |(ike, sa): (&IkeSa, &ChildSa)| {
            let mut item = self.child_sa(ike, sa, self.carriers.contains(&sa.unique_id));
            extend(&mut item, json!({ "name": sa.name }));
            item
        };
        others.map(item).collect()
    }

    /// All CHILD_SAs, each with its IKE SA.
    fn all_children(&self) -> impl Iterator<Item = (&'a IkeSa, &'a ChildSa)> {
        let running = self.all.unwrap_or_default();
        running.iter().flat_map(|ike| ike.children.iter().map(move |sa| (ike, sa)))
    }

    fn ike_sa(&self, ike: &IkeSa) -> Value {
        let mut item = ike_sa(ike);
        let as_wanted = ike.runs(self.wanted);
        extend(&mut item, json!({ "as_wanted": as_wanted, "not_wanted": self.ike_surplus(ike, as_wanted) }));
        item
    }

    /// Why an IKE SA is not wanted: one is a duplicate that carries nothing needed while another one does.
    fn ike_surplus(&self, ike: &IkeSa, as_wanted: bool) -> Option<&'static str> {
        let carries = |ike: &IkeSa| {
            let is_needed =
                |sa: &ChildSa| self.carriers.contains(&sa.unique_id) && !self.duplicates.contains(&sa.unique_id);
            ike.state == IkeState::Established && ike.children.iter().any(is_needed)
        };
        match ike.state {
            IkeState::Connecting => None,
            IkeState::Closing => Some("closing"),
            IkeState::Established if ike.stale => Some("outdated"),
            IkeState::Established if !as_wanted => Some("differs"),
            IkeState::Established => {
                let is_needless = !carries(ike) && self.all.unwrap_or_default().iter().any(carries);
                is_needless.then_some("duplicate")
            }
        }
    }

    fn child_sa(&self, ike: &IkeSa, sa: &ChildSa, as_wanted: bool) -> Value {
        let surplus = match sa.state {
            ChildState::Pending => None,
            ChildState::Replaced => Some("replaced"),
            ChildState::Closing => Some("closing"),
            ChildState::Installed if ike.state == IkeState::Closing => Some("closing"),
            ChildState::Installed if sa.stale || ike.stale => Some("outdated"),
            ChildState::Installed if self.duplicates.contains(&sa.unique_id) => Some("duplicate"),
            ChildState::Installed => (!as_wanted).then_some("differs"),
        };
        let size = path::fitting(ike, sa, self.wanted.protocol.is_cut() && !sa.stale);
        let mut item = child_sa(ike, sa);
        extend(
            &mut item,
            json!({ "as_wanted": as_wanted, "not_wanted": surplus,
                    "mtu": size.map(|size| size.mtu), "mss": size.map(|size| size.mss) }),
        );
        item
    }
}

/// An IKE SA as charon lists it.
pub fn ike_sa(ike: &IkeSa) -> Value {
    let (suite, times) = (&ike.suite, &ike.times);
    json!({
        "id": ike.unique_id, "version": ike.version,
        "state": match ike.state {
            IkeState::Connecting => "connecting",
            IkeState::Established => "established",
            IkeState::Closing => "closing",
        },
        "local": ike.local_host, "remote": ike.remote_host,
        "initiator": if ike.is_initiator { "local" } else { "remote" },
        "initiator_spi": ike.initiator_spi, "responder_spi": ike.responder_spi,
        "nat_local": ike.nat.local, "nat_remote": ike.nat.remote,
        "age_s": times.age, "rekey_in_s": times.rekey_in, "reauth_in_s": times.reauth_in,
        "encryption": suite.encryption, "key_bits": suite.key_bits, "integrity": suite.integrity,
        "prf": suite.prf, "group": suite.group, "additional": suite.additional,
        "post_quantum": (ike.state != IkeState::Connecting).then(|| ike.post_quantum()),
    })
}

/// A CHILD_SA as charon lists it.
pub fn child_sa(ike: &IkeSa, sa: &ChildSa) -> Value {
    let suite = &sa.suite;
    let mode = sa.mode.map(|mode| match mode {
        Mode::Tunnel => "tunnel",
        Mode::Transport => "transport",
    });
    let (post_quantum, by_ike) = ike.post_quantum_of(sa);
    let (post_quantum, by) = match sa.state {
        ChildState::Pending => (None, None),
        _ => (Some(post_quantum), Some(if by_ike { "IKE_SA" } else { "CHILD_SA" })),
    };
    json!({
        "id": sa.unique_id, "ike_sa": ike.unique_id,
        "state": match sa.state {
            ChildState::Pending => "pending",
            ChildState::Installed => "installed",
            ChildState::Replaced => "replaced",
            ChildState::Closing => "closing",
        },
        "protocol": if sa.ah { "ah" } else { "esp" }, "mode": mode, "udp": sa.encap,
        "spi_in": sa.spis.inbound, "spi_out": sa.spis.outbound,
        "encryption": suite.encryption, "key_bits": suite.key_bits, "integrity": suite.integrity, "group": suite.group,
        "additional": suite.additional, "post_quantum": post_quantum, "post_quantum_by": by,
        "local": sa.local, "remote": sa.remote,
        "bytes_in": sa.bytes.inbound, "bytes_out": sa.bytes.outbound,
        "packets_in": sa.packets.inbound, "packets_out": sa.packets.outbound,
        "unused_in_s": sa.unused.inbound, "unused_out_s": sa.unused.outbound,
        "age_s": sa.age, "rekey_in_s": sa.rekey_in, "ends_in_s": sa.ends_in,
    })
}
