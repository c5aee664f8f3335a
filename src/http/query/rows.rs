//! The same query language on short lists that the settings have: VIPs, networks, and the router, which is this gateway.

use super::{Class, DEFAULT_LIMIT, Query, order::Datum, sorted, steps::Steps};
use crate::{error::Error, http::error::Failure};
use serde_json::{Map, Value, json};

type Row = Map<String, Value>;

/// The answer to the query `pairs` on `all`, which are of `class`.
///
/// # Errors
/// 400 for what is no query or takes too many steps, 503 for a member that the class has not, and for groups.
pub fn rows(pairs: &[(String, String)], class: &Class, mut all: Vec<Row>) -> Result<Value, Failure> {
    let query = Query::about(pairs, class)?;
    if query.group_by.is_some() {
        return Err(Error::in_query("groupBy", "is not possible here: ask for `fields` and group them").into());
    }
    let datum = |row: &Row, field: &str| row.get(field).map(Datum::of);
    let mut steps = Steps::default();
    for condition in &query.conditions {
        let mut kept = Vec::new();
        for row in all {
            if condition.holds_for(datum(&row, &condition.field), &mut steps)? {
                kept.push(row);
            }
        }
        all = kept;
    }
    let total = all.len();
    if query.count {
        return Ok(json!({ "total": total }));
    }
    if let Some((field, descending)) = query.sort {
        all = sorted(all.into_iter().map(|row| (datum(&row, field), row)).collect(), descending);
    }
    let mut page: Vec<_> = all.into_iter().skip(query.start).take(query.limit.unwrap_or(DEFAULT_LIMIT)).collect();
    if let Some(fields) = &query.fields {
        for row in &mut page {
            row.retain(|name, _| fields.contains(&name.as_str()));
        }
    }
    let schema: Map<_, _> = (0..page.len()).map(|index| (format!("inventories[{index}]"), class.name.into())).collect();
    let mut answer = json!({ "inventories": page, "schema": schema });
    if query.with_count {
        answer["total"] = total.into();
    }
    Ok(answer)
}
