//! The files of a connection: its file in conf.d, and its certificates and keys. A certificate's file is written before
//! anything refers to it, and removed when nothing does any more. The resync removes leftovers of a crash. Files with
//! other names are never touched.

use crate::{
    agent::{Agent, change::conflicts::UniquenessIndex},
    disk::{self, open::Kind},
    error::Result,
    ipsec::{ConnectionId, certs},
    store::Record,
    strongswan::{
        credentials::{self, DIRECTORIES, File, PRIVATE},
        names,
        requests::Loadable,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use tokio::task::block_in_place;

/// A directory of swanctl, and the name of one of cygnet's files in it.
type Place = (&'static str, String);

impl Agent {
    /// All files that the record of `id` needs.
    pub(in crate::agent) fn paths(&self, id: ConnectionId) -> Vec<PathBuf> {
        let files = self.store.get(id).map(|record| files_of(&record)).unwrap_or_default();
        let credentials = files.iter().map(|file| self.credential_path(file.directory, &file.name));
        std::iter::once(self.conf_path(id)).chain(credentials).collect()
    }

    fn credential_path(&self, directory: &str, name: &str) -> PathBuf {
        self.swanctl_dir.join(directory).join(name)
    }

    /// The text of `wanted` in conf.d, or nothing if a file that it refers to is missing.
    pub(in crate::agent) fn written(&self, id: ConnectionId, wanted: Option<&Loadable>) -> Result<Option<Vec<u8>>> {
        let text = match ours(disk::read(&self.conf_path(id)))? {
            // No text equals this one: the file is replaced or removed.
            Content::Foreign => Some(Vec::new()),
            Content::Ours(bytes) => bytes,
        };
        for file in wanted.into_iter().flat_map(|wanted| &wanted.files) {
            if !self.is_placed(file)? {
                return Ok(None);
            }
        }
        Ok(text)
    }

    fn is_placed(&self, file: &File) -> Result<bool> {
        let path = self.credential_path(file.directory, &file.name);
        let Content::Ours(bytes) = ours(disk::read_as(&path, Kind::Pem))? else { return Ok(false) };
        let bytes = bytes.map(zeroize::Zeroizing::new);
        Ok(bytes.is_some_and(|bytes| bytes.as_slice() == file.expose()))
    }

    /// Writes the files that `wanted` refers to.
    pub(in crate::agent) fn place_credentials(&self, wanted: &Loadable) -> Result<()> {
        for file in &wanted.files {
            if !self.is_placed(file)? {
                let directory = self.swanctl_dir.join(file.directory);
                // An existing directory belongs to swanctl, with the mode that the operator chose.
                if !directory.exists() {
                    disk::private_directory(&directory)?;
                }
                disk::replace(&self.credential_path(file.directory, &file.name), file.expose(), 0o600)?;
            }
        }
        Ok(())
    }

    /// Removes the files of `old` that `new` does not refer to, and unloads their keys from charon. A failure is logged,
    /// and the next resync repeats it.
    pub(in crate::agent) async fn discard(&self, id: ConnectionId, old: &[File], new: &[File]) {
        let kept = |file: &&File| new.iter().any(|new| (new.directory, &new.name) == (file.directory, &file.name));
        let old = old.iter().filter(|file| !kept(file)).map(|file| (file.directory, file.name.clone())).collect();
        if let Err(error) = self.take_away(id, old, false).await {
            tracing::warn!(uuid = %id, %error, "{}: unused files of certificates cannot be removed now: {error}; the next resync tries again", self.store.label(id));
        }
    }

    /// Removes all files of `record`; with `force` also if charon does not unload the key.
    pub(in crate::agent) async fn discard_all(&self, record: &Record, force: bool) -> Result<()> {
        let files = record.connection.auth.certs().map(|certs| credentials::files(record.id, certs));
        let places = files.unwrap_or_default().into_iter().map(|file| (file.directory, file.name)).collect();
        self.take_away(record.id, places, force).await
    }

    async fn take_away(&self, id: ConnectionId, places: Vec<Place>, force: bool) -> Result<()> {
        for (directory, name) in places {
            let path = self.credential_path(directory, &name);
            if directory == PRIVATE {
                // A foreign file holds no key that cygnet loaded.
                let bytes = match ours(block_in_place(|| disk::read_as(&path, Kind::Pem)))? {
                    Content::Ours(bytes) => bytes.map(zeroize::Zeroizing::new),
                    Content::Foreign => None,
                };
                let text = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
                let key =
                    text.and_then(certs::key_id_of).filter(|key| !self.changes.uniqueness().is_key_of_others(key, id));
                if let Some(key) = key {
                    // charon first: the file still tells which key it is.
                    match self.strongswan.unload_key(&key).await {
                        Err(error) if force => {
                            tracing::warn!(uuid = %id, %error, "{}: charon keeps a private key: {error}", self.store.label(id));
                        }
                        outcome => outcome?,
                    }
                }
            }
            block_in_place(|| disk::remove(&path))?;
        }
        Ok(())
    }

    /// Removes the half-written files that a crash left behind; there may be private keys in them.
    pub(in crate::agent) fn clean_credentials(&self) {
        let directories = DIRECTORIES.map(|directory| self.swanctl_dir.join(directory));
        for directory in directories.iter().filter(|directory| directory.exists()) {
            if let Err(error) = block_in_place(|| disk::clean(directory)) {
                tracing::error!(%error, "leftovers of a crash beside certificates cannot be removed: {error}");
            }
        }
    }

    /// Removes files of cygnet in swanctl's directories that belong to no connection.
    pub(in crate::agent) async fn sweep_credentials(&self) {
        for id in self.stray_credentials(None).into_keys() {
            let entry = self.entry(id);
            // A change in progress is compared the next time.
            let Ok(_memory) = entry.planner.try_lock() else { continue };
            let Some(places) = self.stray_credentials(Some(id)).remove(&id) else { continue };
            let files =
                places.iter().map(|(directory, name)| format!("{directory}/{name}")).collect::<Vec<_>>().join(", ");
            tracing::warn!(uuid = %id, files, "{}: files of certificates belong to no connection; removing them: {files}", self.store.label(id));
            if let Err(error) = self.take_away(id, places, false).await {
                tracing::warn!(uuid = %id, %error, "{}: files of certificates cannot be removed now: {error}; the next resync tries again", self.store.label(id));
            }
        }
    }

    /// The files of cygnet that no record needs; of one connection, or of all.
    fn stray_credentials(&self, only: Option<ConnectionId>) -> BTreeMap<ConnectionId, Vec<Place>> {
        let mut found: BTreeMap<_, Vec<Place>> = BTreeMap::new();
        for directory in DIRECTORIES {
            // A missing directory is empty; an unreadable one fails when it is written.
            let listed = block_in_place(|| disk::list(&self.swanctl_dir.join(directory))).unwrap_or_default();
            for name in listed {
                if let Some(id) = names::credential_owner(&name).filter(|id| only.is_none_or(|only| only == *id)) {
                    found.entry(id).or_default().push((directory, name));
                }
            }
        }
        found.retain(|id, places| {
            let files = self.store.get(*id).map(|record| files_of(&record)).unwrap_or_default();
            let wanted: BTreeSet<_> = files.iter().map(|file| (file.directory, file.name.as_str())).collect();
            places.retain(|(directory, name)| !wanted.contains(&(*directory, name.as_str())));
            !places.is_empty() && !self.is_left_alone(*id)
        });
        found
    }
}

/// The result of reading a file of cygnet.
enum Content {
    /// The file, or nothing.
    Ours(Option<Vec<u8>>),
    /// A link, a pipe, another user's file, or a file that is too large.
    Foreign,
}

/// Separates foreign files from failures of the disk.
fn ours(read: Result<Option<Vec<u8>>>) -> Result<Content> {
    match read {
        Err(error) if disk::is_foreign(&error) => {
            tracing::warn!(%error, "a file of cygnet was replaced by something else; replacing or removing it: {error}");
            Ok(Content::Foreign)
        }
        outcome => outcome.map(Content::Ours),
    }
}

/// The files of certificates and keys that `record` needs.
fn files_of(record: &Record) -> Vec<File> {
    let certs = record.connection.auth.certs().filter(|_| record.is_loaded());
    certs.map_or_else(Vec::new, |certs| credentials::files(record.id, certs))
}

impl UniquenessIndex {
    /// Whether another connection than `id` has this private key too.
    fn is_key_of_others(&self, key: &str, id: ConnectionId) -> bool {
        self.private.get(key).is_some_and(|owners| owners.iter().any(|owner| *owner != id))
    }
}
