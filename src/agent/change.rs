//! How a connection is changed: what is checked, in which order effects happen, and what is put back.

pub(super) mod conflicts;
mod credential_files;
mod delete;
mod dropped_cas;
pub(crate) mod overlaps;
mod passes;
pub(super) mod plan;
pub(super) mod policy;
pub(super) mod rekey_outcome;
mod rekey_test;
pub(crate) mod set_aside;
pub(crate) mod settings_drift;
mod special;
mod take_over;
mod together;
mod transaction;
mod trial;
pub(super) mod write;

use crate::{
    ranked::{Guard, Ranked, UNIQUENESS},
    settings::{
        Settings,
        policy::{Policy, Stance},
    },
};
use conflicts::UniquenessIndex;
use std::time::Duration;

/// What changes share: what is taken, and what the settings say of a change.
pub(crate) struct Changes {
    uniqueness: Ranked<UniquenessIndex, UNIQUENESS>,
    policy: Policy,
    rehearses: bool,
    wait: Duration,
}

impl Changes {
    /// With what the stored connections have taken.
    pub fn new(settings: &Settings, uniqueness: UniquenessIndex) -> Self {
        Self {
            uniqueness: Ranked::new(uniqueness),
            policy: settings.policy.clone(),
            rehearses: settings.charon.rehearse_rekey,
            wait: settings.charon.wait,
        }
    }

    /// What is taken, and by whom. Held for a moment: nobody waits for anything with it.
    pub fn uniqueness(&self) -> Guard<'_, UniquenessIndex> {
        self.uniqueness.lock()
    }

    /// What the settings say of the weak choice `choice`.
    pub fn stance(&self, choice: &str) -> Stance {
        self.policy.stance(choice)
    }

    /// Whether a change is rehearsed whose caller says nothing of it.
    pub fn rehearses(&self) -> bool {
        self.rehearses
    }

    /// How long a write waits for its tunnel before it answers.
    pub fn wait(&self) -> Duration {
        self.wait
    }
}
