//! Accounts and their access keys: one TOML file, written by `cygnet passwd` and `cygnet accesskey`.
//!
//! A password is kept as Argon2id over the SHA-512 that clients send of it (contract 1.10). The secret
//! of an access key is kept as it is: it signs requests, and cannot be checked from a digest.

use super::{password::Arena, role::Role, tokens::unreadable};
use crate::disk::open::{Kind, read_to_string};
use argon2::{
    Argon2, PasswordHash, PasswordHasher,
    password_hash::{SaltString, rand_core::OsRng},
};
use serde::Deserialize;
use std::{fmt::Write, path::Path};
use zeroize::Zeroizing;

/// Access keys that an account may have.
const MAX_KEYS: usize = 2;

/// The file's contents.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    #[serde(default)]
    account: Vec<Account>,
    #[serde(default)]
    access_key: Vec<AccessKey>,
}

/// Who may log in with a password, or owns access keys.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its uuid, as sessions show it.
    pub uuid: String,
    /// The password's Argon2id string; without one nobody can log in.
    #[serde(default)]
    password: Option<String>,
    /// What its sessions and access keys may do.
    #[serde(default)]
    pub role: Role,
}

/// A pair of id and secret that signs each request.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// 20 letters and digits.
    pub id: String,
    /// Whose it is.
    pub account: String,
    /// 40 letters and digits.
    pub secret: Zeroizing<String>,
}

impl Accounts {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A text that names the file and the place in it, without any secret.
    pub fn read(path: &Path) -> Result<Self, String> {
        let place = path.display();
        let text = read_to_string(path, Kind::Secret).map_err(|e| unreadable("the accounts file ", path, &e))?;
        let text = Zeroizing::new(text);
        let accounts: Self = toml::from_str(&text).map_err(|e| format!("{place}: {}", e.message()))?;
        let unhashed =
            |account: &&Account| account.password.as_ref().is_some_and(|hash| PasswordHash::new(hash).is_err());
        let fault = |account: &Account| {
            format!("{place}: the password of {} is not as `cygnet passwd` writes it", account.name)
        };
        let faults: Vec<_> = accounts.account.iter().filter(unhashed).map(fault).collect();
        if faults.is_empty() { Ok(accounts) } else { Err(faults.join("\n")) }
    }

    /// The names of all accounts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.account.iter().map(|account| account.name.as_str())
    }

    /// The account `name`.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.account.iter().find(|account| account.name == name)
    }

    /// The account `name`, if `digest` is the SHA-512 of its password. For a name that is none, another account's
    /// password is looked at, and counts for nothing: so the time that it takes tells nobody which accounts there are.
    pub fn with_password(&self, name: &str, digest: &str, arena: &mut Arena) -> Option<&Account> {
        let account = self.account(name).filter(|account| account.password.is_some());
        let looked_at = account.or_else(|| self.account.iter().find(|account| account.password.is_some()));
        let is_right = arena.is_right(looked_at?.password.as_ref()?, digest);
        account.filter(|_| is_right)
    }

    /// Whether the account `name` is here the one that it is in `other`: its password may be another one.
    #[must_use]
    pub fn has_same(&self, name: &str, other: &Self) -> bool {
        let own = self.account(name).map(|account| &account.uuid);
        own.is_some() && own == other.account(name).map(|account| &account.uuid)
    }

    /// The access key `id` and its account. It goes with its account, as sessions do, though its own lines may be left
    /// in the file.
    #[must_use]
    pub fn key(&self, id: &str) -> Option<(&AccessKey, &Account)> {
        let key = self.access_key.iter().find(|key| key.id == id)?;
        Some((key, self.account(&key.account)?))
    }

    /// Whether there is neither account nor key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.account.is_empty() && self.access_key.is_empty()
    }

    /// Gives the account `name`, which is made if there is none, the password whose SHA-512 is `digest`.
    ///
    /// # Errors
    /// When the name is none, or no random salt can be had.
    pub fn set_password(&mut self, name: &str, digest: &str) -> Result<(), String> {
        let salt = SaltString::generate(&mut OsRng);
        let hash = Argon2::default().hash_password(digest.as_bytes(), &salt).map_err(|e| e.to_string())?.to_string();
        self.ensure(name)?.password = Some(hash);
        Ok(())
    }

    /// Makes an access key for the account `name`, which is made if there is none.
    ///
    /// # Errors
    /// When the name is none, the account has as many keys as it may, or the kernel has no random bytes.
    pub fn add_key(&mut self, name: &str) -> Result<AccessKey, String> {
        if self.access_key.iter().filter(|key| key.account == name).count() >= MAX_KEYS {
            return Err(format!("{name} has {MAX_KEYS} access keys already: remove one from the accounts file first"));
        }
        self.ensure(name)?;
        let key = AccessKey { id: random(20)?, account: name.into(), secret: Zeroizing::new(random(40)?) };
        self.access_key.push(key.clone());
        Ok(key)
    }

    /// Gives the account `name`, which is made if there is none, this role.
    ///
    /// # Errors
    /// When the name is none.
    pub fn set_role(&mut self, name: &str, role: Role) -> Result<(), String> {
        self.ensure(name)?.role = role;
        Ok(())
    }

    fn ensure(&mut self, name: &str) -> Result<&mut Account, String> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
        if name.is_empty() || name.len() > 255 || !name.bytes().all(good) {
            return Err(format!("{name:?} is no name of an account: letters, digits, '-', '_', '.' and '@' only"));
        }
        let index = self.account.iter().position(|account| account.name == name).unwrap_or_else(|| {
            let uuid = uuid::Uuid::new_v4().as_simple().to_string();
            self.account.push(Account { name: name.into(), uuid, password: None, role: Role::default() });
            self.account.len() - 1
        });
        Ok(&mut self.account[index])
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text =
            Zeroizing::new("# Accounts of cygnet. Written by `cygnet passwd` and `cygnet accesskey`.\n".to_owned());
        for Account { name, uuid, password, role } in &self.account {
            let _ = write!(text, "\n[[account]]\nname = \"{name}\"\nuuid = \"{uuid}\"\n");
            if let Some(password) = password {
                let _ = writeln!(text, "password = \"{password}\"");
            }
            // The default is not written: an earlier version can read the file.
            if *role != Role::default() {
                let _ = writeln!(text, "role = \"{}\"", role.name());
            }
        }
        for AccessKey { id, account, secret } in &self.access_key {
            let secret = secret.as_str();
            let _ = write!(text, "\n[[access_key]]\nid = \"{id}\"\naccount = \"{account}\"\nsecret = \"{secret}\"\n");
        }
        text
    }
}

