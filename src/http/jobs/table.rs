//! The jobs of known callers, in memory. Each caller has room of his own: nobody pushes out another's results, and an
//! id is taken only for whoever has it. Time is the monotonic clock's, so that setting the clock ends no job.

use super::id;
use crate::{error::Error, http::error::Failure};
use bytes::Bytes;
use jiff::Timestamp;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a finished job is kept.
pub const KEPT: Duration = Duration::from_hours(3);
/// Jobs of one caller at most; above it his oldest finished one goes.
const MOST: usize = 2000;
/// What the requests under way and the results of one caller may take together, in bytes.
const ROOM: usize = 16 * 1024 * 1024;
/// How many expired jobs go with each new one: none pays for all that were before it.
const SWEPT: usize = 8;

/// All jobs, by the id that polling names.
#[derive(Default)]
pub struct Table {
    jobs: HashMap<String, Job>,
    callers: HashMap<Arc<str>, Room>,
    /// Whose job has another id than he chose, because another caller had it: by the chosen id.
    renamed: HashMap<String, Vec<(Arc<str>, String)>>,
}

/// What a caller has.
#[derive(Default)]
struct Room {
    count: usize,
    bytes: usize,
    /// The finished ones, the oldest first.
    finished: VecDeque<(Instant, String)>,
}

struct Job {
    owner: Arc<str>,
    asked: Option<String>,
    bytes: usize,
    about: About,
    outcome: Option<Outcome>,
}

/// What a job is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// When it began.
    pub began: Timestamp,
    /// The name of its message; missing in the files of older agents.
    pub action: Option<Arc<str>>,
}

/// How a job ended: the status and body that polling answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// 200 or 503.
    pub status: u16,
    /// The JSON.
    pub body: Bytes,
    /// When it ended: its age does not hang on the wall clock.
    pub ended: Instant,
    /// The same by the wall clock of then, to be shown.
    pub at: Timestamp,
}

/// What polling finds.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// What the job is about.
    pub about: About,
    /// How it ended; none while it is under way.
    pub outcome: Option<Outcome>,
}

impl Table {
    /// Begins the job `about` this of `owner`, for which he chose the id `asked`, with a request of `bytes`: its id, and
    /// those of the jobs that went for it.
    ///
    /// # Errors
    /// When the caller has such a job, or so many under way that there is no room for another.
    pub fn begin(
        &mut self,
        owner: &str,
        asked: &str,
        bytes: usize,
        about: About,
        now: Instant,
    ) -> Result<Begun, Failure> {
        let mut gone = self.expired(now);
        if let Some(own) = self.own(asked, owner).map(str::to_owned) {
            if !self
                .jobs
                .get(&own)
                .and_then(|job| job.outcome.as_ref())
                .is_some_and(|outcome| is_old(outcome.ended, now))
            {
                return Err(Failure::bad_request(format!("Duplicate job uuid[{asked}]")));
            }
            // It has expired, and its turn to go had not come.
            self.callers.get_mut(owner).into_iter().for_each(|room| room.finished.retain(|(_, id)| *id != own));
            self.forget(&own);
            gone.push(own);
        }
        while !self.has_room(owner, bytes) {
            let Some(id) = self.forget_oldest(owner) else {
                let text =
                    "so many of this caller's jobs are under way that there is no room for another: try again later";
                return Err(Error::argument(text).into());
            };
            gone.push(id);
        }
        let id = if self.jobs.contains_key(asked) { id::fresh() } else { asked.to_owned() };
        let renamed = (id != asked).then(|| asked.to_owned());
        let owner: Arc<str> = owner.into();
        self.insert(&id, Job { owner, asked: renamed, bytes, about, outcome: None });
        Ok(Begun { id, gone })
    }

    /// Ends the job `id`; the ids of those that went because its result takes their room.
    pub fn finish(&mut self, id: &str, outcome: Outcome) -> Vec<String> {
        let Some(job) = self.jobs.get_mut(id) else { return Vec::new() };
        let owner = Arc::clone(&job.owner);
        let Some(room) = self.callers.get_mut(&owner) else { return Vec::new() };
        room.bytes = room.bytes - job.bytes + outcome.body.len();
        room.finished.push_back((outcome.ended, id.to_owned()));
        job.bytes = outcome.body.len();
        job.outcome = Some(outcome);
        let mut gone = Vec::new();
        while self.callers.get(&owner).is_some_and(|room| room.bytes > ROOM && room.finished.len() > 1) {
            gone.extend(self.forget_oldest(&owner));
        }
        gone
    }

