//! What differs between two swanctl.conf files, setting by setting. Secrets are never shown.

use super::section::{Section, Value};
use std::collections::BTreeSet;

/// One setting that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The names of the sections and of the setting, joined by dots.
    pub path: String,
    /// The values, or `None` for a secret: the report only says that it changed.
    pub values: Option<(Option<String>, Option<String>)>,
}

/// The settings in which `old` and `new` differ, in the order of the files.
#[must_use]
pub fn between(old: &Section, new: &Section) -> Vec<Difference> {
    let mut found = Vec::new();
    walk("", Some(old), Some(new), &mut found);
    found
}

fn walk(prefix: &str, old: Option<&Section>, new: Option<&Section>, found: &mut Vec<Difference>) {
    let mut seen = BTreeSet::new();
    let names = old.into_iter().chain(new).flat_map(|section| section.0.keys());
    for name in names.filter(|name| seen.insert(name.as_str())) {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let (old, new) = (old.and_then(|s| s.0.get(name)), new.and_then(|s| s.0.get(name)));
        match (section(old), section(new)) {
            (None, None) if old != new => {
                let values = (name != "secret").then(|| (old.map(text), new.map(text)));
                found.push(Difference { path, values });
            }
            (None, None) => {}
            (old, new) => walk(&path, old, new, found),
        }
    }
}

fn section(value: Option<&Value>) -> Option<&Section> {
    match value? {
        Value::Section(section) => Some(section),
        Value::Text(_) | Value::List(_) => None,
    }
}

fn text(value: &Value) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match value {
        Value::Text(bytes) => lossy(bytes),
        Value::List(items) => items.iter().map(|item| lossy(item)).collect::<Vec<_>>().join(", "),
        Value::Section(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strongswan::conf::parse;

    #[test]
    fn settings_that_differ_are_named_and_secrets_hidden() {
        let old = parse("a {\n x = 1\n gone = 2\n}\ns {\n secret = 0x61\n}\n").expect("it parses");
        let new = parse("a {\n x = 3\n b {\n  y = 4\n }\n}\ns {\n secret = 0x62\n}\n").expect("it parses");
        let shown: Vec<_> = between(&old, &new).iter().map(|d| format!("{} {:?}", d.path, d.values)).collect();
        assert_eq!(
            shown,
            [
                "a.x Some((Some(\"1\"), Some(\"3\")))",
                "a.gone Some((Some(\"2\"), None))",
                "a.b.y Some((None, Some(\"4\")))",
                "s.secret None",
            ]
        );
        assert_eq!(between(&old, &old), []);
    }
}
