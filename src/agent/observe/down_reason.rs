//! Why a connection or one of its children is not up: first what the agent knows, then charon's log.

use super::view::Discount;
use crate::{
    agent::{Agent, CharonLink, EventKind, LocalAddresses, View, reconcile::transition::behind, refusal::unspoken},
    ipsec::{
        Carried, Child, ChildSa, Code, Condition, Connection, ConnectionId, IkeSa, IkeState, IkeVersion, Protocol,
        Reason, Remote, State, Status, Use, carried, condition, condition::current, coverage, list, native::StartMode,
        next_layer::Side,
    },
    store::Record,
    strongswan::{
        log_parser::{Confidence, FailureCause, Fragments, OwnValues},
        words::{self, shorten},
    },
};
use jiff::Timestamp;
use std::collections::BTreeSet;

impl Agent {
    /// Why the connection is not up, or `None` if it is.
    pub fn reason(&self, view: &View, host: &LocalAddresses) -> Option<Reason> {
        if view.status() == Some(Status::Ready) {
            return None;
        }
        Some(self.cause(view, host))
    }

    /// Why the connection is not up. The caller knows that it is not.
    pub(in crate::agent) fn cause(&self, view: &View, host: &LocalAddresses) -> Reason {
        let narrowed = || view.record.connection.children.iter().find_map(|child| self.narrowed(view, child));
        self.known_here(view)
            .or_else(|| in_transition(view))
            .or_else(narrowed)
            .unwrap_or_else(|| self.told(view, None, host))
    }

    /// What is told of a connection that is not to be up: that it is down, if it was up and its last network has gone. Who
    /// disables or deletes it has an event of their own.
    pub(in crate::agent) fn announce_unwanted(&self, id: ConnectionId) {
        let was_up = self.entry(id).history().forget_told();
        let record = self.store.get(id).filter(|record| record.state == State::Enabled && record.aside.is_none());
        if let Some(record) = record.filter(|record| was_up && record.connection.children.is_empty()) {
            let view = View { record, running: Some(Vec::new()), discount: None };
            let reason = self.cause(&view, &self.observer.local_addresses());
            self.publish(id, EventKind::Down(reason));
        }
    }

    /// Why the child is not up. The caller knows that it is not.
    pub fn reason_of(&self, view: &View, child: &Child, host: &LocalAddresses) -> Reason {
        let narrowed = || self.narrowed(view, child);
        self.known_here(view)
            .or_else(|| in_transition(view))
            .or_else(narrowed)
            .unwrap_or_else(|| self.told(view, Some(&child.name), host))
    }

    /// The cause when the peer narrowed the child: charon logs no failure then, and earlier causes do not apply.
    fn narrowed(&self, view: &View, child: &Child) -> Option<Reason> {
        let (wanted, running) = (&view.record.connection, view.running.as_deref()?);
        if condition(wanted, child, Some(running), Use::Idle) != Condition::Narrowed {
            return None;
        }
        let sas: Vec<_> = current(wanted, running).filter(|sa| sa.name == child.name).collect();
        let agreed: BTreeSet<_> = sas.iter().map(|sa| coverage::text_of(sa)).collect();
        let agreed = agreed.into_iter().collect::<Vec<_>>().join("; ");
        let layer = child.next_layer;
        let has_all_packets = |sa: &&ChildSa| is_for(&sa.local, layer.local()) && is_for(&sa.remote, layer.remote());
        let part = if sas.iter().all(has_all_packets) { "a part of the networks" } else { "some protocols or ports" };
        let details = format!("the peer agreed to {part} only: {agreed}; wanted here: {child}");
        let history = self.entry(view.record.id);
        let history = history.history();
        Some(Reason {
            code: Code::TsMismatch,
            since: history.down_since().unwrap_or(view.record.changed),
            details: shorten(&details, words::SENTENCE),
            trigger: history.trigger().filter(|trigger| *trigger != Code::TsMismatch),
        })
    }

