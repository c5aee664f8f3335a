//! The query language of `QueryIPSecConnection` (contract 1.11), evaluated on inventories.

mod find;
mod order;

pub use find::find;

use super::{error::Failure, inventory, parse};
use crate::error::Error;
use order::{as_text, like};
use serde_json::{Map, Value, json};
use std::{cmp::Ordering, collections::BTreeSet};

/// The operators; of those that stand at the same place the longest counts.
const OPERATORS: [(&str, Operator); 12] = [
    ("!?=", Operator::NotIn),
    ("!~=", Operator::NotLike),
    ("!=", Operator::Ne),
    (">=", Operator::Ge),
    ("<=", Operator::Le),
    ("~=", Operator::Like),
    ("?=", Operator::In),
    ("=", Operator::Eq),
    (">", Operator::Gt),
    ("<", Operator::Lt),
    (" is null", Operator::Null),
    (" not null", Operator::NotNull),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    In,
    NotIn,
    Like,
    NotLike,
    Null,
    NotNull,
}

#[derive(Debug, PartialEq, Eq)]
struct Condition {
    field: String,
    operator: Operator,
    value: String,
}

/// A parsed query string.
#[derive(Debug, Default)]
pub struct Query {
    conditions: Vec<Condition>,
    limit: Option<usize>,
    start: usize,
    count: bool,
    with_count: bool,
    sort: Option<(String, bool)>,
    fields: Option<Vec<String>>,
    group_by: Option<String>,
}

/// What is queried: an inventory, with what conditions may ask for beyond it.
pub struct Item {
    /// What is answered.
    pub inventory: Value,
    /// Lists and objects under the names of [`NESTED`] that are no members of the inventory.
    pub beyond: Value,
}

/// The lists that conditions may look into, and the members of their elements. The tags are plain texts.
const NESTED: [(&str, &[&str]); 6] = [
    ("peerCidrs", &["uuid", "cidr", "connectionUuid", "createDate", "lastOpDate"]),
    ("l3NetworkRefs", &["uuid", "l3NetworkUuid", "connectionUuid", "createDate", "lastOpDate"]),
    ("l3Network", &["uuid", "cidr"]),
    ("vip", &["uuid", "ip"]),
    ("__systemTag__", &[]),
    ("__userTag__", &[]),
];

/// The parameters that may stand once only.
const SINGLE: [&str; 8] = ["limit", "start", "count", "replyWithCount", "sort", "fields", "groupBy", "filterName"];

/// What `limit` is if it is not given.
const DEFAULT_LIMIT: usize = 1000;

impl Query {
    /// Reads the pairs of a query string; unknown parameters are ignored.
    ///
    /// # Errors
    /// 400 for what is no query, 503 for a field that does not exist.
    pub fn parse(pairs: &[(String, String)]) -> Result<Self, Failure> {
        let mut query = Self::default();
        for name in SINGLE {
            parse::value(name, pairs)?;
        }
        for (name, value) in pairs {
            match name.as_str() {
                "q" => query.conditions.push(condition(value)?),
                "limit" => query.limit = Some(integer("limit", value)?),
                "start" => query.start = integer("start", value)?,
                "count" => query.count = boolean("count", value)?,
                "replyWithCount" => query.with_count = boolean("replyWithCount", value)?,
                "sort" => query.sort = Some(sort(value)?),
                "fields" => query.fields = Some(value.split(',').map(str::trim).map(member).collect::<Result<_, _>>()?),
                "groupBy" => query.group_by = Some(member(value.trim())?),
                "filterName" => return Err(Error::argument("field[filterName]: this agent has no filters").into()),
                _ => {}
            }
        }
        Ok(query)
    }

    /// The reply for these inventories.
    #[must_use]
    pub fn reply(&self, items: Vec<Item>) -> Value {
        let mut found: Vec<_> = items.into_iter().filter(|item| self.holds(item)).map(|item| item.inventory).collect();
        if let Some(field) = &self.group_by {
            let mut seen = BTreeSet::new();
            found.retain(|item| seen.insert(item.get(field).map(as_text)));
        }
        let total = found.len();
        if self.count {
            return json!({ "total": total });
        }
        if let Some((field, descending)) = &self.sort {
            found.sort_by(|a, b| {
                let order = order::of_members(field, a.get(field), b.get(field));
                if *descending { order.reverse() } else { order }
            });
        }
        let mut page: Vec<_> = found.into_iter().skip(self.start).take(self.limit.unwrap_or(DEFAULT_LIMIT)).collect();
        if let Some(fields) = &self.fields {
            for item in page.iter_mut().filter_map(Value::as_object_mut) {
                item.retain(|name, _| fields.contains(name));
            }
        }
        reply(page, self.with_count.then_some(total))
    }
}

impl Query {
    fn holds(&self, item: &Item) -> bool {
        self.conditions.iter().all(|condition| condition.holds(item))
    }

    /// Whether it depends on the status which connections are found, or in which order.
    fn judges_status(&self) -> bool {
        let named = [self.sort.as_ref().map(|(field, _)| field), self.group_by.as_ref()];
        self.conditions
            .iter()
            .map(|condition| &condition.field)
            .chain(named.into_iter().flatten())
            .any(|f| f == "status")
    }

    fn shows_status(&self) -> bool {
        !self.count && self.fields.as_ref().is_none_or(|fields| fields.iter().any(|field| field == "status"))
    }
}

/// A reply with `inventories` and their `schema`.
#[must_use]
pub fn reply(inventories: Vec<Value>, total: Option<usize>) -> Value {
    let schema = inventory::schema(&inventories);
    let mut members = Map::new();
    members.insert("inventories".into(), inventories.into());
    members.extend(total.map(|total| ("total".to_owned(), total.into())));
    members.insert("schema".into(), schema);
    Value::Object(members)
}

