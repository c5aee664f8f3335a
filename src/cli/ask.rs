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

/// Asks for a line; an empty one means `default`.
pub fn line(question: &str, default: &str) -> Result<String> {
    let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    let answer = answer(&format!("{question}{shown}: "))?;
    Ok(if answer.is_empty() { default.to_owned() } else { answer })
}

/// Asks for yes or no; an empty line means `default`.
pub fn yes(question: &str, default: bool) -> Result<bool> {
    let choice = if default { "[Y/n]" } else { "[y/N]" };
    let answer = answer(&format!("{question} {choice} "))?.to_lowercase();
    Ok(if answer.is_empty() { default } else { matches!(answer.as_str(), "y" | "yes") })
}

/// Shows `page` and asks `question`; anything but yes is no.
pub fn confirmed(page: &str, question: &str) -> Result<()> {
    let is_confirmed = yes(&format!("{page}{question}"), false)?;
    if is_confirmed { Ok(()) } else { Err(Stop::failed("nothing was done")) }
}

/// Shows `text` and reads a line. The end of the input is the end of the command: nobody answers any more.
fn answer(text: &str) -> Result<String> {
    let mut out = std::io::stderr();
    let shown = write!(out, "{text}").and_then(|()| out.flush());
    shown.map_err(|e| Stop::failed(format!("cannot ask: {e}")))?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read.map_err(|e| Stop::failed(format!("cannot read the answer: {e}")))? {
        0 => Err(Stop::failed("nothing was done")),
        _ => Ok(answer.trim().to_owned()),
    }
}
