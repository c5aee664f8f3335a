//! The checks that all parameters share, of single values (contract, 1.8).

use crate::error::{Error, Problem, Resource, Result};

/// A string: trimmed, and at most `max` UTF-16 units long.
pub(super) fn text(field: &str, value: Option<String>, max: usize) -> Result<Option<String>> {
    let Some(value) = value.map(|text| text.trim().to_owned()) else { return Ok(None) };
    match value.encode_utf16().count() {
        length if length > max => Err(Error::member(field, Problem::TooLong { most: max, length })),
        _ => Ok(Some(value)),
    }
}

pub(super) fn mandatory(field: &str, value: Option<String>, max: usize) -> Result<String> {
    mandatory_value(field, text(field, value, max)?)
}

/// The value, which must be there.
pub(super) fn mandatory_value<T>(field: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::member(field, Problem::Missing))
}

pub(super) fn invalid_choice(field: &str, valid: &[String], found: &str) -> Error {
    Error::member(field, Problem::NotOneOf { valid: valid.to_vec(), found: found.chars().take(64).collect() })
}

pub(super) fn choice<T: Copy>(
    field: &str,
    max: usize,
    value: Option<String>,
    table: &[(&str, T)],
    default: T,
) -> Result<T> {
    let Some(value) = text(field, value, max)? else { return Ok(default) };
    let names = || table.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    table
        .iter()
        .find(|(name, _)| *name == value)
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| invalid_choice(field, &names(), &value))
}

/// What the parameter `field` names is not there.
pub(super) fn not_found(field: &'static str, uuid: String, resource: Resource) -> Error {
    Error::NotFound { field, uuid, resource, known: None }
}

/// The same, with those that there are.
pub(super) fn not_among(field: &'static str, uuid: String, resource: Resource, known: String) -> Error {
    Error::NotFound { field, uuid, resource, known: Some(known) }
}
