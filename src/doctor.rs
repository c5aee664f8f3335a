//! Finds faults of this gateway, each with its fix. Every check is a pure function of facts that `facts/` gathered.
//! It passes with a few words on what it saw, or says what is wrong. No check may show a key.

mod case;
mod checks;
pub mod facts;
mod finding;
mod shell;

pub use case::{Case, Paired};
#[cfg(test)]
pub(crate) use checks::healthy;
pub use finding::{Finding, Level, Report};

use crate::{
    agent::{Agent, Presence, standby_addresses},
    doctor::facts::Places,
    ipsec::Weakness,
    rights,
    settings::{Gateway, Settings},
    store::{Damaged, Record, Store, Timestamp, dropped::DroppedCas},
    strongswan::StrongSwan,
};
use case::{Unanswered, Unresolved};
use facts::Unchecked;
use finding::{Judged, unchecked};
use std::{collections::BTreeSet, sync::Arc};

/// A check of one thing.
type Check = fn(&Case) -> Judged;

/// Whether a check is about the stored connections: then it knows nothing for who may not read them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Records {
    Needed,
    Unused,
}

/// All checks with their names, in the order of reports.
const CHECKS: [(&str, Check, Records); 32] = [
    ("agent", checks::daemon::agent, Records::Unused),
    ("charon", checks::daemon::reachable, Records::Unused),
    ("vici", checks::daemon::socket, Records::Unused),
    ("plugins", checks::daemon::plugins, Records::Unused),
    ("algorithms", checks::daemon::algorithms, Records::Needed),
    ("udp", checks::ports::udp, Records::Unused),
    ("forwarding", checks::kernel::forwarding, Records::Needed),
    ("rp_filter", checks::kernel::rp_filter, Records::Needed),
    ("nonlocal_bind", checks::kernel::nonlocal_bind, Records::Needed),
    ("nat", checks::source_nat::nat, Records::Needed),
    ("forward", checks::filter::forward, Records::Needed),
    ("input", checks::filter::input, Records::Needed),
    ("output", checks::filter::output, Records::Needed),
    ("routes", checks::routes::routes, Records::Needed),
    ("interfaces", checks::interfaces::interfaces, Records::Needed),
    ("clamp", checks::clamp::clamp, Records::Needed),
    ("data_plane", checks::data_plane::plane, Records::Unused),
    ("dropped_cas", checks::cas::dropped, Records::Needed),
    ("names", checks::names::names, Records::Needed),
    ("fragments", checks::fragments::fragments, Records::Needed),
    ("addresses", checks::addresses::addresses, Records::Needed),
    ("pair", checks::pair::pair, Records::Unused),
    ("settings_drift", checks::settings::drift, Records::Needed),
    ("clock", checks::kernel::clock, Records::Unused),
    ("include", checks::configuration::include, Records::Unused),
    ("syntax", checks::configuration::syntax, Records::Needed),
    ("modes", checks::file_modes::modes, Records::Unused),
    ("other_tools", checks::other_programs::tools, Records::Unused),
    ("foreign", checks::other_programs::foreign, Records::Needed),
    ("leftovers", checks::file_modes::leftovers, Records::Needed),
    ("same_networks", checks::other_programs::networks, Records::Needed),
    ("store", checks::file_modes::store, Records::Unused),
];

/// The position of a check in reports.
#[must_use]
pub fn order(check: &str) -> Option<usize> {
    CHECKS.iter().position(|(name, ..)| *name == check)
}

/// Runs all checks.
#[must_use]
pub fn judge(case: &Case) -> Report {
    let mut report = Report { findings: Vec::new(), passed: Vec::new() };
    for (name, check, records) in CHECKS {
        let judged = match &case.unread {
            Some(why) if records == Records::Needed => Err(unchecked("the stored connections", why)),
            _ => check(case),
        };
        match judged {
            Ok(seen) => report.passed.push((name, seen)),
            Err(findings) => report.findings.extend(findings.into_iter().map(|f| Finding { check: name, ..f })),
        }
    }
    report
}

