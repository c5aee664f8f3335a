//! The private key of a bundle. Like a pre-shared key it has no `Display` and no `Serialize`, its `Debug` hides it, and
//! it is wiped when it is dropped.

use super::{
    forms::{self, Form},
    pem::{self, Block},
};
use crate::ipsec::Invalid;
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer},
};
use subtle::ConstantTimeEq;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};
use zeroize::Zeroizing;

/// A private key that can sign.
#[derive(Clone)]
pub struct PrivateKey {
    label: &'static str,
    der: Zeroizing<Vec<u8>>,
    /// The bits of the public key that belongs to it.
    public: Vec<u8>,
}

/// An Ed25519 key in PKCS #8 between its version and its 32 bytes (RFC 8410, section 7).
const ED25519: [u8; 11] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

impl PrivateKey {
    /// The key in `block`.
    ///
    /// # Errors
    /// When it cannot be read, or is of a kind or strength that is not supported.
    pub(super) fn new(block: Block) -> Result<Self, Invalid> {
        let Block { label, der } = block;
        let der = if label == pem::PKCS8 { plain_ed25519(&der).unwrap_or(der) } else { der };
        let public = public_of(label, &der)?.ok_or_else(|| {
            Invalid::new(
                "has a private key that cannot be read, or is not supported: RSA and RSA-PSS of 2048 to 8192 bits, \
                 ECDSA on P-256, P-384 or P-521, and Ed25519 are, in PKCS #8, PKCS #1 or SEC 1",
            )
        })?;
        Ok(Self { label, der, public })
    }

    /// The key as PEM text, for the files and the message that must hold it.
    #[must_use]
    pub fn expose_pem(&self) -> Zeroizing<String> {
        pem::encode(self.label, &self.der)
    }

    /// What stands in place of the key where it must not be seen.
    #[must_use]
    pub fn masked(&self, mask: &str) -> String {
        format!("-----BEGIN {0}-----\n{mask}\n-----END {0}-----\n", self.label)
    }

    /// The bits of its public key.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }
}

/// An Ed25519 key without the public key and attributes that RFC 5958 allows behind it and that not every reader takes.
fn plain_ed25519(der: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let rest = der.get(5..).filter(|rest| rest.starts_with(&ED25519))?;
    let seed = rest.get(ED25519.len()..ED25519.len() + 32)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(48));
    plain.extend([0x30, 0x2e, 0x02, 0x01, 0x00]);
    plain.extend(ED25519);
    plain.extend(seed);
    Some(plain)
}

/// The bits of the public key that belongs to the key in `der`. Of a key on P-521 they are what it says: only charon can
/// calculate there.
fn public_of(label: &str, der: &[u8]) -> Result<Option<Vec<u8>>, Invalid> {
    let public = match forms::of(label, der) {
        Some(Form::Pss(key)) => Ok(read_public(pem::PKCS1, key)),
        Some(Form::P521(Some(public))) => Ok(Some(public.to_vec())),
        Some(Form::P521(None)) => Err(Invalid::new(
            "has a private key on P-521 without its public key, so its certificate cannot be told: have the key written \
             with its public key",
        )),
        None => Ok(read_public(label, der)),
    };
    wipe_stack();
    public
}

/// Overwrites what the calls before it left on the stack: the library reads numbers of the key there and wipes none.
#[inline(never)]
fn wipe_stack() {
    std::hint::black_box(&mut [0_u8; 16 * 1024]);
}

#[inline(never)]
fn read_public(label: &str, der: &[u8]) -> Option<Vec<u8>> {
    let key = match label {
        pem::PKCS8 => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
        pem::PKCS1 => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
        _ => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
    };
    let key = any_supported_type(&key).ok()?;
    let info = key.public_key()?;
    let (_, info) = SubjectPublicKeyInfo::from_der(&info).ok()?;
    Some(info.subject_public_key.data.to_vec())
}

impl PartialEq for PrivateKey {
    /// Takes the same time wherever the keys differ.
    fn eq(&self, other: &Self) -> bool {
        self.label == other.label && bool::from(self.der.ct_eq(&other.der))
    }
}

impl Eq for PrivateKey {}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}
