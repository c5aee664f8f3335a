//! The fallback: charon through the swanctl program, where the agent cannot reach charon's socket.
//!
//! swanctl cannot load one connection: it makes charon equal to all its files. So each load
//! begins with a dry run. Exit code 0 does not prove success (facts 9); charon's lists do.

use super::{
    names, pretty,
    refused::refused,
    section::Section,
    words::{self, shorten},
};
use crate::{
    disk,
    error::{Error, Result},
    ipsec::ConnectionId,
    strongswan::{
        dry_run::{Recorded, RecordingVici},
        guard::Guard,
        requests::Loadable,
    },
};
use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};
use tokio::{process::Command, sync::Mutex, task::block_in_place, time::timeout};

/// charon behind the swanctl program.
pub struct Swanctl {
    dir: PathBuf,
    conf_dir: PathBuf,
    vici: PathBuf,
    uri: String,
    deadline: Duration,
    /// Two runs of `--load-all` at once would undo each other.
    one_at_a_time: Mutex<()>,
}

/// The program; found by PATH, as a shell finds it.
const PROGRAM: &str = "swanctl";

impl Swanctl {
    /// charon at the vici socket `vici`, with swanctl's files in `dir` and ours in `conf_dir`.
    #[must_use]
    pub fn new(dir: &Path, conf_dir: &Path, vici: &Path, deadline: Duration) -> Self {
        let uri = format!("unix://{}", vici.display());
        Self {
            dir: dir.into(),
            conf_dir: conf_dir.into(),
            vici: vici.into(),
            uri,
            deadline,
            one_at_a_time: Mutex::default(),
        }
    }

    /// Where charon's socket is.
    pub(super) fn vici(&self) -> &Path {
        &self.vici
    }

