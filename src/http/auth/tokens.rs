//! Static tokens: one file, one line each.

use super::role::Role;
use crate::{
    disk::open::{Kind, read_to_string},
    rights,
};
use sha2::{Digest, Sha256};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// Two blocks of SHA-256, in bytes.
const ZEROS: usize = 128;

/// The shortest token, in bytes.
const SHORTEST: usize = 16;

/// The longest word behind a token that is taken for a role that there is not, in bytes.
const WORD: usize = 15;

/// The static tokens.
#[derive(Default)]
pub struct Tokens(Vec<Token>);

/// A static token, kept as its digest.
#[derive(Clone)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// What it may be used for.
    pub role: Role,
    digest: [u8; 32],
}

impl Tokens {
    /// Reads the tokens file: lines of `name:token` or `name:token:role`, blank lines and `#` comments.
    ///
    /// # Errors
    /// A text that names the file, and each line that is wrong, without the token.
    pub fn read(path: &Path) -> Result<Self, String> {
        let place = path.display();
        let text = read_to_string(path, Kind::Secret).map_err(|e| unreadable("the tokens file ", path, &e))?;
        let text = Zeroizing::new(text);
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
            tracing::warn!(path = %place, "every user of this host can read or write {place}, the tokens file: chmod 0640 it");
        }
        let (mut tokens, mut wrong) = (Vec::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match Token::parse(line).and_then(|token| token.beside(&tokens)) {
                Ok(token) => tokens.push(token),
                Err(fault) => wrong.push(format!("{place}:{0}: line {0} {fault}", index + 1)),
            }
        }
        if wrong.is_empty() { Ok(Self(tokens)) } else { Err(wrong.join("\n")) }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `token`, if it is one of them.
    #[must_use]
    pub fn find(&self, token: &str) -> Option<&Token> {
        let digest = digest(token);
        // All are compared, in full: time tells neither which one was near nor how near.
        let matches: Vec<Choice> = self.0.iter().map(|known| digest.ct_eq(&known.digest)).collect();
        self.0.iter().zip(matches).rfind(|(_, matches)| bool::from(*matches)).map(|(token, _)| token)
    }

    /// Whether a token has the name `name`.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        self.0.iter().any(|token| token.name == name)
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|token| token.name.as_str())
    }

    /// Whether a token with this digest has the name `name`.
    #[must_use]
    pub fn has(&self, name: &str, digest: &[u8; 32]) -> bool {
        self.0.iter().any(|token| token.name == name && bool::from(digest.ct_eq(&token.digest)))
    }
}

impl Token {
    /// A line of the tokens file. The token may have colons in it.
    ///
    /// # Errors
    /// What is wrong with the line, without the token.
    pub fn parse(line: &str) -> Result<Self, String> {
        let (name, rest) = line.split_once(':').unwrap_or_default();
        let (name, rest) = (name.trim(), rest.trim());
        if name.is_empty() || rest.is_empty() {
            return Err("is not name:token or name:token:role".into());
        }
        let (token, role) = with_role(rest).map_err(|fault| format!("{fault}, behind the token of {name}"))?;
        if token.len() < SHORTEST {
            return Err(format!(
                "has a token of {name} with fewer than {SHORTEST} bytes, which can be guessed: make a longer one, such as \
                 `openssl rand -hex 32` prints"
            ));
        }
        Ok(Self { name: name.to_owned(), role, digest: digest(token) })
    }

    /// The same, if none of `others` is the same token with another role.
    fn beside(self, others: &[Self]) -> Result<Self, String> {
        let is_other = |other: &&Self| other.role != self.role && bool::from(self.digest.ct_eq(&other.digest));
        match others.iter().find(is_other) {
            Some(other) => Err(format!(
                "gives {} the token that {} has with the role {}: make another token for one of them",
                self.name,
                other.name,
                other.role.name()
            )),
            None => Ok(self),
        }
    }
}

/// The token and its role in what stands behind the name. A word behind a token that is long enough was meant for a role.
fn with_role(text: &str) -> Result<(&str, Role), String> {
    let Some((token, word)) = text.rsplit_once(':').map(|(token, word)| (token.trim_end(), word.trim_start())) else {
        return Ok((text, Role::default()));
    };
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b == b'-' || b == b'_';
    let is_word = word.len() <= WORD && word.bytes().all(is_letter) && token.len() >= SHORTEST;
    match Role::named(word) {
        Some(_) if with_role(token)?.0 != token => Err("has two roles".into()),
        Some(role) => Ok((token, role)),
        None if is_word => Err(format!("has the role \"{word}\": the roles are read and write")),
        None => Ok((text, Role::default())),
    }
}

