//! Who may call: over TCP whoever has a token, over the Unix socket root and the group `cygnet`.

use super::error::Failure;
use crate::error::Error;
use axum::http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// Where a connection comes from; the listener says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Over TCP.
    Network,
    /// Over the Unix socket, from a process whose user was checked.
    Local,
}

/// The static tokens, kept as digests.
#[derive(Default)]
pub struct Tokens(Vec<(String, [u8; 32])>);

impl Tokens {
    /// Reads the tokens file: `name:token` lines, blank lines and `#` comments.
    ///
    /// # Errors
    /// A text that names the file and line, without the token.
    pub fn read(path: &Path) -> Result<Self, String> {
        let place = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read the tokens file {place}: {e}"))?;
        let text = Zeroizing::new(text);
        if std::fs::metadata(path).is_ok_and(|m| m.mode() & 0o007 != 0) {
            tracing::warn!(path = %place, "every user of this machine can read or write the tokens file: chmod 0640 it");
        }
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once(':') {
                Some((name, token)) if !name.trim().is_empty() && !token.trim().is_empty() => {
                    tokens.push((name.trim().to_owned(), Sha256::digest(token.trim()).into()));
                }
                _ => return Err(format!("{place}: line {} is not name:token", index + 1)),
            }
        }
        Ok(Self(tokens))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the `Authorization` header (contract 1.10).
    ///
    /// # Errors
    /// 400 for a missing header or another scheme, `ID.1001` for an unknown token.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let header =
            headers.get(AUTHORIZATION).ok_or_else(|| Failure::bad_request("missing header 'Authorization'"))?;
        let value = header.to_str().unwrap_or_default().trim();
        let token =
            value.strip_prefix("OAuth").ok_or_else(|| Failure::bad_request("Authorization type must be 'OAuth'"))?;
        let digest: [u8; 32] = Sha256::digest(token.trim()).into();
        // All are compared, in full: time tells neither which one was near nor how near.
        let known = self.0.iter().fold(Choice::from(0), |known, (_, other)| known | digest.ct_eq(other));
        if known.into() { Ok(()) } else { Err(Error::Session.into()) }
    }
}

/// Where the tokens are: a path, or without a slash the name of a credential that systemd hands over.
///
/// # Errors
/// When it is a credential's name and there are no credentials.
pub fn credential(path: &Path) -> Result<PathBuf, String> {
    if path.components().count() > 1 || path.has_root() {
        return Ok(path.into());
    }
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(directory) => Ok(Path::new(&directory).join(path)),
        None => Err(format!(
            "\"{}\" names a credential, and CREDENTIALS_DIRECTORY is not set: give a path with a slash",
            path.display()
        )),
    }
}
