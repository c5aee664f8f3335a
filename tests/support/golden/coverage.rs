//! Which values of the API occur in golden requests, and which must occur.

use super::case::Case;
use cygnet::{
    http::options::{ID_TYPES, IKE_VERSIONS, MODES},
    ipsec::{
        Integrity,
        algorithm::{DH_GROUP, ENCRYPTION, INTEGRITY},
    },
};
use serde_json::Value;
use std::collections::BTreeSet;

/// An action, a field of it, and a value of that field.
pub type Use = (&'static str, String, String);

const CHANGE: &str = "changeIPsecConnection";
const CREATE: &str = "params";

/// The fields that have a list of valid values.
pub const FIELDS: [&str; 11] = [
    "authMode",
    "idType",
    "ikeVersion",
    "ikeAuthAlgorithm",
    "ikeEncryptionAlgorithm",
    "ikeDhGroup",
    "policyAuthAlgorithm",
    "policyEncryptionAlgorithm",
    "pfs",
    "policyMode",
    "transformProtocol",
];

/// Every value that some request must have, of both actions: taken from the tables of the program.
pub fn wanted() -> Vec<Use> {
    let mut wanted = Vec::new();
    let mut want = |field: &str, values: Vec<String>| {
        for action in [CHANGE, CREATE] {
            wanted.extend(values.iter().map(|value| (action, field.to_owned(), value.clone())));
        }
    };
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    want("authMode", words(&["psk", "certs"]));
    want("transformProtocol", words(&["esp", "ah"]));
    want("idType", words(&ID_TYPES.map(|(word, _)| word)));
    want("ikeVersion", words(&IKE_VERSIONS.map(|(word, _)| word)));
    want("policyMode", words(&MODES.map(|(word, _)| word)));
    want("ikeEncryptionAlgorithm", words(&ENCRYPTION.each_ref().map(|row| row.wire)));
    want("policyEncryptionAlgorithm", words(&ENCRYPTION.each_ref().map(|row| row.wire)));
    want("ikeAuthAlgorithm", words(&Integrity::of_ike().map(|row| row.wire).collect::<Vec<_>>()));
    want("policyAuthAlgorithm", words(&INTEGRITY.each_ref().map(|row| row.wire)));
    want("ikeDhGroup", DH_GROUP.iter().map(|row| row.number.to_string()).collect());
    want("ikeDhGroup", words(&["0"]));
    want("pfs", words(&DH_GROUP.each_ref().map(|row| row.wire)));
    want("pfs", words(&["none"]));
    want("ikeLifeTime", words(&["60", "604800"]));
    want("lifeTime", words(&["30", "604800"]));
    wanted.push((CREATE, "pfs".into(), "dh-group0".into()));
    wanted
}

/// Every value that a request which is taken has.
pub fn occurring(cases: &[Case]) -> BTreeSet<Use> {
    cases.iter().filter(|case| !case.is_refused()).flat_map(uses).collect()
}

/// Fields and their values in these requests.
pub fn refused(cases: &[Case]) -> BTreeSet<(String, String)> {
    cases.iter().flat_map(uses).map(|(_, field, value)| (field, value)).collect()
}

fn uses(case: &Case) -> Vec<Use> {
    let action = if case.is_change() { CHANGE } else { CREATE };
    let body: Value = serde_json::from_slice(&case.request()).unwrap_or_default();
    let members = body.as_object().into_iter().flatten().filter(|(key, _)| key.eq_ignore_ascii_case(action));
    let members = members.filter_map(|(_, value)| value.as_object()).flatten();
    members.map(|(field, value)| (action, field.clone(), shown(value))).collect()
}

/// A text as it is, and any spelling of a whole number as that number.
fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
