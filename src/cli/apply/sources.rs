//! The files of `cygnet apply`: which are read, within bounds, and the connections in them with their places.

use super::yaml::{self, Content, Node};
use crate::cli::{
    input,
    stop::{Result, Stop, note},
    values::key,
};
use cygnet::{
    disk::open::{Kind, read},
    http::MAX_SET,
    visible::visible,
};
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    fmt,
    fs::read_dir,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The most files of a directory.
const MOST_FILES: usize = 10_000;
/// What names of files end in that are read.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    file: String,
    /// From 1, of a file that has several documents.
    document: Option<usize>,
    line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let document = self.document.map_or_else(String::new, |number| format!(", document {number}"));
        write!(f, "{}{document}, line {}", self.file, self.line)
    }
}

/// A connection in a file.
pub struct Entry {
    /// What is sent.
    pub members: Map<String, Value>,
    place: Place,
    lines: HashMap<String, usize>,
}

impl Entry {
    /// The place of a member, or of the connection.
    pub fn place(&self, member: Option<&str>) -> Place {
        // An element of a list stands where the list does.
        let name = member.map(|name| name.split('[').next().unwrap_or(name));
        // The API has another name for what the file calls so.
        let mut names = name.into_iter().flat_map(|name| match name {
            "resourceUuid" => vec![name, "uuid"],
            "l3NetworkUuid" => vec![name, "l3NetworkUuids"],
            "authKey" => vec![name, "authKeyFile"],
            "ppk" => vec![name, "ppkFile"],
            _ => vec![name],
        });
        let line = names.find_map(|name| self.lines.get(name));
        Place { line: line.copied().unwrap_or(self.place.line), ..self.place.clone() }
    }

    /// The text of a member.
    fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str).map(str::trim)
    }
}

/// What is wrong, with its place.
pub type Faults = Vec<String>;

/// The connections in the files at `paths`.
///
/// # Errors
/// When a file cannot be read. What is wrong within the files comes beside the connections.
pub fn entries(paths: &[PathBuf]) -> Result<(Vec<Entry>, Faults)> {
    let (mut entries, mut faults, mut left) = (Vec::new(), Faults::new(), MAX_SET);
    for (path, is_named) in files(paths)? {
        let bytes = contents(&path, is_named, left)?;
        left -= bytes.len();
        let name = visible(&path.to_string_lossy());
        let Ok(text) = std::str::from_utf8(&bytes) else {
            faults.push(format!("{name}: it is not UTF-8"));
            continue;
        };
        match yaml::documents(text.strip_prefix('\u{feff}').unwrap_or(text)) {
            Ok(documents) => connections(&path, &name, documents, &mut entries, &mut faults),
            Err(fault) => faults.push(format!("{name}, line {}: {}", fault.line, visible(&fault.text))),
        }
    }
    faults.extend(twice(&entries));
    Ok((entries, faults))
}

/// The files that `paths` mean: themselves, and by name those in directories that are to be read; each with whether it was
/// named itself.
fn files(paths: &[PathBuf]) -> Result<Vec<(PathBuf, bool)>> {
    let mut files = Vec::new();
    for path in paths {
        if path == Path::new("-") || !path.is_dir() {
            files.push((path.clone(), true));
            continue;
        }
        let failed = |error| Stop::failed(format!("cannot read the directory {}: {error}", path.display()));
        let mut found = Vec::new();
        for entry in read_dir(path).map_err(failed)?.take(MOST_FILES + 1) {
            found.push(entry.map_err(failed)?.path());
        }
        if found.len() > MOST_FILES {
            return Err(Stop::failed(format!("{} has more than {MOST_FILES} files", path.display())));
        }
        found.sort();
        let is_hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        found.retain(|path| !is_hidden(path));
        let is_read = |path: &PathBuf| {
            let ending = path.extension().and_then(|ending| ending.to_str());
            ending.is_some_and(|ending| ENDINGS.contains(&ending)) && !path.is_dir()
        };
        let (read, left): (Vec<_>, Vec<_>) = found.into_iter().partition(is_read);
        for path in left {
            note(&format!("{} is not read: it does not end in .yaml, .yml or .json", visible(&path.to_string_lossy())));
        }
        files.extend(read.into_iter().map(|path| (path, false)));
    }
    Ok(files)
}

