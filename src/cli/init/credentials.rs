//! What lets a management plane in: a token, and a TLS certificate. Files that are there are kept.

use super::wanted::{Below, Wanted};
use crate::cli::{
    stop::{Result, Stop, print},
    values::random_hex,
};
use cygnet::{disk, rights, settings::Settings};
use data_encoding::HEXLOWER;
use jiff::{ToSpan, Zoned};
use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};
use sha2::{Digest, Sha256};
use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path};
use zeroize::Zeroizing;

/// The directory of files that systemd passes to the agent at its start. Only root reads it.
const DIRECTORY: &str = "/etc/cygnet/credentials";
/// How long a certificate is valid, in years.
const YEARS: i64 = 10;

/// What the settings are to name, and what was made and is shown once.
pub struct Credentials {
    /// The tokens file, if the settings name none.
    pub tokens: Option<String>,
    /// The certificate and its key, if the settings name none and TLS is wanted.
    pub tls: Option<(String, String)>,
    token: Option<Zeroizing<String>>,
    fingerprint: Option<String>,
}

impl Credentials {
    /// Makes what is missing.
    pub fn make(before: &Settings, wanted: &Wanted, below: Below<'_>) -> Result<Self> {
        let mut made = Self { tokens: None, tls: None, token: None, fingerprint: None };
        let (named, default) = (before.auth.tokens_file.as_deref(), format!("{DIRECTORY}/tokens"));
        if named.is_some() || before.auth.accounts_file.is_none() {
            made.token = token(&below(named.unwrap_or(Path::new(&default))))?;
            made.tokens = named.is_none().then_some(default);
        }
        if wanted.tls {
            let (cert, key) = (format!("{DIRECTORY}/tls.crt"), format!("{DIRECTORY}/tls.key"));
            made.fingerprint = certificate(&below(Path::new(&cert)), &below(Path::new(&key)), before, wanted)?;
            made.tls = Some((cert, key));
        }
        Ok(made)
    }

    /// Shows what nobody can read later.
    pub fn print(&self) -> Result<()> {
        if let Some(token) = &self.token {
            print(&format!("token for a management plane, shown once: {}\n", token.as_str()))?;
        }
        if let Some(fingerprint) = &self.fingerprint {
            print(&format!("SHA-256 of the certificate: {fingerprint}\n"))?;
        }
        Ok(())
    }
}

/// Writes a file with a new token; none if there is a file already.
fn token(path: &Path) -> Result<Option<Zeroizing<String>>> {
    if path.symlink_metadata().is_ok() {
        return Ok(None);
    }
    let token = random_hex()?;
    write(path, Zeroizing::new(format!("plane:{}\n", token.as_str())).as_bytes())?;
    Ok(Some(token))
}

/// Writes a self-signed certificate and its key; its fingerprint. None if there are files already.
fn certificate(cert: &Path, key: &Path, before: &Settings, wanted: &Wanted) -> Result<Option<String>> {
    if cert.symlink_metadata().is_ok() || key.symlink_metadata().is_ok() {
        return Ok(None);
    }
    let failed = |e: rcgen::Error| Stop::failed(format!("the certificate cannot be made: {e}"));
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.filter(|name| !name.is_empty()).unwrap_or_else(|| "cygnet".into());
    let mut params = CertificateParams::new(vec![host.clone(), "localhost".into()]).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, host);
    let listen = wanted.listen.or(before.listen).map(|listen| listen.ip()).filter(|ip| !ip.is_unspecified());
    let vips = before.gateway.vips.iter().map(|vip| vip.address).chain(wanted.vips.iter().map(|vip| vip.value));
    let mut addresses: Vec<_> = vips.chain(listen).collect();
    addresses.sort_unstable();
    addresses.dedup();
    params.subject_alt_names.extend(addresses.into_iter().map(SanType::IpAddress));
    // The clocks of the callers may be behind.
    let (from, to) = (Zoned::now().saturating_sub(1.day()), Zoned::now().saturating_add(YEARS.years()));
    let time = |at: &Zoned| date_time_ymd(at.year().into(), at.month().unsigned_abs(), at.day().unsigned_abs());
    (params.not_before, params.not_after) = (time(&from), time(&to));
    let pair = KeyPair::generate().map_err(failed)?;
    let made = params.self_signed(&pair).map_err(failed)?;
    write(key, Zeroizing::new(pair.serialize_pem()).as_bytes())?;
    write(cert, made.pem().as_bytes())?;
    Ok(Some(HEXLOWER.encode(&Sha256::digest(made.der()))))
}

/// Writes a file for root alone, in a directory for root alone.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| {
        Stop::failed(format!("cannot write {}: {e}", path.display())).hint("run it as root")
    };
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|e| failed(&rights::explained(&e)))?;
    disk::replace(path, bytes, 0o600).map_err(|e| failed(&e))
}
