//! Rekeys that fail while the tunnel is up: the SA stays until its lifetime ends, and then has no successor.

use super::{
    cause::{Confidence, FailureCause, Subject, TraceEvent},
    trace::IkeSaTrace,
};
use crate::ipsec::Code;

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
