//! How a connection is changed: what is checked, in which order effects happen, and what is put back.

pub(crate) mod conflicts;
pub(crate) mod credential_files;
pub(crate) mod delete;
pub(crate) mod dropped_cas;
pub(crate) mod overlaps;
pub(crate) mod passes;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod rekey_outcome;
pub(crate) mod rekey_test;
pub(crate) mod set_aside;
pub(crate) mod settings_drift;
pub(crate) mod special;
pub(crate) mod take_over;
pub(crate) mod together;
pub(crate) mod transaction;
pub(crate) mod trial;
pub(crate) mod write;

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