    /// The causes that the agent knows without charon's log.
    fn known_here(&self, view: &View) -> Option<Reason> {
        let record = &view.record;
        let since = self.entry(record.id).history().down_since().unwrap_or(record.changed);
        let reason = |code, details: String| Some(Reason { code, since, details, trigger: None });
        if let Some(why) = &record.aside {
            return reason(Code::SetAside, format!("the connection is not loaded: {why}"));
        }
        if record.state == State::Disabled {
            return reason(Code::NotAttempted, "the connection is disabled".into());
        }
        if record.connection.children.is_empty() {
            return reason(Code::NoNetworks, "the connection has no networks to join on one of its sides".into());
        }
        if record.is_unresolved() {
            let why = self.unresolved(record).unwrap_or_else(|| "its name was resolved a moment ago".into());
            return reason(Code::PeerNameUnresolved, why);
        }
        let charon = match self.link() {
            CharonLink::Up(charon) => charon,
            CharonLink::Starting => {
                return reason(Code::CharonUnreachable, "the agent has not reached charon yet".into());
            }
            CharonLink::Down { why, since } => {
                return Some(Reason { code: Code::CharonUnreachable, since, details: why, trigger: None });
            }
        };
        if view.running.is_none() {
            return reason(Code::CharonUnreachable, "charon did not list its SAs in time".into());
        }
        if let Some(lacks) = unspoken(&record.connection, &charon) {
            return reason(Code::IkeVersionMismatch, lacks.to_string());
        }
        let certs = record.connection.auth.certs();
        if let Some(why) = certs.and_then(|certs| certs.check_certificates_at(Timestamp::now()).err()) {
            return reason(Code::CertInvalid, format!("this gateway's bundle {why}"));
        }
        if let Some(reason) = self.discounted(view, since) {
            return Some(reason);
        }
        let missing = charon.missing(&record.connection);
        if !missing.is_empty() {
            let list: Vec<_> = missing.iter().map(ToString::to_string).collect();
            return reason(Code::AlgorithmUnsupported, format!("this charon has no {}", list.join(", ")));
        }
        None
    }

    /// Why SAs that are as wanted do not count, if they do not.
    fn discounted(&self, view: &View, since: Timestamp) -> Option<Reason> {
        let (id, local) = (view.record.id, view.record.connection.local_addr);
        let reason = |code, since, details| Some(Reason { code, since, details, trigger: None });
        match view.discount? {
            Discount::AddressLeft => {
                reason(Code::LocalAddressMissing, since, format!("the address {local} has left this gateway"))
            }
            Discount::Standby => {
                let details = if self.has_given_up() {
                    "this gateway was made a standby; `cygnet active` makes it active again".into()
                } else {
                    format!("{local} is not on this gateway, which stands by for the one that has it")
                };
                reason(Code::Standby, self.observer.local_addresses().left_at(local).unwrap_or(since), details)
            }
            Discount::Flapping(count) => {
                let (trigger, who) = self.who_closes(id);
                let details = format!("the tunnel was closed {count} times in a row soon after it came up; {who}");
                Some(Reason { code: Code::Flapping, since, details, trigger })
            }
        }
    }

    /// Why the name of the peer has no address now, of a peer that has a name.
    pub fn unresolved(&self, record: &Record) -> Option<String> {
        let name = record.spec.peer.name()?;
        let why = self.observer.names().address(name, record.connection.local_addr, record.resolved).err()?;
        Some(record.resolved.map_or_else(|| why.clone(), |last| format!("{why}; {last} was its last address")))
    }

    /// The message in fragments that its peer has not answered.
    pub fn unanswered_fragments(&self, record: &Record) -> Option<Fragments> {
        self.entry(record.id).history().unanswered()
    }

    /// Whether the name of the peer was looked up since the agent began.
    pub fn is_looked_up(&self, record: &Record) -> bool {
        record.spec.peer.name().is_some_and(|name| self.observer.names().is_known(name))
    }

    /// Who closed the tunnel the last time, if charon logged it.
    fn who_closes(&self, id: ConnectionId) -> (Option<Code>, &'static str) {
        let trigger = self.entry(id).history().trigger();
        let who = match trigger {
            Some(Code::PeerDeleted) => "the peer closes it",
            Some(Code::DpdTimeout) => "the peer falls silent",
            _ => "charon does not log who closes it",
        };
        (trigger, who)
    }

    /// The cause in charon's log. If the local address is not on this host, that explains silence.
    fn told(&self, view: &View, child: Option<&str>, host: &LocalAddresses) -> Reason {
        let entry = self.entry(view.record.id);
        let history = entry.history();
        let local = view.record.connection.local_addr;
        // Causes from before the current IKE_SA do not apply to its children.
        let wanted = &view.record.connection;
        let has_ike = view.running.iter().flatten().any(|ike| ike.state == IkeState::Established && ike.runs(wanted));
        let known = history.cause(child).filter(|known| !(has_ike && known.is_over()));
        if host.lacks(local) && known.is_none_or(|known| known.cause.confidence <= Confidence::Sign) {
            let since = history.down_since().unwrap_or(view.record.changed);
            let details = format!("the address {local} is on no interface of this gateway");
            return Reason { code: Code::LocalAddressMissing, since, details, trigger: history.trigger() };
        }
        if let Some(known) = known {
            let mut details = with_wanted(view, &known.cause);
            if matches!(known.cause.code, Code::PeerUnreachable | Code::NoProposalIke | Code::IkeVersionMismatch) {
                details.extend(self.tried(&view.record, &history).map(|tried| format!("; {tried}")));
            }
            let who = waits(wanted).or_else(|| carries_on(view, known.cause.code));
            details.extend(who.map(|who| format!("; {who}")));
            details.extend(self.unresolved(&view.record).map(|why| format!("; {why}")));
            let details = shorten(&details, words::SENTENCE);
            let trigger = history.trigger().filter(|trigger| *trigger != known.cause.code);
            return Reason { code: known.cause.code, since: known.since, details, trigger };
        }
        let since = history.down_since().unwrap_or_else(Timestamp::now);
        let idle = view.running.as_deref().unwrap_or_default().is_empty() && !history.is_attempted();
        let (code, details) = if let (true, Some(who)) = (idle, waits(wanted)) {
            (Code::NotAttempted, who)
        } else if idle {
            (Code::NotAttempted, "no negotiation has started yet; it is queued")
        } else {
            (Code::Unknown, "the negotiation is in progress; charon has logged no failure yet")
        };
        Reason { code, since, details: details.into(), trigger: history.trigger() }
    }
}

