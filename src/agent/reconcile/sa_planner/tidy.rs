//! Which SAs to close, and when: unwanted ones at once, replaced ones soon after their successor came up, duplicates later.
//! Each child is decided alone: one that is down does not keep the SAs of others.

use super::{
    running::installed,
    state::{Duplicate, SaPlanner},
    step::Step,
};
use crate::ipsec::{Child, ChildSa, ChildState, Connection, IkeSa, IkeState, TrafficSelector};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// The old SA is closed this long after the new one came up, so packets in flight arrive (facts 3.4).
const OVERLAP: Duration = Duration::from_millis(500);
/// A second SA for the same traffic is closed after this time; a rekey shows two for a moment.
const DUPLICATE: Duration = Duration::from_secs(3);
/// Who closes a duplicate later than due by this much has stood still.
const LATE: Duration = Duration::from_millis(1500);
/// When to check again an SA that is too new to replace another.
const RIPE: Duration = Duration::from_secs(1);

/// The wanted children, while their SAs are examined.
struct Look<'a> {
    wanted: &'a Connection,
    running: &'a [IkeSa],
    /// The CHILD_SAs that carry a child, or a part of one, as wanted.
    carrying: BTreeSet<u64>,
    /// Those of them that stay, because together they carry the child.
    kept: BTreeSet<u64>,
    /// The children that are carried in part, or not at all.
    partial: Vec<&'a Child>,
    now: Instant,
}

/// What to do with a CHILD_SA.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    GoesAt(Instant),
}

/// Steps that are due, and when the next one will be.
struct Closings {
    steps: Vec<Step>,
    again: Option<Instant>,
    now: Instant,
}

impl Closings {
    fn add(&mut self, step: Step, when: Instant) {
        if when <= self.now {
            self.steps.push(step);
        } else {
            self.due_at(when);
        }
    }

    fn due_at(&mut self, when: Instant) {
        self.again = Some(self.again.map_or(when, |again| again.min(when)));
    }
}

impl SaPlanner {
    /// The SAs to close now, and when the next ones are due; `carriers` are those of each wanted child.
    pub(super) fn tidy(
        &mut self,
        wanted: &Connection,
        running: &[IkeSa],
        carriers: &[Vec<(u64, u64)>],
        now: Instant,
    ) -> (Vec<Step>, Option<Instant>) {
        for (child, carriers) in wanted.children.iter().zip(carriers) {
            if carriers.is_empty() {
                self.carried_since.remove(&child.name);
            } else {
                self.carried_since.entry(child.name.clone()).or_insert(now);
            }
        }
        self.carried_since.retain(|name, _| wanted.children.iter().any(|child| child.name == *name));
        let look = Look {
            wanted,
            running,
            carrying: self.counting(wanted, running).map(|(_, sa)| sa.unique_id).collect(),
            kept: carriers.iter().flatten().map(|(_, sa)| *sa).collect(),
            partial: wanted.children.iter().zip(carriers).filter(|(_, kept)| kept.is_empty()).map(|(c, _)| c).collect(),
            now,
        };
        let mut closings = Closings { steps: Vec::new(), again: None, now };
        let mut duplicates = BTreeMap::new();
        for ike in running.iter().filter(|ike| ike.state != IkeState::Closing) {
            self.tidy_ike(&look, ike, &mut duplicates, &mut closings);
        }
        self.duplicate_since = duplicates;
        (closings.steps, closings.again)
    }

