//! Keys that are texts.

use crate::{
    error::{Error, Problem, Result},
    ipsec::Psk,
};

/// What stands for a hidden key in an inventory.
pub const MASK: &str = "******";

/// The key that is this text, in the member `field`.
pub(super) fn text_key(field: &str, key: &str) -> Result<Psk> {
    if key.chars().any(|c| c.is_whitespace() || "'\"`\\".contains(c)) {
        return Err(Error::member(field, Problem::Characters("'\"`\\")));
    }
    if key == MASK {
        return Err(Error::rule(field, "is the mask of a hidden key, not a key: give the key itself"));
    }
    Psk::new(key.as_bytes()).map_err(|e| Error::rule(field, e.to_string()))
}
