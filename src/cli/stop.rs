//! The failures of commands and their exit codes. `cygnet help` lists the codes.

use super::{look::safe, refusal};
use cygnet::{doctor::facts::Unchecked, visible::visible_json};
use serde_json::{Value, json};
use std::{
    fmt::Display,
    io::{ErrorKind, Write},
    process::ExitCode,
};

/// The exit codes beside 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Failed or refused.
    Failed = 1,
    /// A wrong command line, or a confirmation that nobody can give.
    Usage = 2,
    /// The agent cannot be reached.
    Unreachable = 3,
    /// Done, but a tunnel that should be up is not.
    NotUp = 4,
}

/// A failure.
#[derive(Debug)]
pub struct Stop {
    /// Its exit code.
    pub code: Code,
    text: String,
    hint: Option<String>,
    /// Whether only this user may not do it.
    pub is_denied: bool,
    /// The agent's answer, if the agent refused.
    object: Option<String>,
}

/// The result of a command.
pub type Result<T, E = Stop> = std::result::Result<T, E>;

impl Stop {
    /// A failure with this exit code.
    pub fn new(code: Code, text: impl Display) -> Self {
        Self { code, text: text.to_string(), hint: None, is_denied: false, object: None }
    }

    /// The same, of what this user may not do and root may.
    #[must_use]
    pub fn denied(mut self) -> Self {
        self.is_denied = true;
        self
    }

    /// A failure.
    pub fn failed(text: impl Display) -> Self {
        Self::new(Code::Failed, text)
    }

    /// A wrong command line.
    pub fn usage(text: impl Display) -> Self {
        Self::new(Code::Usage, text)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, text: impl Display) -> Self {
        self.hint = Some(text.to_string());
        self
    }

    /// The agent's refusal: an answer with the error object.
    pub fn refused(answer: &Value) -> Self {
        let error = &answer["error"];
        let hint = error["elaboration"].as_str().filter(|hint| !hint.is_empty()).map(Into::into);
        let (text, object) = (refusal::text(error), Some(answer.to_string()));
        Self { code: Code::Failed, text, hint, is_denied: false, object }
    }

    /// What failed, without the hint.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Why it failed.
    pub fn why(&self) -> Unchecked {
        let text = self.text.clone();
        if self.is_denied { Unchecked::Denied(text) } else { Unchecked::Failed(text) }
    }

    /// Whether the agent answered with a refusal.
    pub fn is_refusal(&self) -> bool {
        self.object.is_some()
    }

    /// The same, about the connection `name`.
    #[must_use]
    pub fn about(mut self, name: &str) -> Self {
        self.text = format!("{name}: {}", self.text);
        self
    }

    /// An answer with the error object: the agent's, if the agent refused.
    pub fn json(&self) -> Value {
        let of_agent = self.object.as_ref().and_then(|object| serde_json::from_str(object).ok());
        of_agent.unwrap_or_else(|| {
            let mut error = json!({ "details": self.why().to_string() });
            if let Some(hint) = &self.hint {
                error["elaboration"] = hint.as_str().into();
            }
            json!({ "error": error })
        })
    }

    /// Prints it on standard error.
    pub fn tell(&self, as_json: bool) {
        let said = self.why().to_string();
        let text = if as_json {
            visible_json(&self.json().to_string())
        } else {
            let hint = self.hint.as_deref().map(|hint| format!("\nhint: {}", safe(hint)));
            format!("cygnet: {}{}", safe(&said), hint.unwrap_or_default())
        };
        // Nothing is left to do if standard error is closed.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// The exit code of a result; prints a failure.
pub fn end(result: Result<()>, as_json: bool) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            stop.tell(as_json);
            ExitCode::from(stop.code as u8)
        }
    }
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

/// Says something on standard error that is no failure.
pub fn note(text: &str) {
    // Nothing is left to do if standard error is closed.
    let _ = writeln!(std::io::stderr(), "cygnet: {text}");
}

/// Writes JSON to standard output, for programs; a terminal obeys nothing in it.
pub fn print_json(value: &Value) -> Result<()> {
    print(&visible_json(&format!("{value:#}\n"))).map(drop)
}
