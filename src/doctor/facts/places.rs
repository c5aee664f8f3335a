//! The paths that the doctor reads, and its limit on reads that hang.

use super::{
    probe::{PATIENCE, Probe, Unchecked},
    tools::Tools,
};
use crate::settings::Settings;
use std::path::{Path, PathBuf};
use tokio::sync::Semaphore;

/// The paths and programs that the doctor uses.
#[derive(Debug, Clone)]
pub struct Places {
    /// The prefix of `/proc`, `/run` and `/etc`: `/`, except in tests.
    pub root: PathBuf,
    /// swanctl's directory.
    pub swanctl_dir: PathBuf,
    /// Where the connections' files are.
    pub conf_dir: PathBuf,
    /// Where the records are.
    pub state_dir: PathBuf,
    /// charon's vici socket.
    pub vici: PathBuf,
    /// The settings file, where it is known.
    pub settings: Option<PathBuf>,
    /// The files of tokens, accounts and the TLS key. systemd protects its credentials itself.
    pub secrets: Vec<PathBuf>,
    /// How programs are found.
    pub tools: Tools,
}

impl Places {
    /// The places that `settings` name; `file` is the settings file.
    #[must_use]
    pub fn of(settings: &Settings, file: Option<&Path>) -> Self {
        let auth = [&settings.auth.tokens_file, &settings.auth.accounts_file].into_iter().flatten();
        let secrets = auth.chain(settings.tls.as_ref().map(|tls| &tls.key));
        Self {
            root: "/".into(),
            swanctl_dir: settings.swanctl_dir.clone(),
            conf_dir: settings.conf_dir(),
            state_dir: settings.state_dir.clone(),
            vici: settings.charon.vici.clone(),
            settings: file.map(Into::into),
            secrets: secrets.filter(|path| path.to_string_lossy().contains('/')).cloned().collect(),
            tools: Tools::default(),
        }
    }

    /// The path below the root.
    pub(super) fn below(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// The most reads that may hang at once. Each hung read holds a thread, so repeated calls must not add up.
static READS: Semaphore = Semaphore::const_new(16);

/// Reads files on a thread that may block: a hung file system costs this fact alone.
pub(super) async fn reading<T: Send + 'static>(
    places: &Places,
    read: impl FnOnce(&Places) -> Probe<T> + Send + 'static,
) -> Probe<T> {
    let places = places.clone();
    let look = async {
        let permit = READS.acquire().await.map_err(|e| Unchecked::Failed(e.to_string()))?;
        let read = move || (read(&places), drop(permit)).0;
        tokio::task::spawn_blocking(read).await.map_err(|e| Unchecked::Failed(e.to_string()))?
    };
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(seen) => seen,
        Err(_) => Err(format!("not read within {} s", PATIENCE.as_secs()).into()),
    }
}
