//! The failed rekeys of one connection.

use crate::{
    ipsec::Code,
    strongswan::log_parser::{FailureCause, Subject},
};
use jiff::Timestamp;

/// The most failures that are remembered of one connection.
const MOST: usize = 8;

/// The failed rekeys of one connection without a later success.
#[derive(Debug, Default)]
pub struct RekeyFailures(pub(super) Vec<(Subject, String, Timestamp)>);

impl RekeyFailures {
    /// Records a failed rekey. A failure without a cause keeps the known cause.
    pub(in crate::agent) fn begin(&mut self, subject: &Subject, cause: &FailureCause, at: Timestamp) {
        let has_room = self.0.len() < MOST;
        match self.0.iter_mut().find(|(known, ..)| known == subject) {
            Some((_, details, _)) if cause.code != Code::Unknown => details.clone_from(&cause.details),
            None if has_room => self.0.push((subject.clone(), cause.details.clone(), at)),
            Some(_) | None => {}
        }
    }

    /// Records a successful rekey. It also clears failures of a CHILD_SA without a known name.
    pub(in crate::agent) fn end(&mut self, subject: &Subject) {
        let is_over = |known: &Subject| {
            known == subject || (matches!(subject, Subject::Child(_)) && *known == Subject::Child(None))
        };
        self.0.retain(|(known, ..)| !is_over(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strongswan::log_parser::Confidence;

    fn cause(code: Code, details: &str) -> FailureCause {
        FailureCause::new(code, Confidence::Answer, details.into())
    }

    #[test]
    fn a_success_ends_the_failures_of_its_sa() {
        let (mut failures, at) = (RekeyFailures::default(), Timestamp::UNIX_EPOCH);
        let child = |name: &str| Subject::Child(Some(name.to_owned()));
        for subject in [Subject::Ike, child("c-0"), child("c-1"), Subject::Child(None)] {
            failures.begin(&subject, &cause(Code::NoProposalChild, "no proposal"), at);
            failures.begin(&subject, &cause(Code::Unknown, "no cause"), at);
        }
        assert!(failures.0.iter().all(|(_, details, _)| details == "no proposal"), "{failures:?}");
        failures.end(&child("c-0"));
        let left: Vec<_> = failures.0.iter().map(|(subject, ..)| subject.clone()).collect();
        assert_eq!(left, [Subject::Ike, child("c-1")], "of the nameless one nobody knows");
        failures.end(&Subject::Ike);
        failures.end(&child("c-1"));
        assert!(failures.0.is_empty());
    }
}
