//! Runs other programs: without a shell, and for a limited time.

use super::probe::{PATIENCE, Probe, Unchecked};
use std::{ffi::OsString, path::Path, process::Stdio};
use tokio::{process::Command, time::timeout};

/// Where programs are found.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// Replaces the `PATH` of this process in tests.
    pub path: Option<OsString>,
}

/// The output of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Whether its exit status is 0.
    pub success: bool,
}

impl Tools {
    /// Runs `program` with this process's environment and the variables of `environment`.
    ///
    /// # Errors
    /// When it is not installed, or does not end in time: it is then killed.
    pub async fn run(&self, program: &str, arguments: &[&str], environment: &[(&str, &Path)]) -> Probe<Said> {
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().copied()).env("LC_ALL", "C");
        command.env("PATH", self.path.clone().unwrap_or_else(|| with_sbin(std::env::var_os("PATH"))));
        command.stdin(Stdio::null()).kill_on_drop(true);
        match timeout(PATIENCE, command.output()).await {
            Err(_) => Err(format!("{program} did not end within {} s", PATIENCE.as_secs()).into()),
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(Unchecked::Absent(format!("{program} is not installed")))
            }
            Ok(Err(e)) => Err(Unchecked::io(program, &e)),
            Ok(Ok(output)) => Ok(Said {
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
                success: output.status.success(),
            }),
        }
    }

    /// The standard output of `program`, which must succeed.
    ///
    /// # Errors
    /// As [`Tools::run`], and when it fails.
    pub async fn output(&self, program: &str, arguments: &[&str]) -> Probe<String> {
        let said = self.run(program, arguments, &[]).await?;
        if said.success { Ok(said.stdout) } else { Err(said.failed(program)) }
    }
}

/// `path` with the directories of nft and iptables, which an ordinary user's or su's lacks.
fn with_sbin(path: Option<OsString>) -> OsString {
    let mut path = path.unwrap_or_else(|| "/usr/bin:/bin".into());
    path.push(":/usr/sbin:/sbin");
    path
}

impl Said {
    /// Why `program` failed: the last line of its standard error.
    #[must_use]
    pub fn failed(&self, program: &str) -> Unchecked {
        let line = self.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it printed no error");
        let text = format!("{program}: {line}");
        let is_denied = ["not permitted", "ermission denied"].iter().any(|words| line.contains(words));
        if is_denied { Unchecked::denied(text) } else { Unchecked::Failed(text) }
    }
}
