//! Weak choices of a connection, and the policy of the settings for each: off, warn or refuse.

use crate::{
    agent::{
        Agent, LocalAddresses, Outcome, View, Warning, WriteOptions,
        change::{said::said, special, transition::warned},
    },
    error::{Error, Result},
    ipsec::{
        Auth, Conflict, Connection, Finding, Part, Psk,
        certs::Certificate,
        condition::carriers,
        refuse_everything,
        special::networks,
        weakness::{expiring, untested_pfs, weaknesses, without_local_address, without_post_quantum},
    },
    settings::policy::Stance,
    store::Record,
};
use jiff::Timestamp;

impl Agent {
    /// Whether a write with these options runs the rekey test.
    pub(in crate::agent) fn tests_rekey(&self, how: &WriteOptions) -> bool {
        how.rehearse.unwrap_or_else(|| self.changes.tests_rekey())
    }

    /// Refuses selectors that would take all packets, and what the policy refuses. Weak choices that the connection already
    /// had are allowed: a later policy must not block other changes or improvements.
    pub(in crate::agent) fn judge(&self, old: Option<&Record>, new: &Record, rehearse: bool) -> Result<()> {
        let same = old.and_then(|old| self.same_networks(old));
        let old = old.map(|old| &old.connection);
        if old.is_none_or(|old| refuse_everything(old).is_ok()) {
            refuse_everything(&new.connection)?;
        }
        let host = LocalAddresses::read_host();
        special::refuse_broadcast(old, &new.connection, &host)?;
        let mut had = old.map(|old| self.findings(old, &host)).unwrap_or_default();
        had.extend(same);
        let mut found = self.findings(&new.connection, &host);
        found.extend(self.same_networks(new));
        found.retain(|finding| !had.contains(finding));
        found.extend(untested_pfs(&new.connection).filter(|_| !rehearse && is_new_pfs(old, &new.connection)));
        let refused = found.into_iter().find(|f| self.changes.stance(f.weakness.setting()) == Stance::Refuse);
        match refused {
            Some(finding) => Err(refused_by_policy(&finding)),
            None => Ok(()),
        }
    }

    /// The warnings about the change from `old`.
    pub(in crate::agent) fn cautions(
        &self,
        old: Option<&Connection>,
        new: &Connection,
        tests_pfs: bool,
    ) -> Vec<Warning> {
        let mut found = self.findings(new, &self.observer.local_addresses());
        found.extend(untested_pfs(new).filter(|_| !tests_pfs && is_new_pfs(old, new)));
        let found = found.into_iter().filter(|finding| self.is_said(finding)).map(Into::into);
        found
            .chain(special::warnings(new, &self.observer.local_addresses()))
            .chain(self.neighbour_warnings(new))
            .chain(left_out(new))
            .chain(taken_as_text(new))
            .collect()
    }

    /// The warning for networks that another connection has too.
    pub(in crate::agent) fn caution_of_networks(&self, new: &Record) -> Option<Warning> {
        self.same_networks(new).filter(|finding| self.is_said(finding)).map(Into::into)
    }

    /// The warnings about the stored connection.
    #[must_use]
    pub fn warnings(&self, view: &View) -> Vec<Warning> {
        let connection = &view.record.connection;
        let mut found = self.findings(connection, &self.observer.local_addresses());
        found.extend(untested_pfs(connection).filter(|_| view.record.is_loaded() && !has_tested_pfs(view)));
        found.extend(self.same_networks(&view.record));
        let mut warnings: Vec<_> = found.into_iter().filter(|f| self.is_said(f)).map(Warning::from).collect();
        warnings.extend(said(&view.record));
        warnings.extend(warned(&view.record));
        warnings.extend(special::warnings(connection, &self.observer.local_addresses()));
        warnings.extend(left_out(connection));
        warnings.extend(taken_as_text(connection));
        if view.record.is_loaded() {
            warnings.extend(self.neighbour_warnings(connection));
        }
        warnings.extend(self.dropped_cas(view.record.id));
        let rehearsal = self.rehearsal(view).filter(|rehearsal| rehearsal.outcome != Outcome::Passed);
        if view.record.is_loaded() && rehearsal.as_ref().is_none_or(|rehearsal| rehearsal.outcome != Outcome::Failed) {
            warnings.extend(self.failed_rekeyings(view.record.id));
        }
        warnings.extend(rehearsal.map(|rehearsal| Warning {
            code: if rehearsal.outcome == Outcome::Failed { "REKEY_FAILED" } else { "REKEY_UNKNOWN" },
            part: None,
            message: rehearsal.details,
            remedy: None,
        }));
        warnings
    }

