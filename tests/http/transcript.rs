//! Exchanges as text, for snapshots: whole requests and answers, with what differs between runs replaced.

use crate::{client::Response, serve::Bench};
use serde_json::Value;
use std::fmt::Write;

/// Bodies longer than this are not shown.
const SHOWN: usize = 400;

/// What was asked and answered so far.
#[derive(Default)]
pub struct Transcript {
    text: String,
    uuids: Vec<String>,
}

impl Transcript {
    /// A headline.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.text, "# {text}");
    }

    /// Asks over TCP with the token, and writes both down.
    #[track_caller]
    pub fn ask(&mut self, bench: &Bench, method: &str, path: &str, body: &str) -> Response {
        self.ask_bytes(bench, method, path, body.as_bytes())
    }

    /// As [`Transcript::ask`], for bodies that are no text.
    #[track_caller]
    pub fn ask_bytes(&mut self, bench: &Bench, method: &str, path: &str, body: &[u8]) -> Response {
        let answer = bench.ask(method, path, body);
        self.add(method, path, body, &answer);
        answer
    }

    /// Asks over TCP with these headers, and writes down what was asked and answered, without the headers.
    #[track_caller]
    pub fn ask_with(
        &mut self,
        bench: &Bench,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let answer = bench.tcp().request(method, path, headers, body.as_bytes()).expect("an answer");
        self.add(method, path, body.as_bytes(), &answer);
        answer
    }

    /// Writes an exchange down.
    pub fn add(&mut self, method: &str, path: &str, body: &[u8], answer: &Response) {
        let _ = writeln!(self.text, "> {method} {path}");
        match std::str::from_utf8(body) {
            Ok("") => {}
            Ok(text) if text.len() <= SHOWN => drop(writeln!(self.text, "> {}", text.escape_debug())),
            _ => drop(writeln!(self.text, "> ({} bytes)", body.len())),
        }
        let _ = writeln!(self.text, "< {}", answer.status);
        let fixed = |name: &str| !["date", "content-length"].contains(&name);
        for (name, value) in answer.headers.iter().filter(|(name, _)| fixed(name)) {
            let _ = writeln!(self.text, "< {name}: {value}");
        }
        let body = match serde_json::from_slice::<Value>(&answer.body) {
            Ok(mut value) => {
                self.redact(None, &mut value);
                serde_json::to_string_pretty(&value).expect("JSON")
            }
            Err(_) => answer.text(),
        };
        let _ = writeln!(self.text, "{body}\n");
    }

    /// Whether this stands in it, as it is shown.
    pub fn contains(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// Compares with the snapshot `name`; `INSTA_UPDATE=always` writes it.
    pub fn check(self, name: &str) {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, self.text);
        });
    }

    /// Numbers the random uuids, and replaces dates after checking that they are the API's.
    fn redact(&mut self, member: Option<&str>, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact(member, item)),
            Value::Object(members) => members.iter_mut().for_each(|(name, value)| self.redact(Some(name), value)),
            Value::String(text) if matches!(member, Some("created" | "changed")) && text.ends_with('Z') => {
                assert!(text.parse::<jiff::Timestamp>().is_ok(), "{text}");
                *text = "<time>".into();
            }
            Value::String(text)
                if matches!(member, Some("createDate" | "lastOpDate" | "createdDate" | "finishedDate")) =>
            {
                assert!(is_date(text), "{text:?} is not a date of the API");
                *text = "<date>".into();
            }
            Value::String(text) if member == Some("since") => {
                assert!(text.parse::<jiff::Timestamp>().is_ok(), "{text:?} is no time");
                *text = "<time>".into();
            }
            Value::String(text) if is_random(text) => {
                let known = self.uuids.iter().position(|uuid| uuid == text);
                let number = known.unwrap_or_else(|| {
                    self.uuids.push(text.clone());
                    self.uuids.len() - 1
                });
                *text = format!("<uuid {}>", number + 1);
            }
            _ => {}
        }
    }
}

/// Whether `text` looks as `Nov 14, 2017 10:20:57 PM` and is such a time, without leading zeros (contract 1.9).
pub fn is_date(text: &str) -> bool {
    const FORM: &str = "%b %-d, %Y %-I:%M:%S %p";
    let time = jiff::civil::DateTime::strptime(FORM, text);
    time.is_ok_and(|time| time.strftime(FORM).to_string() == text)
}

/// Whether `text` is a uuid that the test did not choose.
fn is_random(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) && !text.contains("00000000004000800000000000")
}

#[test]
fn only_dates_of_the_api_are_dates() {
    assert!(is_date("Nov 14, 2017 10:20:57 PM") && is_date("Jan 2, 2026 12:00:00 AM"));
    for wrong in
        ["2017-11-14 22:20:57", "Jan 02, 2026 1:00:00 AM", "Jan 2, 2026 01:00:00 AM", "Feb 30, 2026 1:00:00 AM", ""]
    {
        assert!(!is_date(wrong), "{wrong}");
    }
}