/// The bytes of a file, of which `left` may be read.
fn contents(path: &Path, is_named: bool, left: usize) -> Result<Zeroizing<Vec<u8>>> {
    // What is named may be a pipe of a shell; what lies in a directory must be a file.
    let is_stream = is_named && !path.is_file();
    let bytes =
        if is_stream { input::bytes(path, left as u64) } else { read(path, Kind::Operator).map(Zeroizing::new) };
    let bytes = bytes.map_err(|error| Stop::failed(format!("cannot read {}: {error}", path.display())))?;
    if bytes.len() > left {
        return Err(Stop::failed(format!("the files are longer than {MAX_SET} bytes together")));
    }
    Ok(bytes)
}

/// The connections in the documents of a file: a document is one, a list of some, or has some under `connections`.
fn connections(path: &Path, name: &str, documents: Vec<(usize, Node)>, entries: &mut Vec<Entry>, faults: &mut Faults) {
    let has_several = documents.len() > 1;
    for (number, node) in documents {
        let document = has_several.then_some(number);
        let at = |line| Place { file: name.to_owned(), document, line };
        let nodes = match node.content {
            Content::List(list) => list,
            Content::Map(mut members) if members.len() == 1 && members[0].0 == "connections" => {
                match members.remove(0).1 {
                    Node { content: Content::List(list), .. } => list,
                    node => {
                        faults.push(format!("{}: connections must be a list", at(node.line)));
                        continue;
                    }
                }
            }
            content => vec![Node { content, line: node.line }],
        };
        for node in nodes {
            let place = at(node.line);
            match entry(path, node, place.clone()) {
                Ok(entry) => entries.push(entry),
                Err(why) => faults.push(why),
            }
        }
    }
}

fn entry(path: &Path, node: Node, place: Place) -> std::result::Result<Entry, String> {
    let Content::Map(members) = node.content else {
        return Err(format!("{place}: a connection is a mapping of members, such as name: branch"));
    };
    let lines: HashMap<_, _> = members.iter().map(|(name, node)| (name.clone(), node.line)).collect();
    let members =
        members.into_iter().map(|(name, node)| (name, node.into_json())).filter(|(_, value)| !value.is_null());
    let mut entry = Entry { members: members.collect(), place, lines };
    for (member, named) in [("authKey", "authKeyFile"), ("ppk", "ppkFile")] {
        let Some(file) = entry.members.shift_remove(named) else { continue };
        let place = entry.place(Some(named));
        let Value::String(file) = file else { return Err(format!("{place}: {named} must be the name of a file")) };
        if entry.members.contains_key(member) {
            return Err(format!("{place}: {named} stands beside {member}: leave one of them out"));
        }
        // Beside the file that names it.
        let file = path.parent().unwrap_or(Path::new("")).join(file);
        let key = key(&file).map_err(|stop| format!("{place}: {}", stop.text()))?;
        entry.members.insert(member.into(), key.as_str().into());
    }
    Ok(entry)
}

/// The names and uuids that two connections of the files have.
fn twice(entries: &[Entry]) -> Faults {
    let mut faults = Faults::new();
    for member in ["name", "uuid"] {
        let mut first: HashMap<&str, &Entry> = HashMap::new();
        for entry in entries {
            let Some(text) = entry.text(member) else { continue };
            if let Some(other) = first.get(text) {
                let (here, there) = (entry.place(Some(member)), other.place(Some(member)));
                faults.push(format!("{here}: the {member} {} stands in {there} too", visible(text)));
            } else {
                first.insert(text, entry);
            }
        }
    }
    faults
}
