//! Certificates of the peer itself, which no CA has signed (RFC 7296, section 2.15, leaves it open whom one trusts). The
//! bundle holds them, and the peer must prove one of them: nobody else's certificate of the same name will do.

use super::{Certificate, Certs};
use crate::ipsec::{Conflict, Identity};

impl Certs {
    /// Tells the peer's own certificates by its identity, which they must have. One that is signed by itself and says that
    /// it is a CA, as `openssl req -x509` makes it, is the peer's if it has that identity: charon 5.9.8 never takes a root
    /// for the certificate of a peer.
    ///
    /// # Errors
    /// When one that is no CA has another identity.
    pub(in crate::ipsec) fn pin(&mut self, peer: &Identity) -> Result<(), Conflict> {
        if let Some(other) = self.peers.iter().find(|other| !other.is_for(peer)) {
            return Err(Conflict::NotOfPeer { id: peer.plain(), names: other.names() });
        }
        self.peers.extend(self.cas.extract_if(.., |ca| ca.is_for(peer)));
        Ok(())
    }

    /// Whether [`Certs::pin`] would change it, or refuse.
    pub(in crate::ipsec) fn has_peers(&self, peer: &Identity) -> bool {
        !self.peers.is_empty() || self.cas.iter().any(|ca| ca.is_for(peer))
    }

    /// The roots that the peer's certificate must chain to; none if it must have a certain one.
    #[must_use]
    pub fn trusted_cas(&self) -> &[Certificate] {
        if self.peers.is_empty() { &self.cas } else { &[] }
    }
}
