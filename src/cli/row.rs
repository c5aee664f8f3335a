//! A row of `cygnet list`, of a connection of cygnet's or another one.

use super::{args::Column, look::Tone};
use jiff::Timestamp;
use serde_json::Value;

/// A member that is a text; nothing if there is none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// A connection in the table.
pub struct Row {
    /// In the order of [`Column`]; the last is for wide tables alone.
    pub cells: [String; 9],
    /// That of the status.
    pub tone: Tone,
    /// Since when it is so.
    pub since: Option<Timestamp>,
    /// The whole uuid.
    pub uuid: String,
}

impl Row {
    /// What it is sorted by; the same text, by name.
    pub fn key(&self, column: Column) -> (Option<Timestamp>, &str, &str) {
        match column {
            Column::Since => (Some(self.since.unwrap_or(Timestamp::MAX)), "", &self.cells[0]),
            Column::Uuid => (None, &self.uuid, ""),
            other => (None, &self.cells[other as usize], &self.cells[0]),
        }
    }
}
