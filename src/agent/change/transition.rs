//! A change in transition: for a time, what was offered before it is accepted, too.

use super::write::{TransitionOptions, WriteOptions};
use crate::{
    agent::Warning,
    error::{Error, Result},
    ipsec::list,
    store::{Record, Transition, Unfit},
};
use jiff::{SignedDuration, Timestamp};

/// `new` in transition from `before`, if that is asked for.
///
/// # Errors
/// When no change of it can be in transition.
pub(in crate::agent) fn transited(before: Option<&Record>, new: Record, how: &WriteOptions) -> Result<Record> {
    let Some(TransitionOptions { lasts, accept }) = how.transition else { return Ok(new) };
    let refused = |rule: &str| Error::in_query("transition", rule);
    let Some(before) = before else {
        return Err(refused("is not possible here: a connection that is created has no proposals of before"));
    };
    if lasts.is_zero() {
        return Ok(Record { transition: None, ..new });
    }
    let began = Timestamp::now();
    let until = SignedDuration::try_from(lasts).ok().and_then(|lasts| began.checked_add(lasts).ok());
    let until = until.ok_or_else(|| refused("is too long"))?;
    let caller = how.caller.as_deref().unwrap_or("this gateway").to_owned();
    let new_one = Transition { caller, began, until, accept, over: false, accepted: Vec::new() };
    new.in_transition(before, new_one).map_err(|why| match why {
        Unfit::Other(conflict) => conflict.into(),
        Unfit::Unchanged => refused("needs a change of proposals, and this changes none"),
        Unfit::Included => refused("says nothing here: the new proposals have all of the old ones in them"),
        Unfit::TooMany => refused(
            "is not possible: five changes of proposals would be in transition; end it first, with transition=0s",
        ),
    })
}

/// What a transition that `new` begins, or goes on with, does.
pub(in crate::agent) fn warned(new: &Record) -> Option<Warning> {
    let transition = new.open_transition()?;
    Some(Warning {
        code: "IN_TRANSITION",
        part: None,
        remedy: None,
        message: format!(
            "until {} the earlier proposals are accepted, too: {}; the tunnel that runs goes on, and moves when the peer \
             has the new ones",
            transition.until,
            accepted(new)
        ),
    })
}

/// What is accepted beside what is wanted, for people.
pub(in crate::agent) fn accepted(record: &Record) -> String {
    let (all, wanted) = (record.accepting(), &record.connection);
    let (own_ike, own_child) = (wanted.ike_proposals(), wanted.child_proposals());
    let ike: Vec<_> = all.ike_proposals().into_iter().filter(|offer| !own_ike.contains(offer)).collect();
    let child: Vec<_> = all.child_proposals().into_iter().filter(|offer| !own_child.contains(offer)).collect();
    let parts = [("IKE", list(&ike)), ("CHILD_SAs", list(&child))];
    let parts = parts.iter().filter(|(_, list)| !list.is_empty()).map(|(kind, list)| format!("{kind} {list}"));
    parts.collect::<Vec<_>>().join("; ")
}
