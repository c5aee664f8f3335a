//! `cygnet support`: one archive of all that helps somebody else to see what is wrong, without keys. What cannot be had is
//! named with the reason.

mod archive;
mod host;
mod part;
mod secrets;
mod views;

use super::{
    client::Client,
    doctor,
    stop::{Result, Stop, note, print},
};
use archive::Archive;
use cygnet::{
    settings::{Fault, Settings},
    visible::visible,
};
use jiff::Timestamp;
use part::Part;
use secrets::Secrets;
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// `cygnet support`.
pub fn run(config: &Path, file: Option<&Path>) -> Result<()> {
    let (made, host) = (Timestamp::now(), host::name());
    let path = file.map_or_else(|| default_path(&host, made), ToOwned::to_owned);
    // Before the work: a file that is there already is no reason to wait.
    let mut archive = Archive::create(&path, made)?;
    let outcome = fill(config, &mut archive, &host, made).and_then(|missing| archive.finish().map(|()| missing));
    let missing = outcome.inspect_err(|_| archive.discard())?;
    let count = archive.len();
    print(&format!(
        "wrote {}: {count} files, and {missing} that could not be had (index.txt says why)\n",
        visible(&path.to_string_lossy())
    ))?;
    if missing > 0 && !nix::unistd::geteuid().is_root() {
        note("root sees more: run it with sudo");
    }
    note("it has addresses, names and identities, and no keys: look through it before you give it away");
    Ok(())
}

/// Where the archive goes unless the caller says so.
fn default_path(host: &str, made: Timestamp) -> PathBuf {
    let host: String = host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    format!("cygnet-support-{host}-{}.tar.gz", made.strftime("%Y%m%dT%H%M%SZ")).into()
}

/// Puts all parts into the archive; how many are missing.
fn fill(config: &Path, archive: &mut Archive, host: &str, made: Timestamp) -> Result<usize> {
    let (settings, faults) = Settings::examine(config);
    let secrets = Secrets::of(settings.as_ref(), &faults);
    let (mut missing, mut removed, mut lines) = (0, 0, String::new());
    for part in parts(config, settings.as_ref(), &faults)? {
        let (text, found) = secrets.removed_from(part.text.as_ref().unwrap_or_else(|why| why));
        removed += found;
        let outcome = if part.text.is_ok() {
            archive.add(&part.name, text.as_bytes())?;
            format!("{:>9} bytes", text.len())
        } else {
            missing += 1;
            format!("missing: {}", visible(&text))
        };
        let _ = writeln!(lines, "{:<44} {outcome}", part.name);
    }
    let (version, user) = (env!("CARGO_PKG_VERSION"), nix::unistd::geteuid());
    let looked = format!("{}, and removed {removed} times", secrets.summary());
    let index = format!("cygnet {version} on {host}, {made}, as user {user}\n{looked}\n\n{lines}\n{NOT_TAKEN}");
    archive.add("index.txt", index.as_bytes())?;
    Ok(missing)
}

/// All parts but the index.
fn parts(config: &Path, settings: Option<&Settings>, faults: &[Fault]) -> Result<Vec<Part>> {
    let unusable = || Stop::failed("the settings are faulty: settings-faults.txt has the places");
    let client = settings.cloned().ok_or_else(unusable).and_then(Client::of);
    let mut parts = vec![Part::json("settings.json", Ok(secrets::settings(config, !faults.is_empty())))];
    if !faults.is_empty() {
        // The text of a fault shows the line.
        let place = |fault: &Fault| {
            format!("{}:{}\n", fault.file, fault.line.map_or_else(String::new, |line| line.to_string()))
        };
        parts.push(Part::new("settings-faults.txt", Ok(faults.iter().map(place).collect())));
    }
    let client = client.as_ref().map_err(|stop| stop.why().to_string());
    let report = if faults.is_empty() {
        doctor::report(config).map_err(|error| format!("{error:#}"))
    } else {
        client.clone().and_then(|client| client.get("/cygnet/v1/doctor").map_err(|stop| stop.why().to_string()))
    };
    parts.push(Part::json("doctor.json", report));
    parts.extend(views::parts(client.as_ref().map(|client| *client).map_err(String::as_str)));
    let vici = settings.map_or_else(|| Path::new("/var/run/charon.vici"), |settings| &settings.charon.vici);
    parts.extend(host::parts(vici)?);
    Ok(parts)
}

/// What the index says of what is never in an archive.
const NOT_TAKEN: &str = "\
never taken, because they hold keys: records and results of jobs in state_dir, the connections' files of swanctl, keys
below swanctl's directory, tokens, accounts, TLS keys, strongswan.conf; comments of settings files
";

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::failed(format!("the archive cannot be written: {error}"))
    }
}
