//! Changes of several connections in one step: of a shared key, or of the owners of keys, so that charon can tell two keys
//! for one peer apart. Each connection is locked; all change or none.

use crate::{
    agent::{
        Agent,
        change::{
            conflicts::UniquenessIndex,
            write::{Companion, Group, Laid, Planners, Prepared, not_locked},
        },
        reconcile::sa_planner::Step,
    },
    disk,
    error::{Error, Result},
    ipsec::{Auth, ConnectionId, KeyOwner, Psk},
    store::Record,
};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};
use tokio::task::block_in_place;

/// The owners of keys to try, for the written connection and for those that it conflicts with; `None` keeps the owner.
/// The smallest change comes first.
const OWNERS: [[Option<KeyOwner>; 2]; 6] = [
    [Some(KeyOwner::Local), None],
    [Some(KeyOwner::Remote), None],
    [None, Some(KeyOwner::Local)],
    [None, Some(KeyOwner::Remote)],
    [Some(KeyOwner::Local), Some(KeyOwner::Local)],
    [Some(KeyOwner::Remote), Some(KeyOwner::Remote)],
];

impl Agent {
    /// The others that must change with `new`, which replaces `old`.
    ///
    /// # Errors
    /// When no choice of owners lets charon tell the keys apart.
    pub(in crate::agent) fn group(&self, old: Option<&Record>, new: Record, together: bool) -> Result<Group> {
        if together && let Auth::Psk(psk) = &new.connection.auth {
            let others = self.sharing(old, &new, psk)?;
            return Ok(Group { new, others });
        }
        Ok(owners(&self.changes.uniqueness(), |id| self.store.get(id), new))
    }

    /// The connections that share the key of `old` or conflict with that of `new`, each with the new key.
    fn sharing(&self, old: Option<&Record>, new: &Record, psk: &Psk) -> Result<Vec<Companion>> {
        let now = Timestamp::now();
        let mut others: BTreeMap<_, Companion> = BTreeMap::new();
        let with_key = |before: Arc<Record>| {
            let mut after = keyed(&before, psk, now)?;
            // Other values on trial in that connection stay on trial.
            let trial = before.trial.as_ref();
            let trial = trial.and_then(|trial| trial.beside(|record| keyed(record, psk, now), &before, &after));
            after.trial = trial.map(Box::new);
            Ok::<_, Error>((before.id, Companion { before, after }))
        };
        if let Some(Auth::Psk(shared)) =
            old.map(|old| &old.connection.auth).filter(|auth| **auth != new.connection.auth)
        {
            let shares = |other: &Arc<Record>| {
                let connection = &other.connection;
                let same_key = matches!(&connection.auth, Auth::Psk(key) if key == shared);
                other.id != new.id && same_key && connection.remote_id.matches(&new.connection.remote_id)
            };
            for other in self.store.all().into_iter().filter(shares) {
                let (id, other) = with_key(other)?;
                others.insert(id, other);
            }
        }
        loop {
            let all: Vec<_> = std::iter::once(new).chain(others.values().map(|other| &other.after)).collect();
            let clashing = self.changes.uniqueness().clashing(&all);
            // A connection in creation is not stored yet: the claim of the others fails, and says why.
            let found: Vec<_> = clashing.into_iter().filter_map(|id| self.store.get(id)).collect();
            if found.is_empty() {
                return Ok(others.into_values().collect());
            }
            for other in found {
                let (id, other) = with_key(other)?;
                others.insert(id, other);
            }
        }
    }

