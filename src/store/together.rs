//! Several records that come into force in one step. The records lie beside their files, durably; then a journal says
//! which take the place of which: that is the commit point. A start finishes what a crash left in between.

use super::{
    Record, Staged, Store,
    journal::{JOURNAL, Replacement, digest},
};
use crate::{
    disk,
    error::{Error, Result},
};
use std::sync::Arc;

impl Store {
    /// The commit point of a change of several records: all of `staged` are the truth, or none.
    /// Beside each record: whether its file is to be written anew by [`Store::save`].
    ///
    /// # Errors
    /// When it cannot be made durable; then none counts.
    pub fn commit_together(&self, staged: Vec<Staged>) -> Result<Vec<(Arc<Record>, bool)>> {
        let Some(first) = staged.first() else { return Ok(Vec::new()) };
        let journal = self.directory.join(format!("{}{JOURNAL}", first.record.id));
        let replacement = |staged: &Staged| {
            let target = self.path(staged.record.id);
            let to = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Replacement { from: staged.file.name(), to, replaces: digest(&target)? })
        };
        let replacements = staged.iter().map(replacement).collect::<Result<Vec<_>>>()?;
        let bytes = serde_json::to_vec(&replacements).map_err(|e| Error::Internal(e.to_string()))?;
        if let Err(error) = disk::replace(&journal, &bytes, 0o600) {
            // It may be there and not be durable. Without the records, which go now, it says nothing.
            drop(staged);
            disk::remove(&journal)
                .unwrap_or_else(|error| tracing::warn!(%error, "a journal without records stays: {error}"));
            return Err(error);
        }
        let mut records = Vec::new();
        for Staged { file, record } in staged {
            let moved = file.commit_or_leave();
            if let Err(error) = &moved {
                tracing::error!(uuid = %record.id, %error, "{}: a committed record is not in its place yet: {error}", record.label());
            }
            self.lock().insert(Arc::clone(&record));
            records.push((record, moved.is_err()));
        }
        if records.iter().all(|(_, unsaved)| !unsaved)
            && let Err(error) = disk::remove(&journal)
        {
            tracing::warn!(%error, "the journal of a finished change stays until the next start: {error}");
        }
        Ok(records)
    }
}
