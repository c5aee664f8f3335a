//! Failed rekeys of a tunnel that is up, until one succeeds: the warning `REKEY_FAILED`.

use crate::{
    agent::{Agent, Warning},
    ipsec::ConnectionId,
    strongswan::{
        log_parser::{FailureCause, Subject},
        words::{self, shorten},
    },
};
use jiff::Timestamp;

impl Agent {
    /// Handles a failed rekey; its cause is also one of the connection, if that is not up.
    pub(in crate::agent) fn on_rekey_failed(&self, id: ConnectionId, subject: &Subject, cause: &FailureCause) {
        self.entry(id).history().rekeys.begin(subject, cause, Timestamp::now());
        self.suspect_cause(id, cause.clone());
    }

    /// The warnings for failed rekeys.
    pub(in crate::agent) fn failed_rekeyings(&self, id: ConnectionId) -> Vec<Warning> {
        let entry = self.entry(id);
        let history = entry.history();
        let warning = |(subject, details, since): &(Subject, String, Timestamp)| {
            let what = match subject {
                Subject::Ike => "the IKE_SA".to_owned(),
                Subject::Child(Some(name)) => format!("the CHILD_SA {name}"),
                Subject::Child(None) => "a CHILD_SA".to_owned(),
            };
            let message = format!(
                "rekeying {what} fails since {since}: {details}; the tunnel carries until the lifetime of that SA ends: \
                 give both ends the same PFS group and algorithms"
            );
            let message = shorten(&message, words::SENTENCE);
            Warning { code: "REKEY_FAILED", part: None, message, remedy: None }
        };
        history.rekeys.0.iter().map(warning).collect()
    }
}