    fn tidy_ike(
        &self,
        look: &Look<'_>,
        ike: &IkeSa,
        duplicates: &mut BTreeMap<u64, Duplicate>,
        closings: &mut Closings,
    ) {
        let is_stale = !self.is_current(ike) || (ike.state == IkeState::Established && !ike.runs(look.wanted));
        let live: Vec<_> = ike.children.iter().filter(|sa| sa.state != ChildState::Closing).collect();
        let fates: Vec<_> = live.iter().map(|sa| self.fate(look, ike, sa, duplicates, closings)).collect();
        let last = fates.iter().try_fold(look.now, |last, fate| match fate {
            Fate::GoesAt(when) => Some(last.max(*when)),
            Fate::Stays => None,
        });
        // Under IKEv1 the peer may have moved the children to another IKE_SA, and would lose them with this one.
        let may_go = if live.is_empty() && !self.is_complete {
            // It may still get its child, unless it is stale.
            !self.is_current(ike)
        } else {
            is_stale || (self.is_complete && ike.version != 1)
        };
        match last.filter(|_| may_go) {
            Some(now) if live.is_empty() && !is_stale => {
                let known = self.duplicate_since.get(&ike.unique_id).copied();
                closings.add(Step::CloseIke(ike.unique_id), due(look.wanted, known, (ike.unique_id, now), duplicates));
            }
            Some(last) => closings.add(Step::CloseIke(ike.unique_id), last),
            None => {
                for (sa, fate) in live.iter().zip(fates) {
                    if let Fate::GoesAt(when) = fate {
                        closings.add(Step::CloseChild(sa.unique_id), when);
                    }
                }
            }
        }
    }

    fn fate(
        &self,
        look: &Look<'_>,
        ike: &IkeSa,
        sa: &ChildSa,
        duplicates: &mut BTreeMap<u64, Duplicate>,
        closings: &mut Closings,
    ) -> Fate {
        match sa.state {
            // Nobody waits for a negotiation in a stale IKE_SA.
            ChildState::Pending if !self.is_current(ike) => Fate::GoesAt(look.now),
            ChildState::Pending | ChildState::Closing => Fate::Stays,
            // Under IKEv2 charon closes it by itself. Under IKEv1 it would stay for its lifetime, even if the peer has closed it.
            ChildState::Replaced if ike.version != 1 => Fate::Stays,
            ChildState::Replaced if look.is_installed(&sa.name) => self.duplicate(look, sa, duplicates),
            ChildState::Replaced if look.is_last(sa) => Fate::Stays,
            ChildState::Replaced => Fate::GoesAt(look.now),
            ChildState::Installed if look.kept.contains(&sa.unique_id) => Fate::Stays,
            // An SA for a part stays until the whole child is carried; only a newer one for the same networks replaces it.
            ChildState::Installed if look.is_part(sa) => look.surplus(sa, closings),
            // Only charon knows which of two SAs with the same networks the peer uses.
            ChildState::Installed if look.has_twin(sa) && ike.version == 1 => Fate::Stays,
            ChildState::Installed if look.carrying.contains(&sa.unique_id) => self.duplicate(look, sa, duplicates),
            ChildState::Installed => self.fate_of_other(look, sa, closings),
        }
    }

    /// For an SA that is not as wanted: it stays until its successor carries traffic. If its traffic is unwanted, it goes.
    fn fate_of_other(&self, look: &Look<'_>, sa: &ChildSa, closings: &mut Closings) -> Fate {
        let is_own = look.wanted.children.iter().any(|child| child.name == sa.name);
        let heirs = look
            .wanted
            .children
            .iter()
            .filter(|child| if is_own { child.name == sa.name } else { overlaps(sa, &child.local, &child.remote) });
        let since: Option<Vec<_>> = heirs.map(|child| self.carried_since.get(&child.name).copied()).collect();
        match since.map(|since| since.into_iter().max()) {
            Some(Some(since)) => Fate::GoesAt(since + OVERLAP),
            Some(None) => Fate::GoesAt(look.now),
            None if is_own => look.surplus(sa, closings),
            None => Fate::Stays,
        }
    }

    fn duplicate(&self, look: &Look<'_>, sa: &ChildSa, duplicates: &mut BTreeMap<u64, Duplicate>) -> Fate {
        // IKE_SAs and CHILD_SAs are numbered separately; the shift keeps the numbers distinct.
        let number = |sa: &ChildSa| sa.unique_id | 1 << 63;
        // If what was heard since has them change places, the wait goes on: waits that begin anew may end together.
        let before = look.kept_twins(sa).map(number).find(|twin| self.duplicate_since.contains_key(twin));
        let known = self.duplicate_since.get(&number(sa)).or_else(|| self.duplicate_since.get(&before?));
        Fate::GoesAt(due(look.wanted, known.copied(), (number(sa), look.now), duplicates))
    }
}

