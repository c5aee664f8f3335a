//! How a record gets its revisions, and how it becomes what one of them said.

use super::{
    format,
    history::{Past, REVISIONS, Revision},
    record::{Record, Spec},
};
use crate::{
    error::{Error, Result},
    ipsec::State,
};
use jiff::Timestamp;
use std::sync::Arc;

impl Record {
    /// Its revisions, the newest first.
    pub fn revisions(&self) -> impl Iterator<Item = &Revision> {
        std::iter::once(&self.history.present).chain(self.history.past.iter().map(|past| &past.revision))
    }

    /// The same, which `caller` made of `before`: a new revision, if it says anything else. What others write beside a
    /// trial is a revision of what the trial would put back, too.
    ///
    /// # Errors
    /// When what was said cannot be written as JSON, which is a fault of this program.
    pub fn revised(mut self, before: Option<&Self>, caller: Option<&Arc<str>>) -> Result<Self> {
        let Some(before) = before else {
            // One that comes back from a backup has a history of its own.
            if self.history.is_bare(self.created) {
                self.history.present.caller = caller.cloned();
            }
            return Ok(self);
        };
        if let (Some(trial), Some(of_before)) = (&mut self.trial, &before.trial)
            && trial.id == of_before.id
            && let Some(back) = trial.before.take()
        {
            trial.before = Some(back.revised(of_before.before.as_ref(), caller)?);
        }
        if before.wishes_as(&self) {
            return Ok(self);
        }
        let mut history = before.history.clone();
        let was = format::wish(before)?.otherwise_than(&format::wish(&self)?);
        history.past.insert(0, Past { revision: history.present.clone(), was: was.into() });
        history.past.truncate(REVISIONS - 1);
        history.last = history.last.wrapping_add(1);
        let new_key = self.spec.options.auth != before.spec.options.auth;
        let new_ppk = self.spec.options.native.ppk != before.spec.options.native.ppk;
        let (number, at) = (history.last, self.changed);
        history.present = Revision { number, at, caller: caller.cloned(), new_key, new_ppk };
        self.history = history;
        Ok(self)
    }

    /// The same connection as the revision `number` had it, changed at `now`; it keeps its key.
    ///
    /// # Errors
    /// When there is no such revision, or today's rules refuse what it says.
    pub fn reverted(&self, number: u32, now: Timestamp) -> Result<Self> {
        let (mut spec, state) = self.said_by(number)?;
        // What the agent learnt of the peer stays learnt.
        let learnt = self.spec.options.native.split;
        if learnt.is_learned_from(spec.options.native.split) {
            spec.options.native.split = learnt;
        }
        if spec == self.spec && state == self.state {
            return Ok(self.clone());
        }
        Ok(Self { state, ..self.changed(spec, now)? })
    }

    /// What the revision `number` said, with the present key.
    fn said_by(&self, number: u32) -> Result<(Spec, State)> {
        let mut wish = format::wish(self)?;
        let unreadable = |why: String| Error::argument(format!("revision {number} cannot be read: {why}"));
        if number != self.history.present.number {
            let place = self.history.past.iter().position(|past| past.revision.number == number);
            let place = place.ok_or_else(|| self.no_such_revision(number))?;
            for past in &self.history.past[..=place] {
                wish.become_what_was(&past.was).map_err(|e| unreadable(format::place(&e)))?;
            }
        }
        format::said(self, wish).map_err(unreadable)
    }

    fn no_such_revision(&self, number: u32) -> Error {
        let numbers: Vec<_> = self.revisions().map(|revision| revision.number.to_string()).collect();
        Error::argument(format!("the connection has no revision {number}; it has {}", numbers.join(", ")))
    }
}
