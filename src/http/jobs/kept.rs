//! The jobs: those of known callers in memory and on disk, those of strangers in a small ring. An acknowledged job lies
//! on disk, and so does a result that anybody has seen.

use super::{
    files::{Files, Stored},
    id,
    strangers::Strangers,
    table::{About, Found, KEPT, Outcome, Table},
};
use crate::{
    disk,
    error::{Error, Result},
    http::{
        auth::{Caller, Origin},
        error::{Failure, object},
    },
};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// All jobs.
pub struct Jobs {
    directory: PathBuf,
    files: Files,
    /// Held for a look or a change in memory, never while the disk works.
    table: Mutex<Table>,
    strangers: Mutex<Strangers>,
}

/// A job of a known caller that is under way.
pub struct Job {
    /// The id that polling names.
    pub id: String,
    owner: String,
    asked: Option<String>,
    about: About,
}

impl Jobs {
    /// The jobs in `directory`. Those that were under way when the agent ended are interrupted.
    ///
    /// # Errors
    /// When the directory cannot be made or read, or the thread for the files not be started.
    pub fn open(directory: PathBuf) -> Result<Self> {
        disk::private_directory(&directory)?;
        disk::clean(&directory)?;
        let (mut found, now) = (Vec::new(), (Timestamp::now(), Instant::now()));
        let files = Files::new()?;
        for name in disk::list(&directory)? {
            let path = directory.join(&name);
            match read(&name, &path, now)? {
                Some(job) => found.push(job),
                // What has expired, or is no job of ours, is not read again.
                None => files.remove(path),
            }
        }
        found.sort_by_key(|(_, _, outcome)| outcome.ended);
        let mut table = Table::default();
        for (id, stored, outcome) in found {
            // An older agent did not say whose a job is: it is nobody's, and everybody's id is free.
            let about = About { began: stored.began, action: stored.action.map(Into::into) };
            table.take_up(&id, stored.owner.as_deref().unwrap_or_default(), stored.asked, about, outcome);
        }
        Ok(Self { directory, files, table: Mutex::new(table), strangers: Mutex::default() })
    }

    /// Begins the job of `caller` for which he chose the id `asked`, with a request of `bytes` for the message `action`.
    /// When this returns, the job lies on disk. It must not be given up half-way.
    ///
    /// # Errors
    /// When the caller has such a job, or no room is left, or it cannot be written.
    pub async fn begin(
        &self,
        caller: &Caller,
        asked: &str,
        bytes: usize,
        action: &'static str,
    ) -> std::result::Result<Job, Failure> {
        let owner = caller.to_string();
        let (job, written) = {
            let mut table = self.lock();
            let about = About { began: Timestamp::now(), action: Some(action.into()) };
            let begun = table.begin(&owner, asked, bytes, about.clone(), Instant::now())?;
            begun.gone.iter().for_each(|id| self.files.remove(self.path(id)));
            let asked = (begun.id != asked).then(|| asked.to_owned());
            let job = Job { id: begun.id, owner, asked, about };
            // Ordered under the lock, so that orders about one id are in the order of its jobs.
            let written = self.files.put(self.path(&job.id), &job.stored(None));
            (job, written)
        };
        if let Err(error) = written.await {
            let mut table = self.lock();
            table.forget(&job.id);
            // It may be there all the same, but not durably.
            self.files.remove(self.path(&job.id));
            return Err(error.into());
        }
        Ok(job)
    }

    /// Ends `job`; the result as polling shows it.
    pub async fn finish(&self, job: &Job, status: u16, body: &Value) -> Bytes {
        let at = Timestamp::now();
        let outcome = Outcome { status, body: body.to_string().into(), ended: Instant::now(), at };
        let written = self.files.put(self.path(&job.id), &job.stored(Some((at, status, body.clone()))));
        if let Err(error) = written.await {
            // The result is in memory; after a restart the job will be said to have been interrupted.
            tracing::error!(job = job.id, %error, "the result of the job {} cannot be written: {error}", job.id);
        }
        let bytes = outcome.body.clone();
        let mut table = self.lock();
        table.finish(&job.id, outcome).iter().for_each(|id| self.files.remove(self.path(id)));
        bytes
    }

    /// Begins the job of somebody without valid credentials, which has ended already; its id.
    pub fn refuse(&self, origin: Origin, asked: String) -> String {
        let id = if self.lock().has(&asked) { id::fresh() } else { asked };
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner).add(origin, &id);
        id
    }

    /// What who polls the job `id` finds; `caller` tells who that is, where it matters.
    pub fn look(&self, id: &str, caller: impl FnOnce() -> Option<String>) -> Option<Found> {
        let now = Instant::now();
        let known = self.lock().look(id, caller, now);
        known.or_else(|| {
            let refused = || json!({ "error": object(&Error::Session) }).to_string().into();
            let strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
            let at = Timestamp::now();
            let outcome = || Outcome { status: 503, body: refused(), ended: now, at };
            strangers.has(id).then(|| Found { about: About { began: at, action: None }, outcome: Some(outcome()) })
        })
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// The id that its caller chose.
    pub fn asked(&self) -> &str {
        self.asked.as_deref().unwrap_or(&self.id)
    }

    /// Whose it is.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    fn stored(&self, outcome: Option<(Timestamp, u16, Value)>) -> Stored {
        Stored {
            began: self.about.began,
            ended: outcome.as_ref().map(|(at, ..)| *at),
            owner: Some(self.owner.clone()),
            asked: self.asked.clone(),
            action: self.about.action.as_deref().map(Into::into),
            outcome: outcome.map(|(_, status, body)| (status, body)),
        }
    }
}

/// The job in the file `path`; `None` if there is none, or it has expired.
fn read(name: &str, path: &Path, (wall, monotonic): (Timestamp, Instant)) -> Result<Option<(String, Stored, Outcome)>> {
    let Some(id) = name.strip_suffix(".json") else { return Ok(None) };
    let bytes = match disk::read(path) {
        Err(error) if disk::is_foreign(&error) => None,
        outcome => outcome?,
    };
    let stored = bytes.and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
    let Some(stored) = stored else { return Ok(None) };
    // What was interrupted ended now, as far as anybody knows; so did what ended at a time that is still to come.
    let age = stored.ended.map(|ended| wall.duration_since(ended).try_into().unwrap_or(Duration::ZERO));
    let age: Duration = age.unwrap_or_default();
    // An instant from before the machine's start cannot be had; then it is kept for a while longer.
    let ended = monotonic.checked_sub(age).unwrap_or(monotonic);
    let (status, body) = stored.outcome.clone().unwrap_or_else(interrupted);
    let outcome = Outcome { status, body: body.to_string().into(), ended, at: stored.ended.unwrap_or(wall) };
    Ok((age <= KEPT).then(|| (id.to_owned(), stored, outcome)))
}

/// How a job ended that a restart broke off.
fn interrupted() -> (u16, Value) {
    let text = "the agent was restarted while this job ran: query the connection to see what is in force";
    (503, json!({ "error": object(&Error::Internal(text.into())) }))
}
