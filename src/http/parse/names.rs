//! `UpdateIPsecConnection` and `ChangeIPSecConnectionState`: what people call a connection, and whether they want it.

use super::check::{choice, mandatory, mandatory_value, text};
use crate::{
    error::{Error, Result},
    http::{
        envelope::Params,
        error::Failure,
        wire::{self, Integer, LoginParams, RenewParams, StateParams, Tags, UpdateParams},
    },
    ipsec::State,
    store::Names,
};
use zeroize::Zeroizing;

/// What an update says; what it does not say is kept.
#[derive(Clone)]
pub struct Update {
    name: Option<String>,
    description: Option<String>,
    tags: Tags,
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
        tags: params.tags.clone(),
    })
}

impl Update {
    /// Puts what the update says into `names`.
    ///
    /// # Errors
    /// When there are too many tags, or one is too long.
    pub fn apply(self, names: &mut Names) -> Result<()> {
        if let Some(name) = self.name {
            names.name = name;
        }
        names.description = self.description.or(names.description.take());
        self.tags.apply(names)
    }
}

/// Reads a `logInByAccount`: the name and the password's SHA-512.
///
/// # Errors
/// When one is missing.
pub fn login(params: &Params) -> Result<(String, Zeroizing<String>), Failure> {
    let own: LoginParams = wire::read(&params.members)?;
    let name = mandatory("accountName", own.account_name, 255)?;
    Ok((name, Zeroizing::new(mandatory("password", own.password, 255)?)))
}

/// Reads a `renewSession`: for how many seconds.
///
/// # Errors
/// When it is missing or out of range.
pub fn renewal(params: &Params) -> Result<i64, Failure> {
    let own: RenewParams = wire::read(&params.members)?;
    let Integer(seconds) = mandatory_value("duration", own.duration)?;
    if (60..=31_536_000).contains(&seconds) {
        return Ok(seconds);
    }
    Err(Error::rule("duration", "must be in range of [60, 31536000]").into())
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
