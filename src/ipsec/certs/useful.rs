//! Which CAs of a bundle are of use: those that are valid now, are not revoked, and whose chain reaches a root. Of several
//! certificates of the peer, those that are valid now.
//!
//! Bundles come with more than that: a root that another one has signed too, a root that has expired beside the one that
//! replaced it. Such a part does no harm to a chain that does without it, but charon must not get it: it would follow a
//! chain there and find no end.

use super::{Certificate, Certs, Crl};
use jiff::Timestamp;

impl Certs {
    /// Leaves out CAs of no use, and their lists. Where our own certificate needs one of them, or nothing is left to know
    /// the peer by, all stay, so that the checks say what is wrong.
    pub(super) fn without_useless(mut self, now: Timestamp) -> Self {
        let useless = self.useless(now);
        self.intermediates.retain(|ca| !useless.contains(ca));
        self.cas.retain(|ca| !useless.contains(ca));
        self.peers.retain(|peer| !useless.contains(peer));
        // A list of nobody's is another fault.
        let crls = std::mem::take(&mut self.crls).into_iter();
        let stays = |crl: &Crl| !useless.iter().any(|ca| crl.is_signed_by(ca)) || self.has_signed(crl);
        self.crls = crls.filter(stays).collect();
        self.left_out = useless;
        self
    }

    fn useless(&self, now: Timestamp) -> Vec<Certificate> {
        let is_sound = |certificate: &&Certificate| {
            certificate.is_valid_at(now) && !self.crls.iter().any(|crl| crl.revokes(certificate))
        };
        let roots: Vec<_> = self.cas.iter().filter(is_sound).collect();
        let rest = std::iter::once(&self.certificate).chain(self.intermediates.iter().filter(is_sound)).collect();
        let knows_peer = !roots.is_empty() || self.peers.iter().any(|peer| is_sound(&peer));
        let unreached = self.unreached(roots, rest);
        let is_known = !unreached.contains(&&self.certificate) || self.certificate.is_self_issued();
        if !is_known || !knows_peer {
            return Vec::new();
        }
        let others = self.intermediates.iter().chain(&self.cas).chain(&self.peers);
        others.filter(|other| !is_sound(other) || unreached.contains(other)).cloned().collect()
    }
}
