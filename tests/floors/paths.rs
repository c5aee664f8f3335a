//! Reads the paths off Rust source: enough of the language for `use` trees and inline paths, not more.

use std::path::{Path, PathBuf};

/// A source file.
pub struct Source {
    /// The file, for messages.
    pub name: String,
    /// The module that it is: `strongswan::vici`.
    pub module: String,
    /// Its text without comments and tests.
    pub code: String,
}

impl Source {
    pub fn new(name: String, module: String, text: &str) -> Self {
        // A file of tests that is only named has its own name.
        let is_inline = |at: &usize| {
            text[*at..].lines().nth(1).is_some_and(|line| line.contains("mod tests") && line.ends_with('{'))
        };
        let end = text.match_indices("#[cfg(test)]\n").map(|(at, _)| at).find(is_inline).unwrap_or(text.len());
        let code = text[..end].lines().map(without_comment).collect::<Vec<_>>().join("\n");
        Self { name, module, code }
    }
}

/// The line up to its comment; a `//` within quotes is none.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| line[..*at].matches('"').count().is_multiple_of(2));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// All files below `directory`.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The Rust sources below `directory`; files of tests alone are left out.
pub fn sources(directory: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    for path in files(directory) {
        let name = path.strip_prefix(directory).expect("below it").to_str().expect("UTF-8").to_owned();
        let Some(module) = name.strip_suffix(".rs").map(|stem| stem.replace('/', "::")) else { continue };
        let module = module.trim_end_matches("::mod").to_owned();
        if !module.split("::").any(|part| part == "tests") {
            found.push(Source::new(name, module, &std::fs::read_to_string(&path).expect("a source")));
        }
    }
    found
}

/// The paths in `source` that begin with `crate`, `super` or (in the program) `cygnet`, from the root of the crate.
pub fn references(source: &Source) -> Vec<String> {
    let found = mentions(&source.code, &["crate::", "super::", "cygnet::"]);
    let absolute = found.iter().filter_map(|path| resolve(path, &source.module));
    // A path to the module itself, or a name in it, is no import.
    absolute.filter(|path| !path.is_empty() && *path != source.module).collect()
}

/// The paths in `code` that begin with one of `starts`, as they are written, `use` trees spread out.
pub fn mentions(code: &str, starts: &[&str]) -> Vec<String> {
    named(code, starts).into_iter().map(|(path, _)| path).collect()
}

/// The same, each with the name that it has from there on.
pub fn named(code: &str, starts: &[&str]) -> Vec<(String, String)> {
    let code = without_strings(code);
    let mut found = Vec::new();
    for (at, _) in starts.iter().flat_map(|start| code.match_indices(start)) {
        let before = code[..at].chars().next_back();
        if before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':' || c == '$')) {
            expand(&mut Tokens(&code[at..]), "", &mut found);
        }
    }
    found
}

/// The code with its string literals emptied.
pub fn without_strings(code: &str) -> String {
    let escaped = code.replace("\\\\", "").replace("\\\"", "").replace("'\"'", "");
    escaped.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

/// The path from the crate's root, for one written in `module`; `None` where it leads out of the crate.
pub fn resolve(path: &str, module: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("crate::").or(path.strip_prefix("cygnet::")) {
        return Some(rest.into());
    }
    let mut parents = module.split("::").collect::<Vec<_>>();
    let mut rest = path.strip_prefix("self::").unwrap_or(path);
    while let Some(after) = rest.strip_prefix("super::") {
        parents.pop()?;
        rest = after;
    }
    parents.push(rest);
    Some(parents.join("::"))
}

/// What is left to read of the code.
struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn eat(&mut self, text: &str) -> bool {
        self.skip_space();
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn word(&mut self) -> &'a str {
        self.skip_space();
        let end = self.0.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }
}

/// Adds the paths of the `use` tree (or the inline path) at `tokens`, each behind `prefix`.
fn expand(tokens: &mut Tokens<'_>, prefix: &str, found: &mut Vec<(String, String)>) {
    if tokens.eat("{") {
        while !tokens.eat("}") {
            expand(tokens, prefix, found);
            if !tokens.eat(",") && !tokens.0.starts_with('}') {
                return;
            }
        }
        return;
    }
    let word = if tokens.eat("*") { "*" } else { tokens.word() };
    let path = if prefix.is_empty() { word.to_owned() } else { format!("{prefix}::{word}") };
    if tokens.eat("::") {
        return expand(tokens, &path, found);
    }
    // `{self, ..}` names the module itself.
    let path = path.trim_end_matches("::self").to_owned();
    let mut name = path.rsplit("::").next().unwrap_or_default();
    if tokens.0.trim_start().starts_with("as ") {
        tokens.eat("as");
        name = tokens.word();
    }
    let name = name.to_owned();
    found.push((path, name));
}