/// The names of the children whose hash is cut: an SA does not say that itself.
fn cut(records: &[Arc<Record>]) -> BTreeSet<String> {
    let connections = records.iter().map(|record| &record.connection).filter(|wanted| wanted.protocol.is_cut());
    connections.flat_map(|wanted| wanted.children.iter().map(|child| child.name.clone())).collect()
}

/// Examines the gateway from its settings and files, without the agent: `agent` says why it does not answer.
pub async fn examine(settings: &Settings, places: &Places, strongswan: &StrongSwan, agent: Unchecked) -> Report {
    let surveyed = tokio::task::block_in_place(|| Store::survey(&settings.state_dir));
    // A directory that cannot be listed counts as a damaged store.
    let (mut records, mut damaged) = surveyed.unwrap_or_else(|error| {
        let path = settings.state_dir.join("connections");
        (Vec::new(), vec![Damaged { path, id: None, is_denied: error.is_denied(), why: error.to_string() }])
    });
    // Another user's files are not damaged: this user may not read them.
    let denied = damaged.iter().position(|damaged| damaged.is_denied && rights::is_ordinary());
    let unread = denied.map(|at| Unchecked::denied(format!("cannot read {}", damaged.swap_remove(at).path.display())));
    damaged.retain(|damaged| !damaged.is_denied || unread.is_none());
    // The agent would set them aside at its start.
    for aside in crate::agent::change::set_aside::compare(&records).1 {
        records.iter_mut().filter(|record| record.id == aside.id).for_each(|record| *record = Arc::new(aside.clone()));
    }
    let facts = Box::pin(facts::gather(places, strongswan, checks::flows::ends(&records), cut(&records))).await;
    let gateway = settings.gateway.clone();
    let same_networks = settings.policy.stance(Weakness::SameNetworks.setting());
    let dropped_cas =
        checks::cas::kept(&records, DroppedCas::survey(&settings.state_dir), strongswan.birth().as_deref());
    let unresolved = checks::names::never_resolved(&records);
    let (agent, now) = (Err(agent), Timestamp::now());
    let local = records.iter().map(|record| record.connection.local_addr);
    let not_compared = |with: String| Paired { with, outcome: Err("the agent does not answer".into()) };
    let pair = settings.ha.peer.clone().map(not_compared);
    let standby = standby_addresses(settings, local.chain(gateway.vips.iter().map(|vip| vip.address)));
    judge(&Case {
        facts,
        records,
        damaged,
        unread,
        gateway,
        standby,
        agent,
        same_networks,
        dropped_cas,
        unresolved,
        unanswered: Vec::new(),
        pair,
        now,
    })
}

impl Agent {
    /// Examines this gateway from inside the agent; `pair` is what comparing it with another one gave.
    pub async fn doctor(&self, places: &Places, pair: impl Future<Output = Option<Paired>>) -> Report {
        let records = self.store().all();
        let unresolved = records.iter().filter(|record| record.is_wanted()).filter_map(|record| {
            let why = self.unresolved(record).filter(|_| self.is_looked_up(record))?;
            Some(Unresolved { connection: record.spec.names.name.clone(), why, is_new: record.is_unresolved() })
        });
        let unresolved = unresolved.collect();
        let unanswered = records.iter().filter(|record| record.is_loaded()).filter_map(|record| {
            let sent = self.unanswered_fragments(record)?;
            Some(Unanswered {
                connection: record.spec.names.name.clone(),
                peer: record.connection.remote_addr.ip()?,
                sent,
            })
        });
        let unanswered = unanswered.collect();
        let facts = Box::pin(facts::gather(places, self.strongswan(), checks::flows::ends(&records), cut(&records)));
        let (facts, pair) = tokio::join!(facts, pair);
        judge(&Case {
            facts,
            records,
            damaged: self.store().damaged().to_vec(),
            unread: None,
            gateway: Gateway::clone(&self.gateway()),
            standby: self.vips().into_iter().filter(|vip| self.presence(*vip).0 == Presence::Standby).collect(),
            agent: Ok(self.link()),
            same_networks: self.stance(Weakness::SameNetworks.setting()),
            dropped_cas: self.kept_cas(),
            unresolved,
            unanswered,
            pair,
            now: Timestamp::now(),
        })
    }
}

#[cfg(test)]
#[path = "doctor/fix_tests.rs"]
mod fix_tests;
