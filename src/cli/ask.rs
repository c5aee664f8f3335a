//! Confirmations.

use super::stop::{Result, Stop};
use std::io::{BufRead, IsTerminal, Write};

/// Fails unless standard input is a terminal.
pub fn must_be_possible() -> Result<()> {
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Stop::usage("this must be confirmed, and standard input is not a terminal")
        .hint("add --yes to skip the question"))
}

/// Shows `page` and asks `question`; anything but yes is no.
pub fn confirmed(page: &str, question: &str) -> Result<()> {
    let mut out = std::io::stderr();
    let shown = write!(out, "{page}{question} [y/N] ").and_then(|()| out.flush());
    shown.map_err(|e| Stop::failed(format!("cannot ask: {e}")))?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|e| Stop::failed(format!("cannot read the answer: {e}")))?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Stop::failed("nothing was done")),
    }
}