    /// Takes up a job as an earlier run of the agent left it; the oldest must come first.
    pub fn take_up(&mut self, id: &str, owner: &str, asked: Option<String>, about: About, outcome: Outcome) {
        let bytes = outcome.body.len();
        self.insert(id, Job { owner: owner.into(), asked, bytes, about, outcome: Some(outcome) });
    }

    fn insert(&mut self, id: &str, job: Job) {
        let room = self.callers.entry(Arc::clone(&job.owner)).or_default();
        room.count += 1;
        room.bytes += job.bytes;
        room.finished.extend(job.outcome.as_ref().map(|outcome| (outcome.ended, id.to_owned())));
        if let Some(asked) = &job.asked {
            self.renamed.entry(asked.clone()).or_default().push((Arc::clone(&job.owner), id.to_owned()));
        }
        self.jobs.insert(id.to_owned(), job);
    }

    /// Takes back a job.
    pub fn forget(&mut self, id: &str) {
        let Some(job) = self.jobs.remove(id) else { return };
        if let Some(room) = self.callers.get_mut(&job.owner) {
            room.count -= 1;
            room.bytes -= job.bytes;
            if room.count == 0 {
                self.callers.remove(&job.owner);
            }
        }
        if let Some(asked) = job.asked
            && let Some(others) = self.renamed.get_mut(&asked)
        {
            others.retain(|(_, known)| known != id);
            if others.is_empty() {
                self.renamed.remove(&asked);
            }
        }
    }

    /// What who polls `id` finds. `caller` is asked who it is only where two callers chose the same id; whoever does
    /// not say so sees the job that had it first.
    pub fn look(&self, id: &str, caller: impl FnOnce() -> Option<String>, now: Instant) -> Option<Found> {
        let others = self.renamed.get(id).filter(|others| !others.is_empty());
        let own = others.and_then(|_| caller()).and_then(|caller| self.own(id, &caller));
        let job = self.jobs.get(own.unwrap_or(id))?;
        let is_over = job.outcome.as_ref().is_some_and(|outcome| is_old(outcome.ended, now));
        (!is_over).then(|| Found { about: job.about.clone(), outcome: job.outcome.clone() })
    }

    /// Whether any job has this id.
    pub fn has(&self, id: &str) -> bool {
        self.jobs.contains_key(id)
    }

    /// The id of the job for which `owner` chose `asked`.
    fn own<'a>(&'a self, asked: &'a str, owner: &str) -> Option<&'a str> {
        let is_own = |job: &Job| *job.owner == *owner && job.asked.is_none();
        let renamed =
            || self.renamed.get(asked)?.iter().find(|(known, _)| **known == *owner).map(|(_, id)| id.as_str());
        self.jobs.get(asked).filter(|job| is_own(job)).map(|_| asked).or_else(renamed)
    }

    fn has_room(&self, owner: &str, bytes: usize) -> bool {
        self.callers.get(owner).is_none_or(|room| room.count < MOST && room.bytes + bytes <= ROOM)
    }

    fn forget_oldest(&mut self, owner: &str) -> Option<String> {
        let (_, id) = self.callers.get_mut(owner)?.finished.pop_front()?;
        self.forget(&id);
        Some(id)
    }

    /// Forgets expired jobs of all callers, a bounded number; their ids.
    fn expired(&mut self, now: Instant) -> Vec<String> {
        let mut gone = Vec::new();
        for room in self.callers.values_mut() {
            while gone.len() < SWEPT && room.finished.front().is_some_and(|(ended, _)| is_old(*ended, now)) {
                gone.extend(room.finished.pop_front().map(|(_, id)| id));
            }
        }
        for id in &gone {
            self.forget(id);
        }
        gone
    }
}

/// A job that has begun.
pub struct Begun {
    /// Its id: the chosen one, or a fresh one where another caller has that.
    pub id: String,
    /// The ids of jobs that are not kept any longer.
    pub gone: Vec<String>,
}

/// Whether what ended then is not kept any longer.
fn is_old(ended: Instant, now: Instant) -> bool {
    now.saturating_duration_since(ended) > KEPT
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
