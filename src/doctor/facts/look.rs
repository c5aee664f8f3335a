//! How it is looked: where, and for how long at most.

use super::{
    probe::{PATIENCE, Probe},
    tools::Tools,
};
use crate::settings::Settings;
use std::path::{Path, PathBuf};
use tokio::sync::Semaphore;

/// The user of the packaged unit.
pub(super) const SERVICE: &str = "cygnet";

/// Where to look.
#[derive(Debug, Clone)]
pub struct Places {
    /// What stands before `/proc`, `/run` and `/etc`: `/`, but for tests.
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
    /// The files of tokens, accounts and the TLS key; systemd's credentials are systemd's affair.
    pub secrets: Vec<PathBuf>,
    /// The programs to ask.
    pub tools: Tools,
}

impl Places {
    /// The places that `settings` name; `file` is where they stand.
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

/// How many reads may hang at once: what hangs holds its thread, however often the doctor is asked.
static READS: Semaphore = Semaphore::const_new(16);

/// Reads files on a thread that may block: a hung file system costs the answer, not the doctor.
pub(super) async fn reading<T: Send + 'static>(
    places: &Places,
    read: impl FnOnce(&Places) -> Probe<T> + Send + 'static,
) -> Probe<T> {
    let places = places.clone();
    let look = async {
        let permit = READS.acquire().await.map_err(|e| e.to_string())?;
        let read = move || (read(&places), drop(permit)).0;
        tokio::task::spawn_blocking(read).await.map_err(|e| e.to_string())?
    };
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(seen) => seen,
        Err(_) => Err(format!("not read within {} s", PATIENCE.as_secs())),
    }
}
