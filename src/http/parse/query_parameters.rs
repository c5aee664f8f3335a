//! The parameters in the query of a write: how it is to be done.

use super::check::choice;
use crate::{
    agent::{TransitionOptions, WriteOptions},
    error::{Error, Result},
    http::{
        envelope::Params,
        error::Failure,
        wire::{self, Integer, PageParams, whole_text},
    },
    store,
};
use std::{ops::RangeInclusive, time::Duration};

/// How long a change may be on trial.
const CONFIRM: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);

/// How long a change may be in transition.
const TRANSITION: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(720);

/// Whether `deleteMode` says that a deletion is to be done whatever charon says.
///
/// # Errors
/// When it is not one of the contract's words.
pub fn delete_mode(pairs: &[(String, String)]) -> Result<bool, Failure> {
    let value = value("deleteMode", pairs)?.map(Into::into);
    Ok(choice("deleteMode", 32, value, &[("Permissive", false), ("Enforcing", true)], false)?)
}

/// What becomes of the parameters that a Change leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingFields {
    /// They take their defaults, as the contract has it.
    Defaults,
    /// They keep what is stored, the key included.
    Kept,
    /// The same, but for these identities.
    KeptBut(Unset),
}

/// Identities that a Change takes away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unset {
    /// The gateway's: it is its address again, or the subject of its certificate.
    pub local_id: bool,
    /// The peer's: it is its address again.
    pub remote_id: bool,
}

impl Unset {
    /// Takes them away from what is stored, with what was said of them.
    pub fn clear(self, stored: &mut store::Options) {
        if self.local_id {
            (stored.local_id, stored.native.local_id_type) = (None, None);
        }
        if self.remote_id {
            (stored.remote_id, stored.native.remote_id_type) = (None, None);
        }
    }
}

/// `keep=true`: what a Change leaves out keeps what is stored, but for the identities in `unset=localId,remoteId`.
///
/// # Errors
/// When a value is not one, and for `unset` without `keep`: the contract keeps an identity that is left out.
pub fn missing_fields(pairs: &[(String, String)]) -> Result<MissingFields, Failure> {
    let keep = switch("keep", pairs)? == Some(true);
    let Some(names) = value("unset", pairs)? else {
        return Ok(if keep { MissingFields::Kept } else { MissingFields::Defaults });
    };
    let mut unset = Unset::default();
    for name in names.split(',').map(str::trim) {
        match name {
            "localId" => unset.local_id = true,
            "remoteId" => unset.remote_id = true,
            _ => return Err(Error::in_query("unset", "takes localId and remoteId").into()),
        }
    }
    if keep {
        return Ok(MissingFields::KeptBut(unset));
    }
    Err(Error::in_query("unset", "needs keep=true").into())
}

/// Refuses `confirm` and `transition` where nothing can be on trial or in transition, and `why`.
///
/// # Errors
/// When one is there.
pub fn no_trial(pairs: &[(String, String)], why: &str) -> Result<(), Failure> {
    for name in ["confirm", "transition"] {
        if value(name, pairs)?.is_some() {
            return Err(Error::in_query(name, format!("is not possible here: {why}")).into());
        }
    }
    Ok(())
}

/// `transition=24h` and `accept=true`.
fn transition(pairs: &[(String, String)]) -> Result<Option<TransitionOptions>, Failure> {
    let accept = switch("accept", pairs)?;
    let Some(text) = value("transition", pairs)? else {
        return match accept {
            Some(true) => {
                Err(Error::in_query("accept", "needs transition, whose old tunnel it takes for Ready").into())
            }
            _ => Ok(None),
        };
    };
    let lasts = span(text).filter(|lasts| lasts.is_zero() || TRANSITION.contains(lasts));
    let rule = "must be a duration from 1m to 30d, such as 24h; or 0s, which ends the one that goes on";
    let lasts = lasts.ok_or_else(|| Error::in_query("transition", rule))?;
    let reasons = [
        ("confirm", "the old tunnel goes on in a transition, and proves nothing of the new proposals"),
        ("immediate", "the old tunnel goes on in a transition"),
        (
            "rehearse",
            "the old tunnel goes on in a transition, and a rekeying of it proves nothing of the new proposals",
        ),
        ("together", "a transition is for proposals, and together is for keys"),
    ];
    for (name, why) in reasons {
        if value(name, pairs)?.is_some_and(|value| value != "false") {
            return Err(Error::in_query(name, format!("cannot be combined with transition: {why}")).into());
        }
    }
    Ok(Some(TransitionOptions { lasts, accept: accept == Some(true) }))
}

