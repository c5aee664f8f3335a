//! Finds faults of this gateway, each with its fix. Every check is a pure function of facts that `facts/` gathered.
//! It passes with a few words on what it saw, or says what is wrong. No check may show a key.

mod case;
mod checks;
pub mod facts;
mod finding;

pub use case::Case;
#[cfg(test)]
pub(crate) use checks::healthy;
pub use finding::{Finding, Level, Report, UNCHECKED};

use crate::{
    agent::Agent,
    doctor::facts::Places,
    ipsec::Weakness,
    settings::{Gateway, Settings},
    store::{Damaged, Record, Store, Timestamp, dropped::DroppedCas},
    strongswan::StrongSwan,
};
use case::Unresolved;
use finding::Judged;
use std::{collections::BTreeSet, sync::Arc};

/// A check of one thing.
type Check = fn(&Case) -> Judged;

/// All checks with their names, in the order of reports.
const CHECKS: [(&str, Check); 28] = [
    ("agent", checks::daemon::agent),
    ("charon", checks::daemon::reachable),
    ("vici", checks::daemon::socket),
    ("plugins", checks::daemon::plugins),
    ("algorithms", checks::daemon::algorithms),
    ("udp", checks::ports::udp),
    ("forwarding", checks::kernel::forwarding),
    ("rp_filter", checks::kernel::rp_filter),
    ("nat", checks::source_nat::nat),
    ("forward", checks::filter::forward),
    ("input", checks::filter::input),
    ("output", checks::filter::output),
    ("routes", checks::routes::routes),
    ("clamp", checks::clamp::clamp),
    ("data_plane", checks::data_plane::plane),
    ("dropped_cas", checks::cas::dropped),
    ("names", checks::names::names),
    ("addresses", checks::addresses::addresses),
    ("settings_drift", checks::settings::drift),
    ("clock", checks::kernel::clock),
    ("include", checks::configuration::include),
    ("syntax", checks::configuration::syntax),
    ("modes", checks::file_modes::modes),
    ("other_tools", checks::other_programs::tools),
    ("foreign", checks::other_programs::foreign),
    ("leftovers", checks::file_modes::leftovers),
    ("same_networks", checks::other_programs::networks),
    ("store", checks::file_modes::store),
];

/// The position of a check in reports.
#[must_use]
pub fn order(check: &str) -> Option<usize> {
    CHECKS.iter().position(|(name, _)| *name == check)
}

/// Runs all checks.
#[must_use]
pub fn judge(case: &Case) -> Report {
    let mut report = Report { findings: Vec::new(), passed: Vec::new() };
    for (name, check) in CHECKS {
        match check(case) {
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

/// Examines the gateway without the agent, from its settings and files.
pub async fn examine(settings: &Settings, places: &Places, strongswan: &StrongSwan) -> Report {
    let surveyed = tokio::task::block_in_place(|| Store::survey(&settings.state_dir));
    // A directory that cannot be listed counts as a damaged store.
    let (mut records, damaged) = surveyed.unwrap_or_else(|error| {
        let why = error.to_string();
        (Vec::new(), vec![Damaged { path: settings.state_dir.join("connections"), id: None, why }])
    });
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
    let now = Timestamp::now();
    judge(&Case { facts, records, damaged, gateway, agent: None, same_networks, dropped_cas, unresolved, now })
}

impl Agent {
    /// Examines this gateway from inside the agent.
    pub async fn doctor(&self, places: &Places) -> Report {
        let records = self.store().all();
        let unresolved = records.iter().filter(|record| record.is_wanted()).filter_map(|record| {
            let why = self.unresolved(record).filter(|_| self.is_looked_up(record))?;
            Some(Unresolved { connection: record.spec.names.name.clone(), why, is_new: record.is_unresolved() })
        });
        let unresolved = unresolved.collect();
        let facts =
            Box::pin(facts::gather(places, self.strongswan(), checks::flows::ends(&records), cut(&records))).await;
        judge(&Case {
            facts,
            records,
            damaged: self.store().damaged().to_vec(),
            gateway: Gateway::clone(&self.gateway()),
            agent: Some(self.link()),
            same_networks: self.stance(Weakness::SameNetworks.setting()),
            dropped_cas: self.kept_cas(),
            unresolved,
            now: Timestamp::now(),
        })
    }
}
