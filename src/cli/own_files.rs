//! The files of the operator that a backup has: settings, and what is in `credentials` beside them. Only these names are
//! read and written, whatever a backup says. What is there and says something is never overwritten.

use super::stop::{Result, Stop};
use cygnet::{
    disk,
    disk::open::{self, Kind},
    rights,
    store::OwnFile,
};
use std::{
    fs::DirBuilder,
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The directories beside the settings file: name, how the names in it end, and the modes of it and its files.
const DIRECTORIES: [(&str, &str, u32, u32); 2] = [("conf.d", ".toml", 0o755, 0o644), ("credentials", "", 0o700, 0o600)];
/// The most files.
const MOST: usize = 256;

/// What is there in the place of a file of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    /// Nothing.
    Missing,
    /// The same.
    Same,
    /// Something else, which stays.
    Differs,
}

/// Whether a file of this name may be in `directory`.
fn is_valid(name: &str, end: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_', '@', '+'].contains(&c);
    name.len() <= 128
        && !name.starts_with('.')
        && name.len() > end.len()
        && name.ends_with(end)
        && name.chars().all(plain)
}

/// The files of the settings in `config`; and those that are there and cannot be taken, with why.
pub fn gather(config: &Path) -> (Vec<OwnFile>, Vec<String>) {
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    let parent = config.parent().unwrap_or(Path::new(""));
    let mut take = |name: String, path: &Path, kind| match open::read_to_string(path, kind) {
        Ok(text) => files.push(OwnFile { name, text: Zeroizing::new(text) }),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => missing.push(format!("{}: {}", path.display(), rights::explained(&error))),
    };
    if let Some(name) = config.file_name().and_then(|name| name.to_str()) {
        take(name.to_owned(), config, Kind::Operator);
    }
    let mut strange = Vec::new();
    for (directory, end, _, _) in DIRECTORIES {
        let path = parent.join(directory);
        let names = match disk::list(&path) {
            Ok(names) => names,
            Err(_) if !path.exists() => continue,
            Err(error) => {
                strange.push(error.to_string());
                continue;
            }
        };
        for name in names.iter().filter(|name| name.ends_with(end) && !name.starts_with('.')) {
            if is_valid(name, end) {
                let kind = if directory == "credentials" { Kind::Secret } else { Kind::Operator };
                take(format!("{directory}/{name}"), &path.join(name), kind);
            } else {
                strange.push(format!(
                    "{}: its name has other characters than letters, digits and .-_@+",
                    path.join(name).display()
                ));
            }
        }
    }
    missing.extend(strange);
    (files, missing)
}

/// Where a file of a backup belongs, with its mode; nothing is looked at.
fn place(config: &Path, name: &str) -> Option<(PathBuf, u32)> {
    let parent = config.parent()?;
    if config.file_name().and_then(|own| own.to_str()) == Some(name) {
        return Some((config.to_owned(), 0o644));
    }
    let (directory, file) = name.split_once('/')?;
    let (directory, end, _, mode) = DIRECTORIES.into_iter().find(|(known, ..)| *known == directory)?;
    is_valid(file, end).then(|| (parent.join(directory).join(file), mode))
}

/// What is there in the place of each of `files`.
pub fn compare(config: &Path, files: &[OwnFile]) -> Result<Vec<There>> {
    if files.len() > MOST {
        return Err(Stop::failed(format!(
            "the backup has {} files of settings, and at most {MOST} are taken",
            files.len()
        )));
    }
    let one = |file: &OwnFile| {
        let (path, _) = place(config, &file.name).ok_or_else(|| {
            let name: String = file.name.chars().take(64).collect();
            Stop::failed(format!("the backup has a file that is none of the settings: {name}")).hint(
                "settings files are named as --config is, conf.d/*.toml and credentials/*; a backup from another \
                 --config is restored with a settings file of that name",
            )
        })?;
        match open::read(&path, Kind::Operator).map(Zeroizing::new) {
            Ok(bytes) if *bytes == file.text.as_bytes() => Ok(There::Same),
            Ok(bytes) if says_nothing(&file.name, &bytes) => Ok(There::Missing),
            Ok(_) => Ok(There::Differs),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(There::Missing),
            Err(error) => Err(Stop::failed(format!("{}: {}", path.display(), rights::explained(&error)))),
        }
    };
    files.iter().map(one).collect()
}

/// Whether settings are comments alone, as those that the package leaves at its first installation.
fn says_nothing(name: &str, bytes: &[u8]) -> bool {
    let is_comment = |line: &[u8]| line.trim_ascii().is_empty() || line.trim_ascii().starts_with(b"#");
    Path::new(name).extension().is_some_and(|end| end == "toml") && bytes.split(|byte| *byte == b'\n').all(is_comment)
}

/// Writes one that is missing, durably.
pub fn write(config: &Path, file: &OwnFile) -> Result<()> {
    let failed = |why: &dyn std::fmt::Display| Stop::failed(format!("{} cannot be written: {why}", file.name));
    let (path, mode) = place(config, &file.name).ok_or_else(|| failed(&"it is none of the settings"))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let mode_of = DIRECTORIES.iter().find(|(known, ..)| directory.ends_with(known)).map_or(0o755, |row| row.2);
    DirBuilder::new().recursive(true).mode(mode_of).create(directory).map_err(|e| failed(&rights::explained(&e)))?;
    match open::read(&path, Kind::Operator) {
        Ok(bytes) if says_nothing(&file.name, &bytes) => {
            disk::replace(&path, file.text.as_bytes(), mode).map_err(|e| failed(&e))
        }
        _ => disk::create_whole(&path, file.text.as_bytes(), mode).map_err(|e| failed(&rights::explained(&e))),
    }
}
