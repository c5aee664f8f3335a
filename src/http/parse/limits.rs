//! How long the members of a request may be (texts for people have theirs where they are read). What is stored already is
//! beyond these limits: it may be kept, and given again as it is.

use crate::{
    error::{Error, Result},
    ipsec::Psk,
};

/// The longest pre-shared key, in bytes.
pub const MAX_PSK: usize = 4096;
/// The most tags of each kind.
pub const MAX_TAGS: usize = 100;
/// The longest tag, in bytes.
pub const MAX_TAG: usize = 256;
/// The most elements of any other list: more networks than one connection can carry.
pub const MAX_LIST: usize = 512;

/// Refuses a pre-shared key in the member `field` that is too long.
///
/// # Errors
/// That it is.
pub fn key(field: &str, key: &Psk) -> Result<()> {
    at_most(field, key.expose().len(), MAX_PSK, "bytes")
}

/// Refuses a list that is too long.
pub(super) fn elements(field: &str, count: usize) -> Result<()> {
    at_most(field, count, MAX_LIST, "elements")
}

/// Refuses tags that are too many or too long, unless they are those that are `stored`.
///
/// # Errors
/// Which.
pub fn tags(field: &str, tags: &[String], stored: &[String]) -> Result<()> {
    if tags == stored {
        return Ok(());
    }
    at_most(field, tags.len(), MAX_TAGS, "elements")?;
    tags.iter()
        .enumerate()
        .try_for_each(|(number, tag)| at_most(&format!("{field}[{number}]"), tag.len(), MAX_TAG, "bytes"))
}

/// Refuses `count` where it is more than `most`.
fn at_most(field: &str, count: usize, most: usize, what: &str) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    Err(Error::rule(field, format!("must have at most {most} {what}, it has {count}")))
}
