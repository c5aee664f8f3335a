//! YAML and JSON, which is YAML too, with the line of each value. Aliases, tags and merge keys are refused: no connection
//! needs them, and an alias of aliases fills the memory. What some readers take for a number and others for a text is
//! refused where it is in no quotes. No message shows a value, which may be a key.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde_json::{Map, Value};

/// The deepest nesting: a list in a connection in a list in a document is four.
const DEEPEST: usize = 8;
/// The most values in one file.
const MOST: usize = 200_000;

/// What is wrong, and in which line.
#[derive(Debug)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub text: String,
}

/// A value, and where it begins.
#[derive(Debug)]
pub struct Node {
    /// The line, from 1.
    pub line: usize,
    /// The value.
    pub content: Content,
}

/// What a value is.
#[derive(Debug)]
pub enum Content {
    /// Neither list nor mapping.
    Plain(Value),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value without lines.
    pub fn into_json(self) -> Value {
        match self.content {
            Content::Plain(value) => value,
            Content::List(list) => list.into_iter().map(Self::into_json).collect(),
            Content::Map(members) => {
                members.into_iter().map(|(name, node)| (name, node.into_json())).collect::<Map<_, _>>().into()
            }
        }
    }
}

/// The documents in `text`; empty ones are left out.
///
/// # Errors
/// The first thing that is no YAML, or is not read here.
pub fn documents(text: &str) -> Result<Vec<(usize, Node)>, Fault> {
    let mut reader = Reader { parser: Parser::new_from_str(text), left: MOST };
    let (mut found, mut number) = (Vec::new(), 0);
    while let Some((event, line)) = reader.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => {}
            Event::DocumentStart(_) => number += 1,
            event => {
                let node = reader.node(event, line, 0)?;
                if !matches!(node.content, Content::Plain(Value::Null)) {
                    found.push((number, node));
                }
            }
        }
    }
    Ok(found)
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// How many more values there may be.
    left: usize,
}

impl<'a> Reader<'a> {
    /// The next event and its line.
    fn next(&mut self) -> Result<Option<(Event<'a>, usize)>, Fault> {
        let place = |(event, span): (Event<'a>, Span)| (event, span.start.line());
        let broken = |error: ScanError| fault(error.marker().line(), format!("it is no YAML: {}", error.info()));
        self.parser.next().transpose().map(|event| event.map(place)).map_err(broken)
    }

    fn within(&mut self, line: usize) -> Result<(Event<'a>, usize), Fault> {
        self.next()?.ok_or_else(|| fault(line, "it is no YAML: it ends too early"))
    }

    /// The value that begins with `event`.
    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Node, Fault> {
        self.left = self.left.checked_sub(1).ok_or_else(|| fault(line, format!("it has more than {MOST} values")))?;
        if depth > DEEPEST {
            return Err(fault(line, format!("it is nested deeper than {DEEPEST} levels")));
        }
        let content = match event {
            Event::Scalar(text, style, 0, None) => Content::Plain(scalar(&text, style, line)?),
            Event::SequenceStart(0, None) => self.list(line, depth)?,
            Event::MappingStart(0, None) => self.map(line, depth)?,
            Event::Alias(_) => return Err(fault(line, "an alias (*) is not read: write the value itself")),
            Event::Scalar(_, _, 0, _) | Event::SequenceStart(0, _) | Event::MappingStart(0, _) => {
                return Err(fault(line, "a tag (!) is not read: leave it out"));
            }
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                return Err(fault(line, "an anchor (&) is not read: put a text that begins so in quotes"));
            }
            _ => return Err(fault(line, "it is no YAML: a value is missing")),
        };
        Ok(Node { line, content })
    }

    fn list(&mut self, start: usize, depth: usize) -> Result<Content, Fault> {
        let mut list = Vec::new();
        loop {
            let (event, line) = self.within(start)?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Content::List(list));
            }
            list.push(self.node(event, line, depth + 1)?);
        }
    }

    fn map(&mut self, start: usize, depth: usize) -> Result<Content, Fault> {
        let mut members: Vec<(String, Node)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        loop {
            let (event, line) = self.within(start)?;
            let name = match event {
                Event::MappingEnd => return Ok(Content::Map(members)),
                Event::Scalar(name, _, 0, None) if name != "<<" => name.into_owned(),
                Event::Scalar(..) => return Err(fault(line, "a merge key, a tag or an anchor is not read")),
                _ => return Err(fault(line, "the name of a member must be a text")),
            };
            if !names.insert(name.clone()) {
                return Err(fault(line, format!("the member {name} is given twice")));
            }
            let (event, _) = self.within(line)?;
            // That of the name: a value below it would be looked for there.
            let node = Node { line, ..self.node(event, line, depth + 1)? };
            members.push((name, node));
        }
    }
}

/// The value of a scalar: by the rules of JSON where it is plain, else a text.
fn scalar(text: &str, style: ScalarStyle, line: usize) -> Result<Value, Fault> {
    if style != ScalarStyle::Plain {
        return Ok(text.into());
    }
    match text {
        "" | "~" | "null" => return Ok(Value::Null),
        "true" => return Ok(true.into()),
        "false" => return Ok(false.into()),
        _ => {}
    }
    if let Some(number) = serde_json::from_str(text).ok().filter(Value::is_number) {
        return Ok(number);
    }
    if is_ambiguous(text) {
        let why = "some readers of YAML take this for a number, a date or a truth value: put it in quotes";
        return Err(fault(line, why));
    }
    Ok(text.into())
}

