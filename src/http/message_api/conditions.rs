//! The query of a message as the pairs of the query language: conditions are objects here, and texts there.

use crate::{
    error::{Error, Problem, Result},
    http::wire::long,
};
use serde_json::{Map, Value};

/// The operators of messages, and those of the query language.
const OPERATORS: [(&str, &str); 12] = [
    ("=", "="),
    ("!=", "!="),
    (">", ">"),
    (">=", ">="),
    ("<", "<"),
    ("<=", "<="),
    ("in", "?="),
    ("not in", "!?="),
    ("like", "~="),
    ("not like", "!~="),
    ("is null", " is null"),
    ("is not null", " not null"),
];
/// The members that are parameters of the query language as they are.
const PLAIN: [&str; 6] = ["limit", "start", "count", "replyWithCount", "groupBy", "filterName"];

/// The pairs that the members of a query mean; members that no query has are ignored, as in the query language.
///
/// # Errors
/// When a condition or a direction is none.
pub fn pairs(mut params: Map<String, Value>) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let conditions = match params.remove("conditions") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(conditions)) => conditions,
        Some(_) => return Err(wrong("must be a list of objects with name, op and value")),
    };
    for condition in conditions {
        pairs.push(("q".to_owned(), of_condition(condition)?));
    }
    for name in PLAIN {
        if let Some(value) = params.remove(name).filter(|value| !value.is_null()) {
            pairs.push((name.to_owned(), number_or_text(value)));
        }
    }
    if let Some(field) = params.remove("sortBy").filter(|value| !value.is_null()) {
        pairs.push(("sort".to_owned(), format!("{}{}", direction(params.remove("sortDirection"))?, text(field))));
    }
    if let Some(fields) = params.remove("fields").filter(|value| !value.is_null()) {
        pairs.push(("fields".to_owned(), list(fields)));
    }
    Ok(pairs)
}

/// A condition as the query language writes it.
fn of_condition(condition: Value) -> Result<String> {
    let Value::Object(mut members) = condition else {
        return Err(wrong("must be a list of objects with name, op and value"));
    };
    let mut member = |name: &str| members.remove(name).filter(|value| !value.is_null());
    let name = member("name").map(text).unwrap_or_default();
    let name = name.trim();
    // Of any other name, a part would be taken for the operator.
    let is_member =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b));
    if !is_member(name) {
        return Err(wrong("must have the name of a member of the inventory, such as uuid or peerCidrs.cidr"));
    }
    let given = member("op").map(text).unwrap_or_default();
    let op = given.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    let Some((_, symbol)) = OPERATORS.iter().find(|(word, _)| *word == op) else {
        let valid = OPERATORS.iter().map(|(word, _)| (*word).to_owned()).collect();
        return Err(Error::member("op", Problem::NotOneOf { valid, found: given.chars().take(64).collect() }));
    };
    if symbol.starts_with(' ') {
        return Ok(format!("{name}{symbol}"));
    }
    let value = member("value").or_else(|| member("values"));
    let value = value.map(list).ok_or_else(|| wrong(&format!("must have a value for {op}")))?;
    if matches!(*symbol, ">" | "<") && value.starts_with('=') {
        return Err(wrong("must have no value that begins with = for > and <"));
    }
    Ok(format!("{name}{symbol}{value}"))
}

fn wrong(rule: &str) -> Error {
    Error::rule("conditions", rule)
}

/// The sign for a direction.
fn direction(value: Option<Value>) -> Result<&'static str> {
    let word = value.filter(|value| !value.is_null()).map(text);
    match word.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("asc") => Ok("+"),
        Some("desc") => Ok("-"),
        Some(_) => {
            let found = word.unwrap_or_default().chars().take(64).collect();
            Err(Error::member("sortDirection", Problem::NotOneOf { valid: vec!["asc".into(), "desc".into()], found }))
        }
    }
}

/// A value as the text that a query has.
pub fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A list as the query language writes it.
fn list(value: Value) -> String {
    match value {
        Value::Array(items) => items.into_iter().map(text).collect::<Vec<_>>().join(","),
        other => text(other),
    }
}

/// A value as the text of a query, which has no `10.0`.
fn number_or_text(value: Value) -> String {
    let whole = value.is_number().then(|| long(&value)).flatten();
    whole.map_or_else(|| text(value), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn query(params: Value) -> Result<Vec<String>> {
        let Value::Object(params) = params else { panic!("an object") };
        Ok(pairs(params)?.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn conditions_become_texts() {
        let said = query(json!({
            "conditions": [
                { "name": "name", "op": "=", "value": "a=b>c" },
                { "name": " peerCidrs.cidr ", "op": "in", "value": ["10.0.0.0/8", "10.1.0.0/16"] },
                { "name": "lifeTime", "op": ">=", "value": 3600 },
                { "name": "localId", "op": "Is  NULL", "value": null },
                { "name": "__userTag__", "op": "not like", "value": "city::%" },
            ],
            "limit": 10.0, "start": "2", "count": true, "replyWithCount": "True", "sortBy": "name", "sortDirection": "DESC",
            "fields": ["uuid", "name"], "q": "uuid=x", "sort": "uuid", "timeout": 5, "groupBy": null,
        }));
        let wanted = [
            "q=name=a=b>c",
            "q=peerCidrs.cidr?=10.0.0.0/8,10.1.0.0/16",
            "q=lifeTime>=3600",
            "q=localId is null",
            "q=__userTag__!~=city::%",
            "limit=10",
            "start=2",
            "count=true",
            "replyWithCount=True",
            "sort=-name",
            "fields=uuid,name",
        ];
        assert_eq!(said.expect("a query"), wanted);
    }

    #[test]
    fn what_would_mean_something_else_is_refused() {
        for condition in [
            json!({ "name": "name=x or", "op": "=", "value": "y" }),
            json!({ "name": "name is null", "op": "=", "value": "y" }),
            json!({ "name": "", "op": "=", "value": "y" }),
            json!({ "op": "=", "value": "y" }),
            json!({ "name": "name", "op": ">", "value": "=5" }),
            json!({ "name": "name", "op": "~~", "value": "5" }),
            json!({ "name": "name", "value": "5" }),
            json!({ "name": "name", "op": "=" }),
            json!({ "name": { "a": 1 }, "op": "=", "value": "5" }),
            json!("name=5"),
        ] {
            assert!(query(json!({ "conditions": [condition] })).is_err(), "{condition}");
        }
        assert!(query(json!({ "conditions": "name=5" })).is_err());
        assert!(query(json!({ "sortBy": "name", "sortDirection": "up" })).is_err());
    }
}
