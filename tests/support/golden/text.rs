//! Texts for people: the vici requests, and the difference of two texts.

use cygnet::strongswan::{
    requests::Request,
    section::{Section, Value},
};
use std::fmt::Write;

/// The requests in a stable form: one value a line, lists with an item a line, keys and odd bytes in hexadecimal.
pub fn messages(requests: &[Request]) -> String {
    let mut text = String::new();
    for request in requests {
        let _ = writeln!(text, "{} {{", request.command);
        section(&mut text, &request.body, 1);
        text.push_str("}\n");
    }
    text
}

fn section(text: &mut String, section_: &Section, depth: usize) {
    let indent = "  ".repeat(depth);
    for (key, value) in &section_.0 {
        let _ = match value {
            Value::Text(bytes) if key == "data" => writeln!(text, "{indent}{key} = {}", hex(bytes)),
            Value::Text(bytes) => writeln!(text, "{indent}{key} = {}", shown(bytes)),
            Value::List(items) => items.iter().try_for_each(|item| writeln!(text, "{indent}{key}[] = {}", shown(item))),
            Value::Section(inner) => {
                let _ = writeln!(text, "{indent}{key} {{");
                section(text, inner, depth + 1);
                writeln!(text, "{indent}}}")
            }
        };
    }
}

fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(|b| matches!(b, 0x20..=0x7e)) && !bytes.is_empty() => text.to_owned(),
        _ => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// How many equal lines are shown around a difference.
const CONTEXT: usize = 3;

/// What differs between two texts, or `None`: the lines between their common beginning and their common end.
pub fn difference(what: &str, expected: &str, actual: &str) -> Option<String> {
    if expected == actual {
        return None;
    }
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    if old == new {
        return Some(format!(
            "{what}: a newline at the end, or before one a carriage return, is too much or missing\n"
        ));
    }
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let ends = old[start..].iter().rev().zip(new[start..].iter().rev());
    let end = ends.take_while(|(a, b)| a == b).count();
    let mut text = format!("{what}:\n");
    let mut lines = |sign: char, lines: &[&str]| {
        for line in lines {
            let _ = writeln!(text, "  {sign} {}", line.escape_debug());
        }
    };
    lines(' ', &old[start.saturating_sub(CONTEXT)..start]);
    lines('-', &old[start..old.len() - end]);
    lines('+', &new[start..new.len() - end]);
    lines(' ', &old[old.len() - end..(old.len() - end + CONTEXT).min(old.len())]);
    Some(text)
}
