//! The ordered tree from which both a configuration file and a vici message are made.

use indexmap::IndexMap;
use std::fmt;

/// A value: bytes, a list of bytes, or a section.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// One value.
    Text(Vec<u8>),
    /// A list of values.
    List(Vec<Vec<u8>>),
    /// Named values.
    Section(Section),
}

/// Named values in the order in which they were written.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Section(pub IndexMap<String, Value>);

/// Keys whose values are secrets in strongSwan's messages and files.
const SECRET_KEYS: [&str; 2] = ["data", "secret"];

impl Section {
    /// An empty section.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value and returns the section.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// The value of `key` if it is one value.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        match self.0.get(key)? {
            Value::Text(bytes) => Some(bytes),
            Value::List(_) | Value::Section(_) => None,
        }
    }

    /// The value of `key` if it is one value of UTF-8.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(key)?).ok()
    }

    /// The value of `key` as a number.
    #[must_use]
    pub fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    /// The items of the list `key` that are UTF-8; none if there is no such list.
    pub fn items(&self, key: &str) -> impl Iterator<Item = &str> {
        let list = match self.0.get(key) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        list.iter().filter_map(|item| std::str::from_utf8(item).ok())
    }

    /// The section `key`.
    #[must_use]
    pub fn section(&self, key: &str) -> Option<&Self> {
        match self.0.get(key)? {
            Value::Section(section) => Some(section),
            Value::Text(_) | Value::List(_) => None,
        }
    }

    /// The same without these members.
    #[must_use]
    pub fn without(&self, keys: &[&str]) -> Self {
        let mut rest = self.clone();
        rest.0.retain(|name, _| !keys.contains(&name.as_str()));
        rest
    }

    /// All values with their names, except that of `key`.
    pub fn iter_but<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.0.iter().filter(move |(name, _)| *name != key)
    }

    /// The sections within this one, with their names.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.0.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            Value::Text(_) | Value::List(_) => None,
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into_bytes())
    }
}

impl From<Section> for Value {
    fn from(section: Section) -> Self {
        Self::Section(section)
    }
}

/// Prints the tree with secrets hidden, so that no log or failed assertion shows one.
impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, value) in &self.0 {
            if SECRET_KEYS.contains(&key.as_str()) {
                map.entry(key, &"***");
            } else {
                map.entry(key, value);
            }
        }
        map.finish()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::List(items) => {
                f.debug_list().entries(items.iter().map(|item| String::from_utf8_lossy(item))).finish()
            }
            Self::Section(section) => section.fmt(f),
        }
    }
}
