//! A change of proposals in transition: what was offered before is accepted for a time, after what is wanted now, so that
//! the other end can be changed at another hour. The tunnel that runs goes on.

use super::{
    accepted::Transition,
    record::{Options, Record},
};
use crate::ipsec::{
    Child, Conflict, Connection, Former, IkeSa, Part, Protection, Split,
    native::NATIVE,
    transition::{child_has_moved, has_moved},
};
use jiff::Timestamp;
use std::borrow::Cow;

/// The most that are accepted beside what is wanted: each is a proposal more in every negotiation.
pub(super) const MOST: usize = 4;
/// The options of our own that are a part of the proposals.
const OFFERED: [&str; 3] = ["ikePrf", "postQuantum", "postQuantumMode"];

/// Why a change cannot be in transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It changes no proposal.
    Unchanged,
    /// What it offers from now on has all that was offered before in it.
    Included,
    /// Too many changes of proposals are in transition.
    TooMany,
    /// It changes something else, too.
    Other(Conflict),
}

impl From<Conflict> for Unfit {
    fn from(conflict: Conflict) -> Self {
        Self::Other(conflict)
    }
}

/// Whether one cuts the hash that the other does not cut: nothing in a negotiation tells them apart.
fn differ_in_cut(a: Protection, b: Protection) -> bool {
    let (a, b) = (a.protocol.integrity(), b.protocol.integrity());
    a.zip(b).is_some_and(|(a, b)| a != b && a.row().charon == b.row().charon)
}

/// The first value but for the proposals in which `a` and `b` differ.
fn other_value(a: &Record, b: &Record) -> Option<Part> {
    // Without a rest: an option that is not compared does not compile.
    let Options {
        auth,
        id_kind,
        local_id,
        remote_id,
        version,
        ike: _,
        ike_lifetime,
        ah,
        encryption: _,
        integrity: _,
        pfs: _,
        mode,
        lifetime,
        native,
    } = &a.spec.options;
    let other = &b.spec.options;
    let proof = if auth.certs().is_some() { Part::Certs } else { Part::Psk };
    let contract = [
        (a.spec.vip.address == b.spec.vip.address, Part::LocalAddr),
        (a.spec.peer == b.spec.peer, Part::RemoteAddr),
        (*auth == other.auth, proof),
        (*id_kind == other.id_kind, Part::IdKind),
        (*local_id == other.local_id, Part::LocalId),
        (*remote_id == other.remote_id, Part::RemoteId),
        (*version == other.version, Part::Version),
        (*ike_lifetime == other.ike_lifetime, Part::IkeLifetime),
        (*ah == other.ah, Part::Protocol),
        (*mode == other.mode, Part::Mode),
        (*lifetime == other.lifetime, Part::Lifetime),
        (native.ppk == other.native.ppk, Part::Native("ppk")),
        (a.connection.children == b.connection.children, Part::RemoteNets),
    ];
    let ours = NATIVE.iter().filter(|option| !OFFERED.contains(&option.name));
    let ours = ours.map(|option| ((option.same)(native, &other.native), Part::Native(option.name)));
    contract.into_iter().chain(ours).find(|(same, _)| !same).map(|(_, part)| part)
}

fn why_not(part: Part) -> &'static str {
    match part {
        Part::Psk | Part::Certs | Part::Native("ppk" | "ppkId") => {
            "charon proves itself with one key, and two at once are not offered; change the key on its own, with confirm, \
             and first at the end that answers"
        }
        Part::Protocol => "a CHILD_SA has proposals of one protocol; change it on its own",
        _ => "the tunnel that runs goes on, and has the old value; change it on its own, before or after",
    }
}

