//! `cygnet passwd` and `cygnet accesskey`: write the accounts file.

use super::input;
use anyhow::{Context, Result, anyhow};
use cygnet::{disk, http::Accounts, settings::Settings, visible::visible};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha512};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};
use zeroize::Zeroizing;

/// Sets the password of an account.
pub fn passwd(config: &Path, name: &str) -> ExitCode {
    report(|| {
        let password = input::password()?;
        // Clients send the SHA-512 of the password in lower-case hexadecimal digits.
        let digest = Zeroizing::new(HEXLOWER.encode(&Sha512::digest(password.as_bytes())));
        edit(config, |accounts| accounts.set_password(name, &digest).map_err(|e| anyhow!(e)))?;
        Ok(format!(
            "the password of {name} is set; `systemctl restart cygnet` takes it over without touching tunnels\n"
        ))
    })
}

/// Makes an access key for an account and prints it, once.
pub fn access_key(config: &Path, name: &str) -> ExitCode {
    report(|| {
        let key = edit(config, |accounts| accounts.add_key(name).map_err(|e| anyhow!(e)))?;
        Ok(format!("id {}\nsecret {}\n", key.id, key.secret.as_str()))
    })
}

fn report(work: impl FnOnce() -> Result<String>) -> ExitCode {
    match work() {
        Ok(text) => {
            let written = std::io::stdout().write_all(text.as_bytes());
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            // Nothing is left to do if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{}", visible(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Changes the accounts file, which keeps its mode and owner; a new one is for its owner alone.
fn edit<T>(config: &Path, change: impl FnOnce(&mut Accounts) -> Result<T>) -> Result<T> {
    let path = file(config)?;
    let before = path.symlink_metadata().ok();
    let mut accounts =
        if before.is_some() { Accounts::read(&path).map_err(|e| anyhow!(e))? } else { Accounts::default() };
    let result = change(&mut accounts)?;
    let mut file = disk::stage(&path, accounts.to_text().as_bytes(), 0o600)?;
    if let Some(before) = before {
        file.belong_as(&before)?;
    }
    file.commit()?;
    Ok(result)
}

fn file(config: &Path) -> Result<PathBuf> {
    let settings = Settings::read(config).map_err(|e| anyhow!(e))?;
    let path = settings.auth.accounts_file.with_context(|| {
        format!("{} has no auth.accounts_file: set it to the path of the accounts file", config.display())
    })?;
    cygnet::http::credential(&path).map_err(|e| anyhow!(e))
}
