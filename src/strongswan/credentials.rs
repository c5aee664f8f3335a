//! The files that swanctl finds certificates and private keys in, beside those in conf.d.
//!
//! A file is named by what is in it, so none is ever overwritten by another content: the connection's file always
//! points at a whole set, at whatever moment a machine loses its power.

use super::names;
use crate::ipsec::{Certs, ConnectionId};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// The directory of end entity certificates.
pub const X509: &str = "x509";
/// The directory of CAs.
pub(super) const X509CA: &str = "x509ca";
/// The directory of revocation lists.
pub(super) const X509CRL: &str = "x509crl";
/// The directory of private keys.
pub const PRIVATE: &str = "private";
/// The directories, in the order in which swanctl reads them.
pub const DIRECTORIES: [&str; 4] = [X509, X509CA, X509CRL, PRIVATE];

/// A file of ours in one of [`DIRECTORIES`]. It may hold a private key: its `Debug` hides the contents, and they are
/// wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// The directory under swanctl's.
    pub directory: &'static str,
    /// Its name there.
    pub name: String,
    bytes: Zeroizing<Vec<u8>>,
}

impl File {
    /// What is in it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// `pem` in `directory`, named after `public`, which tells it from all others and is no secret.
    fn new(id: ConnectionId, directory: &'static str, public: &[u8], pem: &str) -> Self {
        let digest = Sha256::digest(public);
        Self {
            directory,
            name: names::credential(id, &HEXLOWER.encode(&digest[..4])),
            bytes: Zeroizing::new(pem.as_bytes().to_vec()),
        }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({}/{}, {} bytes)", self.directory, self.name, self.bytes.len())
    }
}

/// The files of the connection `id` with `certs`. Intermediates lie among the CAs: charon needs them to send them, and
/// takes no CA for the end of a chain that is not signed by itself.
#[must_use]
pub fn files(id: ConnectionId, certs: &Certs) -> Vec<File> {
    let own = &certs.certificate;
    let mut files = vec![File::new(id, X509, own.der(), &own.pem())];
    for ca in certs.cas.iter().chain(&certs.intermediates) {
        files.push(File::new(id, X509CA, ca.der(), &ca.pem()));
    }
    files.extend(certs.crls.iter().map(|crl| File::new(id, X509CRL, crl.der(), &crl.pem())));
    files.push(File::new(id, PRIVATE, certs.key_id().as_bytes(), &certs.key.expose_pem()));
    files
}
