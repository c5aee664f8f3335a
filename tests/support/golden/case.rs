//! The golden folders on disk: which there are, what must be in them, and writing their outputs.

use cygnet::{
    ipsec::Peer,
    settings::{Gateway, Settings},
};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::PathBuf};

/// The outputs of a request that is taken.
const OUTPUTS: [&str; 3] = ["connection.conf", "messages.txt", "inventory.json"];
/// What `cygnet render` says beside them, of requests with members that nobody reads.
pub const WARNINGS: &str = "warnings.txt";
/// The output of a request that is refused.
const ERROR: &str = "error.json";

/// The address that every peer's name has.
pub const RESOLVED: &str = "198.51.100.77";

/// A golden folder.
pub struct Case {
    /// Its name.
    pub name: String,
}

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden"].iter().collect()
}

/// The path of the settings that all cases share.
pub fn config() -> String {
    folder().join("cygnet.toml").display().to_string()
}

/// The gateway that all cases are for.
pub fn gateway() -> Gateway {
    Settings::read(config().as_ref()).expect("golden/cygnet.toml").gateway
}

/// All cases, by name. Anything beside the folders and the settings is a mistake.
pub fn all() -> Vec<Case> {
    let names = fs::read_dir(folder()).expect("tests/golden").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    names.retain(|name| name != "cygnet.toml");
    names.sort_unstable();
    assert!(names.len() >= 60, "{} cases only", names.len());
    names.into_iter().map(|name| Case { name }).collect()
}

impl Case {
    /// The path of one of its files.
    pub fn path(&self, file: &str) -> PathBuf {
        folder().join(&self.name).join(file)
    }

    /// The text of one of its files, if it is there.
    pub fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path(file)).ok()
    }

    /// The body.
    pub fn request(&self) -> Vec<u8> {
        fs::read(self.path("request.json")).unwrap_or_else(|e| panic!("{}/request.json: {e}", self.name))
    }

    /// Whether its peer has a name.
    pub fn has_named_peer(&self) -> bool {
        let body: Value = serde_json::from_slice(&self.request()).unwrap_or_default();
        let peers = [&body["params"], &body["changeIPsecConnection"]].map(|params| params["peerAddress"].as_str());
        peers.into_iter().flatten().any(|peer| matches!(peer.parse(), Ok(Peer::Name(_))))
    }

    /// Whether it is a Change, by its name.
    pub fn is_change(&self) -> bool {
        self.name.starts_with("change-")
    }

    /// Whether the request is to be refused, by its name.
    pub fn is_refused(&self) -> bool {
        self.name.starts_with("change-error-") || self.name.starts_with("create-error-")
    }

    /// Writes the outputs, and removes what is none any more.
    pub fn write(&self, outputs: &[(&'static str, String)]) {
        for file in OUTPUTS.iter().chain([&WARNINGS, &ERROR]) {
            match outputs.iter().find(|(name, _)| name == file) {
                Some((_, text)) => fs::write(self.path(file), text).expect("tests/golden can be written"),
                None => drop(fs::remove_file(self.path(file))),
            }
        }
    }

    /// What is missing in the folder and what does not belong there.
    pub fn misplaced_files(&self) -> Option<String> {
        let entries = fs::read_dir(self.path("")).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let found: BTreeSet<_> = names.filter(|name| name != "NOTE" && name != WARNINGS).collect();
        let given = Some("given.json").filter(|_| self.is_change());
        let outputs = if self.is_refused() { &[ERROR][..] } else { &OUTPUTS };
        let wanted = ["request.json"].into_iter().chain(given).chain(outputs.iter().copied());
        let wanted: BTreeSet<_> = wanted.map(str::to_owned).collect();
        let kind = self.is_change() || self.name.starts_with("create-");
        (found != wanted || !kind).then(|| format!("{}: it has {found:?} and should have {wanted:?}\n", self.name))
    }
}
