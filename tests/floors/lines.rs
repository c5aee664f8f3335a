//! What a line of the log says: the default output of the journal shows the message alone, so the message has the error and
//! the connection, and no value is written as a debugger writes it.

use super::paths::Source;

/// The calls of `tracing`'s macros for what an operator reads.
fn calls(code: &str) -> Vec<&str> {
    let starts = ["info", "warn", "error"].map(|level| format!("tracing::{level}!("));
    let found = starts.iter().flat_map(|start| code.match_indices(start.as_str()));
    found.map(|(at, _)| &code[at..at + length(&code[at..])]).collect()
}

/// The length of a call with its arguments. No message has a bracket alone.
fn length(code: &str) -> usize {
    let mut open = 0;
    for (at, c) in code.char_indices() {
        match c {
            '(' => open += 1,
            ')' if open == 1 => return at + 1,
            ')' => open -= 1,
            _ => {}
        }
    }
    code.len()
}

/// What is wrong with the lines of `source`.
pub fn unclear(source: &Source) -> Vec<String> {
    let wrong = |call: &&str| {
        let (fields, message) = call.split_at(call.find('"').unwrap_or(0));
        let debugs = fields.contains('?') || message.contains(":?}");
        let hides_error = fields.contains("%error") && !message.contains("{error}");
        let hides_name =
            fields.contains("uuid") && !["{}", "{label}", "{stem}", "{id}"].iter().any(|name| message.contains(name));
        debugs || hides_error || hides_name
    };
    calls(&source.code).into_iter().filter(wrong).map(|call| format!("{}: {call}", source.name)).collect()
}

#[test]
fn a_call_ends_with_its_bracket() {
    let code = "x(); tracing::warn!(uuid = %f(id), \"{}: a (b) c\", g(1)); tracing::debug!(?step); y()";
    assert_eq!(calls(code), ["tracing::warn!(uuid = %f(id), \"{}: a (b) c\", g(1))"]);
}
