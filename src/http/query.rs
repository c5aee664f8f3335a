//! The query language of `QueryIPSecConnection` (contract 1.11). What one query may cost is bounded, whoever asks.

mod class;
mod condition;
mod find;
mod lens;
mod like;
mod moment;
mod order;
mod reply;
mod rows;
mod steps;
#[cfg(test)]
mod tests;

pub use class::Class;
pub use find::find;
pub use lens::Lens;
pub use reply::{list, reply};
pub use rows::rows;

use super::{error::Failure, inventory, parse};
use crate::{
    agent::View,
    error::Error,
    http::query::{class::CONNECTION, condition::Condition, order::Datum, steps::Steps},
    ipsec::ConnectionId,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// A parsed query string.
#[derive(Debug, Default)]
pub struct Query {
    conditions: Vec<Condition>,
    limit: Option<usize>,
    start: usize,
    /// Whether only the number of connections is wanted.
    pub count: bool,
    with_count: bool,
    sort: Option<(&'static str, bool)>,
    fields: Option<Vec<&'static str>>,
    group_by: Option<&'static str>,
}

/// What a query found.
#[derive(Debug)]
pub struct Found {
    /// How many connections the conditions hold for.
    pub total: usize,
    /// Those of the page, in order.
    pub page: Vec<View>,
}

/// The parameters that may stand once only.
const SINGLE: [&str; 8] = ["limit", "start", "count", "replyWithCount", "sort", "fields", "groupBy", "filterName"];

/// What `limit` is if it is not given.
const DEFAULT_LIMIT: usize = 1000;
/// The most conditions of one query.
pub const MAX_CONDITIONS: usize = 32;

impl Query {
    /// Reads the pairs of a query string; unknown parameters are ignored.
    ///
    /// # Errors
    /// 400 for what is no query, 503 for a field that does not exist.
    pub fn parse(pairs: &[(String, String)]) -> Result<Self, Failure> {
        Self::about(pairs, &CONNECTION)
    }

    /// The same of another class.
    fn about(pairs: &[(String, String)], class: &Class) -> Result<Self, Failure> {
        let mut query = Self::default();
        for name in SINGLE {
            parse::value(name, pairs)?;
        }
        let conditions = pairs.iter().filter(|(name, _)| name == "q").count();
        if conditions > MAX_CONDITIONS {
            return Err(Failure::bad_request(format!(
                "Invalid query parameter[q], at most {MAX_CONDITIONS} conditions are possible, there are {conditions}"
            )));
        }
        for (name, value) in pairs {
            match name.as_str() {
                "q" => query.conditions.push(Condition::new(value, class)?),
                "limit" => query.limit = Some(integer("limit", value)?),
                "start" => query.start = integer("start", value)?,
                "count" => query.count = boolean(value),
                "replyWithCount" => query.with_count = boolean(value),
                "sort" => query.sort = Some(sort(value, class)?),
                "fields" => query.fields = Some(fields(value, class)?),
                "groupBy" => query.group_by = Some(class.member(value.trim())?),
                "filterName" => {
                    return Err(Error::in_query("filterName", "is not possible: this agent has no filters").into());
                }
                _ => {}
            }
        }
        Ok(query)
    }

    /// Those of `views` that the query is about, seen through `lens`.
    ///
    /// # Errors
    /// 400 when it takes too many steps.
    pub async fn select(&self, views: Vec<View>, lens: &Lens) -> Result<Found, Failure> {
        self.select_within(views, lens, &mut Steps::default()).await
    }

    async fn select_within(&self, views: Vec<View>, lens: &Lens, steps: &mut Steps) -> Result<Found, Failure> {
        let mut found = Vec::new();
        for view in views {
            if self.holds(&view, lens, steps)? {
                found.push(view);
            }
            if steps.is_over() {
                tokio::task::yield_now().await;
            }
        }
        if let Some(field) = self.group_by {
            let digest = |datum: Datum| <[u8; 32]>::from(Sha256::digest(datum.text));
            let groups = read(&found, field, lens, steps, digest).await?;
            let mut seen = BTreeSet::new();
            found =
                groups.into_iter().zip(found).filter_map(|(group, view)| seen.insert(group).then_some(view)).collect();
        }
        let total = found.len();
        if self.count {
            return Ok(Found { total, page: Vec::new() });
        }
        if let Some((field, descending)) = self.sort {
            let keys = read(&found, field, lens, steps, Datum::shortened).await?;
            found = sorted(keys.into_iter().zip(found).collect(), descending);
        }
        let page = found.into_iter().skip(self.start).take(self.limit.unwrap_or(DEFAULT_LIMIT)).collect();
        Ok(Found { total, page })
    }

    /// The members that are answered.
    #[must_use]
    pub fn shown(&self) -> &[&'static str] {
        self.fields.as_deref().unwrap_or(&inventory::MEMBERS)
    }

    /// The total, if it is wanted beside the page.
    #[must_use]
    pub fn total(&self, found: &Found) -> Option<usize> {
        (self.count || self.with_count).then_some(found.total)
    }

    fn holds(&self, view: &View, lens: &Lens, steps: &mut Steps) -> Result<bool, Failure> {
        for condition in &self.conditions {
            if !condition.holds(view, lens, steps)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it depends on the status which connections are found, or in which order.
    fn judges_status(&self) -> bool {
        let named = [self.sort.map(|(field, _)| field), self.group_by];
        let mut fields =
            self.conditions.iter().map(|condition| condition.field.as_str()).chain(named.into_iter().flatten());
        fields.any(|field| field == "status")
    }

    fn shows_status(&self) -> bool {
        !self.count && self.shown().contains(&"status")
    }

    /// The one connection that can be found, if a condition says which.
    fn only(&self) -> Option<ConnectionId> {
        self.conditions.iter().find_map(|condition| condition.equals("uuid")).and_then(|uuid| uuid.parse().ok())
    }
}

/// What `keep` keeps of a member of each of `views`, which may be absent.
///
/// # Errors
/// 400 when it takes too many steps.
async fn read<K>(
    views: &[View],
    field: &str,
    lens: &Lens,
    steps: &mut Steps,
    keep: impl Fn(Datum) -> K,
) -> Result<Vec<Option<K>>, Failure> {
    let mut all = Vec::with_capacity(views.len());
    for view in views {
        let value = lens.datum(view, field);
        steps.take(1 + value.as_ref().map_or(0, |value| value.text.len()) as u64)?;
        all.push(value.map(&keep));
        if steps.is_over() {
            tokio::task::yield_now().await;
        }
    }
    Ok(all)
}

/// The items in the order of their keys; absent ones come first.
fn sorted<T>(mut all: Vec<(Option<Datum>, T)>, descending: bool) -> Vec<T> {
    all.sort_by(|(a, _), (b, _)| {
        let order = match (a, b) {
            (Some(a), Some(b)) => a.order(b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        if descending { order.reverse() } else { order }
    });
    all.into_iter().map(|(_, item)| item).collect()
}

fn integer(name: &str, value: &str) -> Result<usize, Failure> {
    value
        .trim()
        .parse()
        .map_err(|_| Failure::bad_request(format!("Invalid query parameter. '{name}' must be an integer")))
}

/// As the real server reads it: `true` in any case of letters, and everything else is false (Python writes `True`).
fn boolean(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

fn sort(value: &str, class: &Class) -> Result<(&'static str, bool), Failure> {
    let descending = value.starts_with('-');
    // An unescaped plus sign is a blank by the time it arrives.
    Ok((class.member(value.trim_start_matches(['+', '-', ' ']).trim())?, descending))
}

/// The members that `value` names, each once and in the order of the class.
fn fields(value: &str, class: &Class) -> Result<Vec<&'static str>, Failure> {
    let named: BTreeSet<_> = value.split(',').map(|name| class.member(name.trim())).collect::<Result<_, _>>()?;
    Ok(class.members.iter().copied().filter(|name| named.contains(name)).collect())
}
