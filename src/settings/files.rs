//! Several TOML files as one value: parsed, merged and read, with all their faults, each with its file and line.
//!
//! Each file is parsed behind as many blanks as the files before it are long, so that a span means one place of one file.

use crate::{
    disk::open::{Kind, read_to_string},
    rights,
};
use serde::de::DeserializeOwned;
use std::{
    ffi::OsStr,
    fmt,
    io::ErrorKind,
    ops::Range,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer},
};

/// The lists that several files make together.
const JOINED: [[&str; 2]; 3] = [["gateway", "vips"], ["gateway", "l3_networks"], ["auth", "callers"]];
/// The most characters of a line that a fault shows.
const SHOWN: usize = 80;

/// The text of a file.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

/// A fault of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file; empty if the text is of none.
    pub file: String,
    /// The line, from 1; none if the file as a whole is meant.
    pub line: Option<usize>,
    /// What is wrong, and what to do.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_str(), self.line) {
            ("", Some(line)) => write!(out, "line {line}: {}", self.text),
            ("", None) => out.write_str(&self.text),
            (file, Some(line)) => write!(out, "{file}:{line}: {}", self.text),
            (file, None) => write!(out, "{file}: {}", self.text),
        }
    }
}

/// All faults; shown with a line for each.
#[derive(Debug)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        out.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Faults {}

/// A step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A member of a table.
    Member(String),
    /// An element of a list.
    Item(usize),
}

impl From<&str> for Step {
    fn from(name: &str) -> Self {
        Self::Member(name.into())
    }
}

/// The file at `path` and `conf.d/*.toml` beside it, in the order of their names; and which of them cannot be read.
pub(super) fn sources(path: &Path, may_be_missing: bool) -> (Vec<Source>, Vec<Fault>) {
    let (mut sources, mut faults) = (Vec::new(), Vec::new());
    let mut failed = |path: &Path, error: &std::io::Error| {
        faults.push(Fault {
            file: path.display().to_string(),
            line: None,
            text: format!("cannot read it: {}", rights::explained(error)),
        });
    };
    let directory = path.parent().unwrap_or(Path::new("")).join("conf.d");
    let more = fragments(&directory).unwrap_or_else(|error| {
        failed(&directory, &error);
        Vec::new()
    });
    for (at, path) in std::iter::once(path.to_owned()).chain(more).enumerate() {
        match read_to_string(&path, Kind::Operator) {
            Ok(text) => {
                let text = text.trim_start_matches('\u{feff}').to_owned();
                sources.push(Source { name: path.display().to_string(), text });
            }
            Err(error) if at == 0 && may_be_missing && error.kind() == ErrorKind::NotFound => {}
            Err(error) => failed(&path, &error),
        }
    }
    (sources, faults)
}

fn fragments(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match directory.read_dir() {
        Ok(entries) => entries,
        // Without a directory of that name there is no file in it.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()?;
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let is_ours = |path: &PathBuf| path.extension() == Some(OsStr::new("toml")) && !is_hidden(path);
    let mut paths: Vec<_> = paths.into_iter().filter(is_ours).collect();
    paths.sort();
    Ok(paths)
}

/// What the files say.
pub(super) struct Read<'a, T> {
    /// The value, without what is faulty.
    pub(super) value: Option<T>,
    /// All faults.
    pub(super) faults: Vec<Fault>,
    sources: &'a [Source],
    /// The members that were left out.
    taken: Vec<String>,
    /// Where each part of the value is.
    places: Vec<(Vec<Step>, Range<usize>)>,
}

impl<T> Read<'_, T> {
    /// Whether a member of this name is faulty and so left out.
    pub(super) fn lacks(&self, name: &str) -> bool {
        self.taken.iter().any(|taken| taken == name)
    }

    /// Adds a fault of the part at `path`, or of the nearest part around it that is there.
    pub(super) fn add(&mut self, path: &[Step], text: String) {
        let span = (0..=path.len()).rev().find_map(|length| place_of(&self.places, &path[..length]));
        self.faults.push(fault(self.sources, span.as_ref(), text));
    }
}

