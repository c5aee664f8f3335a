//! The CAs that charon has.

use super::Vici;
use crate::{error::Result, ipsec::certs::fingerprint, strongswan::section::Section};
use std::{collections::BTreeSet, path::Path};

impl Vici {
    /// The CAs that charon has, whoever loaded them, by the SHA-256 of each in hexadecimal digits.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn cas(&self) -> Result<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        let body = Section::new().with("type", "X509").with("flag", "CA");
        let take = |item: Section| all.extend(item.bytes("data").map(fingerprint));
        self.stream(&self.pools.lists, "list-certs", "list-cert", body, |_| true, take).await?;
        Ok(all)
    }

    /// Where its socket is.
    pub(in crate::strongswan) fn path(&self) -> &Path {
        &self.path
    }
}
