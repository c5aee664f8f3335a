//! `UpdateIPsecConnection` and `ChangeIPSecConnectionState`: what people call a connection, and whether they want it.

use super::check::{choice, mandatory, text};
use crate::{
    error::Result,
    http::{
        envelope::Params,
        error::Failure,
        wire::{self, StateParams, UpdateParams},
    },
    ipsec::State,
    store::Names,
};

/// What an update says; what it does not say is kept.
pub struct Update {
    name: Option<String>,
    description: Option<String>,
    system_tags: Option<Vec<String>>,
    user_tags: Option<Vec<String>>,
}

/// Reads an `UpdateIPsecConnection`.
///
/// # Errors
/// When a text is too long.
pub fn update(params: &Params) -> Result<Update, Failure> {
    let own: UpdateParams = wire::read(&params.members)?;
    Ok(Update {
        name: text("name", own.name, 255)?,
        description: text("description", own.description, 2048)?,
        system_tags: params.tags.system_tags.clone(),
        user_tags: params.tags.user_tags.clone(),
    })
}

impl Update {
    /// Puts what the update says into `names`.
    pub fn apply(self, names: &mut Names) {
        if let Some(name) = self.name {
            names.name = name;
        }
        names.description = self.description.or(names.description.take());
        if let Some(tags) = self.system_tags {
            names.system_tags = tags;
        }
        if let Some(tags) = self.user_tags {
            names.user_tags = tags;
        }
    }
}

/// Reads a `ChangeIPSecConnectionState`.
///
/// # Errors
/// When `stateEvent` is missing or neither `enable` nor `disable`.
pub fn state_event(params: &Params) -> Result<State, Failure> {
    let own: StateParams = wire::read(&params.members)?;
    let event = mandatory("stateEvent", own.state_event, 255)?;
    Ok(choice(
        "stateEvent",
        255,
        Some(event),
        &[("enable", State::Enabled), ("disable", State::Disabled)],
        State::Enabled,
    )?)
}