/// Reads the sources as one value. With `is_partial`, something is left out, and what is missing is no fault.
pub(super) fn read<T: DeserializeOwned>(sources: &[Source], is_partial: bool) -> Read<'_, T> {
    let (mut faults, mut is_partial) = (Vec::new(), is_partial);
    let texts = padded(sources);
    let mut whole = Spanned::new(0..0, DeTable::new());
    for text in &texts {
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            // On its own too: what a later file replaces may be wrong all the same.
            faults.extend(deserialize::<T>(&mut table.clone(), true).1);
            merge(whole.get_mut(), table.into_inner(), &mut Vec::new());
        } else {
            faults.extend(errors.iter().map(|error| (error.span(), error.message().to_owned())));
            is_partial = true;
        }
    }
    let (value, found, taken) = deserialize::<T>(&mut whole, is_partial);
    for each in found {
        if !faults.contains(&each) {
            faults.push(each);
        }
    }
    faults.sort_by_key(|(span, _)| span.as_ref().map(|span| span.start));
    let faults = faults.into_iter().map(|(span, text)| fault(sources, span.as_ref(), text)).collect();
    Read { value, faults, sources, taken, places: places(&DeValue::Table(whole.into_inner())) }
}

/// The texts, each behind as many blanks as those before it are long.
fn padded(sources: &[Source]) -> Vec<String> {
    let mut before = 0;
    let pad = |source: &Source| {
        let text = " ".repeat(before) + &source.text;
        before = text.len() + 1;
        text
    };
    sources.iter().map(pad).collect()
}

/// The fault at `span`, with the beginning of its line.
fn fault(sources: &[Source], span: Option<&Range<usize>>, text: String) -> Fault {
    let mut at = span.map_or(usize::MAX, |span| span.start);
    for source in sources {
        if let Some(before) = source.text.get(..at) {
            let number = before.matches('\n').count();
            let line: String = source.text.lines().nth(number).unwrap_or_default().trim().chars().take(SHOWN).collect();
            let text = if line.is_empty() { text } else { format!("`{line}`: {text}") };
            return Fault { file: source.name.clone(), line: Some(number + 1), text };
        }
        at = at.saturating_sub(source.text.len() + 1);
    }
    Fault { file: sources.first().map(|source| source.name.clone()).unwrap_or_default(), line: None, text }
}

/// Puts `more` into `table`.
fn merge<'a>(table: &mut DeTable<'a>, more: DeTable<'a>, path: &mut Vec<String>) {
    for (key, new) in more {
        path.push(key.get_ref().to_string());
        let is_joined = JOINED.iter().any(|joined| joined.iter().eq(path.iter()));
        match table.get_mut(&key).map(Spanned::get_mut) {
            Some(DeValue::Table(old)) if new.get_ref().is_table() => {
                if let DeValue::Table(new) = new.into_inner() {
                    merge(old, new, path);
                }
            }
            Some(DeValue::Array(old)) if is_joined && new.get_ref().is_array() => {
                if let DeValue::Array(new) = new.into_inner() {
                    new.into_iter().for_each(|item| old.push(item));
                }
            }
            _ => {
                // The key too: it has the place.
                table.remove(&key);
                table.insert(key, new);
            }
        }
        path.pop();
    }
}

/// A fault and its place.
type Wrong = (Option<Range<usize>>, String);

