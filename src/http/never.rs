//! What people ask for and never get, each with the reason and what to do instead.

use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// Ways to negotiate: the words that name them, wherever they stand in a text, and the refusal.
const WAYS: [(&[&str], &str); 2] = [
    (
        &["aggressive"],
        "aggressive mode is never supported: it shows everybody a hash of the key, which can then be guessed; use ikev2, or \
         ikev1, which is main mode here, and set the peer to the same",
    ),
    (
        &["xauth", "eap", "hybrid"],
        "XAUTH and EAP are never supported: they ask a user for a password, and a gateway has no user; use authMode psk or \
         certs, and set the peer to a tunnel between two sites",
    ),
];

/// Algorithms likewise; these words stand alone, or before a length or a mode.
const ALGORITHMS: [(&[&str], &str); 3] = [
    (
        &["sm4", "sm3", "sm2", "sm1"],
        "SM4 and its kin are never supported: IKE has no numbers for them and strongSwan does not have them; use aes-256 \
         and sha256 on both ends",
    ),
    (
        &["des", "des56", "1des"],
        "DES is never supported: its key of 56 bits is found within days; use aes-256 on both ends, or 3des if the peer has \
         nothing better",
    ),
    (
        &["null", "none"],
        "NULL is never supported: such a tunnel looks as if it protected its traffic; use aes-256 and sha256, or \
         transformProtocol ah if packets shall be authenticated only",
    ),
];

/// Algorithms that are not weak, and that no peer has alone; parts of their names.
const RARE: [(&[&str], &str); 2] = [
    (
        &["ctr", "ccm", "camellia", "gcm8", "gcm-8", "gcm12", "gcm-12", "gcm64", "gcm96", "gmac"],
        "counter mode, CCM, Camellia, GMAC and GCM with a tag of 8 or 12 bytes are not supported: peers that have them have \
         AES as well; use aes-256 or aes-256-gcm on both ends",
    ),
    (
        &["xcbc", "cmac", "sha224", "sha2-224", "sha-224"],
        "AES-XCBC, AES-CMAC and SHA-224 are not supported: peers that have them have SHA-2 as well; use sha256 on both ends",
    ),
];

/// Why the value `asked` of `field` is never supported, if it is one of these.
#[must_use]
pub fn value(field: &str, asked: &str) -> Option<&'static str> {
    if !field.ends_with("Algorithm") {
        return way(asked);
    }
    let asked = asked.to_lowercase();
    let mut words = asked.split(|c: char| !c.is_ascii_alphanumeric());
    let named = |word: &str| ALGORITHMS.iter().find(|(names, _)| names.contains(&word)).map(|(_, why)| *why);
    let is_part = |names: &[&str]| names.iter().any(|name| asked.contains(name));
    words.find_map(named).or_else(|| RARE.iter().find(|(names, _)| is_part(names)).map(|(_, why)| *why))
}

/// Why a member or an option of this name is never supported, if it is one of these.
#[must_use]
pub fn way(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let starts = |word: &str| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part.starts_with(word));
    // "eap" stands within other words, too.
    let is_named = |word: &&str| if word.len() > 3 { name.contains(word) } else { starts(word) };
    WAYS.iter().find(|(words, _)| words.iter().any(is_named)).map(|(_, why)| *why)
}

/// Refuses a call whose unknown members ask for one of these. Other unknown members only have a warning. A caller who asks
/// for one of these has a peer that wants it, so the tunnel could not come up. The refusal does not show the value.
///
/// # Errors
/// When a member asks for it, and does not say that it is off.
pub fn check(members: &Map<String, Value>, known: &[&str]) -> Result<()> {
    let is_off = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => {
            ["", "0", "no", "off", "false", "none", "main", "disabled"].contains(&&*text.trim().to_lowercase())
        }
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) => false,
    };
    let asked = |(name, value): (&String, &Value)| {
        let by_value = || value.as_str().filter(|text| text.trim().eq_ignore_ascii_case("aggressive")).and_then(way);
        let why = way(name).filter(|_| !is_off(value)).or_else(by_value)?;
        Some((name.clone(), why))
    };
    match members.iter().filter(|(name, _)| !known.contains(&name.as_str())).find_map(asked) {
        None => Ok(()),
        Some((name, why)) => {
            let shown: String = name.chars().take(64).collect();
            Err(Error::rule(&crate::visible::visible(&shown), format!("is refused: {why}")))
        }
    }
}
