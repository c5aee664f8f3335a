//! The proof of identity by certificates: a private key, the gateway's certificate, intermediates, the CAs that the
//! peer's certificate must chain to, and revocation lists. It comes and goes as one bundle of PEM blocks.
//!
//! What can be told without a clock is checked where the value is made, so that a stored bundle stays readable when a
//! certificate of it expires; the rest is [`Certs::check_at`]'s matter. No error quotes the bundle but for names.

mod checks;
mod key;
mod limits;
mod pem;
mod role;
mod signature;
mod useful;
mod x509;

use super::Invalid;
use crate::ipsec::certs::pem::Block;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
pub use key::PrivateKey;
pub use role::Role;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use std::collections::HashMap;
pub use x509::{Certificate, Crl};
use zeroize::Zeroizing;

/// A bundle whose parts fit each other.
#[derive(Debug, Clone)]
pub struct Certs {
    /// The private key.
    pub key: PrivateKey,
    /// The certificate of this gateway.
    pub certificate: Certificate,
    /// CAs between certificates and the roots.
    pub intermediates: Vec<Certificate>,
    /// The roots that the peer's certificate must chain to.
    pub cas: Vec<Certificate>,
    /// What was revoked.
    pub crls: Vec<Crl>,
    /// CAs of no use that it was given with: no part of it, and not stored.
    pub left_out: Vec<Certificate>,
}

impl PartialEq for Certs {
    fn eq(&self, other: &Self) -> bool {
        let Self { key, certificate, intermediates, cas, crls, left_out: _ } = self;
        *key == other.key
            && *certificate == other.certificate
            && *intermediates == other.intermediates
            && *cas == other.cas
            && *crls == other.crls
    }
}

impl Eq for Certs {}

impl Certs {
    /// The longest part as text: a vici value's length is 16 bits.
    pub(super) const MAX_PART: usize = 65_535;
    /// The most blocks: one message to charon must hold the certificates.
    pub(super) const MAX_BLOCKS: usize = 64;
    /// The most signatures that a bundle may ask to be verified. One has about as many as it has parts; more are possible
    /// where many of its CAs have the same name.
    pub const MAX_SIGNATURES: usize = 256;
    /// The longest bundle in bytes: a message to charon must hold it beside the connection.
    pub const MAX: usize = 262_144;

    /// The bundle in `text`, which a caller gives at `now`, without CAs that are of no use.
    ///
    /// # Errors
    /// As [`Certs::new`], when it would take too many signatures to tell, and when charon could not use a part of it.
    pub fn given(text: &str, now: Timestamp) -> Result<Self, Invalid> {
        let (key, certificates, crls) = Self::read(text)?;
        let signatures = signatures(&certificates, &crls);
        if signatures > Self::MAX_SIGNATURES {
            return Err(Invalid::new(format!(
                "has {signatures} pairs of a certificate or X509 CRL and a CA with its issuer's name, \
                 {} are possible: leave out CAs of the same name that are of no use",
                Self::MAX_SIGNATURES
            )));
        }
        Self::check_signatures(&certificates, &crls)?;
        let certs = Self::arranged(key, certificates, crls)?.without_useless(now).fitting()?;
        certs.check_limits()?;
        Ok(certs)
    }