/// When a duplicate is to be closed. If this end has stood still, so did the other one perhaps: the wait begins anew,
/// because without it both would close one at the same moment.
fn due(
    wanted: &Connection,
    known: Option<Duplicate>,
    (number, now): (u64, Instant),
    duplicates: &mut BTreeMap<u64, Duplicate>,
) -> Instant {
    let patience = patience(wanted);
    let duplicate = match known {
        Some(known) if known.is_late || now < known.since + patience + LATE => known,
        known => Duplicate { since: now, is_late: known.is_some() },
    };
    duplicates.insert(number, duplicate);
    duplicate.since + patience
}

impl Look<'_> {
    fn is_installed(&self, name: &str) -> bool {
        installed(self.running, name).next().is_some()
    }

    /// Whether `sa` carries, as wanted, a part of a child that is not carried completely.
    fn is_part(&self, sa: &ChildSa) -> bool {
        self.carrying.contains(&sa.unique_id)
            && self.partial.iter().any(|child| child.name == sa.name || overlaps(sa, &child.local, &child.remote))
    }

    /// Whether `sa` and one that stays have the same networks.
    fn has_twin(&self, sa: &ChildSa) -> bool {
        self.carrying.contains(&sa.unique_id) && self.kept_twins(sa).next().is_some()
    }

    /// Those that stay and have the networks of `sa`.
    fn kept_twins(&self, sa: &ChildSa) -> impl Iterator<Item = &ChildSa> {
        let kept = self.running.iter().flat_map(|ike| &ike.children);
        let kept = kept.filter(|other| self.kept.contains(&other.unique_id));
        kept.filter(move |other| other.local == sa.local && other.remote == sa.remote)
    }

    /// Whether it is the newest SA of its child.
    fn is_last(&self, sa: &ChildSa) -> bool {
        let all = self.running.iter().flat_map(|ike| &ike.children);
        !all.into_iter()
            .any(|other| other.name == sa.name && other.state == ChildState::Replaced && other.unique_id > sa.unique_id)
    }

    /// Until the wanted SA carries traffic, the newest other SA is enough, once it has carried for a moment.
    fn surplus(&self, sa: &ChildSa, closings: &mut Closings) -> Fate {
        let same = |other: &&ChildSa| meets(&other.local, &sa.local) && meets(&other.remote, &sa.remote);
        let others = || installed(self.running, &sa.name).filter(same);
        let newest = others().filter(|sa| sa.age > 0).map(|sa| sa.unique_id).max();
        if newest.is_some_and(|newest| sa.unique_id < newest) {
            return Fate::GoesAt(self.now);
        }
        if others().any(|other| other.unique_id > sa.unique_id) {
            closings.due_at(self.now + RIPE);
        }
        Fate::Stays
    }
}

/// How long duplicates stay. Of two agents, the end with the lower address closes them: where charon's whole seconds, or
/// what was heard, have the ends choose differently, each would close the SA that the other keeps.
fn patience(wanted: &Connection) -> Duration {
    if wanted.remote_addr.ip().is_some_and(|peer| wanted.local_addr > peer) { DUPLICATE * 2 } else { DUPLICATE }
}

/// Whether `sa` may carry packets between these networks; true for selectors that cannot be parsed.
fn overlaps(sa: &ChildSa, local: &[TrafficSelector], remote: &[TrafficSelector]) -> bool {
    let texts = |nets: &[TrafficSelector]| nets.iter().map(ToString::to_string).collect();
    meets(&sa.local, &texts(local)) && meets(&sa.remote, &texts(remote))
}

/// Whether some networks of both overlap; true for selectors that cannot be parsed.
fn meets(some: &BTreeSet<String>, others: &BTreeSet<String>) -> bool {
    let net = |text: &String| text.split('[').next().unwrap_or_default().parse::<IpNet>().ok();
    some.iter().any(|a| {
        others.iter().any(|b| match (net(a), net(b)) {
            (Some(a), Some(b)) => a.contains(&b) || b.contains(&a),
            _ => true,
        })
    })
}
