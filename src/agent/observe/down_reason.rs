//! Why a connection, or a child of it, is not up: what this side knows itself first, then what charon told.

use super::view::Discount;
use crate::{
    agent::{Agent, CharonLink, View, unspoken},
    host,
    ipsec::{
        Child, Code, Condition, ConnectionId, Protocol, Reason, State, Status, TrafficSelector, Use, condition,
        condition::current, coverage,
    },
    strongswan::{
        log_parser::Confidence,
        words::{self, shorten},
    },
};
use ipnet::IpNet;
use jiff::Timestamp;
use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// So long what the host said holds for [`Agent::host`].
const MOMENT: Duration = Duration::from_millis(500);
/// So many addresses that were on this host are remembered.
const ADDRESSES: usize = 4096;

/// What this host is asked once for many connections.
pub struct LocalAddresses {
    addresses: Option<BTreeSet<IpAddr>>,
    /// The networks that it is directly connected to.
    pub(in crate::agent) networks: Option<BTreeSet<IpNet>>,
    /// Those that it had before, and has no more.
    left: BTreeSet<IpAddr>,
}

impl LocalAddresses {
    /// This host as it is now.
    #[must_use]
    pub fn look() -> Self {
        let addresses = host::addresses();
        if let Err(error) = &addresses {
            tracing::warn!(%error, "this host's addresses cannot be listed");
        }
        Self { addresses: addresses.ok(), networks: host::networks().ok(), left: BTreeSet::new() }
    }

    /// This host as it is now; what `earlier` had and this has not has left.
    fn look_after(earlier: &Self) -> Self {
        let now = Self::look();
        let Some(addresses) = &now.addresses else { return Self { left: earlier.left.clone(), ..now } };
        let known = earlier.addresses.iter().flatten().chain(&earlier.left);
        let left = known.filter(|address| !addresses.contains(address)).take(ADDRESSES).copied().collect();
        Self { left, ..now }
    }

    /// Whether the address was on this host since the agent was started, and is not now.
    pub(in crate::agent) fn has_left(&self, address: IpAddr) -> bool {
        self.left.contains(&address)
    }

    /// Its addresses, if it tells.
    pub(in crate::agent) fn addresses(&self) -> Option<&BTreeSet<IpAddr>> {
        self.addresses.as_ref()
    }

    fn lacks(&self, address: IpAddr) -> bool {
        self.addresses.as_ref().is_some_and(|all| !all.contains(&address))
    }
}

