//! What is wrong on this gateway, each with its fix. Every check is a pure function on facts that were gathered
//! before; it either passes with a few words on what it saw, or says what is wrong. No check may show a key.

mod checks;
pub mod facts;

use crate::{
    agent::{Agent, CharonLink},
    doctor::facts::{Facts, Places},
    ipsec::{Connection, Weakness},
    settings::{Gateway, Settings, policy::Stance},
    store::{Damaged, Record, Store, Timestamp},
    strongswan::StrongSwan,
};
use std::{fmt::Display, sync::Arc};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Tunnels or keys suffer from it.
    Error,
    /// They will, or may.
    Warning,
    /// Good to know; nothing has to be done.
    Info,
}

impl Level {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the check.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What is wrong, with the values.
    pub what: String,
    /// What to do.
    pub fix: String,
    /// What shows it.
    pub evidence: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, in the order of the checks.
    pub findings: Vec<Finding>,
    /// The checks that passed, with what they saw.
    pub passed: Vec<(&'static str, String)>,
}

impl Report {
    /// Whether nothing has to be done.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.level == Level::Info)
    }
}

/// Everything that is judged.
#[derive(Debug)]
pub struct Case {
    /// What the gateway is.
    pub facts: Facts,
    /// What is stored.
    pub records: Vec<Arc<Record>>,
    /// The records that cannot be read.
    pub damaged: Vec<Damaged>,
    /// What the settings say of the gateway.
    pub gateway: Gateway,
    /// What the agent says of charon; `None` when it does not run.
    pub agent: Option<CharonLink>,
    /// What is done about connections that join the same networks.
    pub same_networks: Stance,
    /// The time.
    pub now: Timestamp,
}

/// What passed, or what is wrong.
type Judged = Result<String, Vec<Finding>>;

/// A check: a judgement of one thing.
type Check = fn(&Case) -> Judged;

/// All checks with their names.
const CHECKS: [(&str, Check); 21] = [
    ("agent", crate::doctor::checks::daemon::agent),
    ("charon", crate::doctor::checks::daemon::reachable),
    ("vici", crate::doctor::checks::daemon::socket),
    ("plugins", crate::doctor::checks::daemon::plugins),
    ("algorithms", crate::doctor::checks::daemon::algorithms),
    ("udp", crate::doctor::checks::ports::udp),
    ("forwarding", crate::doctor::checks::kernel::forwarding),
    ("rp_filter", crate::doctor::checks::kernel::rp_filter),
    ("nat", crate::doctor::checks::source_nat::nat),
    ("data_plane", crate::doctor::checks::data_plane::plane),
    ("addresses", crate::doctor::checks::addresses::addresses),
    ("settings_drift", crate::doctor::checks::settings::drift),
    ("clock", crate::doctor::checks::kernel::clock),
    ("include", crate::doctor::checks::configuration::include),
    ("syntax", crate::doctor::checks::configuration::syntax),
    ("modes", crate::doctor::checks::file_modes::modes),
    ("other_tools", crate::doctor::checks::other_programs::tools),
    ("foreign", crate::doctor::checks::other_programs::foreign),
    ("leftovers", crate::doctor::checks::file_modes::leftovers),
    ("same_networks", crate::doctor::checks::other_programs::networks),
    ("store", crate::doctor::checks::file_modes::store),
];

/// Judges all.
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

/// Examines the gateway of `settings` at `places` from outside: the agent does not run.
pub async fn examine(settings: &Settings, places: &Places, swan: &StrongSwan) -> Report {
    let facts = Box::pin(facts::gather(places, swan)).await;
    let surveyed = tokio::task::block_in_place(|| Store::survey(&settings.state_dir));
    // A directory that cannot be listed is a damaged store to whoever asks.
    let (mut records, damaged) = surveyed.unwrap_or_else(|error| {
        let why = error.to_string();
        (Vec::new(), vec![Damaged { path: settings.state_dir.join("connections"), id: None, why }])
    });
    // As a start would set them aside.
    for aside in crate::agent::change::set_aside::compare(&records).1 {
        records.iter_mut().filter(|record| record.id == aside.id).for_each(|record| *record = Arc::new(aside.clone()));
    }
    let gateway = settings.gateway.clone();
    let same_networks = settings.policy.stance(Weakness::SameNetworks.setting());
    judge(&Case { facts, records, damaged, gateway, agent: None, same_networks, now: Timestamp::now() })
}

impl Agent {
    /// Examines this gateway; `places` is where.
    pub async fn doctor(&self, places: &Places) -> Report {
        let facts = Box::pin(facts::gather(places, self.strongswan())).await;
        judge(&Case {
            facts,
            records: self.store().all(),
            damaged: self.store().damaged().to_vec(),
            gateway: Gateway::clone(&self.gateway()),
            agent: Some(self.link()),
            same_networks: self.stance(Weakness::SameNetworks.setting()),
            now: Timestamp::now(),
        })
    }
}

impl Case {
    /// The connections that charon is to hold.
    fn wanted(&self) -> impl Iterator<Item = &Connection> {
        self.records.iter().filter(|record| record.is_loaded()).map(|record| &record.connection)
    }
}

/// A finding; its check's name comes with [`judge`].
fn finding(level: Level, what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { check: "", level, what: what.into(), fix: fix.into(), evidence: None }
}

impl Finding {
    fn with(self, evidence: impl Into<String>) -> Self {
        Self { evidence: Some(evidence.into()), ..self }
    }
}

/// What could not be looked at. It does not count as wrong, nor as right.
fn unseen(what: &str, why: &str) -> Vec<Finding> {
    vec![finding(
        Level::Info,
        format!("{what} could not be looked at: {why}"),
        "look at it yourself, or repair the cause",
    )]
}

/// Passes with `seen` where nothing is wrong.
fn judged(findings: Vec<Finding>, seen: impl Into<String>) -> Judged {
    if findings.is_empty() { Ok(seen.into()) } else { Err(findings) }
}

/// The first few of a list.
fn some<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 5;
    let all: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    match all.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", all[..SHOWN].join(", ")),
        _ => all.join(", "),
    }
}
