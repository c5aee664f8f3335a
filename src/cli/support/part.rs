//! A part of an archive.

use serde_json::Value;

/// A file of the archive, or why it is missing.
pub struct Part {
    /// The path within the archive.
    pub name: String,
    /// Without secrets; an error says why there is none.
    pub text: Result<String, String>,
}

impl Part {
    /// A part of this name.
    pub fn new(name: impl Into<String>, text: Result<String, String>) -> Self {
        Self { name: name.into(), text }
    }

    /// A part of JSON.
    pub fn json(name: impl Into<String>, value: Result<Value, String>) -> Self {
        Self::new(name, value.map(|value| format!("{value:#}\n")))
    }
}
