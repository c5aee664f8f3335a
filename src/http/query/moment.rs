//! Dates in queries: what an inventory has is a moment; what a condition wants is a moment too, or the time of a wall
//! clock of this gateway.

use crate::http::error::Failure;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use std::cmp::Ordering;

/// A moment in whole seconds, as inventories show it, and the wall clock of then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    instant: Timestamp,
    clock: DateTime,
}

/// The date of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Date {
    /// With an offset: a moment, wherever.
    Instant(Timestamp),
    /// Without one: the wall clock of this gateway, as inventories show it.
    Clock(DateTime),
}

impl Moment {
    /// The moment of `time` in `zone`.
    #[must_use]
    pub fn new(time: Timestamp, zone: &TimeZone) -> Self {
        // Nobody can ask for the fraction of a second that no inventory shows.
        let instant = Timestamp::from_second(time.as_second()).unwrap_or(time);
        Self { instant, clock: zone.to_datetime(instant) }
    }

    /// How it compares with the date of a condition.
    #[must_use]
    pub fn order(&self, date: Date) -> Ordering {
        match date {
            Date::Instant(other) => self.instant.cmp(&other),
            Date::Clock(other) => self.clock.cmp(&other),
        }
    }

    /// How it compares with another one: an hour that a clock goes back over comes twice, and in order.
    #[must_use]
    pub fn compared_with(&self, other: &Self) -> Ordering {
        self.instant.cmp(&other.instant)
    }

    /// The two dates that it equals.
    #[must_use]
    pub fn dates(&self) -> [Date; 2] {
        [Date::Instant(self.instant), Date::Clock(self.clock)]
    }
}

/// Whether the member `field` is a date.
#[must_use]
pub fn is_date(field: &str) -> bool {
    field.ends_with("Date")
}

/// The forms of dates that are no ISO 8601: those of inventories, and of clients in newer Java.
const FORMS: [&str; 2] = ["%b %d, %Y %I:%M:%S %p", "%b %d, %Y, %I:%M:%S %p"];

impl Date {
    /// The date in `text`: RFC 3339, the form of inventories, or SQL's.
    fn new(text: &str) -> Option<Self> {
        let text = text.trim().replace(['\u{202f}', '\u{a0}'], " ");
        if let Some(instant) = text.parse().ok().or_else(|| unescaped(&text)) {
            return Some(Self::Instant(instant));
        }
        let form = || FORMS.iter().find_map(|form| DateTime::strptime(form, &text).ok());
        text.parse().ok().or_else(form).map(Self::Clock)
    }

    /// The date that a condition on `field` compares with.
    ///
    /// # Errors
    /// 400 when it is none.
    pub fn wanted(field: &str, text: &str) -> Result<Self, Failure> {
        Self::new(text).ok_or_else(|| no_date(field, text))
    }

    /// The dates of a list; those in the form of inventories have commas themselves.
    ///
    /// # Errors
    /// 400 when an element is none.
    pub fn list(field: &str, text: &str) -> Result<Vec<Self>, Failure> {
        let pieces: Vec<_> = text.split(',').collect();
        let (mut dates, mut rest) = (Vec::new(), pieces.as_slice());
        while let Some(first) = rest.first() {
            let mut parts = (1..=rest.len().min(3)).rev();
            let found = parts.find_map(|count| Some((Self::new(&rest[..count].join(","))?, count)));
            let (date, count) = found.ok_or_else(|| no_date(field, first))?;
            dates.push(date);
            rest = &rest[count..];
        }
        Ok(dates)
    }
}

/// The moment in a text whose plus sign was not escaped in the URL, and so is a blank by the time it arrives.
fn unescaped(text: &str) -> Option<Timestamp> {
    let place = text.len().checked_sub("+00:00".len())?;
    let (date, offset) = (text.get(..place)?, text.get(place..)?.strip_prefix(' ')?);
    // A blank before a time without seconds is no plus sign: that has no time before it.
    date.contains(':').then(|| format!("{date}+{offset}").parse().ok())?
}

