//! Programs that are asked: by their arguments, never through a shell, and for a limited time.

use super::{PATIENCE, Seen};
use std::{ffi::OsString, path::Path, process::Stdio};
use tokio::{process::Command, time::timeout};

/// Where programs are found.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// In place of this process's `PATH`, for tests.
    pub path: Option<OsString>,
}

/// What a program said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// On its standard output.
    pub stdout: String,
    /// On its standard error.
    pub stderr: String,
    /// Whether it ended with 0.
    pub success: bool,
}

impl Tools {
    /// Runs `program`. With `environment` over that of this process.
    ///
    /// # Errors
    /// When it is not there, or does not end in time; it is then killed.
    pub async fn run(&self, program: &str, arguments: &[&str], environment: &[(&str, &Path)]) -> Seen<Said> {
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().copied()).env("LC_ALL", "C");
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        match timeout(PATIENCE, command.output()).await {
            Err(_) => Err(format!("{program} did not end within {} s", PATIENCE.as_secs())),
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => Err(format!("{program} is not installed")),
            Ok(Err(e)) => Err(format!("{program} cannot be run: {e}")),
            Ok(Ok(output)) => Ok(Said {
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
                success: output.status.success(),
            }),
        }
    }

    /// The standard output of `program`, which must end with 0.
    ///
    /// # Errors
    /// As [`Tools::run`], and when it fails.
    pub async fn output(&self, program: &str, arguments: &[&str]) -> Seen<String> {
        let said = self.run(program, arguments, &[]).await?;
        if said.success { Ok(said.stdout) } else { Err(format!("{program}: {}", said.complaint())) }
    }
}

impl Said {
    /// The last line of what it complained about.
    #[must_use]
    pub fn complaint(&self) -> &str {
        self.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing")
    }
}
