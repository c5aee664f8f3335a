//! `cygnet serve --check`: all faults of the settings and of the files that they name.

use super::credentials;
use cygnet::{
    http::{pair, tls::Tls},
    settings::Settings,
    visible::visible,
};
use std::{io::Write, path::Path, process::ExitCode};

/// Prints the faults on standard error, one a line.
pub fn run(config: &Path) -> ExitCode {
    let faults = faults(config);
    if faults.is_empty() {
        let written = writeln!(std::io::stdout(), "the settings are valid");
        return if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    for fault in &faults {
        // Nothing is left to do if standard error is closed.
        let _ = writeln!(std::io::stderr(), "{}", visible(fault));
    }
    ExitCode::FAILURE
}

fn faults(config: &Path) -> Vec<String> {
    let (settings, faults) = Settings::examine(config);
    let mut faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let Some(settings) = settings else { return faults };
    let (credentials, unread) = credentials::examine(&settings);
    if unread.is_empty() {
        faults.extend(credentials.unknown_callers());
    }
    faults.extend(unread);
    faults.extend(settings.tls.as_ref().and_then(|tls| Tls::new(tls).err()));
    faults.extend(pair::peer(&settings.ha).err().map(|fault| format!("[ha]: {fault}")));
    if let Some(watchdog) = sd_notify::watchdog_enabled() {
        faults.extend(settings.charon.check_watchdog(watchdog).err());
    }
    faults.iter().flat_map(|fault| fault.lines()).map(str::to_owned).collect()
}
