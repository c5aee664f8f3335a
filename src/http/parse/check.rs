//! The checks that all parameters share, with the contract's messages (1.8).

use crate::error::{Error, Resource, Result};

/// The class that the real server names in its messages.
const CLASS: &str = "org.zstack.header.message.ApiMessageParamValidator";

/// A string: trimmed, and at most `max` UTF-16 units long.
pub(super) fn text(field: &str, value: Option<String>, max: usize) -> Result<Option<String>> {
    let Some(value) = value.map(|text| text.trim().to_owned()) else { return Ok(None) };
    match value.encode_utf16().count() {
        length if length > max => Err(Error::argument(format!(
            "field[{field}] of message[{CLASS}] exceeds max length of string. expected was <= {max}, actual was {length}"
        ))),
        _ => Ok(Some(value)),
    }
}

pub(super) fn mandatory(field: &str, value: Option<String>, max: usize) -> Result<String> {
    mandatory_value(field, text(field, value, max)?)
}

/// The value, which must be there.
pub(super) fn mandatory_value<T>(field: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::argument(format!("field[{field}] of message[{CLASS}] is mandatory, can not be null")))
}

pub(super) fn invalid_choice(field: &str, valid: &[String], found: &str) -> Error {
    let found: String = found.chars().take(64).collect();
    Error::argument(format!(
        "valid value for field[{field}] of message[{CLASS}] are [{}], but {found} found",
        valid.join(", ")
    ))
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
