//! TLS for the management plane: rustls, certificates that can be replaced while running, and client
//! certificates where the settings name a CA for them.

use crate::{
    disk::open::{self, Kind},
    settings::Tls as Settings,
};
use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};
use zeroize::Zeroizing;

/// What new connections are greeted with; old ones keep what they began with.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// Reads the files that `settings` name.
    ///
    /// # Errors
    /// A text that names the file and what is wrong with it.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self(Arc::new(RwLock::new(read(settings)?))))
    }

    /// Reads the files anew. Connections go on; if a file is wrong, everything stays as it is.
    ///
    /// # Errors
    /// As [`Tls::new`].
    pub fn reload(&self, settings: &Settings) -> Result<(), String> {
        let new = read(settings)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// What greets the next connection.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(settings: &Settings) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let place = |path: &Path| super::credential(path);
    let certificates = certificates(&place(&settings.cert)?)?;
    let key = private_key(&place(&settings.key)?)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let path = place(ca)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&path)?), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| format!("{}: {e}", path.display()))?)
        }
    };
    let mut config = builder.with_single_cert(certificates, key).map_err(|e| {
        format!("{} and {} do not make a server's certificate: {e}", settings.cert.display(), settings.key.display())
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn pem(path: &Path) -> Result<Vec<u8>, String> {
    open::read(path, Kind::Operator).map_err(|e| super::auth::unreadable("", path, &e))
}

/// The CAs of a file.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(roots)
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let key = PrivateKeyDer::from_pem_slice(&Zeroizing::new(pem(path)?));
    key.map_err(|e| format!("{}: no private key in PEM: {e}", path.display()))
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("{}: no certificates in PEM: {e}", path.display());
    let pem = pem(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|e| wrong(&e))?;
    if found.is_empty() { Err(wrong(&"there is none")) } else { Ok(found) }
}
