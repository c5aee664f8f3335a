//! A change on trial: it is in force, nobody has confirmed it, and what it would put back lies beside it in the same
//! record. So whatever happens in between, one file says what counts.

use super::{Record, Trial, record::Options};
use crate::ipsec::{Conflict, ConnectionId, IkeProposal, native::NATIVE};
use jiff::Timestamp;

/// In which values of a tunnel `a` and `b` agree, one place each. Names and networks are not among them: writes to them
/// stand beside each other.
fn agreement(a: &Record, b: &Record) -> Vec<bool> {
    // Without a rest: an option that is not compared does not compile.
    let Options {
        auth,
        id_kind,
        local_id,
        remote_id,
        version,
        ike,
        ike_lifetime,
        ah,
        encryption,
        integrity,
        pfs,
        mode,
        lifetime,
        native,
    } = &a.spec.options;
    let IkeProposal { encryption: ike_encryption, integrity: ike_integrity, group } = ike;
    let other = &b.spec.options;
    let contract = [
        a.state == b.state,
        a.spec.peer == b.spec.peer,
        *auth == other.auth,
        *id_kind == other.id_kind,
        *local_id == other.local_id,
        *remote_id == other.remote_id,
        *version == other.version,
        *ike_encryption == other.ike.encryption,
        *ike_integrity == other.ike.integrity,
        *group == other.ike.group,
        *ike_lifetime == other.ike_lifetime,
        *ah == other.ah,
        *encryption == other.encryption,
        *integrity == other.integrity,
        *pfs == other.pfs,
        *mode == other.mode,
        *lifetime == other.lifetime,
    ];
    let ours = NATIVE.iter().map(|option| (option.same)(native, &other.native));
    contract.into_iter().chain(ours).chain([native.ppk == other.native.ppk]).collect()
}

/// Whether both say the same in all that a caller can set.
fn agree(a: &Record, b: &Record) -> bool {
    a.spec == b.spec && a.state == b.state
}

impl Trial {
    /// A trial of `new` in place of `old`, until `until`; `None` if there is nothing to prove, or to put back.
    #[must_use]
    pub fn of(old: Option<&Record>, new: &Record, caller: String, now: Timestamp, until: Timestamp) -> Option<Self> {
        if !new.is_loaded() || old.is_some_and(|old| agree(old, new)) {
            return None;
        }
        Some(Self { id: ConnectionId::random(), caller, began: now, until, overruled: false, before: old.cloned() })
    }

    /// The trial after another caller made `new` of `old` by `edit`, or `None` if that ended it: nothing is left to put
    /// back.
    pub fn beside<E>(&self, edit: impl Fn(&Record) -> Result<Record, E>, old: &Record, new: &Record) -> Option<Self> {
        let Some(before) = &self.before else {
            // Whoever works on a connection that was created on trial wants it; a name says nothing of that.
            let mut renamed = old.clone();
            renamed.spec.names = new.spec.names.clone();
            return (agree(&renamed, new) && old.connection == new.connection).then(|| self.clone());
        };
        // What others write is written on both: with the trial, and as if there had been none.
        let after = edit(before).ok().or_else(|| before.with_networks_of(old, new))?;
        let after = Record { trial: None, aside: None, ..after };
        let (unchanged, same) = (agreement(before, old), agreement(old, new));
        let on_trial = unchanged.into_iter().zip(same).zip(agreement(before, &after));
        let written =
            on_trial.filter(|((unchanged, _), _)| !unchanged).any(|((_, same), as_before)| !same || !as_before);
        let overruled = self.overruled || written;
        (!agree(&after, new)).then(|| Self { before: Some(after), overruled, ..self.clone() })
    }
}

/// Does to `list` what made `new` of `old`.
fn follow<T: Clone>(list: &mut Vec<T>, old: &[T], new: &[T], same: impl Fn(&T, &T) -> bool) {
    let is_in = |all: &[T], item: &T| all.iter().any(|other| same(other, item));
    list.retain(|item| !is_in(old, item) || is_in(new, item));
    let added: Vec<_> = new.iter().filter(|item| !is_in(old, item) && !is_in(list, item)).cloned().collect();
    list.extend(added);
}

impl Record {
    /// The same with the networks and names that made `new` of `old`, for a call that presumes what is on trial; nothing
    /// if it wrote more than those.
    fn with_networks_of(&self, old: &Self, new: &Self) -> Option<Self> {
        if agreement(old, new).contains(&false) {
            return None;
        }
        let mut spec = self.spec.clone();
        follow(&mut spec.local, &old.spec.local, &new.spec.local, |a, b| a.network == b.network);
        follow(&mut spec.remote, &old.spec.remote, &new.spec.remote, |a, b| a.cidr == b.cidr);
        if old.spec.names != new.spec.names {
            spec.names = new.spec.names.clone();
        }
        self.changed(spec, new.changed).ok()
    }

    /// Whether `now` is the same to a caller: what the agent learnt of the peer meanwhile, such as its split or its version
    /// of IKE, is nobody's wish.
    #[must_use]
    pub fn wishes_as(&self, now: &Self) -> bool {
        let mut wish = self.clone();
        if now.spec.options.native.split.is_learned_from(self.spec.options.native.split) {
            wish.spec.options.native.split = now.spec.options.native.split;
        }
        agree(&wish, now)
    }

    /// The record that counts if the trial fails, made at `now`; `None` if none does. It counts its generation on from
    /// that of the trial: what charon made of that may live on, and must be told apart.
    ///
    /// # Errors
    /// When the values cannot stand together, as those of a stored record do.
    pub fn without_trial(&self, now: Timestamp) -> Result<Option<Self>, Conflict> {
        let before = match &self.trial {
            Some(trial) => trial.before.as_ref(),
            None => Some(self),
        };
        let back = |before: &Self| {
            let back = self.changed(before.spec.clone(), now)?;
            // The trial may have been of a peer with another name.
            let back = if back.is_unresolved() { back.at(before.resolved)? } else { back };
            let back = back.owned(before.connection.key_owner);
            // The trial may have been of another peer, or of one version of IKE: that forgets what was known.
            let back = if before.ikev1_worked { back.having_worked(before.worked())? } else { back };
            let history = before.history.beyond(&self.history);
            let (aside, transition) = (before.aside.clone(), before.transition.clone());
            Ok(Self { state: before.state, aside, history, transition, ..back })
        };
        before.map(back).transpose()
    }
}