    fn is_said(&self, finding: &Finding) -> bool {
        self.changes.stance(finding.weakness.setting()) != Stance::Off
    }

    fn findings(&self, connection: &Connection, host: &LocalAddresses) -> Vec<Finding> {
        let mut found = weaknesses(connection);
        found.extend(expiring(connection, Timestamp::now()));
        found.extend(networks(connection));
        found.extend(without_post_quantum(connection));
        if self.changes.stance("no-local-address") != Stance::Off {
            // The log says why the addresses cannot be read.
            found.extend(host.addresses().into_iter().flat_map(|all| without_local_address(connection, all)));
        }
        found
    }
}

/// The warnings for CAs of no use that the bundle was given with.
fn left_out(connection: &Connection) -> Vec<Warning> {
    let certs = connection.auth.certs().into_iter();
    let warning = |ca: &Certificate| {
        let name = &ca.subject.text;
        let message = format!(
            "was given with the CA '{name}', which is left out: it has expired, is not valid yet, is revoked, or its chain \
             reaches no root of the bundle; nothing else of the bundle needs it"
        );
        Warning { code: "CERT_LEFT_OUT", part: Some(Part::Certs), message, remedy: None }
    };
    certs.flat_map(|certs| &certs.left_out).map(warning).collect()
}

/// The warning for a key that the peer may decode: `RouterOS` does, and so do strongSwan's files if it is not in quotes.
fn taken_as_text(connection: &Connection) -> Option<Warning> {
    let is_encoded = |key: &Psk| key.looks_encoded();
    let part = match (&connection.auth, &connection.native.ppk) {
        (Auth::Psk(psk), _) if is_encoded(psk) => Part::Psk,
        (_, Some(ppk)) if is_encoded(ppk) => Part::Native("ppk"),
        _ => return None,
    };
    let message = "looks like hexadecimal digits (0x) or base64 (0s) and is taken as the text that it is: a peer that decodes \
                   it has another key; choose one that does not begin so";
    Some(Warning { code: "KEY_TAKEN_AS_TEXT", part: Some(part), message: message.into(), remedy: None })
}

/// The error for a refused choice.
pub(in crate::agent) fn refused_by_policy(finding: &Finding) -> Error {
    let (advice, remedy, setting) = (finding.advice.clone(), finding.weakness.remedy(), finding.weakness.setting());
    Conflict::Policy { part: finding.part, advice, remedy, setting }.into()
}

/// Whether each child has had a key exchange of its own.
fn has_tested_pfs(view: &View) -> bool {
    let (wanted, running) = (&view.record.connection, view.running.as_deref().unwrap_or_default());
    wanted.children.iter().all(|child| carriers(wanted, child, running).iter().any(|sa| sa.suite.group.is_some()))
}

/// Whether it is still unknown that the peer has this PFS. In a running IKE_SA it shows at once.
fn is_new_pfs(old: Option<&Connection>, new: &Connection) -> bool {
    let pfs = |connection: &Connection| connection.protocol.pfs();
    old.is_none_or(|old| old.remote_addr != new.remote_addr || (pfs(old) != pfs(new) && !old.has_ike_of(new)))
}
