//! The same query language on short lists that the settings have: VIPs, networks, and the router, which is this gateway.

use super::{
    MAX_CONDITIONS, SINGLE, boolean,
    condition::{Condition, no_field_of},
    integer,
    order::Datum,
    steps::Steps,
};
use crate::http::{error::Failure, parse};
use serde_json::{Map, Value, json};

/// What the rows are.
pub struct Class {
    /// The name of their class in the management plane.
    pub name: &'static str,
    /// Their members.
    pub members: &'static [&'static str],
}

/// The answer to the query `pairs` on `all`.
///
/// # Errors
/// 400 for what is no query or takes too many steps, 503 for a member that the class has not.
pub fn rows(pairs: &[(String, String)], class: &Class, mut all: Vec<Map<String, Value>>) -> Result<Value, Failure> {
    for name in SINGLE {
        parse::value(name, pairs)?;
    }
    let given = |name: &str| pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    let member = |name: &str| {
        let known = class.members.iter().find(|member| **member == name.trim());
        known.copied().ok_or_else(|| no_field_of(class.name, name.trim()))
    };
    let mut steps = Steps::default();
    for (_, text) in pairs.iter().filter(|(name, _)| name == "q").take(MAX_CONDITIONS) {
        let condition = Condition::about(text, |field| member(field).map(drop))?;
        let mut kept = Vec::new();
        for row in all {
            if condition.holds_for(row.get(&condition.field).map(Datum::of), &mut steps)? {
                kept.push(row);
            }
        }
        all = kept;
    }
    let total = all.len();
    if given("count").is_some_and(boolean) {
        return Ok(json!({ "total": total }));
    }
    if let Some(sort) = given("sort") {
        let field = member(sort.trim_start_matches(['+', '-', ' ']))?;
        let text = |row: &Map<String, Value>| row.get(field).map(ToString::to_string);
        all.sort_by_key(text);
        if sort.starts_with('-') {
            all.reverse();
        }
    }
    if let Some(fields) = given("fields") {
        let fields = fields.split(',').map(member).collect::<Result<Vec<_>, _>>()?;
        for row in &mut all {
            row.retain(|name, _| fields.contains(&name.as_str()));
        }
    }
    let number = |name| given(name).map(|value| integer(name, value)).transpose();
    let (start, limit) = (number("start")?.unwrap_or(0), number("limit")?.unwrap_or(super::DEFAULT_LIMIT));
    let page: Vec<_> = all.into_iter().skip(start).take(limit).collect();
    let schema: Map<_, _> = (0..page.len()).map(|index| (format!("inventories[{index}]"), class.name.into())).collect();
    let mut answer = json!({ "inventories": page, "schema": schema });
    if given("replyWithCount").is_some_and(boolean) {
        answer["total"] = total.into();
    }
    Ok(answer)
}
