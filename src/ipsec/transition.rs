//! Whether what runs has moved from earlier proposals to the wanted ones. What charon shows of an SA does not always say by
//! which proposal it was made: the key exchange of a CHILD_SA shows only if it had one of its own. Pure.

use super::{
    Child, ChildSa, Connection, IkeSa, Protection,
    condition::installed,
    coverage::{self, counts},
};

/// charon tells ages in whole seconds, and a CHILD_SA that comes with its IKE SA may be a second younger.
const APART: u64 = 2;

/// Earlier proposals that the peer may still have.
#[derive(Debug, Clone, Copy)]
pub struct Former<'a> {
    /// What else is accepted.
    pub accepted: &'a [Protection],
    /// For so many seconds what is wanted now is offered.
    pub age: u64,
}

/// Whether all children run by what is wanted now, and by nothing earlier.
#[must_use]
pub fn has_moved(wanted: &Connection, running: &[IkeSa], former: Former<'_>) -> bool {
    !wanted.children.is_empty() && wanted.children.iter().all(|child| child_has_moved(wanted, child, running, former))
}

/// The same of one child.
#[must_use]
pub fn child_has_moved(wanted: &Connection, child: &Child, running: &[IkeSa], former: Former<'_>) -> bool {
    let new = installed(running)
        .filter(|(ike, sa)| ike.runs(wanted) && counts(sa, wanted) && is_new(wanted, (ike, sa), former))
        .map(|(_, sa)| sa);
    !coverage::carriers(child, new).is_empty()
}

/// Whether an SA that is as wanted cannot have been made by an earlier proposal.
fn is_new(wanted: &Connection, (ike, sa): (&IkeSa, &ChildSa), former: Former<'_>) -> bool {
    let own = wanted.protection();
    let (mut is_other, mut shares_ike) = (false, false);
    for old in former.accepted {
        let shared = old.ike_offers().filter(|offer| own.ike_offers().any(|own| own == *offer)).count();
        shares_ike |= shared > 0;
        is_other |= shared < old.ike_offers().count();
    }
    if !shares_ike || (is_other && ike.times.age.is_some_and(|age| age < former.age)) {
        return true;
    }
    let all = || former.accepted.iter().copied().flat_map(Protection::child_offers);
    let is_old = all().filter(|old| own.child_offers().all(|own| own != *old)).any(|old| sa.is_made_by(&old));
    !is_old || (sa.age < former.age && shows_no_group(ike, sa) && own.protocol.pfs().is_none())
}

/// Whether a CHILD_SA without a group had no key exchange of its own, rather than none that shows: one that comes with its
/// IKE SA has the keys from there.
fn shows_no_group(ike: &IkeSa, sa: &ChildSa) -> bool {
    sa.suite.group.is_none() && (ike.version == 1 || ike.times.age.is_some_and(|age| age >= sa.age + APART))
}
