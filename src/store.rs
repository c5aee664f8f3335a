//! The store: what the management plane asked for, one JSON file per connection.
//! The files are the truth; everything in charon and conf.d is derived from them.

mod accepted;
mod backup;
pub mod dropped;
pub mod format;
mod history;
mod journal;
mod record;
mod revisions;
mod spec;
mod together;
mod transition;
mod trial;
mod version;

pub use accepted::Transition;
pub use backup::{Backup, OwnFile, survey as survey_for_backup, value as backup_value};
pub use history::{History, REVISIONS, Revision};
pub use jiff::Timestamp;
pub use record::{Names, Network, Options, Record, Reference, RemoteCidr, Spec, Trial};
pub use transition::Unfit;

use crate::{
    disk,
    error::{Error, Result},
    ipsec::ConnectionId,
    ranked::{Guard, RECORDS, Ranked},
};
use dropped::DroppedCas;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How the name of a file ends in which earlier versions had an old record wait for the outcome of a trial.
const TRIAL: &str = ".before-trial";

/// All records, in memory and on disk.
pub struct Store {
    directory: PathBuf,
    records: Ranked<Records, RECORDS>,
    damaged: Vec<Damaged>,
    dropped_cas: DroppedCas,
}

/// The records, and who has which peer.
#[derive(Default)]
struct Records {
    by_id: BTreeMap<ConnectionId, Arc<Record>>,
    by_peer: HashMap<IpAddr, BTreeSet<ConnectionId>>,
    /// Those whose peers have names.
    named: BTreeSet<ConnectionId>,
}

impl Records {
    fn insert(&mut self, record: Arc<Record>) {
        self.remove(record.id);
        if let Some(peer) = record.connection.remote_addr.ip() {
            self.by_peer.entry(peer).or_default().insert(record.id);
        }
        if record.spec.peer.name().is_some() {
            self.named.insert(record.id);
        }
        self.by_id.insert(record.id, record);
    }

    fn remove(&mut self, id: ConnectionId) {
        let Some(record) = self.by_id.remove(&id) else { return };
        self.named.remove(&id);
        let Some(peer) = record.connection.remote_addr.ip() else { return };
        if let Entry::Occupied(mut with_peer) = self.by_peer.entry(peer) {
            with_peer.get_mut().remove(&id);
            if with_peer.get().is_empty() {
                with_peer.remove();
            }
        }
    }
}

/// A file that could not be read at start. It is left as it is, for a human.
#[derive(Debug, Clone)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// Whose file it is by its name; nothing of this connection is touched.
    pub id: Option<ConnectionId>,
    /// What is wrong with it.
    pub why: String,
    /// Whether that is only that this process may not read it.
    pub is_denied: bool,
}

/// A record that lies durably on disk, and counts when it is committed.
pub struct Staged {
    file: disk::Staged,
    record: Arc<Record>,
}

impl Staged {
    /// Puts the record in the place of the old one.
    ///
    /// # Errors
    /// When its file cannot be put there.
    pub fn place(self) -> Result<Placed> {
        Ok(Placed { file: self.file.place()?, record: self.record })
    }
}

/// A record that lies in its place, and counts when that is durable.
pub struct Placed {
    file: disk::Placed,
    record: Arc<Record>,
}

impl Placed {
    /// Makes it durable.
    ///
    /// # Errors
    /// When the directory cannot be made durable.
    pub fn sync(&self) -> Result<()> {
        self.file.sync()
    }
}

impl Store {
    /// Opens the store in `state_dir`, making its directory if needed. Damaged files are reported by
    /// [`Store::damaged`] and stop nobody else.
    ///
    /// # Errors
    /// When the directory cannot be made or listed.
    pub fn open(state_dir: &Path) -> Result<Self> {
        let directory = state_dir.join("connections");
        disk::private_directory(&directory)?;
        // First: what is not in its place yet looks like what a crash left behind.
        journal::finish(&directory)?;
        disk::clean(&directory)?;
        end_old_trials(&directory)?;
        let (records, damaged) = read_all(&directory, &disk::list(&directory)?);
        let dropped_cas = DroppedCas::open(state_dir);
        let store = Self { directory, records: Ranked::new(records), damaged, dropped_cas };
        store.end_trials()?;
        Ok(store)
    }