/// That the tunnel carries by proposals of before a change, if that is so.
fn in_transition(view: &View) -> Option<Reason> {
    view.record.open_transition()?;
    let carries = carried(&view.record.accepting(), view.running.as_deref()?) == Carried::AsWanted;
    carries.then(|| behind(&view.record))
}

/// For whom the connection waits, if this end does not begin.
fn waits(wanted: &Connection) -> Option<&'static str> {
    match wanted.start_mode() {
        StartMode::Initiate => None,
        StartMode::Respond if wanted.remote_addr == Remote::Anywhere => {
            Some("the connection waits for the peer (%any)")
        }
        StartMode::Respond => Some("the connection waits for the peer (startMode respond)"),
        StartMode::Trap => Some("the connection waits for traffic, or for the peer (startMode trap)"),
    }
}

/// What becomes of a change for a peer that this end cannot reach while its old tunnel runs, as behind NAT.
fn carries_on(view: &View, code: Code) -> Option<&'static str> {
    let runs = |ike: &IkeSa| ike.state == IkeState::Established && !ike.children.is_empty();
    let is_up = code == Code::PeerUnreachable && view.running.iter().flatten().any(runs);
    is_up.then_some("the tunnel that runs carries on, and a peer that alone can begin changes over when it calls")
}

/// Whether these selectors are for the protocol and port of `side`.
fn is_for(selectors: &BTreeSet<String>, side: Side) -> bool {
    let layer = side.to_string();
    selectors.iter().all(|text| text.find('[').map_or("", |at| &text[at..]) == layer)
}

/// The proposal for the traffic.
fn protection(connection: &Connection) -> String {
    let kind = if matches!(connection.protocol, Protocol::Esp(_)) { "ESP" } else { "AH" };
    format!("{kind} {}", list(&connection.child_proposals()))
}

/// Adds this gateway's values where the details do not name them.
fn with_wanted(view: &View, cause: &FailureCause) -> String {
    let (connection, details) = (&view.record.connection, &cause.details);
    match (cause.code, cause.own) {
        (Code::NoProposalIke, OwnValues::Unsaid) => {
            let kem = connection.native.post_quantum.filter(|_| !connection.native.post_quantum_optional);
            let kem = kem.map(|kem| format!("; the peer may lack {}", kem.row().charon)).unwrap_or_default();
            let wanted = list(&connection.ike_proposals());
            format!("{details}; wanted here: {wanted}, {}{kem}", connection.version.name())
        }
        (Code::NoProposalChild | Code::AlgorithmUnsupported, OwnValues::Unsaid) => {
            format!("{details}; wanted here: {}", protection(connection))
        }
        (Code::TsMismatch, own) => {
            let wanted: Vec<_> = connection.children.iter().map(ToString::to_string).collect();
            let proposal = (own == OwnValues::ProposalToo).then(|| format!(", {}", protection(connection)));
            format!("{details}; wanted here: {}{}", wanted.join("; "), proposal.unwrap_or_default())
        }
        (Code::PpkMismatch | Code::PpkMissing, _) => {
            let named = connection.native.ppk_id.as_ref().map(|id| format!("; the ppkId here is {id}"));
            format!("{details}{}", named.unwrap_or_default())
        }
        (Code::PeerRefusedAuth | Code::AuthFailed | Code::IdMismatch, _) => {
            let (ours, theirs) = (connection.local_id.with_kind(), connection.remote_id.with_kind());
            // A peer that requires a PPK says no more than that to an initiator without one.
            let lacks = cause.code == Code::PeerRefusedAuth
                && connection.version == IkeVersion::V2
                && connection.native.ppk_id.is_none();
            let ppk = if lacks { "; it has no PPK, which the peer may require" } else { "" };
            format!("{details}; this gateway sends {ours} and expects {theirs}{ppk}")
        }
        _ => details.clone(),
    }
}
