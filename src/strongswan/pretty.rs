//! Parses the output of `swanctl --pretty` into sections.
//! The indentation gives the structure, so no value can imitate it.

use super::section::{Section, Value};

/// The messages in `text`: events and the reply, in order, without the titles.
/// Skips lines that belong to no message.
#[must_use]
pub fn messages(text: &str) -> Vec<Section> {
    let mut lines = text.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if depth(line) == 0 && line.ends_with(" {") {
            found.push(section(&mut lines, 1));
        }
    }
    found
}

type Lines<'a> = std::iter::Peekable<std::str::Lines<'a>>;

/// The deepest section that is read; deeper ones are skipped.
const MAX_DEPTH: usize = super::message::MAX_DEPTH;

fn depth(line: &str) -> usize {
    (line.len() - line.trim_start_matches(' ').len()) / 2
}

/// The lines at `level` and below it, up to the closing brace.
fn section(lines: &mut Lines<'_>, level: usize) -> Section {
    let mut result = Section::new();
    while let Some(line) = lines.next_if(|line| depth(line) >= level) {
        let here = depth(line) == level && level <= MAX_DEPTH;
        let text = line.trim_start_matches(' ');
        if !here {
            continue;
        }
        if let Some((key, value)) = text.split_once(" = ") {
            let value = if value == "[" { Value::List(list(lines, level + 1)) } else { value.into() };
            result.0.insert(key.into(), value);
        } else if let Some(name) = text.strip_suffix(" {") {
            let inner = section(lines, level + 1);
            result.0.insert(name.into(), Value::Section(inner));
        }
    }
    result
}

fn list(lines: &mut Lines<'_>, level: usize) -> Vec<Vec<u8>> {
    let mut items = Vec::new();
    while let Some(line) = lines.next_if(|line| depth(line) >= level) {
        items.push(line.trim_start_matches(' ').as_bytes().to_vec());
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "list-sa event {\n  t {\n    uniqueid = 1\n    remote-id = a } b = [\n    child-sas {\n      c-1 {\n        \
                        name = c\n        local-ts = [\n          10.1.0.0/24\n          ]\n        ]\n      }\n    }\n  }\n}\nlist-sas reply {\n}\n";

    #[test]
    fn structure_is_in_the_indentation() {
        let messages = messages(TEXT);
        assert_eq!(messages.len(), 2);
        let sa = messages[0].section("t").expect("t");
        assert_eq!(sa.text("remote-id"), Some("a } b = ["));
        let child = sa.section("child-sas").and_then(|s| s.section("c-1")).expect("child");
        assert_eq!(child.items("local-ts").collect::<Vec<_>>(), ["10.1.0.0/24", "]"]);
        assert_eq!(messages[1], Section::new());
    }

    #[test]
    fn nonsense_is_no_message() {
        for text in ["", "}", "{", " {", "a", "\n\n", "a {\n  b {\n", "a = [\n"] {
            assert!(messages(text).len() <= 1, "{text:?}");
        }
    }
}
