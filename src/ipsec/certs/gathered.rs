//! A bundle of files as other programs write them: PEM or DER, PKCS #12, PKCS #7, keys under a passphrase.

use super::{
    Certs, Crl, ber, containers,
    passphrase::{Passphrase, Shut},
    pem::{self, Block},
};
use crate::ipsec::Invalid;
use jiff::Timestamp;
use x509_parser::asn1_rs::{Any, Tag};

/// Why a file gives no parts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is shut.
    #[error(transparent)]
    Shut(#[from] Shut),
    /// It is PEM text that cannot be read.
    #[error("it {0}")]
    Pem(Invalid),
    /// It is something else.
    #[error(
        "it is none of these: PKCS #12, PKCS #7, a certificate, an X509 CRL, or a private key in PKCS #8, PKCS #1 or SEC 1"
    )]
    Unknown,
}

/// The parts of several files.
#[derive(Default)]
pub struct Gathered(Vec<Block>);

impl Gathered {
    /// Adds the parts of `file`, which `passphrase` opens if it is shut.
    ///
    /// # Errors
    /// When it has none, or `passphrase` does not open it.
    pub fn add(&mut self, file: &[u8], passphrase: &Passphrase) -> Result<(), Unread> {
        let text = std::str::from_utf8(file).ok();
        let blocks = match text.filter(|text| text.contains("-----BEGIN ")) {
            Some(text) => opened(pem::blocks(text).map_err(Unread::Pem)?, passphrase)?,
            None => match text.and_then(containers::binary) {
                Some(der) => of_der(&der, passphrase)?,
                None => of_der(file, passphrase)?,
            },
        };
        for block in blocks {
            if !self.0.iter().any(|known| known.label == block.label && known.der == block.der) {
                self.0.push(block);
            }
        }
        Ok(())
    }

    /// The bundle of all parts, without CAs of no use.
    ///
    /// # Errors
    /// As [`Certs::given`] and [`Certs::check_at`].
    pub fn bundle(self, now: Timestamp) -> Result<Certs, Invalid> {
        let certs = Certs::of(self.0, now)?;
        certs.check_at(now)?;
        Ok(certs)
    }
}

/// The same blocks, with what a passphrase opens and what a message holds in place of these.
fn opened(blocks: Vec<Block>, passphrase: &Passphrase) -> Result<Vec<Block>, Unread> {
    let mut found = Vec::new();
    for block in blocks {
        match block.label {
            pem::ENCRYPTED => {
                found.push(containers::encrypted_key(&block.der, passphrase).unwrap_or(Err(Shut::Damaged))?);
            }
            pem::PKCS7 => found.extend(containers::pkcs7(&block.der).ok_or(Shut::Damaged)?),
            _ => found.push(block),
        }
    }
    Ok(found)
}

fn of_der(der: &[u8], passphrase: &Passphrase) -> Result<Vec<Block>, Unread> {
    if let Some(parts) = containers::pkcs12(der, passphrase) {
        return Ok(parts?);
    }
    if let Some(parts) = containers::pkcs7(der) {
        return Ok(parts);
    }
    if let Some(key) = containers::encrypted_key(der, passphrase) {
        return Ok(vec![key?]);
    }
    let members = ber::members(der).unwrap_or_default();
    let tags: Vec<_> = members.iter().take(2).map(Any::tag).collect();
    let label = match tags.as_slice() {
        [Tag::Integer, Tag::Sequence] => pem::PKCS8,
        [Tag::Integer, Tag::Integer] => pem::PKCS1,
        [Tag::Integer, Tag::OctetString] => pem::SEC1,
        [Tag::Sequence, Tag::Sequence] if Crl::new(der).is_ok() => pem::CRL,
        [Tag::Sequence, Tag::Sequence] => pem::CERTIFICATE,
        _ => return Err(Unread::Unknown),
    };
    Ok(vec![Block::new(label, der.to_vec())])
}
