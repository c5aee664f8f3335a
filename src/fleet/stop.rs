//! The failures of commands, their exit codes, and what is printed.

use cygnet::visible::{visible, visible_json};
use serde_json::{Value, json};
use std::{
    fmt::Display,
    io::{ErrorKind, Write},
    process::ExitCode,
};
use unicode_width::UnicodeWidthStr;

/// The exit codes beside 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Failed or refused.
    Failed = 1,
    /// etcd cannot be reached.
    Unreachable = 3,
    /// Written, but a tunnel is not up.
    NotUp = 4,
    /// Another writer was first.
    Conflict = 5,
}

/// A failure.
#[derive(Debug)]
pub struct Stop {
    /// Its exit code.
    pub code: Code,
    /// What failed, and what to do.
    pub text: String,
}

/// The result of a command.
pub type Result<T, E = Stop> = std::result::Result<T, E>;

impl Stop {
    /// A failure with this exit code.
    pub fn new(code: Code, text: impl Display) -> Self {
        Self { code, text: text.to_string() }
    }

    /// A failure.
    pub fn failed(text: impl Display) -> Self {
        Self::new(Code::Failed, text)
    }
}

/// The exit code of a result; says a failure on standard error.
pub fn end(result: Result<()>, as_json: bool) -> ExitCode {
    let Err(stop) = result else { return ExitCode::SUCCESS };
    let text = if as_json {
        visible_json(&json!({ "error": { "details": stop.text } }).to_string())
    } else {
        format!("cygnet-fleet: {}", visible(&stop.text))
    };
    // Nothing is left to do if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(stop.code as u8)
}

/// Says something on standard error that is no failure.
pub fn note(text: &str) {
    // Nothing is left to do if standard error is closed.
    let _ = writeln!(std::io::stderr(), "cygnet-fleet: {}", visible(text));
}

/// Writes to standard output. Returns whether the reader is still there; a closed pipe is no error.
pub fn print(text: &str) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Stop::failed(format!("cannot write to standard output: {error}"))),
    }
}

/// Writes JSON to standard output; a terminal obeys nothing in it.
pub fn print_json(value: &Value) -> Result<()> {
    print(&visible_json(&format!("{value:#}\n"))).map(drop)
}

/// Writes rows under a head, in columns.
pub fn print_table(head: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let safe: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
    let head: Vec<String> = head.iter().map(|&title| title.to_owned()).collect();
    let all: Vec<_> = std::iter::once(&head).chain(&safe).collect();
    let width = |column: usize| all.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    print(&all.iter().map(line).collect::<String>()).map(drop)
}
