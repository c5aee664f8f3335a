//! Static tokens: one file, one line each.

use sha2::{Digest, Sha256};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

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

    /// Whether `token` is one of them.
    #[must_use]
    pub fn know(&self, token: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(token).into();
        // All are compared, in full: time tells neither which one was near nor how near.
        self.0.iter().fold(Choice::from(0), |known, (_, other)| known | digest.ct_eq(other)).into()
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