    /// Puts back what was on trial when the agent died. A disk that cannot be written does not stop the start: the file
    /// still says what is to be put back, for the next one.
    fn end_trials(&self) -> Result<()> {
        for record in self.all().iter().filter(|record| record.trial.is_some()) {
            tracing::warn!(uuid = %record.id, "{}: a change was on trial when the agent ended; the connection before it is put back", record.label());
            let before = record.trial.as_ref().and_then(|trial| trial.before.as_ref());
            let back = record.without_trial(before.map_or(record.changed, |before| before.changed));
            let back = back
                .map_err(|e| Error::Internal(format!("{:?} of the trial of {} is not valid", e.part(), record.id)))?;
            if let Err(error) = self.put_back(record.id, back.as_ref()) {
                tracing::error!(uuid = %record.id, %error, "{}: the record of before the trial cannot be stored: {error}; the next start puts it back again", record.label());
            }
        }
        Ok(())
    }

    /// The records and the damaged files in `state_dir` as they lie there; nothing is made, cleaned or put back. For
    /// who looks while the agent does not run. What an agent leaves while it works is passed over.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn survey(state_dir: &Path) -> Result<(Vec<Arc<Record>>, Vec<Damaged>)> {
        let directory = state_dir.join("connections");
        let mut names = disk::list(&directory)?;
        names.retain(|name| !name.ends_with(TRIAL) && !disk::is_temporary(name) && !journal::is_journal(name));
        let (records, damaged) = read_all(&directory, &names);
        Ok((records.by_id.into_values().collect(), damaged))
    }

    /// The files that could not be read.
    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }

    /// The CAs that connections have no longer.
    pub fn dropped_cas(&self) -> &DroppedCas {
        &self.dropped_cas
    }

    /// The record of `id`.
    pub fn get(&self, id: ConnectionId) -> Option<Arc<Record>> {
        self.lock().by_id.get(&id).cloned()
    }

    /// What the journal calls the connection `id`: its name, and the first digits of the uuid.
    #[must_use]
    pub fn label(&self, id: ConnectionId) -> String {
        self.get(id).map_or_else(|| record::label("a connection that is not stored", id), |record| record.label())
    }

    /// All records, by uuid.
    pub fn all(&self) -> Vec<Arc<Record>> {
        self.lock().by_id.values().cloned().collect()
    }

    /// Those whose peers have names: they are looked at each second, and few have one.
    pub fn named(&self) -> Vec<Arc<Record>> {
        let records = self.lock();
        records.named.iter().filter_map(|id| records.by_id.get(id)).cloned().collect()
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.lock().by_id.len()
    }

    /// The connections with the peer at `address`. Whose peer may be anywhere, charon's log names when it knows who calls.
    pub fn with_peer(&self, address: IpAddr) -> Vec<ConnectionId> {
        self.lock().by_peer.get(&address).into_iter().flatten().copied().collect()
    }

    /// Writes `record` beside its file; nothing counts before [`Store::commit`].
    ///
    /// # Errors
    /// When it cannot be written durably.
    pub fn stage(&self, record: Record) -> Result<Staged> {
        let file = disk::stage(&self.path(record.id), &format::to_bytes(&record)?, 0o600)?;
        Ok(Staged { file, record: Arc::new(record) })
    }

    /// The commit point of every change: from here on `staged` is the truth.
    ///
    /// # Errors
    /// When the file cannot be put in place; memory then still has the old record.
    pub fn commit(&self, staged: Staged) -> Result<Arc<Record>> {
        let placed = staged.place()?;
        placed.sync()?;
        Ok(self.adopt(placed))
    }

    /// From here on what was placed is the truth, also in memory. It must have been made durable.
    pub fn adopt(&self, placed: Placed) -> Arc<Record> {
        self.lock().insert(Arc::clone(&placed.record));
        placed.record
    }

    /// Forgets `id`, on disk first.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(&self, id: ConnectionId) -> Result<()> {
        disk::remove(&self.path(id))?;
        self.lock().remove(id);
        Ok(())
    }

    /// Replaces what memory says of a connection where its file says the same already.
    pub fn note(&self, record: Record) {
        self.lock().insert(Arc::new(record));
    }

    /// Makes `old` count again in place of what was committed since; `None` stands for no connection.
    ///
    /// # Errors
    /// When it cannot be written: it counts in memory, and [`Store::save`] is to be called until it is on disk.
    pub fn put_back(&self, id: ConnectionId, old: Option<&Record>) -> Result<()> {
        match old {
            Some(old) => self.lock().insert(Arc::new(old.clone())),
            None => self.lock().remove(id),
        }
        self.save(id)
    }

    /// Makes the file of `id` say what memory says, whatever a failure left there.
    ///
    /// # Errors
    /// When it cannot be written durably.
    pub fn save(&self, id: ConnectionId) -> Result<()> {
        match self.get(id) {
            Some(record) => self.commit(self.stage((*record).clone())?).map(drop),
            None => disk::remove(&self.path(id)),
        }
    }

    fn path(&self, id: ConnectionId) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    /// The map; a panic elsewhere cannot leave it half changed, so its poison is not passed on.
    fn lock(&self) -> Guard<'_, Records> {
        self.records.lock()
    }
}