/// Whether readers of YAML 1.1 or 1.2 take a plain text for something else: `0x1f`, `0o17`, `017`, `1_000`, `+1`, `.5`,
/// `1:30`, `2026-01-02`, `.inf`, `Yes`, `True`, `NULL`.
fn is_ambiguous(text: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let unsigned = text.trim_start_matches(['+', '-']);
    let lower = unsigned.to_ascii_lowercase();
    if WORDS.contains(&lower.as_str()) || [".inf", ".nan"].contains(&lower.as_str()) {
        return true;
    }
    let digits = lower.strip_prefix("0x").or_else(|| lower.strip_prefix("0o")).or_else(|| lower.strip_prefix("0b"));
    if let Some(digits) = digits {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_');
    }
    let is_numeric = |b: u8| b.is_ascii_digit() || b"._+-e:".contains(&b);
    let begins = lower.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    // More than one dot makes an address, as in 192.0.2.1.
    begins && lower.bytes().all(is_numeric) && lower.matches('.').count() < 2 && !lower.contains("::")
}

fn fault(line: usize, text: impl Into<String>) -> Fault {
    Fault { line, text: text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Vec<Value>, Fault> {
        Ok(documents(text)?.into_iter().map(|(_, node)| node.into_json()).collect())
    }

    #[test]
    fn yaml_and_json_are_read() {
        let text = "# a comment\nname: branch\npeerCidrs: [10.2.0.0/24, '10.3.0.0/24']\nlifeTime: 1800\nup: true\n\
                    peerAddress: 192.0.2.1\nsix: fd00::1\nempty:\n---\n- a: \"b\\u00e9\"\n- |\n  two\n  lines\n";
        let first = json!({ "name": "branch", "peerCidrs": ["10.2.0.0/24", "10.3.0.0/24"], "lifeTime": 1800, "up": true,
                            "peerAddress": "192.0.2.1", "six": "fd00::1", "empty": null });
        assert_eq!(read(text).expect("YAML"), [first, json!([{ "a": "bé" }, "two\nlines\n"])]);
        let value = json!({ "connections": [{ "name": "a", "list": [1, 2.5, null, false], "quote": "\"\\/\t" }] });
        for text in [value.to_string(), format!("{value:#}"), format!("{value:#}").replace("  ", "\t")] {
            assert_eq!(read(&text).expect("JSON"), std::slice::from_ref(&value), "{text}");
        }
        assert!(read("").expect("nothing").is_empty() && read("---\n---\n# x\n").expect("nothing").is_empty());
    }

    #[test]
    fn lines_are_those_of_the_members() {
        let documents = documents("a: 1\nb:\n  - 2\n---\n\nc: {d: 3}\n").expect("YAML");
        let lines = |node: &Node| match &node.content {
            Content::Map(members) => members.iter().map(|(_, node)| node.line).collect(),
            _ => Vec::new(),
        };
        let found: Vec<_> = documents.iter().map(|(number, node)| (*number, lines(node))).collect();
        assert_eq!(found, [(1, vec![1, 2]), (2, vec![6])]);
    }

    #[test]
    fn what_is_hostile_is_refused_with_its_line() {
        let bomb = "a: &a [x,x]\nb: &b [*a,*a]\n";
        let deep = format!("{}x{}", "[".repeat(100), "]".repeat(100));
        let deeper = "[".repeat(100_000);
        let nested = "- ".repeat(50_000);
        for (text, line, why) in [
            (bomb, 1, "an anchor (&)"),
            ("a: 1\nb: *a\n", 2, ""),
            ("a: 1\nb: !!binary eA==\n", 2, "a tag (!)"),
            ("a: 1\n<<: {b: 2}\n", 2, "a merge key"),
            ("a: 1\nb: 2\na: 3\n", 3, "the member a is given twice"),
            ("a: 1\n[b]: 2\n", 2, ""),
            ("a: 1\n\tb: 2\n", 1, "found a tab"),
            ("a:\n\t- b\n", 2, "it is no YAML"),
            ("{\"a\": 1", 2, "it is no YAML"),
            ("a: 1\nb: 0x1f\n", 2, "put it in quotes"),
            ("a: yes\n", 1, "put it in quotes"),
            ("a: 017\n", 1, "put it in quotes"),
            ("a: 2026-01-02\n", 1, "put it in quotes"),
            (deep.as_str(), 1, "deeper than"),
            (deeper.as_str(), 1, ""),
            (nested.as_str(), 1, "deeper than"),
        ] {
            let shown: String = text.chars().take(40).collect();
            let fault = read(text).expect_err(&shown);
            assert!(fault.line == line && fault.text.contains(why), "{shown}: {fault:?}");
        }
        let many = format!("[{}]", "1,".repeat(MOST));
        assert!(read(&many).expect_err("many").text.contains("more than"));
    }

    #[test]
    fn no_text_ends_the_program() {
        let pieces = [
            "a", ": ", "- ", "\n", "  ", "\t", "[", "]", "{", "}", "\"", "'", "|", ">", "#", "&", "*", "!", "%",
            "---\n", "...\n", "\u{feff}", "\u{0}", "é", "? ", ",", "\\u", "1", "<<", "\r",
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..state % 24 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text += pieces[usize::try_from(state >> 33).expect("small") % pieces.len()];
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // It ends, with a value or a fault.
            drop(read(&text));
        }
    }
}