fn no_date(field: &str, text: &str) -> Failure {
    let shown: String = text.chars().take(64).collect();
    Failure::bad_request(format!(
        "Invalid query parameter[q], the condition on [{field}] needs a date, such as 2026-11-14T22:20:57Z, \
         2026-11-14T22:20:57+08:00, or by the clock of this gateway 2026-11-14 22:20:57 or Nov 14, 2026 10:20:57 PM, \
         but was [{}]",
        crate::visible::visible(&shown)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Option<Date> {
        Date::new(text)
    }

    #[test]
    fn dates_are_moments_or_times_of_a_wall_clock() {
        let instant = Some(Date::Instant("2026-11-14T14:20:57Z".parse().expect("a time")));
        for text in [
            "2026-11-14T14:20:57Z",
            " 2026-11-14t14:20:57z",
            "2026-11-14 14:20:57Z",
            "2026-11-14T22:20:57+08:00",
            "2026-11-14T22:20:57 08:00",
            "2026-11-14T09:20:57-05:00",
            "2026-11-14T14:20:57.000Z",
        ] {
            assert_eq!(date(text), instant, "{text}");
        }
        let clock = Some(Date::Clock("2026-11-14T22:20:57".parse().expect("a time")));
        for text in [
            "Nov 14, 2026 10:20:57 PM",
            "Nov 14, 2026, 10:20:57 PM",
            "Nov 14, 2026, 10:20:57\u{202f}PM",
            "2026-11-14 22:20:57",
            "2026-11-14T22:20:57",
        ] {
            assert_eq!(date(text), clock, "{text}");
        }
        for (text, wanted) in [
            ("2026-11-14", "2026-11-14T00:00:00"),
            ("2026-11-14 22:20", "2026-11-14T22:20:00"),
            ("Nov 4, 2026 12:00:00 AM", "2026-11-04T00:00:00"),
            ("Nov 4, 2026 12:00:00 PM", "2026-11-04T12:00:00"),
        ] {
            assert_eq!(date(text), Some(Date::Clock(wanted.parse().expect("a time"))), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            " ",
            "yesterday",
            "1",
            "1700000000000",
            "2026",
            "2026-13-01",
            "2026-02-30T00:00:00Z",
            "2026-01-01T25:00:00Z",
            "Nov 31, 2026 1:00:00 AM",
            "Nov 14, 2026 13:00:00 PM",
            "Nov 14, 2026",
            "14.11.2026",
            "11/14/2026",
            "2026-11-14 10:20:57 PM",
            "2026-01-01T00:00:00Z;",
            "é 08:00",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn lists_hold_dates_with_commas() {
        let text = "Nov 14, 2026 10:20:57 PM,2026-11-14 , Nov 1, 2026, 1:00:00 AM,2026-01-01T00:00:00Z";
        let dates = Date::list("createDate", text).expect("four dates");
        let first = |texts: &[&str]| texts.iter().filter_map(|text| date(text)).collect::<Vec<_>>();
        assert_eq!(dates, first(&["2026-11-14 22:20:57", "2026-11-14", "2026-11-01 01:00:00", "2026-01-01T00:00:00Z"]));
        for wrong in ["", ",", "2026-11-14,", "2026-11-14,x", "Nov 14, 2026"] {
            assert!(Date::list("createDate", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_hour_that_comes_twice_is_in_order() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let moment = |text: &str| Moment::new(text.parse().expect("a time"), &zone);
        let (before, after) = (moment("2026-10-25T00:40:00.9Z"), moment("2026-10-25T01:20:00Z"));
        assert_eq!(before.compared_with(&after), Ordering::Less, "2:40 of summer is before 2:20 of winter");
        assert_eq!(before.order(Date::Clock("2026-10-25T02:40:00".parse().expect("a time"))), Ordering::Equal);
        assert_eq!(before.order(Date::Instant("2026-10-25T00:40:00Z".parse().expect("a time"))), Ordering::Equal);
    }
}
