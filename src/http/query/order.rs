//! How values of an inventory compare, by their kind: numbers by size, dates by time, everything else by
//! letters. A text that looks like a number is a text: two uuids of digits alone are not one number.

use jiff::civil::DateTime;
use serde_json::Value;
use std::cmp::Ordering;

/// A value as conditions see it.
#[must_use]
pub fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), Into::into)
}

/// The order of a member's value and a text in a condition.
#[must_use]
pub fn with_text(field: &str, value: &Value, wanted: &str) -> Ordering {
    let number = || Some(value.as_f64()?.total_cmp(&wanted.trim().parse().ok()?));
    let time = || Some(date(field, &as_text(value))?.cmp(&date(field, wanted)?));
    number().or_else(time).unwrap_or_else(|| as_text(value).as_str().cmp(wanted))
}

/// The order of two inventories by a member, which may be absent; absent ones come first.
#[must_use]
pub fn of_members(field: &str, a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => with_text(field, a, &as_text(b)),
        (a, b) => a.is_some().cmp(&b.is_some()),
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

/// SQL's LIKE: `%` is any text, `_` any one character. Linear in time for every pattern.
#[must_use]
pub fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<_>, Vec<_>) = (text.chars().collect(), pattern.chars().collect());
    let (mut t, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '_' || *c == text[t] => {
                t += 1;
                p += 1;
            }
            _ => match retry {
                // Let the last `%` take one character more.
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    p = after;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

#[cfg(test)]
mod tests {
    use super::*;
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
            assert_eq!(with_text(field, &value, wanted), order, "{field} {value} {wanted}");
        }
    }

    #[test]
    fn like_is_sqls() {
        for (text, pattern, holds) in [
            ("site-a", "site%", true),
            ("site-a", "%-a", true),
            ("site-a", "s_te%a", true),
            ("site-a", "site", false),
            ("", "%", true),
            ("", "_", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaab", "%a%a%a%a%c", false),
        ] {
            assert_eq!(like(text, pattern), holds, "{text} ~= {pattern}");
        }
    }
}
