//! What differs between two inventories of a connection.

use super::inventory::MEMBERS;
use serde_json::{Value, json};

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

/// Whether a key that would be loaded is another one.
pub fn changed(hides_key: bool) -> &'static str {
    if hides_key { "unknown" } else { "yes" }
}
