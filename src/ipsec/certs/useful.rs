//! Which CAs of a bundle are of use: those that are valid now, are not revoked, and whose chain reaches a root.
//!
//! Bundles come with more than that: a root that another one has signed too, a root that has expired beside the one that
//! replaced it. Such a part does no harm to a chain that does without it, but charon must not get it: it would follow a
//! chain there and find no end.

use super::{Certificate, Certs, Crl};
use jiff::Timestamp;

impl Certs {
    /// Leaves out CAs of no use, and their lists. Where our own certificate needs one of them, all stay, so that the
    /// checks say what is wrong.
    pub(super) fn without_useless(mut self, now: Timestamp) -> Self {
        let useless = self.useless(now);
        self.intermediates.retain(|ca| !useless.contains(ca));
        self.cas.retain(|ca| !useless.contains(ca));
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
        let unreached = self.unreached(roots, rest);
        if unreached.contains(&&self.certificate) {
            return Vec::new();
        }
        let cas = self.intermediates.iter().chain(&self.cas);
        cas.filter(|ca| !is_sound(ca) || unreached.contains(ca)).cloned().collect()
    }
}