/// A duration such as `90m`, `24h` or `7d`, with nothing around it: jiff leaves out blanks and ends of lines.
fn span(text: &str) -> Option<Duration> {
    if text.trim() != text {
        return None;
    }
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        return days.checked_mul(24).map(Duration::from_hours);
    }
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok()
}

/// How a write is to be done: `confirm=60s`, `transition=24h` with `accept=true`, `immediate=true`, `rehearse=true` and
/// `together=true`.
///
/// # Errors
/// When a value is not one, and for several connections on trial at once.
pub fn write_options(pairs: &[(String, String)]) -> Result<WriteOptions, Failure> {
    let confirm = value("confirm", pairs)?.map(|text| {
        let span = span(text).filter(|span| CONFIRM.contains(span));
        span.ok_or_else(|| Error::in_query("confirm", "must be a duration from 1s to 10m, such as 60s"))
    });
    let immediate = switch("immediate", pairs)?.unwrap_or(false);
    let (confirm, together) = (confirm.transpose()?, switch("together", pairs)?.unwrap_or(false));
    if together && confirm.is_some() {
        let rule = "cannot be combined with confirm: a change of several connections cannot be on trial; leave one of \
                    them out";
        return Err(Error::in_query("together", rule).into());
    }
    let (transition, rehearse) = (transition(pairs)?, switch("rehearse", pairs)?);
    Ok(WriteOptions { confirm, immediate, rehearse, transition, together, ..WriteOptions::default() })
}

/// A parameter in the query that is `true` or `false`.
///
/// # Errors
/// When it is something else, or stands there twice.
pub fn switch(name: &str, pairs: &[(String, String)]) -> Result<Option<bool>, Failure> {
    match value(name, pairs)? {
        None => Ok(None),
        Some("false") => Ok(Some(false)),
        Some("true") => Ok(Some(true)),
        Some(_) => Err(Error::in_query(name, "must be true or false").into()),
    }
}

/// The value of a parameter in the query that may stand there once.
///
/// # Errors
/// 400 when it stands there twice.
pub fn value<'a>(name: &str, pairs: &'a [(String, String)]) -> Result<Option<&'a str>, Failure> {
    let mut values = pairs.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(Failure::bad_request(format!(
            "Invalid query parameter[{name}], only one value is allowed for the parameter but multiple values found"
        ))),
    }
}

/// The value of a parameter that must be in the query.
///
/// # Errors
/// When it is not, or twice.
pub fn required_value<'a>(name: &str, pairs: &'a [(String, String)]) -> Result<&'a str, Failure> {
    Ok(super::check::mandatory_value(name, value(name, pairs)?)?)
}

/// The whole number of a parameter in the query, or `default`.
///
/// # Errors
/// 400 when it is none.
pub fn number(name: &str, pairs: &[(String, String)], default: usize) -> Result<usize, Failure> {
    let Some(text) = value(name, pairs)? else { return Ok(default) };
    let number = whole_text(text).ok_or_else(|| wire::not_an_integer(name, text))?;
    Ok(not_negative(name, number)?)
}

fn not_negative(name: &str, number: i64) -> Result<usize> {
    usize::try_from(number).map_err(|_| Error::rule(name, "must not be negative"))
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
        value.map_or(Ok(default), |Integer(number)| not_negative(field, number))
    };
    Ok((number("start", own.start, 0)?, number("limit", own.limit, 1000)?))
}
