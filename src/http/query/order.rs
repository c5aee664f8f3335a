//! How values of an inventory compare, by their kind: numbers by size, dates by time, everything else by
//! letters. A text that looks like a number is a text: two uuids of digits alone are not one number.

use jiff::civil::DateTime;
use serde_json::Value;
use std::cmp::Ordering;

/// How much of a text decides about the order of a list, in bytes: a bundle of certificates would fill the memory.
pub const COMPARED: usize = 1024;

/// A value, read once: what a member has, or what a condition wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    /// As text.
    pub text: String,
    number: Option<f64>,
    date: Option<DateTime>,
}

impl Datum {
    /// The value of the member `field`.
    #[must_use]
    pub fn of(field: &str, value: &Value) -> Self {
        let text = value.as_str().map_or_else(|| value.to_string(), Into::into);
        Self { number: value.as_f64(), date: date(field, &text), text }
    }

    /// What a condition on `field` compares with.
    #[must_use]
    pub fn wanted(field: &str, text: &str) -> Self {
        Self { number: text.trim().parse().ok(), date: date(field, text), text: text.into() }
    }

    /// The same with as much of its text as decides about the order of a list.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        self.text.truncate(self.text.floor_char_boundary(COMPARED));
        self.text.shrink_to_fit();
        self
    }

    /// How it compares with `other`: by size or time if both have one.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        match (self.number, other.number, self.date, other.date) {
            (Some(a), Some(b), ..) => a.total_cmp(&b),
            (.., Some(a), Some(b)) => a.cmp(&b),
            _ => self.text.cmp(&other.text),
        }
    }
}

/// What `?=` looks for. Of each kind the values are sorted, so that a list of any length is looked through in few steps.
#[derive(Debug)]
pub struct List {
    numbers: Vec<f64>,
    dates: Vec<DateTime>,
    texts: Vec<String>,
}

impl List {
    /// The elements of `text`, between commas.
    #[must_use]
    pub fn new(field: &str, text: &str) -> Self {
        let all: Vec<_> = text.split(',').map(|item| Datum::wanted(field, item.trim())).collect();
        let mut numbers: Vec<_> = all.iter().filter_map(|item| item.number).collect();
        let mut dates: Vec<_> = all.iter().filter_map(|item| item.date).collect();
        let mut texts: Vec<_> = all.into_iter().map(|item| item.text).collect();
        numbers.sort_by(f64::total_cmp);
        dates.sort_unstable();
        texts.sort_unstable();
        Self { numbers, dates, texts }
    }

    /// How many elements it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether one of them is equal to `value`. What is a number or a date equals no text that is none.
    #[must_use]
    pub fn holds(&self, value: &Datum) -> bool {
        match (value.number, value.date) {
            (Some(number), _) => self.numbers.binary_search_by(|other| other.total_cmp(&number)).is_ok(),
            (_, Some(date)) => self.dates.binary_search(&date).is_ok(),
            _ => self.texts.binary_search(&value.text).is_ok(),
        }
    }
}

/// The time that a date is, in the inventory's form or in SQL's; only the members that are dates have one.
fn date(field: &str, text: &str) -> Option<DateTime> {
    if !field.ends_with("Date") {
        return None;
    }
    let text = text.trim();
    DateTime::strptime("%b %d, %Y %I:%M:%S %p", text).ok().or_else(|| text.parse().ok())
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
            ("createDate", json!("Nov 14, 2017 10:20:57 PM"), "Dec 1, 2016 1:00:00 AM", Ordering::Greater),
            ("createDate", json!("Nov 14, 2017 10:20:57 PM"), "2017-11-14 22:20:57", Ordering::Equal),
            ("createDate", json!("Nov 14, 2017 12:20:57 AM"), "2017-11-14", Ordering::Greater),
            ("name", json!("Nov 14, 2017 10:20:57 PM"), "2017-11-14 22:20:57", Ordering::Greater),
        ] {
            assert_eq!(
                Datum::of(field, &value).order(&Datum::wanted(field, wanted)),
                order,
                "{field} {value} {wanted}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_list_holds_what_is_equal_to_one_of_its_elements(
            field in prop::sample::select(vec!["lifeTime", "name", "createDate"]),
            number in any::<bool>(),
            place in 0_usize..6,
            list in prop::collection::vec(0_usize..7, 0..6),
        ) {
            let words = ["600", "600.0", "6e2", "a", "2017-11-14", "Nov 14, 2017 12:00:00 AM", ""];
            let value = if number { json!(600) } else { json!(words[place]) };
            let text = list.iter().map(|place| words[*place].replace(',', "")).collect::<Vec<_>>().join(" ,");
            let value = Datum::of(field, &value);
            let equal = |item: &str| value.order(&Datum::wanted(field, item.trim())) == Ordering::Equal;
            prop_assert_eq!(List::new(field, &text).holds(&value), text.split(',').any(equal));
        }
    }
}