/// So many random letters and digits, each as likely as any other.
fn random(count: usize) -> Result<String, String> {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut bytes = Zeroizing::new([0; 64]);
        getrandom::fill(&mut *bytes).map_err(|e| format!("the kernel has no random bytes: {e}"))?;
        // Bytes above the largest multiple of 62 would make some letters likelier.
        let even = bytes.iter().filter(|b| **b < 248).take(count - text.len());
        text.extend(even.map(|b| char::from(LETTERS[usize::from(b % 62)])));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut accounts = Accounts::default();
        accounts.set_password("admin", "test-only-digest").expect("set");
        let key = accounts.add_key("ops@site").expect("made");
        assert!(key.id.len() == 20 && key.secret.len() == 40);
        let again: Accounts = toml::from_str(&accounts.to_text()).expect("it parses");
        let mut arena = Arena::default();
        let mut is_let_in = |name: &str, digest: &str| again.with_password(name, digest, &mut arena).is_some();
        assert!(is_let_in("admin", "test-only-digest") && !is_let_in("admin", "test-only-other"));
        assert!(!is_let_in("ops@site", "") && !is_let_in("ops@site", "test-only-digest"), "it has no password");
        assert!(!is_let_in("nobody", "test-only-digest"), "another account's password counts for nothing");
        let mut fresh = Arena::default();
        assert!(again.with_password("nobody", "", &mut fresh).is_none() && fresh.was_used(), "it takes as long");
        assert!(again.has_same("admin", &accounts) && !again.has_same("nobody", &accounts));
        assert_eq!(again.key(&key.id).expect("there").0.secret, key.secret);
        assert!(!accounts.to_text().contains("test-only-digest"));
        accounts.set_password("admin", "test-only-other").expect("set");
        assert!(again.has_same("admin", &accounts), "another password makes no other account");
        accounts.account.clear();
        accounts.set_password("admin", "test-only-digest").expect("set");
        assert!(!again.has_same("admin", &accounts), "one that was made anew is another one");
        assert!(accounts.key(&key.id).is_none(), "the account of the key is gone");
        accounts.ensure("ops@site").expect("made");
        assert!(accounts.key(&key.id).is_some());
    }

    #[test]
    fn names_and_numbers_are_bounded() {
        let mut accounts = Accounts::default();
        for name in ["", "a b", "a\"", "é", "a\n[x]"] {
            assert!(accounts.set_password(name, "x").is_err(), "{name:?}");
        }
        assert!(accounts.add_key("a").is_ok() && accounts.add_key("a").is_ok() && accounts.add_key("a").is_err());
    }
}
