//! Causes of failure, and what else a line of the log tells.

use crate::ipsec::reason::Code;

/// The start of details where the peer does not say which of the two it is, for ends with a pre-shared key.
pub const KEY_OR_IDENTITY: &str = "the pre-shared keys differ, or the peer expects another identity of ours";

/// The confidence in a cause; a weaker cause does not replace a recent stronger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// A name without details.
    Hint,
    /// An event, or its absence.
    Sign,
    /// The peer's error, without its values.
    Answer,
    /// An observation of this side, with the values of both ends.
    Evidence,
}

/// What the details of a cause say of this gateway's own values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OwnValues {
    /// Nothing.
    #[default]
    Unsaid,
    /// Nothing, and the proposal may be the cause as well as the networks.
    ProposalToo,
    /// They name them.
    Said,
}

/// A message of IKE that is larger than one packet may be (RFC 7383).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragments {
    /// The length of the message, in bytes.
    pub bytes: u32,
    /// How many packets it takes.
    pub packets: u32,
}

/// Why a negotiation failed, or an SA ended, as far as the log tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureCause {
    /// The cause.
    pub code: Code,
    /// How sure it is; it decides which of two causes is reported.
    pub confidence: Confidence,
    /// The child; `None` for the whole connection.
    pub child: Option<String>,
    /// The IKE version of the peer, if that is the cause.
    pub version: Option<u8>,
    /// The identity that the peer sends, in charon's format, if that is the cause.
    pub peer_id: Option<String>,
    /// The identity that the peer asks for here, likewise.
    pub asked_id: Option<String>,
    /// What was seen.
    pub details: String,
    /// What that says of this gateway's own values.
    pub own: OwnValues,
    /// The message that was not answered, if charon sent it in fragments.
    pub unanswered: Option<Fragments>,
}

impl FailureCause {
    /// The cause `code`, of which nothing more is known than `details`.
    #[must_use]
    pub fn new(code: Code, confidence: Confidence, details: String) -> Self {
        let (child, version, peer_id, asked_id, own) = (None, None, None, None, OwnValues::default());
        Self { code, confidence, child, version, peer_id, asked_id, details, own, unanswered: None }
    }

    /// charon refused to negotiate `child`, with these words.
    #[must_use]
    pub fn refused(child: &str, details: String) -> Self {
        Self { child: Some(child.to_owned()), ..Self::new(Code::Unknown, Confidence::Sign, details) }
    }
}

/// The meaning of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceEvent {
    /// A negotiation failed, or an SA ended.
    FailureCause(FailureCause),
    /// The IKE_SA is established: its earlier causes are over.
    Established,
    /// An SA was not rekeyed, for this cause.
    RekeyFailed(Subject, FailureCause),
    /// An SA was rekeyed.
    Rekeyed(Subject),
}

/// The SA that is rekeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The IKE_SA.
    Ike,
    /// The CHILD_SA of that name, if it is known which.
    Child(Option<String>),
}

/// A cause, before the rest of the trace is looked at.
pub(super) struct Found {
    pub code: Code,
    pub confidence: Confidence,
    pub details: String,
    pub own: OwnValues,
    pub unanswered: Option<Fragments>,
}

impl Found {
    pub(super) fn new(code: Code, confidence: Confidence, details: String) -> Self {
        Self { code, confidence, details, own: OwnValues::default(), unanswered: None }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the callers return it as it is")]
pub(super) fn found(code: Code, confidence: Confidence, details: String) -> Option<Found> {
    Some(Found::new(code, confidence, details))
}
