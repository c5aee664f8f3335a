//! Moments and spans for people: local time with its zone, and how long ago.

use jiff::{Timestamp, tz::TimeZone};

/// A moment in local time with its zone: `2026-11-30 06:33:46 UTC`.
pub fn moment(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// A time of the API as a moment; what is none, as it is.
pub fn local(text: &str) -> String {
    text.parse().map_or_else(|_| cygnet::visible::visible(text), moment)
}

/// Since when: the moment, or, where room is short, how long ago.
pub fn since(time: Timestamp, now: Timestamp, is_whole: bool) -> String {
    if is_whole { moment(time) } else { span(now.duration_since(time).as_secs()) }
}

/// A number of seconds in its two largest units: `45s`, `12m`, `3h12m`, `2d4h`.
pub fn span(seconds: i64) -> String {
    let (seconds, sign) = (seconds.unsigned_abs(), if seconds < 0 { "-" } else { "" });
    match seconds {
        0..=59 => format!("{sign}{seconds}s"),
        60..=3599 => format!("{sign}{}m", seconds / 60),
        3600..=86_399 => format!("{sign}{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{sign}{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
#[test]
fn spans_are_short() {
    let shown = [0, 59, 60, 3599, 3600, 11_520, 187_200, -61].map(span);
    assert_eq!(shown, ["0s", "59s", "1m", "59m", "1h0m", "3h12m", "2d4h", "-1m"]);
}