fn integer(name: &str, value: &str) -> Result<usize, Failure> {
    value
        .trim()
        .parse()
        .map_err(|_| Failure::bad_request(format!("Invalid query parameter. '{name}' must be an integer")))
}

fn boolean(name: &str, value: &str) -> Result<bool, Failure> {
    value.trim().parse().map_err(|_| {
        let shown: String = value.chars().take(64).collect();
        Failure::bad_request(format!(
            "Invalid value for boolean field [{name}], [{shown}] is not a valid boolean string[true, false]."
        ))
    })
}

fn sort(value: &str) -> Result<(String, bool), Failure> {
    let descending = value.starts_with('-');
    // An unescaped plus sign is a blank by the time it arrives.
    Ok((member(value.trim_start_matches(['+', '-', ' ']).trim())?, descending))
}

/// A member of the inventory.
fn member(name: &str) -> Result<String, Failure> {
    if inventory::MEMBERS.contains(&name) { Ok(name.into()) } else { Err(no_field(name)) }
}

fn no_field(name: &str) -> Failure {
    let shown: String = name.chars().take(64).collect();
    Failure::Api(Error::Internal(format!("inventory class[{}] has no field[{shown}]", inventory::CONNECTION_CLASS)))
}

/// Splits a condition at its earliest operator.
fn condition(text: &str) -> Result<Condition, Failure> {
    let found = OPERATORS.iter().filter_map(|(name, operator)| Some((text.find(name)?, *name, *operator)));
    let Some((place, name, operator)) = found.min_by_key(|(place, name, _)| (*place, usize::MAX - name.len())) else {
        let shown: String = text.chars().take(64).collect();
        let valid: Vec<_> = OPERATORS.iter().map(|(name, _)| *name).collect();
        return Err(Failure::bad_request(format!(
            "Invalid query parameter. The '{shown}' in the parameter[q] doesn't contain any query operator. \
             Valid query operators are [{}]",
            valid.join(", ")
        )));
    };
    let field = text[..place].trim();
    if !inventory::MEMBERS.contains(&field) && nested(field).is_none() {
        return Err(no_field(field));
    }
    Ok(Condition { field: field.into(), operator, value: text[place + name.len()..].into() })
}

/// The list that a field looks into, and the member of its elements; none where they are plain texts.
fn nested(field: &str) -> Option<(&str, Option<&str>)> {
    let (list, member) = field.split_once('.').map_or((field, None), |(list, member)| (list, Some(member)));
    let (_, members) = NESTED.iter().find(|(name, _)| *name == list)?;
    let exists = member.map_or(members.is_empty(), |member| members.contains(&member));
    exists.then_some((list, member))
}

impl Condition {
    /// Whether it holds for `item`; of a nested field, for one of the elements.
    fn holds(&self, item: &Item) -> bool {
        let Some((list, member)) = nested(&self.field) else {
            let value = item.inventory.get(&self.field);
            return self.holds_for(value.filter(|value| value.as_array().is_none_or(|list| !list.is_empty())));
        };
        let items = item.inventory.get(list).or_else(|| item.beyond.get(list)).and_then(Value::as_array);
        let items = items.map_or(&[][..], Vec::as_slice);
        let of = |item| member.map_or(Some(item), |member| Value::get(item, member));
        match self.operator {
            Operator::Null => items.is_empty(),
            Operator::Ne | Operator::NotIn | Operator::NotLike => items.iter().all(|item| self.holds_for(of(item))),
            _ => items.iter().any(|item| self.holds_for(of(item))),
        }
    }

    /// As in SQL, a comparison with an absent value never holds.
    fn holds_for(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return self.operator == Operator::Null };
        let (text, wanted) = (as_text(value), &self.value);
        let order = |wanted: &str| order::with_text(&self.field, value, wanted);
        match self.operator {
            Operator::Null => false,
            Operator::NotNull => true,
            Operator::Eq => order(wanted) == Ordering::Equal,
            Operator::Ne => order(wanted) != Ordering::Equal,
            Operator::Gt => order(wanted) == Ordering::Greater,
            Operator::Ge => order(wanted) != Ordering::Less,
            Operator::Lt => order(wanted) == Ordering::Less,
            Operator::Le => order(wanted) != Ordering::Greater,
            Operator::In => wanted.split(',').any(|item| order(item.trim()) == Ordering::Equal),
            Operator::NotIn => wanted.split(',').all(|item| order(item.trim()) != Ordering::Equal),
            Operator::Like => like(&text, wanted),
            Operator::NotLike => !like(&text, wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, Operator, String) {
        let condition = condition(text).expect(text);
        (condition.field, condition.operator, condition.value)
    }

    #[test]
    fn conditions_split_at_the_earliest_and_longest_operator() {
        assert_eq!(parsed("name=a>=b"), ("name".into(), Operator::Eq, "a>=b".into()));
        assert_eq!(parsed("name !~= a=b"), ("name".into(), Operator::NotLike, " a=b".into()));
        assert_eq!(parsed("lifeTime>=3600"), ("lifeTime".into(), Operator::Ge, "3600".into()));
        assert_eq!(parsed("localId is null"), ("localId".into(), Operator::Null, String::new()));
        assert_eq!(parsed("peerCidrs.cidr?=10.0.0.0/8,10.1.0.0/16").1, Operator::In);
        assert!(condition("name").is_err() && condition("nosuch=1").is_err() && condition("peerCidrs.no=1").is_err());
    }
}
