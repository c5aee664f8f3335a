//! `cygnet passwd`, `cygnet accesskey` and `cygnet token`: write the accounts file and the tokens file.

use super::{
    args::{AccountArgs, RoleWord, TokenArgs},
    input,
    values::random_hex,
};
use anyhow::{Context, Result, anyhow, bail};
use cygnet::{
    disk::{
        self,
        open::{Kind, read_to_string},
    },
    http::{Accounts, Role, Token, Tokens, credential},
    rights,
    settings::Settings,
    visible::visible,
};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha512};
use std::{
    fs::DirBuilder,
    io::{ErrorKind, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitCode,
};
use zeroize::Zeroizing;

/// What has the agent read the file again.
const RESTART: &str = "`systemctl restart cygnet` takes it over without touching tunnels";

/// Sets the password of an account.
pub fn passwd(config: &Path, args: &AccountArgs) -> ExitCode {
    report(|| {
        let (name, password) = (&args.account, input::password()?);
        // Clients send the SHA-512 of the password in lower-case hexadecimal digits.
        let digest = Zeroizing::new(HEXLOWER.encode(&Sha512::digest(password.as_bytes())));
        edit(config, args, |accounts| accounts.set_password(name, &digest))?;
        Ok(Zeroizing::new(format!("the password of {name} is set; {RESTART}\n")))
    })
}

/// Makes an access key for an account and prints it, once.
pub fn access_key(config: &Path, args: &AccountArgs) -> ExitCode {
    report(|| {
        let key = edit(config, args, |accounts| accounts.add_key(&args.account))?;
        Ok(Zeroizing::new(format!("id {}\nsecret {}\n", key.id, key.secret.as_str())))
    })
}

/// Adds a token to the tokens file and prints it, once, and alone on standard output.
pub fn token(config: &Path, args: &TokenArgs) -> ExitCode {
    report(|| {
        let path = file(config, "tokens_file", "tokens file; `cygnet init` makes one", |auth| auth.tokens_file)?;
        let token = random_hex().ok().context("the kernel has no random bytes")?;
        add(&path, &args.name, token.as_str(), args.role.into())?;
        // Nothing is left to do if standard error is closed.
        let _ = writeln!(std::io::stderr(), "the token of {} is in {}; {RESTART}", args.name, path.display());
        Ok(Zeroizing::new(format!("{}\n", token.as_str())))
    })
}

fn report(work: impl FnOnce() -> Result<Zeroizing<String>>) -> ExitCode {
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

/// Changes the accounts file, and the role of the account if one is asked for.
fn edit<T>(config: &Path, args: &AccountArgs, change: impl FnOnce(&mut Accounts) -> Result<T, String>) -> Result<T> {
    let path = file(config, "accounts_file", "accounts file", |auth| auth.accounts_file)?;
    let exists = path.symlink_metadata().is_ok();
    let mut accounts = if exists { Accounts::read(&path).map_err(|e| anyhow!(e))? } else { Accounts::default() };
    let result = change(&mut accounts).map_err(|e| anyhow!(e))?;
    if let Some(role) = args.role {
        accounts.set_role(&args.account, role.into()).map_err(|e| anyhow!(e))?;
    }
    write(&path, &accounts.to_text())?;
    Ok(result)
}

/// Adds a line to the tokens file. What else stands in it stays as it is.
fn add(path: &Path, name: &str, token: &str, role: Role) -> Result<()> {
    let line = Zeroizing::new(match role {
        // The default is not written: an earlier version can read the file.
        Role::Write => format!("{name}:{token}\n"),
        Role::Read => format!("{name}:{token}:{}\n", role.name()),
    });
    let is_plain = name.chars().all(|c| c != ':' && !c.is_control()) && !name.starts_with('#') && name.trim() == name;
    if !is_plain || Token::parse(line.trim_end()).is_err() {
        bail!("{name:?} is no name of a token: it has no colon, begins with no #, and is on one line");
    }
    let mut text = match read_to_string(path, Kind::Secret) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Zeroizing::default(),
        Err(error) => bail!("cannot read {}: {}", path.display(), rights::explained(&error)),
    };
    if !text.is_empty() && Tokens::read(path).map_err(|e| anyhow!(e))?.has_name(name) {
        bail!("{} has a token of {name}: choose another name, or remove its line first", path.display());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&line);
    write(path, &text)
}

/// Writes a file of credentials, which keeps its mode and owner; a new one is for its owner alone.
fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|e| anyhow!("cannot make {}: {}", directory.display(), rights::explained(&e)))?;
    }
    let before = path.symlink_metadata().ok();
    let mut file = disk::stage(path, text.as_bytes(), 0o600)?;
    if let Some(before) = before {
        file.belong_as(&before)?;
    }
    Ok(file.commit()?)
}

/// Where a file of credentials is, by the settings.
fn file(
    config: &Path,
    key: &str,
    what: &str,
    path: impl FnOnce(cygnet::settings::Auth) -> Option<PathBuf>,
) -> Result<PathBuf> {
    let settings = Settings::read(config).map_err(|e| anyhow!(e))?;
    let path = path(settings.auth)
        .with_context(|| format!("{} has no auth.{key}: set it to the path of the {what}", config.display()))?;
    credential(&path).map_err(|e| anyhow!(e))
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Read => Self::Read,
            RoleWord::Write => Self::Write,
        }
    }
}
