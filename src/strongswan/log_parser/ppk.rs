//! What charon says of PPKs (RFC 8784). Both ends say in the first exchange that they have some, the initiator then names one,
//! and the proofs of identity have it in them: a refused proof does not tell which of the two keys differs.

use super::{
    cause::{Confidence, Found, found},
    trace::{IkeSaTrace, USE_PPK},
};
use crate::ipsec::Code;

impl IkeSaTrace {
    /// A PPK that one end wants and the other does not have, or under another name.
    pub(super) fn ppk(&self, text: &str) -> Option<Found> {
        if let Some(wanted) = text.strip_prefix("PPK required but ") {
            let lacks = wanted.starts_with("peer does not support") || wanted.starts_with("no PPK_IDENTITY received");
            let what = if lacks { "the peer has none" } else { "the peer uses none of the same name" };
            return found(
                Code::PpkMissing,
                Confidence::Evidence,
                format!("a PPK is wanted here, and {what} (charon: {text})"),
            );
        }
        if let Some(names) = text.strip_prefix("received PPK_ID ") {
            let details = format!("the two ends name other PPKs: {names}, by its name, here (charon: {text})");
            return found(Code::PpkMismatch, Confidence::Evidence, details);
        }
        let answers = text.starts_with("generating IKE_SA_INIT response ") && text.contains(" KE ");
        let lacks = answers && self.ppks.offered && !text.contains(USE_PPK);
        let details = "the peer has a PPK, which it may require, and none is set here";
        lacks.then(|| Found::new(Code::PpkMissing, Confidence::Hint, details.into()))
    }

    /// A proof that was refused while a PPK was in it.
    pub(super) fn of_a_ppk(&self, found: Found) -> Found {
        let is_proof = matches!(found.code, Code::AuthFailed | Code::PeerRefusedAuth | Code::KeyAmbiguous);
        if !is_proof || !self.ppks.used {
            return found;
        }
        Found { code: Code::PpkMismatch, details: format!("the PPKs differ, or else {}", found.details), ..found }
    }
}
