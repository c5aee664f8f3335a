//! A backup: the records with their keys, and the files of the operator, as one text. It is one of the things that hold
//! every key; who writes it seals it, or says that it is open.

use super::{Damaged, Store, format, record::Record};
use crate::error::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{path::Path, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// What the text says that it is.
const FORMAT: &str = "cygnet-backup";
/// The version of what it says.
const VERSION: u32 = 1;
/// How often the records are read until two readings agree, and the pause between them.
const READINGS: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// What is in a backup.
pub struct Backup {
    /// Where it was made.
    pub host: String,
    /// When.
    pub made: Timestamp,
    /// The version of the program that made it.
    pub program: String,
    /// The connections, by uuid; what was on trial is not in it, but what it would put back.
    pub records: Vec<Record>,
    /// The files of the operator.
    pub files: Vec<OwnFile>,
}

/// A file of the operator.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnFile {
    /// Its name in the directory of the settings, such as `conf.d/10-site.toml`.
    pub name: String,
    /// What is in it; it may be a token.
    pub text: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    format: String,
    version: u32,
    program: String,
    host: String,
    made: Timestamp,
    connections: Vec<Value>,
    files: Vec<Text>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    name: String,
    text: Zeroizing<String>,
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
    program: String,
}

impl Backup {
    /// The text of it.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which is a fault of this program.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let record = |record: &Record| as_json(&format::to_bytes(record)?);
        let whole = Whole {
            format: FORMAT.into(),
            version: VERSION,
            program: self.program.clone(),
            host: self.host.clone(),
            made: self.made,
            connections: self.records.iter().map(record).collect::<Result<_>>()?,
            files: self
                .files
                .iter()
                .map(|OwnFile { name, text }| Text { name: name.clone(), text: text.clone() })
                .collect(),
        };
        let bytes = serde_json::to_vec(&whole).map_err(|e| Error::Internal(e.to_string()))?;
        Ok(Zeroizing::new(bytes))
    }

    /// The backup that `bytes` are.
    ///
    /// # Errors
    /// What is wrong with them, without quoting a value. Nothing of a backup that is wrong in part is returned.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let head: Head = serde_json::from_slice(bytes).map_err(|e| not_one(&e))?;
        if head.format != FORMAT {
            return Err("it is not a backup of cygnet".into());
        }
        if head.version != VERSION {
            let Head { version, program, .. } = head;
            let program: String = program.chars().filter(char::is_ascii_graphic).take(32).collect();
            return Err(format!(
                "it has version {version}, made by cygnet {program}, and this program reads version {VERSION}: restore it \
                 with that cygnet, or a newer one"
            ));
        }
        let whole: Whole = serde_json::from_slice(bytes).map_err(|e| not_one(&e))?;
        let mut records: Vec<Record> = Vec::new();
        for (at, value) in whole.connections.iter().enumerate() {
            let of = |why: String| format!("its connection {} cannot be read: {why}", at + 1);
            let text = Zeroizing::new(serde_json::to_vec(value).map_err(|_| of("it is not JSON".into()))?);
            let record = format::from_bytes(&text).map_err(of)?;
            if record.trial.is_some() {
                return Err(of("it is on trial, which none in a backup is".into()));
            }
            if records.iter().any(|other| other.id == record.id) {
                return Err(of(format!("another one has its uuid {}", record.id)));
            }
            records.push(record);
        }
        let files = whole.files.into_iter().map(|Text { name, text }| OwnFile { name, text }).collect();
        Ok(Self { host: whole.host, made: whole.made, program: whole.program, records, files })
    }
}

/// Where the text is wrong; serde's own words may quote a key.
fn not_one(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Eof => "it is cut off".into(),
        serde_json::error::Category::Data => {
            format!("it does not have the members of a backup: line {}, column {}", error.line(), error.column())
        }
        _ => "it is not a backup of cygnet, or it is damaged".into(),
    }
}

/// `record` as the API takes it: the value of its file.
///
/// # Errors
/// When it cannot be written as JSON, which is a fault of this program.
pub fn value(record: &Record) -> Result<Value> {
    as_json(&format::to_bytes(record)?)
}

fn as_json(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|e| Error::Internal(e.to_string()))
}

/// What is stored in `state_dir` for a backup: of a change on trial, what it would put back; and the files that cannot be
/// read. An agent may be running: a step of several connections is in it as a whole or not at all. Whether the records
/// stood still is said beside them.
///
/// # Errors
/// When the directory cannot be listed.
pub fn survey(state_dir: &Path) -> Result<(Vec<Record>, Vec<Damaged>, bool)> {
    let mut last = Store::survey(state_dir)?;
    let mut is_still = false;
    for _ in 0..READINGS {
        let next = Store::survey(state_dir)?;
        is_still = is_same(&last.0, &next.0);
        last = next;
        if is_still {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    let kept = |record: &Arc<Record>| {
        let confirmed = record.without_trial(record.changed);
        confirmed.map_err(|e| Error::Internal(format!("{:?} of {} is not valid", e.part(), record.id))).transpose()
    };
    let records = last.0.iter().filter_map(kept).collect::<Result<Vec<_>>>()?;
    Ok((records, last.1, is_still))
}

/// Whether both say the same of the same connections, whatever the agent has seen of them meanwhile.
fn is_same(a: &[Arc<Record>], b: &[Arc<Record>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.id == b.id && a.wishes_as(b) && a.trial == b.trial)
}
