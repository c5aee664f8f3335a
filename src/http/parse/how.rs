//! The parameters in the query of a write: how it is to be done.

use super::check::choice;
use crate::{
    agent::How,
    error::{Error, Result},
    http::{
        envelope::Params,
        error::Failure,
        wire::{self, Integer, PageParams},
    },
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

/// The value of a parameter in the query.
#[must_use]
pub fn value<'a>(name: &str, pairs: &'a [(String, String)]) -> Option<&'a str> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

/// The value of a parameter that must be in the query.
///
/// # Errors
/// When it is not.
pub fn required_value<'a>(name: &str, pairs: &'a [(String, String)]) -> Result<&'a str> {
    super::check::mandatory_value(name, value(name, pairs))
}

/// The whole number of a parameter in the query, or `default`.
///
/// # Errors
/// 400 when it is none.
pub fn number(name: &str, pairs: &[(String, String)], default: usize) -> Result<usize, Failure> {
    let Some(text) = value(name, pairs) else { return Ok(default) };
    text.trim().parse().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        Failure::bad_request(format!("[{name}] field is excepted an int or long, but was [{shown}]."))
    })
}

/// `start` and `limit` in the query.
///
/// # Errors
/// 400 when one is no number.
pub fn page(pairs: &[(String, String)]) -> Result<(usize, usize), Failure> {
    Ok((number("start", pairs, 0)?, number("limit", pairs, 1000)?))
}

/// `start` and `limit` among the parameters.
///
/// # Errors
/// When one is no number, or negative.
pub fn page_of(params: &Params) -> Result<(usize, usize), Failure> {
    let own: PageParams = wire::read(&params.members)?;
    let number = |field: &str, value: Option<Integer>, default| {
        let Some(Integer(number)) = value else { return Ok(default) };
        usize::try_from(number).map_err(|_| Error::argument(format!("field[{field}] must not be negative")))
    };
    Ok((number("start", own.start, 0)?, number("limit", own.limit, 1000)?))
}
