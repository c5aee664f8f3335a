//! What differs between a connection before and after a change.

use super::{inventory::MEMBERS, options::OPTIONS};
use crate::store::{Options, Record};
use serde_json::{Value, json};

/// The options of our own that differ between these.
pub fn options(before: &Options, after: &Options) -> Vec<Value> {
    let ours = OPTIONS.iter().filter(|row| row.native().is_some());
    let both = ours.map(|row| (row.name, row.value(before), row.value(after)));
    let differ = both.filter(|(_, before, after)| before != after);
    differ.map(|(name, before, after)| json!({ "field": name, "from": before, "to": after })).collect()
}

/// The members of the inventory that differ; of the key is only said that it does.
pub fn fields(before: &Value, after: &Value, new_key: bool, hides_key: bool) -> Vec<Value> {
    let mut found = Vec::new();
    for name in MEMBERS.iter().filter(|name| !["authKey", "createDate", "lastOpDate", "status"].contains(name)) {
        if before.get(name) != after.get(name) {
            found.push(json!({ "field": name, "from": before.get(name), "to": after.get(name) }));
        }
    }
    if new_key {
        found.push(json!({ "field": "authKey", "changed": changed(hides_key) }));
    }
    found
}

/// That the PPK is another one, or that there is one, or none any more.
pub fn ppk(before: &Record, after: &Record, hides_key: bool) -> Option<Value> {
    let is_new = before.spec.options.native.ppk != after.spec.options.native.ppk;
    is_new.then(|| new_ppk(hides_key))
}

/// The same, where that is known.
pub fn new_ppk(hides_key: bool) -> Value {
    json!({ "field": "ppk", "changed": changed(hides_key) })
}

/// Whether a key that would be loaded is another one.
pub fn changed(hides_key: bool) -> &'static str {
    if hides_key { "unknown" } else { "yes" }
}