    /// The replies to a query: one section per message.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn query(&self, arguments: &[&str]) -> Result<Vec<Section>> {
        let output = self.run(&self.uri, &[arguments, &["--pretty"]].concat()).await?;
        let found = pretty::messages(&String::from_utf8_lossy(&output.stdout));
        if found.is_empty() { Err(unreachable(arguments, &output)) } else { Ok(found) }
    }

    /// Runs a command that changes something. swanctl prints refusals on its output.
    ///
    /// # Errors
    /// When charon refuses or does not answer.
    pub async fn command(&self, arguments: &[&str]) -> Result<()> {
        let output = self.run(&self.uri, arguments).await?;
        if output.status.success() {
            return Ok(());
        }
        let text = said(&output);
        match text
            .lines()
            .find_map(|line| line.split_once(" failed: ").filter(|(what, _)| !what.starts_with("connecting")))
        {
            Some((_, said)) => Err(refused(arguments.join(" "), said)),
            None => Err(unreachable(arguments, &output)),
        }
    }

    /// The names of the loaded connections.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn connections(&self) -> Result<Vec<String>> {
        Ok(self
            .list_connections()
            .await?
            .iter()
            .flat_map(|message| message.sections().map(|(name, _)| name.to_owned()))
            .collect())
    }

    /// The loaded connections as charon describes them.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn list_connections(&self) -> Result<Vec<Section>> {
        self.query(&["--list-conns"]).await
    }

    /// Loads `new` in place of `previous`, by way of its file; under `guard`, which is in the file as well until then.
    ///
    /// # Errors
    /// When swanctl or charon refuses: the file and charon are then as before.
    pub(super) async fn load(&self, new: &Loadable, previous: Option<&Loadable>, guard: Option<&Guard>) -> Result<()> {
        let _lock = self.one_at_a_time.lock().await;
        let Err(error) = self.replace(new, guard).await else { return Ok(()) };
        let undone = match self.put(new.id, previous.map(text)) {
            Ok(()) => self.reload(new.id, previous).await,
            failed => failed,
        };
        if let Err(undo) = undone {
            tracing::error!(uuid = %new.id, error = %undo, "{}: charon could not be given the previous connection again: {undo}", new.id);
        }
        Err(error)
    }

    /// swanctl loads connections in the order of the file, and unloads at last what is in no file.
    async fn replace(&self, new: &Loadable, guard: Option<&Guard>) -> Result<()> {
        if let Some(guard) = guard {
            self.put(new.id, Some(&guard.before(new)))?;
            self.reload(new.id, Some(new)).await?;
        }
        self.put(new.id, Some(text(new)))?;
        self.reload(new.id, Some(new)).await
    }

    /// Forgets the connection of `id`, by way of its file.
    ///
    /// # Errors
    /// When swanctl refuses or charon does not answer.
    pub async fn unload(&self, id: ConnectionId) -> Result<()> {
        let _lock = self.one_at_a_time.lock().await;
        self.put(id, None)?;
        self.reload(id, None).await
    }

    fn put(&self, id: ConnectionId, content: Option<&str>) -> Result<()> {
        let path = self.conf_dir.join(names::file(id));
        block_in_place(|| match content {
            Some(content) => disk::replace(&path, content.as_bytes(), 0o600),
            None => disk::remove(&path),
        })
    }

    /// Makes charon equal to the files, if a dry run shows that this changes `id` as wanted
    /// and nothing else.
    async fn reload(&self, id: ConnectionId, wanted: Option<&Loadable>) -> Result<()> {
        let name = names::connection(id);
        let refuse = |words: String| refused(format!("--load-all for {name}"), &words);
        let loaded = self.connections().await?;
        let (rehearsed, output) = self.rehearse(loaded).await?;
        judge(&rehearsed, &output, &name, wanted).map_err(refuse)?;
        let output = self.run(&self.uri, &["--load-all", "--noprompt"]).await?;
        let text = said(&output);
        let ours = |line: &&str| line.contains(&name) && line.contains(" failed: ");
        if let Some((_, words)) = text.lines().find(ours).and_then(|line| line.split_once(" failed: ")) {
            return Err(refuse(words.into()));
        }
        // The exit code also counts failures of other connections.
        if self.connections().await?.contains(&name) != wanted.is_some() {
            return Err(refuse(format!("charon does not list what was loaded: {}", last_line(&text))));
        }
        Ok(())
    }

    async fn rehearse(&self, loaded: Vec<String>) -> Result<(Recorded, Output)> {
        let fail = |e| Error::storage("make a socket in", std::env::temp_dir(), e);
        let directory = tempfile::Builder::new().prefix("cygnet-").tempdir().map_err(fail)?;
        let path = directory.path().join("vici");
        let stage = RecordingVici::new(&path, loaded).map_err(fail)?;
        let uri = format!("unix://{}", path.display());
        let rehearsal = timeout(self.deadline, stage.watch());
        let (seen, output) = tokio::join!(rehearsal, self.run(&uri, &["--load-all", "--noprompt"]));
        let output = output?;
        match seen {
            Ok(Ok(seen)) => Ok((seen, output)),
            _ => Err(unreachable(&["--load-all", "(rehearsal)"], &output)),
        }
    }

    async fn run(&self, uri: &str, arguments: &[&str]) -> Result<Output> {
        let lost = |cause: String| Error::Unreachable { doing: format!("{PROGRAM} {}", arguments.join(" ")), cause };
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .args(["--uri", uri])
            .env("SWANCTL_DIR", &self.dir)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        match timeout(self.deadline, command.output()).await {
            Err(_) => Err(lost(format!("no answer within {:?}", self.deadline))),
            Ok(Err(e)) => Err(lost(format!("it cannot be run: {e}; install the package strongswan-swanctl"))),
            Ok(Ok(output)) => Ok(output),
        }
    }
}

/// The text of its file.
fn text(connection: &Loadable) -> &str {
    connection.conf.expose()
}

/// Whether the dry run changed `name` as wanted, and nothing that is not ours.
fn judge(rehearsed: &Recorded, output: &Output, name: &str, wanted: Option<&Loadable>) -> Result<(), String> {
    let text = said(output);
    if let Some(line) =
        text.lines().find(|l| l.contains("invalid config file") || l.contains("failed to open config file"))
    {
        return Err(format!("swanctl would unload everything, because a file is broken or missing: {line}"));
    }
    if let Some(other) = rehearsed.unloads.iter().find(|other| names::owner(other).is_none()) {
        return Err(format!("swanctl would unload the connection {other}, which is loaded but stands in no file"));
    }
    match wanted {
        Some(wanted) if !wanted.requests.iter().all(|request| rehearsed.loads.contains(request)) => {
            Err("swanctl does not read the connection's file as it is meant: does swanctl.conf include its directory?"
                .into())
        }
        None if rehearsed.loads.iter().any(|load| load.body.0.contains_key(name)) => {
            Err("swanctl still finds the connection in another file".into())
        }
        _ => Ok(()),
    }
}

/// All output of swanctl.
fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing")
}

fn unreachable(arguments: &[&str], output: &Output) -> Error {
    Error::Unreachable {
        doing: format!("{PROGRAM} {}", arguments.join(" ")),
        cause: shorten(last_line(&said(output)), words::SENTENCE),
    }
}