impl Agent {
    /// This host as it was a moment ago: when thousands of tunnels go down at once, each has its reason told.
    pub(in crate::agent) fn host(&self) -> Arc<LocalAddresses> {
        let now = Instant::now();
        let mut seen = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, host) = match seen.take() {
            Some((at, host)) if now.duration_since(at) < MOMENT => (at, host),
            Some((_, earlier)) => (now, Arc::new(LocalAddresses::look_after(&earlier))),
            None => (now, Arc::new(LocalAddresses::look())),
        };
        *seen = Some((at, Arc::clone(&host)));
        host
    }

    /// Why the connection is not up, or `None` if it is.
    pub fn reason(&self, view: &View, host: &LocalAddresses) -> Option<Reason> {
        if view.status() == Some(Status::Ready) {
            return None;
        }
        Some(self.cause(view, host))
    }

    /// Why the connection is not up. Whether it is, the caller knows.
    pub(in crate::agent) fn cause(&self, view: &View, host: &LocalAddresses) -> Reason {
        let narrowed = || view.record.connection.children.iter().find_map(|child| self.narrowed(view, child));
        self.known_here(view).or_else(narrowed).unwrap_or_else(|| self.told(view, None, host))
    }

    /// Why the child is not up. Whether it is, the caller knows.
    pub fn reason_of(&self, view: &View, child: &Child, host: &LocalAddresses) -> Reason {
        let narrowed = || self.narrowed(view, child);
        self.known_here(view).or_else(narrowed).unwrap_or_else(|| self.told(view, Some(&child.name), host))
    }

    /// The cause when the peer agreed to a part of the child: charon names no failure then, and what it said before is
    /// about something else.
    fn narrowed(&self, view: &View, child: &Child) -> Option<Reason> {
        let (wanted, running) = (&view.record.connection, view.running.as_deref()?);
        if condition(wanted, child, Some(running), Use::Idle) != Condition::Narrowed {
            return None;
        }
        let sas: Vec<_> = current(wanted, running).filter(|sa| sa.name == child.name).collect();
        let agreed: BTreeSet<_> = sas.iter().map(|sa| coverage::text_of(sa)).collect();
        let agreed = agreed.into_iter().collect::<Vec<_>>().join("; ");
        let part = if agreed.contains('[') { "some protocols or ports" } else { "a part of the networks" };
        let wanted = format!("{} === {}", list(&child.local), list(&child.remote));
        let details = format!("the peer agreed to {part} only: {agreed}; wanted here: {wanted}");
        let history = self.entry(view.record.id);
        let history = history.history();
        Some(Reason {
            code: Code::TsMismatch,
            since: history.down_since().unwrap_or(view.record.changed),
            details: shorten(&details, words::SENTENCE),
            trigger: history.trigger().filter(|trigger| *trigger != Code::TsMismatch),
        })
    }

    /// The causes that need no word from charon.
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
            return reason(Code::NotAttempted, "the connection has no networks to join on one of its sides".into());
        }
        let charon = match self.link() {
            CharonLink::Up(charon) => charon,
            CharonLink::Starting => return reason(Code::CharonUnreachable, "charon was not asked yet".into()),
            CharonLink::Down { why, since } => {
                return Some(Reason { code: Code::CharonUnreachable, since, details: why, trigger: None });
            }
        };
        if view.running.is_none() {
            return reason(Code::CharonUnreachable, "charon did not list its SAs in time".into());
        }
        if let Some(text) = unspoken(&record.connection, &charon) {
            return reason(Code::IkeVersionMismatch, text);
        }
        let certs = record.connection.auth.certs();
        if let Some(why) = certs.and_then(|certs| certs.check_certificates_at(Timestamp::now()).err()) {
            return reason(Code::CertInvalid, format!("this gateway's bundle {why}"));
        }
        match view.discount {
            Some(Discount::AddressLeft) => {
                let details = format!("the address {} has left this gateway", record.connection.local_addr);
                return reason(Code::LocalAddressMissing, details);
            }
            Some(Discount::Flapping(count)) => {
                let (trigger, who) = self.who_closes(record.id);
                let details = format!("the tunnel was closed {count} times in a row soon after it came up; {who}");
                return Some(Reason { code: Code::Flapping, since, details, trigger });
            }
            None => {}
        }
        let missing = charon.missing(&record.connection);
        if !missing.is_empty() {
            let list: Vec<_> =
                missing.iter().map(|(name, package)| format!("{name} (Debian package {package})")).collect();
            return reason(Code::AlgorithmUnsupported, format!("this charon has no {}", list.join(", ")));
        }
        None
    }

    /// Who closed the tunnel the last time, as far as charon told.
    fn who_closes(&self, id: ConnectionId) -> (Option<Code>, &'static str) {
        let trigger = self.entry(id).history().trigger();
        let who = match trigger {
            Some(Code::PeerDeleted) => "the peer closes it",
            Some(Code::DpdTimeout) => "the peer falls silent",
            _ => "charon names nobody who closes it",
        };
        (trigger, who)
    }

    /// The cause that charon told. Where the address is not on this host, silence has a cause that needs no telling.
    fn told(&self, view: &View, child: Option<&str>, host: &LocalAddresses) -> Reason {
        let entry = self.entry(view.record.id);
        let history = entry.history();
        let local = view.record.connection.local_addr;
        let known = history.cause(child);
        if host.lacks(local) && known.is_none_or(|known| known.cause.confidence <= Confidence::Sign) {
            let since = history.down_since().unwrap_or(view.record.changed);
            let details = format!("the address {local} is on no interface of this gateway");
            return Reason { code: Code::LocalAddressMissing, since, details, trigger: history.trigger() };
        }
        if let Some(known) = known {
            let mut details = with_wanted(view, known.cause.code, &known.cause.details);
            if matches!(known.cause.code, Code::PeerUnreachable | Code::NoProposalIke | Code::IkeVersionMismatch) {
                details.extend(self.tried(&view.record, &history).map(|tried| format!("; {tried}")));
            }
            let details = shorten(&details, words::SENTENCE);
            let trigger = history.trigger().filter(|trigger| *trigger != known.cause.code);
            return Reason { code: known.cause.code, since: known.since, details, trigger };
        }
        let since = history.down_since().unwrap_or_else(Timestamp::now);
        let idle = view.running.as_deref().unwrap_or_default().is_empty() && !history.is_attempted();
        let (code, details) = if idle {
            (Code::NotAttempted, "no negotiation was begun yet; it waits for its turn")
        } else {
            (Code::Unknown, "the negotiation goes on; charon has named no failure yet")
        };
        Reason { code, since, details: details.into(), trigger: history.trigger() }
    }
}

/// Networks as charon's log writes them.
fn list(nets: &[TrafficSelector]) -> String {
    nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Adds what is wanted here where the peer's answer leaves out the values.
fn with_wanted(view: &View, code: Code, details: &str) -> String {
    let connection = &view.record.connection;
    match code {
        Code::NoProposalIke if !details.contains("wanted here") => {
            format!("{details}; wanted here: {}, {}", connection.ike, connection.version.name())
        }
        Code::NoProposalChild | Code::AlgorithmUnsupported if !details.contains("wanted here") => {
            match connection.protocol {
                Protocol::Esp(esp) => format!("{details}; wanted here: ESP {esp}"),
                Protocol::Ah(ah) => format!("{details}; wanted here: AH {ah}"),
            }
        }
        Code::TsMismatch => {
            let wanted: Vec<_> =
                connection.children.iter().map(|c| format!("{} === {}", list(&c.local), list(&c.remote))).collect();
            format!("{details}; wanted here: {}", wanted.join("; "))
        }
        Code::PeerRefusedAuth | Code::AuthFailed | Code::IdMismatch => {
            let (ours, theirs) = (connection.local_id.plain(), connection.remote_id.plain());
            format!("{details}; here we are '{ours}' and expect '{theirs}'")
        }
        _ => details.to_owned(),
    }
}