/// Why a file of the settings cannot be read, and how the agent may read it.
pub(in crate::http) fn unreadable(what: &str, path: &Path, error: &std::io::Error) -> String {
    let place = path.display();
    let hint = match error.kind() {
        // An ordinary user's lack of rights is no fault of the file.
        std::io::ErrorKind::PermissionDenied if !rights::is_ordinary() => format!(
            ": let the agent read it (`chown root:cygnet {place}; chmod 0640 {place}`), or move it to \
             /etc/cygnet/credentials"
        ),
        _ => String::new(),
    };
    format!("cannot read {what}{place}: {}{hint}", rights::explained(error))
}

/// The SHA-256 of a token or a session, with zeros behind it: the hash leaves the last blocks on the stack.
pub(super) fn digest(secret: &str) -> [u8; 32] {
    let mut bytes = Zeroizing::new(Vec::with_capacity(secret.len() + ZEROS));
    bytes.extend_from_slice(secret.as_bytes());
    bytes.resize(secret.len() + ZEROS, 0);
    Sha256::digest(bytes.as_slice()).into()
}

/// Where a credential is read: at its path; without a slash, as the credential of this name that systemd hands over. A
/// file of the directory `CYGNET_CREDENTIALS` was handed over too, by the unit, and is read there: the agent itself may
/// not read that directory.
///
/// # Errors
/// When it is a credential's name and there are no credentials, or systemd has not handed the file over.
pub fn credential(path: &Path) -> Result<PathBuf, String> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    place(path, variable("CREDENTIALS_DIRECTORY").as_deref(), variable("CYGNET_CREDENTIALS").as_deref())
}

/// Whether what the path names comes from systemd, and so stays as it was when the agent was started.
#[must_use]
pub fn is_handed_over(path: &Path) -> bool {
    credential(path).is_ok_and(|place| place != path)
}

fn place(path: &Path, handed: Option<&Path>, source: Option<&Path>) -> Result<PathBuf, String> {
    let name = path.file_name().unwrap_or_default();
    if path.components().count() > 1 || path.has_root() {
        let (Some(handed), true) = (handed, source.is_some() && path.parent() == source) else {
            return Ok(path.into());
        };
        // systemd names the files of a directory so: LoadCredential=cygnet:DIRECTORY.
        let mut file = std::ffi::OsString::from("cygnet_");
        file.push(name);
        let place = handed.join(file);
        return if place.exists() { Ok(place) } else { Err(not_handed(path)) };
    }
    match handed {
        Some(directory) => Ok(directory.join(path)),
        None => Err(format!(
            "\"{}\" names a credential, and CREDENTIALS_DIRECTORY is not set: give a path with a slash",
            path.display()
        )),
    }
}

fn not_handed(path: &Path) -> String {
    format!(
        "{} was not there when the agent was started, or it is empty: make it, then `systemctl restart cygnet`; \
         systemd hands credentials over at the start alone",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_read_where_systemd_put_it() {
        let handed = tempfile::tempdir().expect("a directory");
        let there = || Some(handed.path());
        let source = || Some(Path::new("/etc/cygnet/credentials"));
        std::fs::write(handed.path().join("cygnet_tokens"), "").expect("written");
        let tokens = Path::new("/etc/cygnet/credentials/tokens");
        assert_eq!(place(tokens, there(), source()), Ok(handed.path().join("cygnet_tokens")));
        assert!(place(Path::new("/etc/cygnet/credentials/key"), there(), source()).expect_err("none").contains("key"));
        assert_eq!(place(tokens, None, source()), Ok(tokens.into()), "the command line reads it as root");
        assert_eq!(place(tokens, there(), None), Ok(tokens.into()));
        assert_eq!(place(Path::new("/other/tokens"), there(), source()), Ok("/other/tokens".into()));
        assert_eq!(place(Path::new("tokens"), there(), source()), Ok(handed.path().join("tokens")));
        assert!(place(Path::new("tokens"), None, None).is_err());
    }
}
