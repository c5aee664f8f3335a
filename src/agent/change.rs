//! Changes of connections: their checks, the order of their effects, and their rollback.

pub(super) mod conflicts;
mod credential_files;
mod delete;
mod dropped_cas;
mod effects;
pub(crate) mod overlaps;
mod passes;
pub(super) mod plan;
pub(super) mod plan_set;
pub(super) mod policy;
mod ppks;
pub(super) mod rekey_outcome;
mod rekey_test;
pub(super) mod restore;
pub(super) mod said;
pub(crate) mod set_aside;
pub(crate) mod settings_drift;
mod special;
mod take_over;
mod together;
mod transaction;
pub(super) mod transition;
mod trial;
pub(super) mod warning;
pub(super) mod write;

pub(super) use transaction::uncancelled;

use crate::{
    ranked::{Guard, Ranked, UNIQUENESS},
    settings::Settings,
    settings::policy::{Policy, Stance},
};
use conflicts::UniquenessIndex;
use std::time::Duration;

/// The state that changes share: the index of unique values, and the settings of changes.
pub(crate) struct Changes {
    uniqueness: Ranked<UniquenessIndex, UNIQUENESS>,
    policy: Policy,
    tests_rekey: bool,
    wait: Duration,
}

impl Changes {
    /// With the index of the stored connections.
    pub fn new(settings: &Settings, uniqueness: UniquenessIndex) -> Self {
        Self {
            uniqueness: Ranked::new(uniqueness),
            policy: settings.policy.clone(),
            tests_rekey: settings.charon.rehearse_rekey,
            wait: settings.charon.wait,
        }
    }

    /// The unique values and their owners. Never held across an await.
    pub(super) fn uniqueness(&self) -> Guard<'_, UniquenessIndex> {
        self.uniqueness.lock()
    }

    /// The policy for the weak choice `choice`.
    pub fn stance(&self, choice: &str) -> Stance {
        self.policy.stance(choice)
    }

    /// Whether a change runs the rekey test by default.
    pub(super) fn tests_rekey(&self) -> bool {
        self.tests_rekey
    }

    /// How long a write waits for its tunnel before it answers.
    pub fn wait(&self) -> Duration {
        self.wait
    }
}
