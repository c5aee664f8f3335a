//! What charon's refusals mean: the only place that reads their words, which both backends hand on.

use super::words::{SENTENCE, shorten};
use crate::error::{Error, Result};

/// charon refused `doing` with `words` of its own.
pub(super) fn refused(doing: String, words: &str) -> Error {
    // Of SAs to terminate or to rekey; of connections, keys and secrets to unload.
    let is_absent = words.starts_with("no matching SAs") || words.ends_with("not found");
    Error::Refused { doing, words: shorten(words, SENTENCE), is_absent }
}

/// `outcome`; that charon does not have what is to go is no error.
pub(super) fn or_absent(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.is_absent() => Ok(()),
        other => other,
    }
}
