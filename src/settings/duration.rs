//! Durations as the settings write them.

use serde::{Deserialize, Deserializer, de::Error};
use std::time::Duration;

/// A duration such as `5s`, `500ms` or `1m`.
///
/// # Errors
/// When the text is none.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || D::Error::custom(format!("{text:?} is not a duration such as 5s or 500ms"));
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

/// The same, one second or longer.
///
/// # Errors
/// When the text is no duration, or it is shorter.
pub fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let duration = duration(deserializer)?;
    let long_enough = duration >= Duration::from_secs(1);
    if long_enough { Ok(duration) } else { Err(D::Error::custom("must be 1s or longer")) }
}