impl Record {
    /// The same, which a caller made of `before`, as a change in transition: `begun` says who began it, and until when.
    /// With what is accepted already, the proposals of `before` are accepted, too.
    ///
    /// # Errors
    /// When it changes something else, or no proposal.
    pub fn in_transition(&self, before: &Self, begun: Transition) -> Result<Self, Unfit> {
        let mut new = self.clone();
        if before.spec.options.native.split == Split::Stored && new.spec.options.native.split == Split::Auto {
            // Nobody asked for other children: an earlier version's go on.
            let mut spec = new.spec.clone();
            spec.options.native.split = Split::Stored;
            new = Self { state: self.state, ..before.changed(spec, self.changed)? };
        }
        if let Some(part) = other_value(before, &new) {
            return Err(Conflict::InTransition { part, why: why_not(part) }.into());
        }
        let (own, was) = (new.connection.protection(), before.connection.protection());
        let known = before.open_transition().into_iter().flat_map(|transition| &transition.accepted).copied();
        let mut accepted: Vec<Protection> = Vec::new();
        for old in std::iter::once(was).chain(known) {
            if !own.includes(old) && !accepted.contains(&old) {
                accepted.push(old);
            }
        }
        if accepted.is_empty() {
            return Err(if own == was { Unfit::Unchanged } else { Unfit::Included });
        }
        if accepted.len() > MOST {
            return Err(Unfit::TooMany);
        }
        let all = || accepted.iter().copied().chain([own]);
        if all().any(|one| all().any(|other| differ_in_cut(one, other))) {
            let why = "no negotiation tells sha256 from sha256-96, and one of them would drop the other's packets; change \
                       both ends at once";
            return Err(Conflict::InTransition { part: Part::Integrity, why }.into());
        }
        // What runs is of `before`, and goes on: that nothing older runs is as true as it was.
        let unproven = before.unproven;
        Ok(Self { unproven, transition: Some(Box::new(Transition { accepted, ..begun })), ..new })
    }

    /// Whether it is the change of `before` that began its transition, or began it anew: what runs goes on.
    #[must_use]
    pub fn begins_transition(&self, before: &Self) -> bool {
        let was = before.connection.protection();
        let accepts = |transition: &Transition| transition.accepted.contains(&was);
        self.open_transition().is_some_and(|new| accepts(new) || was == self.connection.protection())
            && self.transition != before.transition
            && before.trial.is_none()
            && other_value(before, self).is_none()
    }

    /// The children that may still run by what was offered before.
    #[must_use]
    pub fn children_behind(&self, running: &[IkeSa]) -> Vec<&Child> {
        let Some(former) = self.former() else { return Vec::new() };
        let children = self.connection.children.iter();
        children.filter(|child| !child_has_moved(&self.connection, child, running, former)).collect()
    }

    /// Its transition, while something else is accepted.
    #[must_use]
    pub fn open_transition(&self) -> Option<&Transition> {
        self.transition.as_deref().filter(|transition| !transition.over)
    }

    /// What charon is given: with what else is accepted.
    #[must_use]
    pub fn accepting(&self) -> Cow<'_, Connection> {
        match self.open_transition() {
            None => Cow::Borrowed(&self.connection),
            Some(transition) => Cow::Owned(self.connection.accepting(&transition.accepted)),
        }
    }

    /// What counts as wanted: what is accepted too, if the caller has said so.
    #[must_use]
    pub fn counting(&self) -> Cow<'_, Connection> {
        let accepts = self.open_transition().is_some_and(|transition| transition.accept);
        if accepts { self.accepting() } else { Cow::Borrowed(&self.connection) }
    }

    fn former(&self) -> Option<Former<'_>> {
        let transition = self.transition.as_ref()?;
        let age = Timestamp::now().duration_since(transition.began).as_secs();
        Some(Former { accepted: &transition.accepted, age: u64::try_from(age).unwrap_or_default() })
    }

    /// Whether it is in transition and `running` has moved to what is wanted.
    #[must_use]
    pub fn has_moved(&self, running: &[IkeSa]) -> bool {
        self.former().is_some_and(|former| has_moved(&self.connection, running, former))
    }

    /// Whether `child` may run by what was offered before, and that is not what the caller accepts.
    #[must_use]
    pub fn is_behind(&self, child: &Child, running: &[IkeSa]) -> bool {
        let strict = self.open_transition().is_some_and(|transition| !transition.accept);
        let former = self.former().filter(|_| strict);
        former.is_some_and(|former| !child_has_moved(&self.connection, child, running, former))
    }

    /// Whether the time of its transition is over.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.open_transition().is_some_and(|transition| transition.until <= now)
    }
}
