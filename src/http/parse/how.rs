//! The parameters in the query of a write: how it is to be done.

use super::check::choice;
use crate::{
    agent::How,
    error::{Error, Result},
};
use std::{ops::RangeInclusive, time::Duration};

/// How long a change may be on trial.
const CONFIRM: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);

/// Whether `deleteMode` says that a deletion is to be done whatever charon says.
///
/// # Errors
/// When it is not one of the contract's words.
pub fn delete_mode(pairs: &[(String, String)]) -> Result<bool> {
    let value = pairs.iter().find(|(name, _)| name == "deleteMode").map(|(_, value)| value.clone());
    choice("deleteMode", 32, value, &[("Permissive", false), ("Enforcing", true)], false)
}

/// How a write is to be done: `confirm=60s` and `immediate=true`.
///
/// # Errors
/// When a value is not one.
pub fn how(pairs: &[(String, String)]) -> Result<How> {
    let value = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let confirm = value("confirm").map(|text| {
        let span: Option<jiff::SignedDuration> = text.parse().ok();
        let span = span.and_then(|span| Duration::try_from(span).ok()).filter(|span| CONFIRM.contains(span));
        span.ok_or_else(|| {
            Error::argument("the query parameter confirm must be a duration from 1s to 10m, such as 60s")
        })
    });
    let immediate = match value("immediate") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Error::argument("the query parameter immediate must be true or false")),
    };
    Ok(How { confirm: confirm.transpose()?, immediate })
}
