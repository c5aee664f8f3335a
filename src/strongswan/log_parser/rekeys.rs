//! Rekeys that fail while the tunnel is up: the SA stays until its lifetime ends, and then has no successor.

use super::{Confidence, FailureCause, IkeSaTrace, TraceEvent};
use crate::ipsec::Code;

/// The SA that is rekeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The IKE_SA.
    Ike,
    /// The CHILD_SA of that name, if it is known which.
    Child(Option<String>),
}

/// The rekey in progress.
#[derive(Debug, Clone, Default)]
pub(super) struct Rekeys {
    /// The pending message is a rekey.
    is_one: bool,
    /// Its cause of failure was reported.
    is_told: bool,
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

impl IkeSaTrace {
    /// The cause, marked as one of a rekey if it is.
    pub(super) fn told_of_rekeying(&mut self, cause: FailureCause) -> TraceEvent {
        let subject = match cause.code {
            Code::NoProposalChild | Code::TsMismatch => Subject::Child(self.child.clone()),
            Code::NoProposalIke => Subject::Ike,
            _ => return TraceEvent::FailureCause(cause),
        };
        if !(self.rekeys.is_one && self.established) {
            return TraceEvent::FailureCause(cause);
        }
        self.rekeys.is_told = true;
        TraceEvent::RekeyFailed(subject, cause)
    }

    /// The meaning of a line about a rekey without a cause.
    pub(super) fn rekeying(&mut self, text: &str) -> Option<TraceEvent> {
        if text.starts_with("IKE_SA ") && text.contains(" rekeyed between ") {
            return Some(TraceEvent::Rekeyed(Subject::Ike));
        }
        if let Some((before, rest)) = text.split_once("CHILD_SA ")
            && rest.contains(" established with SPIs ")
        {
            let is_rekeyed = matches!(self.step, Some("CREATE_CHILD_SA" | "QUICK_MODE")) && before != "outbound ";
            let name = rest.split('{').next().map(str::to_owned);
            return is_rekeyed.then_some(TraceEvent::Rekeyed(Subject::Child(name)));
        }
        let what = text.split_once(" rekeying failed, trying again in ")?.0;
        // A collision: both ends started a rekey, and one of them waits.
        if std::mem::take(&mut self.rekeys.is_told) || self.notify == Some("TEMP_FAIL") {
            return None;
        }
        let subject = if what == "IKE_SA" { Subject::Ike } else { Subject::Child(self.child.clone()) };
        let details = format!("charon logs no cause: {text}");
        Some(TraceEvent::RekeyFailed(subject, FailureCause::new(Code::Unknown, Confidence::Hint, details)))
    }
}
