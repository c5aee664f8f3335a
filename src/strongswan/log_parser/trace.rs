//! What is remembered of one IKE_SA, for the lines that follow.

use super::{cause::Fragments, certificates::Certificates};
use crate::ipsec::reason::Code;
use std::net::IpAddr;

/// What is remembered of one IKE SA.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that charon told, in any order")]
pub struct IkeSaTrace {
    /// The peer's address.
    pub remote: Option<IpAddr>,
    /// Whether this side began it.
    pub(super) ours: bool,
    /// 1 or 2.
    pub(super) version: Option<u8>,
    pub(super) established: bool,
    /// The child that is being negotiated, if this side asked for it.
    pub(super) child: Option<String>,
    /// Whether anything of a child was negotiated.
    pub(super) asked: bool,
    /// The proposals of the peer, and those of this side.
    pub(super) received: Option<String>,
    pub(super) configured: Option<String>,
    /// The ends that a configuration was looked for.
    pub(super) ends: Option<String>,
    /// How the peer proves who it is, where that is not what is configured; what charon says afterwards follows from it.
    pub(super) method: Option<(Code, String)>,
    pub(super) certificates: Certificates,
    /// The message that is sent again and again.
    pub(super) step: Option<&'static str>,
    /// The last message of this side, if it did not fit into one packet.
    pub(super) fragments: Option<Fragments>,
    pub(super) silence: Silence,
    pub(super) rekeys: Rekeys,
    pub(super) ppks: Ppks,
    /// The error in the peer's last answer to `IKE_AUTH`, or in its last IKEv2 notification, in charon's short form.
    pub(super) notify: Option<&'static str>,
    /// The peer's refusal was encrypted with what both ends made of the key.
    pub(super) is_sealed: bool,
    /// The peer began it in aggressive mode.
    pub(super) aggressive: bool,
}

/// The rekey in progress.
#[derive(Debug, Clone, Default)]
pub(super) struct Rekeys {
    /// The pending message is a rekey.
    pub(super) is_one: bool,
    /// Its cause of failure was reported.
    pub(super) is_told: bool,
}

impl Rekeys {
    /// Records a sent or received message; `carries` says whether an SA is up that could be rekeyed.
    pub(super) fn exchange(&mut self, message: &str, carries: bool) {
        let is_v2 = message.starts_with("CREATE_CHILD_SA request");
        if is_v2 || message.starts_with("QUICK_MODE request") {
            // A rekey with traffic selectors is for a CHILD_SA and names the one it replaces. Under IKEv1 it names
            // none.
            let is_another_child = is_v2 && message.contains(" TSi ") && !message.contains("N(REKEY_SA)");
            (self.is_one, self.is_told) = (carries && !is_another_child, false);
        }
    }
}

/// The peer's answers so far, and messages that could not be decrypted.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that charon told, in any order")]
pub(super) struct Silence {
    /// How many of main mode's messages the peer has answered.
    pub(super) answered: u8,
    /// Whether a CHILD_SA came up.
    pub(super) has_carried: bool,
    /// Whether quick mode waits for its answer.
    pub(super) is_quick: bool,
    /// Whether the current message could not be decrypted.
    pub(super) is_undecrypted: bool,
    /// Whether an INFORMATIONAL could not be decrypted: a refusal by a peer with another key, or a message that came
    /// early.
    pub(super) is_unreadable: bool,
}

impl Silence {
    pub(super) fn remember(&mut self, text: &str) {
        if text == "could not decrypt payloads" {
            self.is_undecrypted = true;
        } else if text.starts_with("INFORMATIONAL_V1 ") && text.ends_with(" processing failed") {
            self.is_unreadable |= self.is_undecrypted;
            self.is_undecrypted = false;
        }
    }

    /// A message could be read.
    pub(super) fn record_readable(&mut self) {
        self.is_undecrypted = false;
    }

    /// The peer proved who it is: what could not be decrypted before was no refusal.
    pub(super) fn record_established(&mut self) {
        self.is_unreadable = false;
    }

    /// A message was sent or read.
    pub(super) fn exchange(&mut self, message: &str) {
        self.answered += u8::from(message.starts_with("ID_PROT response") && self.answered < u8::MAX);
        if message.starts_with("QUICK_MODE ") {
            self.is_quick = message.starts_with("QUICK_MODE request");
        }
    }
}

/// What is remembered of PPKs.
#[derive(Debug, Clone, Default)]
pub(super) struct Ppks {
    /// Whether the initiator has named one: it is in the proofs of both ends.
    pub(super) used: bool,
    /// Whether the peer, which has begun, has some.
    pub(super) offered: bool,
}

impl Ppks {
    /// Keeps what a later line may need.
    pub(super) fn remember(&mut self, text: &str) {
        let Some(message) = text.strip_prefix("generating ").or_else(|| text.strip_prefix("parsed ")) else { return };
        if message.starts_with("IKE_AUTH request 1 ") {
            self.used = message.contains("N(PPK_ID)");
        } else if message.starts_with("IKE_SA_INIT request ") {
            self.offered = text.starts_with("parsed ") && message.contains(USE_PPK);
        }
    }
}

/// An end has PPKs.
pub(super) const USE_PPK: &str = "N(USE_PPK)";
