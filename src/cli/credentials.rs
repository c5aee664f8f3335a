//! The tokens and accounts that the settings name.

use anyhow::{Result, bail};
use cygnet::{
    http::{self, Accounts, Credentials, Tokens},
    settings::Settings,
};

/// The tokens and accounts, and what is wrong with their files.
pub fn examine(settings: &Settings) -> (Credentials, Vec<String>) {
    let (auth, mut faults) = (&settings.auth, Vec::new());
    let mut note = |fault: String| faults.push(fault);
    let tokens = auth.tokens_file.as_ref().map(|path| http::credential(path).and_then(|path| Tokens::read(&path)));
    let tokens = tokens.transpose().map_err(&mut note).ok().flatten().unwrap_or_default();
    let accounts =
        auth.accounts_file.as_ref().map(|path| http::credential(path).and_then(|path| Accounts::read(&path)));
    let accounts = accounts.transpose().map_err(&mut note).ok().flatten().unwrap_or_default();
    (Credentials { tokens, accounts, callers: auth.callers.clone() }, faults)
}

/// The same, if nothing is wrong.
pub fn read(settings: &Settings) -> Result<Credentials> {
    let (credentials, faults) = examine(settings);
    if !faults.is_empty() {
        bail!(faults.join("\n"));
    }
    // Whoever takes a token out of its file must not be refused because the settings still name it.
    for unknown in credentials.unknown_callers() {
        tracing::warn!("{unknown}");
    }
    if settings.listen.is_some() && credentials.tokens.is_empty() && credentials.accounts.is_empty() {
        tracing::warn!(
            "no token and no account is configured: every call over TCP is refused; set auth.tokens_file or auth.accounts_file"
        );
    }
    Ok(credentials)
}
