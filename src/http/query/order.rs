//! How values of an inventory compare, by their kind: numbers by size, dates by time, everything else by
//! letters. A text that looks like a number is a text: two uuids of digits alone are not one number.

use super::moment::{Date, Moment, is_date};
use crate::http::{error::Failure, inventory};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use std::cmp::Ordering;

/// How much of a text decides about the order of a list, in bytes: a bundle of certificates would fill the memory.
pub const COMPARED: usize = 1024;

/// A value, read once: what a member has.
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    /// As text.
    pub text: String,
    number: Option<f64>,
    moment: Option<Moment>,
}

/// What a condition wants, read once.
#[derive(Debug, Clone, PartialEq)]
pub struct Operand {
    /// As text.
    pub text: String,
    number: Option<f64>,
    date: Option<Date>,
}

impl Operand {
    /// What a condition on `field` compares with.
    ///
    /// # Errors
    /// 400 when the member is a date, and `text` is none.
    pub fn new(field: &str, text: &str) -> Result<Self, Failure> {
        let date = is_date(field).then(|| Date::wanted(field, text)).transpose()?;
        Ok(Self { number: text.trim().parse().ok(), date, text: text.into() })
    }
}

impl Datum {
    /// The value of a member that is no date.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        let text = value.as_str().map_or_else(|| value.to_string(), Into::into);
        Self { number: value.as_f64(), moment: None, text }
    }

    /// A date.
    #[must_use]
    pub fn at(time: Timestamp, zone: &TimeZone) -> Self {
        Self { text: inventory::date(time, zone), number: None, moment: Some(Moment::new(time, zone)) }
    }

    /// The same with as much of its text as decides about the order of a list.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        self.text.truncate(self.text.floor_char_boundary(COMPARED));
        self.text.shrink_to_fit();
        self
    }

    /// How it compares with another value of the same member.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        match (self.number, other.number, self.moment, other.moment) {
            (Some(a), Some(b), ..) => a.total_cmp(&b),
            (.., Some(a), Some(b)) => a.compared_with(&b),
            _ => self.text.cmp(&other.text),
        }
    }

    /// How it compares with what is wanted: by size or time if both have one.
    #[must_use]
    pub fn against(&self, wanted: &Operand) -> Ordering {
        match (self.number, wanted.number, self.moment, wanted.date) {
            (Some(a), Some(b), ..) => a.total_cmp(&b),
            (.., Some(a), Some(b)) => a.order(b),
            _ => self.text.cmp(&wanted.text),
        }
    }
}

/// What `?=` looks for. Of each kind the values are sorted, so that a list of any length is looked through in few steps.
#[derive(Debug)]
pub struct List {
    numbers: Vec<f64>,
    dates: Vec<Date>,
    texts: Vec<String>,
}

impl List {
    /// The elements of `text`, between commas.
    ///
    /// # Errors
    /// 400 when the member is a date, and an element is none.
    pub fn new(field: &str, text: &str) -> Result<Self, Failure> {
        let mut list = Self { numbers: Vec::new(), dates: Vec::new(), texts: Vec::new() };
        if is_date(field) {
            list.dates = Date::list(field, text)?;
        } else {
            list.texts = text.split(',').map(|item| item.trim().to_owned()).collect();
            list.numbers = list.texts.iter().filter_map(|item| item.parse().ok()).collect();
        }
        list.numbers.sort_by(f64::total_cmp);
        list.dates.sort_unstable();
        list.texts.sort_unstable();
        Ok(list)
    }

    /// How many elements it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len().max(self.dates.len())
    }

    /// Whether one of them is equal to `value`. What is a number or a date equals no text that is none.
    #[must_use]
    pub fn holds(&self, value: &Datum) -> bool {
        match (value.number, value.moment) {
            (Some(number), _) => self.numbers.binary_search_by(|other| other.total_cmp(&number)).is_ok(),
            (_, Some(moment)) => moment.dates().iter().any(|date| self.dates.binary_search(date).is_ok()),
            _ => self.texts.binary_search(&value.text).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn values_compare_by_their_kind() {
        let digits = |last: char| "1".repeat(31) + &last.to_string();
        for (field, value, wanted, order) in [
            ("lifeTime", json!(600), "3600", Ordering::Less),
            ("lifeTime", json!(600), "600.0", Ordering::Equal),
            ("uuid", json!(digits('1')), digits('2').as_str(), Ordering::Less),
            ("name", json!("1e2"), "100", Ordering::Greater),
            ("name", json!("10"), "9", Ordering::Less),
            ("name", json!("Nov 14, 2017 10:20:57 PM"), "2017-11-14 22:20:57", Ordering::Greater),
        ] {
            let wanted = Operand::new(field, wanted).expect("no date");
            assert_eq!(Datum::of(&value).against(&wanted), order, "{field} {value} {wanted:?}");
        }
        let made = Datum::at("2017-11-14T22:20:57Z".parse().expect("a time"), &TimeZone::UTC);
        for (wanted, order) in [
            ("Dec 1, 2016 1:00:00 AM", Ordering::Greater),
            ("2017-11-14 22:20:57", Ordering::Equal),
            ("2017-11-14", Ordering::Greater),
            ("2017-11-14T22:20:57Z", Ordering::Equal),
            ("2017-11-15T05:20:57+08:00", Ordering::Greater),
            ("2099-01-01T00:00:00Z", Ordering::Less),
        ] {
            assert_eq!(made.against(&Operand::new("createDate", wanted).expect("a date")), order, "{wanted}");
        }
    }

    proptest! {
        #[test]
        fn a_list_holds_what_is_equal_to_one_of_its_elements(
            number in any::<bool>(),
            place in 0_usize..4,
            list in prop::collection::vec(0_usize..5, 0..6),
        ) {
            let words = ["600", "600.0", "6e2", "a", ""];
            let value = Datum::of(&if number { json!(600) } else { json!(words[place]) });
            let text = list.iter().map(|place| words[*place]).collect::<Vec<_>>().join(" ,");
            let equal = |item: &str| value.against(&Operand::new("name", item.trim()).expect("no date")) == Ordering::Equal;
            let holds = List::new("name", &text).expect("no dates").holds(&value);
            prop_assert_eq!(holds, text.split(',').any(equal));
        }

        #[test]
        fn a_list_holds_the_dates_that_are_equal(
            second in 0_i64..4,
            list in prop::collection::vec((0_i64..4, 0_usize..3), 1..6),
        ) {
            let (zone, time) = (TimeZone::UTC, |second| Timestamp::from_second(second).expect("a time"));
            let value = Datum::at(time(second), &zone);
            let form = |(second, form): &(i64, usize)| match form {
                0 => time(*second).to_string(),
                1 => inventory::date(time(*second), &zone),
                _ => zone.to_datetime(time(*second)).to_string(),
            };
            let text = list.iter().map(form).collect::<Vec<_>>().join(",");
            let holds = List::new("createDate", &text).expect("dates").holds(&value);
            prop_assert_eq!(holds, list.iter().any(|(other, _)| *other == second), "{}", text);
        }
    }
}