/// The value of the table, its faults, and the names of what was taken out of it because it is faulty.
fn deserialize<T: DeserializeOwned>(
    table: &mut Spanned<DeTable<'_>>,
    is_partial: bool,
) -> (Option<T>, Vec<Wrong>, Vec<String>) {
    let (mut faults, mut taken) = (Vec::new(), Vec::new());
    let names = |taken: Vec<(_, String)>| taken.into_iter().map(|(_, name)| name).collect();
    loop {
        let error = match T::deserialize(Deserializer::from(table.clone())) {
            Ok(value) => return (Some(value), faults, names(taken)),
            Err(error) => error,
        };
        let (span, message) = (error.span(), error.message().to_owned());
        let all = places(&DeValue::Table(table.get_ref().clone()));
        let path = span.as_ref().and_then(|span| around(&all, span));
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        // What is missing may be in another file, or was taken out because it is faulty.
        let is_expected = missing.is_some_and(|name| is_partial || taken.contains(&(span.clone(), name.to_owned())));
        if !is_expected {
            faults.push((span, message));
        }
        let Some((path, last)) = path.as_ref().and_then(|path| path.split_last().map(|(last, path)| (path, last)))
        else {
            return (None, faults, names(taken));
        };
        if let Step::Member(name) = last {
            taken.push((place_of(&all, path), name.clone()));
        }
        take(table.get_mut(), path, last);
    }
}

/// All parts of a value, each with the spans of its key and of itself.
fn places(value: &DeValue<'_>) -> Vec<(Vec<Step>, Range<usize>)> {
    fn walk(value: &DeValue<'_>, path: &mut Vec<Step>, places: &mut Vec<(Vec<Step>, Range<usize>)>) {
        let mut part = |step: Step, key: Option<Range<usize>>, value: &Spanned<DeValue<'_>>| {
            path.push(step);
            places.push((path.clone(), value.span()));
            places.extend(key.map(|span| (path.clone(), span)));
            walk(value.get_ref(), path, places);
            path.pop();
        };
        match value {
            DeValue::Table(table) => {
                table.iter().for_each(|(key, value)| part(key.get_ref().as_ref().into(), Some(key.span()), value));
            }
            DeValue::Array(array) => array.iter().enumerate().for_each(|(at, value)| part(Step::Item(at), None, value)),
            _ => {}
        }
    }
    let mut places = Vec::new();
    walk(value, &mut Vec::new(), &mut places);
    places
}

/// The smallest part around `span`; of equal ones the innermost.
fn around(places: &[(Vec<Step>, Range<usize>)], span: &Range<usize>) -> Option<Vec<Step>> {
    let around = places.iter().filter(|(_, place)| place.start <= span.start && span.end <= place.end);
    around.min_by_key(|(path, place)| (place.len(), usize::MAX - path.len())).map(|(path, _)| path.clone())
}

fn place_of(places: &[(Vec<Step>, Range<usize>)], path: &[Step]) -> Option<Range<usize>> {
    places.iter().find(|(other, _)| other == path).map(|(_, place)| place.clone())
}

/// Takes the part `last` out of the part at `path`.
fn take(table: &mut DeTable<'_>, path: &[Step], last: &Step) {
    let mut whole = DeValue::Table(std::mem::replace(table, DeTable::new()));
    let mut inner = Some(&mut whole);
    for step in path {
        inner = inner.and_then(|value| match (value, step) {
            (DeValue::Table(table), Step::Member(name)) => {
                table.iter_mut().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.get_mut())
            }
            (DeValue::Array(array), Step::Item(at)) => array.get_mut(*at).map(Spanned::get_mut),
            _ => None,
        });
    }
    match (inner, last) {
        (Some(DeValue::Table(table)), Step::Member(name)) => {
            drop(table.remove(&Spanned::new(0..0, name.clone().into())));
        }
        (Some(DeValue::Array(array)), Step::Item(at)) => {
            let items = std::mem::replace(array, DeArray::new()).into_iter().enumerate();
            *array = items.filter(|(index, _)| index != at).map(|(_, item)| item).collect();
        }
        _ => {}
    }
    if let DeValue::Table(rest) = whole {
        *table = rest;
    }
}

#[cfg(test)]
mod tests;