    /// The bundle in `text`, which is stored.
    ///
    /// # Errors
    /// When a part is missing, cannot be read, or does not fit the others.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let (key, certificates, crls) = Self::read(text)?;
        Self::arranged(key, certificates, crls)?.fitting()
    }

    fn fitting(self) -> Result<Self, Invalid> {
        self.check_chains()?;
        self.check_lists()?;
        self.check_lengths()?;
        Ok(self)
    }

    fn read(text: &str) -> Result<(PrivateKey, Vec<Certificate>, Vec<Crl>), Invalid> {
        if text.len() > Self::MAX {
            return Err(Invalid::new(format!("must have at most {} bytes, it has {}", Self::MAX, text.len())));
        }
        let blocks = pem::blocks(text)?;
        if blocks.is_empty() {
            return Err(Invalid::new(
                "has no PEM block: with certs it is a bundle of the private key, the gateway's certificate and the CA",
            ));
        }
        if blocks.len() > Self::MAX_BLOCKS {
            return Err(Invalid::new(format!("has {} blocks, {} are possible", blocks.len(), Self::MAX_BLOCKS)));
        }
        sorted(blocks)
    }

    /// Tells the certificates apart: the gateway's is that of the key, roots are signed by themselves.
    fn arranged(key: PrivateKey, certificates: Vec<Certificate>, crls: Vec<Crl>) -> Result<Self, Invalid> {
        let (mut own, others): (Vec<_>, Vec<_>) =
            certificates.into_iter().partition(|certificate| certificate.public == key.public());
        let certificate = own.pop();
        let Some(certificate) = certificate else {
            return Err(Invalid::new(match others.iter().find(|other| !other.is_ca) {
                Some(other) => {
                    format!("has a private key that does not belong to the certificate '{}'", other.subject.text)
                }
                None => "has no certificate that belongs to its private key".into(),
            }));
        };
        if !own.is_empty() {
            return Err(Invalid::new(format!("has {} certificates for its private key: give one", own.len() + 1)));
        }
        if let Some(other) = others.iter().find(|other| !other.is_ca) {
            return Err(Invalid::new(format!(
                "has the certificate '{}', which is neither a CA nor that of the private key",
                other.subject.text
            )));
        }
        let (cas, intermediates): (Vec<_>, Vec<_>) = others.into_iter().partition(Certificate::is_self_signed);
        if cas.is_empty() {
            return Err(Invalid::new(
                "has no CA: the certificate, signed by itself, of the CA that the peer's certificate must chain to",
            ));
        }
        Ok(Self { key, certificate, intermediates, cas, crls, left_out: Vec::new() })
    }

    /// All certificates: the gateway's, the intermediates, the CAs.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.certificate).chain(&self.intermediates).chain(&self.cas)
    }

    /// The same, each with what it is there for.
    pub fn by_role(&self) -> impl Iterator<Item = (Role, &Certificate)> {
        let of = |role| move |certificate| (role, certificate);
        let own = std::iter::once(&self.certificate).map(of(Role::Gateway));
        own.chain(self.intermediates.iter().map(of(Role::Intermediate))).chain(self.cas.iter().map(of(Role::Ca)))
    }

    /// charon's name of the private key: the SHA-1 of the public key's bits, in hexadecimal digits.
    #[must_use]
    pub fn key_id(&self) -> String {
        key_id(&self.certificate.public)
    }

    /// The bundle as text, in an order of its own.
    #[must_use]
    pub fn expose_pem(&self) -> Zeroizing<String> {
        let (key, rest) = (self.key.expose_pem(), self.public_pem());
        let mut text = Zeroizing::new(String::with_capacity(key.len() + rest.len()));
        text.push_str(&key);
        text.push_str(&rest);
        text
    }

    /// The same with `mask` in place of the private key.
    #[must_use]
    pub fn masked_pem(&self, mask: &str) -> String {
        self.key.masked(mask) + &self.public_pem()
    }

    fn public_pem(&self) -> String {
        self.certificates().map(Certificate::pem).chain(self.crls.iter().map(Crl::pem)).collect()
    }
}

/// How many signatures have to be verified at most: each certificate and list may be signed by each CA of its issuer's name.
fn signatures(certificates: &[Certificate], crls: &[Crl]) -> usize {
    let mut cas: HashMap<&[u8], usize> = HashMap::new();
    for ca in certificates.iter().filter(|certificate| certificate.is_ca) {
        *cas.entry(&ca.subject.der).or_default() += 1;
    }
    let issuers = certificates.iter().map(|certificate| &certificate.issuer).chain(crls.iter().map(|crl| &crl.issuer));
    issuers.filter_map(|issuer| cas.get(issuer.as_slice())).sum()
}

/// What tells a certificate from others: its SHA-256 in hexadecimal digits.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(der))
}

fn key_id(public: &[u8]) -> String {
    HEXLOWER.encode(&Sha1::digest(public))
}

/// charon's name of the private key in `text`, if that is one.
#[must_use]
pub fn key_id_of(text: &str) -> Option<String> {
    let block = pem::blocks(text).ok()?.pop()?;
    let key = PrivateKey::new(block).ok()?;
    Some(key_id(key.public()))
}

/// The blocks by what they are.
fn sorted(blocks: Vec<Block>) -> Result<(PrivateKey, Vec<Certificate>, Vec<Crl>), Invalid> {
    let (mut key, mut certificates, mut crls) = (None, Vec::new(), Vec::new());
    for block in blocks {
        match block.label {
            pem::CERTIFICATE => {
                let certificate = Certificate::new(&block.der)?;
                // The same one twice says nothing more.
                if !certificates.contains(&certificate) {
                    certificates.push(certificate);
                }
            }
            pem::CRL => crls.push(Crl::new(&block.der)?),
            pem::ENCRYPTED => return Err(pem::encrypted()),
            pem::PKCS8 | pem::PKCS1 | pem::SEC1 if key.is_some() => {
                return Err(Invalid::new("has several private keys: give the one of the gateway's certificate"));
            }
            pem::PKCS8 | pem::PKCS1 | pem::SEC1 => key = Some(PrivateKey::new(block)?),
            pem::EC_PARAMETERS => {}
            label => return Err(Invalid::new(format!("has a block of the kind {label}, which is of no use here"))),
        }
    }
    let key = key.ok_or_else(|| Invalid::new("has no private key"))?;
    if certificates.is_empty() {
        return Err(Invalid::new("has no certificate"));
    }
    Ok((key, certificates, crls))
}