    /// Puts all of `records` in force or none; the last one replaces `old`.
    pub(in crate::agent) async fn replace_together(
        &self,
        old: Option<Arc<Record>>,
        others: &[Companion],
        records: &[Record],
        planners: &mut Planners<'_>,
    ) -> Result<Arc<Record>> {
        let replaced: Vec<_> = others.iter().map(|other| Some(Arc::clone(&other.before))).chain([old]).collect();
        let mut laid = Vec::new();
        for (new, old) in records.iter().zip(&replaced) {
            self.record_dropped_cas(old.as_deref(), Some(new));
            let outcome = match planners.get_mut(&new.id) {
                Some(planner) => self.lay(old.as_deref(), new.clone(), planner).await,
                None => Err(not_locked(new.id)),
            };
            match outcome {
                Ok(change) => laid.push((new.id, old.as_deref(), change)),
                Err(error) => {
                    let undone = laid.into_iter().map(|(id, old, laid)| (id, old, laid.prepared));
                    self.put_all_back(undone.collect(), planners).await;
                    return Err(error);
                }
            }
        }
        let (mut staged, mut changes, mut files) = (Vec::new(), Vec::new(), Vec::new());
        for (id, old, Laid { prepared, running, record, file }) in laid {
            staged.push(record);
            files.push(file);
            changes.push((id, old, prepared, running));
        }
        let committed = match block_in_place(|| self.store.commit_together(staged)) {
            Ok(committed) => committed,
            Err(error) => {
                let undone = changes.into_iter().map(|(id, old, prepared, _)| (id, old, prepared));
                self.put_all_back(undone.collect(), planners).await;
                return Err(error);
            }
        };
        let mut last = None;
        for (((record, unsaved), file), (id, old, prepared, running)) in committed.into_iter().zip(files).zip(changes) {
            if unsaved {
                self.entry(id).unsaved.store(true, Ordering::Relaxed);
            }
            let erases = prepared.steps.contains(&Step::Erase);
            let written = block_in_place(|| match file {
                Some(file) => file.commit(),
                None if erases => disk::remove(&self.conf_path(id)),
                None => Ok(()),
            });
            if let Err(error) = written {
                tracing::warn!(uuid = %id, %error, "{}: the file in conf.d is not written yet: {error}; the reconciler tries again", record.label());
            }
            if let Some(planner) = planners.get_mut(&id) {
                self.settle(old, &record, &prepared, &running, planner).await;
            }
            last = Some(record);
        }
        last.ok_or_else(|| Error::Internal("a change of several connections has none".into()))
    }

    async fn put_all_back(&self, changes: Vec<(ConnectionId, Option<&Record>, Prepared)>, planners: &mut Planners<'_>) {
        for (id, old, prepared) in changes.into_iter().rev() {
            if let Some(planner) = planners.get_mut(&id) {
                self.put_back(id, old, prepared, planner).await;
            }
        }
    }
}

/// `new` and the others whose keys need another owner beside it, so that charon can tell them apart.
pub(in crate::agent) fn owners(
    index: &UniquenessIndex,
    stored: impl Fn(ConnectionId) -> Option<Arc<Record>>,
    new: Record,
) -> Group {
    let clashing = index.clashing(&[&new]);
    if clashing.is_empty() {
        return Group { new, others: Vec::new() };
    }
    let others: Vec<_> = clashing.into_iter().filter_map(stored).collect();
    for [own, of_others] in OWNERS {
        let owned =
            |record: &Record, owner: Option<KeyOwner>| owner.map_or_else(|| record.clone(), |o| record.owned(o));
        let new = owned(&new, own);
        let after: Vec<_> = others.iter().map(|other| owned(other, of_others)).collect();
        let all: Vec<_> = std::iter::once(&new).chain(&after).collect();
        if index.clashing(&all).is_empty() {
            let pairs = others.into_iter().zip(after);
            let others = pairs.map(|(before, after)| Companion { before, after });
            return Group { new, others: others.filter(|other| *other.before != other.after).collect() };
        }
    }
    // The claim of `new` alone fails, and says why.
    Group { new, others: Vec::new() }
}

/// `record` with the key `psk`. A record with certificates shares no key itself: the connection that its trial would
/// restore does.
fn keyed(record: &Record, psk: &Psk, now: Timestamp) -> Result<Record> {
    if !matches!(record.connection.auth, Auth::Psk(_)) {
        return Ok(record.clone());
    }
    let mut spec = record.spec.clone();
    spec.options.auth = Auth::Psk(psk.clone());
    Ok(record.changed(spec, now)?)
}
