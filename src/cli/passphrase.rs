//! The passphrase of a backup: from a file, the environment, a credential of systemd, or typed; never from the command
//! line, which others see.

use super::{
    input,
    stop::{Result, Stop, note},
};
use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The variable that may have it.
const VARIABLE: &str = "CYGNET_PASSPHRASE";
/// The name of the credential that may be it (`LoadCredential=`).
const CREDENTIAL: &str = "backup-passphrase";
/// The longest file with one, in bytes.
const LONGEST: u64 = 4096;
/// What is shorter, in characters, can be guessed.
const SHORT: usize = 12;

/// The passphrase for a file that is sealed now.
pub fn for_sealing(file: Option<&Path>) -> Result<Zeroizing<String>> {
    let passphrase = match given(file)? {
        Some(passphrase) => passphrase,
        None => input::new_passphrase().map_err(|e| Stop::failed(format!("{e:#}")))?,
    };
    if passphrase.chars().count() < SHORT {
        note("the passphrase is short: whoever has the backup can try many");
    }
    Ok(passphrase)
}

/// The passphrase of the sealed file `sealed`.
pub fn for_opening(file: Option<&Path>, sealed: &Path) -> Result<Zeroizing<String>> {
    match given(file)? {
        Some(passphrase) => Ok(passphrase),
        None => input::passphrase(sealed).map_err(|e| Stop::failed(format!("{e:#}"))),
    }
}

/// The one that stands somewhere; `None` if it can be asked for.
fn given(file: Option<&Path>) -> Result<Option<Zeroizing<String>>> {
    let credential = || {
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)?;
        Some(directory.join(CREDENTIAL)).filter(|path| path.exists())
    };
    let passphrase = match (file, std::env::var(VARIABLE)) {
        (Some(file), _) => Some(in_file(file)?),
        (None, Ok(text)) => Some(Zeroizing::new(text)),
        (None, Err(std::env::VarError::NotUnicode(_))) => return Err(Stop::failed(format!("{VARIABLE} is not UTF-8"))),
        (None, Err(std::env::VarError::NotPresent)) => credential().map(|path| in_file(&path)).transpose()?,
    };
    match passphrase {
        Some(text) if text.is_empty() => Err(Stop::failed("the passphrase is empty")),
        None if !io::stdin().is_terminal() => Err(Stop::usage("a passphrase is needed, and nobody can be asked").hint(
            format!("give --passphrase-file FILE, {VARIABLE} in the environment, or the credential {CREDENTIAL}"),
        )),
        passphrase => Ok(passphrase),
    }
}

/// The first line of a file.
fn in_file(path: &Path) -> Result<Zeroizing<String>> {
    let text = input::text(path, LONGEST);
    let text = text.map_err(|e| Stop::failed(format!("cannot read the passphrase from {}: {e}", path.display())))?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}
