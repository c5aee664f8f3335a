//! What the parts of a bundle must be to each other, and at a time.

use super::{Certificate, Certs, Crl};
use crate::ipsec::Invalid;
use jiff::Timestamp;

impl Certs {
    /// charon must be able to check every signature, or it would call the peer's chain one without a CA.
    pub(super) fn check_signatures(certificates: &[Certificate], crls: &[Crl]) -> Result<(), Invalid> {
        let certificates = certificates.iter().map(|one| ("certificate", &one.subject.text, &one.beyond_charon));
        let crls = crls.iter().map(|crl| ("X509 CRL of", &crl.issuer_text, &crl.beyond_charon));
        let mut beyond =
            certificates.chain(crls).filter_map(|(kind, name, beyond)| Some((kind, name, beyond.as_ref()?)));
        match beyond.next() {
            None => Ok(()),
            Some((kind, name, algorithm)) => Err(Invalid::new(format!(
                "has the {kind} '{name}', whose signature is of the algorithm {algorithm}, which strongSwan cannot check: \
                 have it signed with RSA, RSA-PSS or ECDSA and SHA-256, SHA-384 or SHA-512, with Ed25519 or with Ed448"
            ))),
        }
    }

    /// Those of `rest` from which no chain leads to `roots`, by names and signatures. The CAs are followed downwards, so
    /// that each pair of certificates is looked at once.
    pub(super) fn unreached<'a>(
        &'a self,
        roots: Vec<&'a Certificate>,
        mut rest: Vec<&'a Certificate>,
    ) -> Vec<&'a Certificate> {
        let mut issuers = roots;
        while let Some(issuer) = issuers.pop() {
            let (signed, others): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|certificate| certificate.is_signed_by(issuer));
            // The gateway's own certificate vouches for nobody.
            issuers.extend(signed.into_iter().filter(|signed| !std::ptr::eq(*signed, &raw const self.certificate)));
            rest = others;
        }
        rest
    }

    /// Everything of ours must reach a CA of the bundle, but a certificate that is signed by itself: the peer has it.
    pub(super) fn check_chains(&self) -> Result<(), Invalid> {
        let own = Some(&self.certificate).filter(|own| !own.is_self_issued());
        let rest = own.into_iter().chain(&self.intermediates).collect();
        match self.unreached(self.cas.iter().collect(), rest).first() {
            None => Ok(()),
            Some(certificate) => Err(Invalid::new(format!(
                "has the certificate '{}', whose chain does not reach a CA of the bundle: an intermediate or the CA is \
                 missing, or is another one of the same name",
                certificate.subject.text
            ))),
        }
    }

    /// Whether a CA of the bundle has signed `crl`.
    pub(super) fn has_signed(&self, crl: &Crl) -> bool {
        self.cas.iter().chain(&self.intermediates).any(|ca| crl.is_signed_by(ca))
    }

    /// A revocation list is one of a CA of the bundle; nothing of the bundle is revoked.
    pub(super) fn check_lists(&self) -> Result<(), Invalid> {
        for crl in &self.crls {
            if !self.has_signed(crl) {
                return Err(Invalid::new(format!(
                    "has an X509 CRL of '{}', which no CA of the bundle has signed",
                    crl.issuer_text
                )));
            }
            if let Some(revoked) = self.certificates().find(|certificate| crl.revokes(certificate)) {
                return Err(Invalid::new(format!(
                    "has the certificate '{}', which its X509 CRL of '{}' has revoked",
                    revoked.subject.text, crl.issuer_text
                )));
            }
        }
        Ok(())
    }

    pub(super) fn check_lengths(&self) -> Result<(), Invalid> {
        let parts = self.certificates().map(|c| c.pem().len()).chain(self.crls.iter().map(|crl| crl.pem().len()));
        match parts.max().filter(|length| *length > Self::MAX_PART) {
            Some(length) => {
                Err(Invalid::new(format!("has a block of {length} bytes, strongSwan takes {} of one", Self::MAX_PART)))
            }
            None => Ok(()),
        }
    }

    /// What can be told with a clock only.
    ///
    /// # Errors
    /// When a certificate is not valid at `now`, or a revocation list is not of this time.
    pub fn check_at(&self, now: Timestamp) -> Result<(), Invalid> {
        self.check_certificates_at(now)?;
        self.check_lists_at(now)
    }

    /// Whether all certificates are valid.
    ///
    /// # Errors
    /// When one is not valid at `now`.
    pub fn check_certificates_at(&self, now: Timestamp) -> Result<(), Invalid> {
        for certificate in self.certificates() {
            let (name, first, last) = (&certificate.subject.text, certificate.not_before, certificate.not_after);
            if now < first {
                return Err(Invalid::new(format!("has the certificate '{name}', which is not valid before {first}")));
            }
            if now > last {
                return Err(Invalid::new(format!("has the certificate '{name}', which expired at {last}")));
            }
        }
        Ok(())
    }

    fn check_lists_at(&self, now: Timestamp) -> Result<(), Invalid> {
        for crl in &self.crls {
            if now < crl.this_update {
                let from = crl.this_update;
                let name = &crl.issuer_text;
                return Err(Invalid::new(format!("has an X509 CRL of '{name}' that is not valid before {from}")));
            }
            if let Some(until) = crl.next_update.filter(|until| now > *until) {
                let name = &crl.issuer_text;
                return Err(Invalid::new(format!("has an X509 CRL of '{name}' that is out of date since {until}")));
            }
        }
        Ok(())
    }
}