/// The records in the files `names`, and the files that hold none.
fn read_all(directory: &Path, names: &[String]) -> (Records, Vec<Damaged>) {
    let (mut records, mut damaged) = (Records::default(), Vec::new());
    for name in names {
        let path = directory.join(name);
        let id = name.strip_suffix(".json").and_then(|stem| stem.parse().ok());
        match read(&path, id) {
            Ok(record) => records.insert(Arc::new(record)),
            Err(Error::Damaged { why, .. }) => damaged.push(Damaged { path, id, why, is_denied: false }),
            Err(e) => damaged.push(Damaged { why: e.to_string(), path, id, is_denied: e.is_denied() }),
        }
    }
    (records, damaged)
}

/// Puts back what was on trial when an agent of an earlier version died.
fn end_old_trials(directory: &Path) -> Result<()> {
    for name in disk::list(directory)? {
        let Some(stem) = name.strip_suffix(TRIAL) else { continue };
        let (trial, path) = (directory.join(&name), directory.join(format!("{stem}.json")));
        tracing::warn!(
            uuid = stem,
            "{stem}: a change was on trial when the agent ended; the connection before it is put back"
        );
        let before = match disk::read(&trial) {
            Err(error) if disk::is_foreign(&error) => {
                // It shows among the damaged files, and what is in force stays.
                tracing::error!(uuid = stem, %error, "{stem}: the connection before a trial cannot be put back: {error}");
                continue;
            }
            outcome => outcome?,
        };
        match before {
            Some(bytes) if !bytes.is_empty() => {
                let bytes = zeroize::Zeroizing::new(bytes);
                let told_apart = told_apart(&bytes, &path, stem.parse().ok());
                disk::replace(&path, told_apart.as_ref().unwrap_or(&bytes), 0o600)?;
            }
            _ => disk::remove(&path)?,
        }
        disk::remove(&trial)?;
    }
    Ok(())
}

/// The record of before a trial, to be told apart from the one on trial: what charon made of that may live on, and the
/// same configuration tried again would be taken for it. `None` where nothing has to be, or can be, told apart.
fn told_apart(before: &[u8], path: &Path, id: Option<ConnectionId>) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let before = format::from_bytes(before).ok()?;
    let on_trial = read(path, id).ok()?;
    let back = on_trial.changed(before.spec.clone(), before.changed).ok()?;
    format::to_bytes(&Record { state: before.state, ..back }).ok()
}

/// The record in the file `path`, which its name says is of `id`.
fn read(path: &Path, id: Option<ConnectionId>) -> Result<Record> {
    let damaged = |why: &str| Error::Damaged { path: path.into(), why: why.into() };
    let id = id.ok_or_else(|| damaged("its name is not <uuid>.json"))?;
    let bytes = disk::read(path)?.ok_or_else(|| damaged("it vanished"))?;
    let record = format::from_bytes(&bytes).map_err(|why| damaged(&why))?;
    if record.id == id { Ok(record) } else { Err(damaged("its uuid is not that of its name")) }
}
