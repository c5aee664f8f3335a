//! Keeps keys out of an archive. First, nothing is taken that prints one. Second, lines and members that may hold one are
//! replaced. Third, what is stored on this gateway as a secret is looked for in every part, in the forms that bytes have in
//! texts: someone may have typed a key where none belongs.

use cygnet::{
    disk::open::{Kind, read_to_string},
    http,
    ipsec::Auth,
    settings::{Fault, Settings},
    store::{Record, Store},
    strongswan::words::tells_a_key,
};
use data_encoding::{BASE64, HEXLOWER, HEXUPPER};
use serde_json::Value;
use std::{collections::HashMap, path::Path};
use zeroize::Zeroizing;

/// Stands for a line that may hold a key.
pub const LINE: &str = "(a line that may hold a key)";
/// Stands for a secret.
const REMOVED: &str = "(removed)";
/// The shortest secret that is looked for: shorter ones would be found everywhere.
const SHORTEST: usize = 8;
/// The most hexadecimal digits of a number in a listing; keys are longer.
const NUMBER: usize = 20;
/// Words in the names of settings whose values may be secrets.
const NAMES: [&str; 6] = ["token", "secret", "passw", "passphrase", "psk", "key"];
/// The settings with such names that are paths.
const PATHS: [&str; 2] = ["tokens_file", "key"];

/// The settings files without comments, by their paths. Where they have faults, a value may stand in the wrong place, so
/// texts are left out.
pub fn settings(config: &Path, have_faults: bool) -> Value {
    let file = |(name, text): (String, String)| match toml::from_str::<Value>(&text) {
        Ok(mut value) => {
            mask(&mut value, have_faults);
            (name, value)
        }
        // The error shows the line.
        Err(_) => (name, "it is no TOML".into()),
    };
    Value::Object(Settings::texts(config).into_iter().map(file).collect())
}

/// Replaces values that may be secrets by their names.
fn mask(value: &mut Value, all_texts: bool) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let lower = name.to_ascii_lowercase();
                let is_path =
                    PATHS.contains(&name.as_str()) && value.as_str().is_some_and(|text| text.starts_with('/'));
                let is_named = NAMES.iter().any(|word| lower.contains(word));
                let is_choice = value.as_str().is_some_and(|text| ["off", "warn", "refuse"].contains(&text));
                if is_named && !is_path && !is_choice && !value.is_boolean() {
                    *value = REMOVED.into();
                } else {
                    mask(value, all_texts);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, all_texts)),
        Value::String(text) if all_texts => *text = REMOVED.into(),
        _ => {}
    }
}

/// What programs print, without lines that may hold a key: charon dumps keys at its highest level.
pub fn lines(text: &str) -> String {
    let line = |line: &str| format!("{}\n", if tells_a_key(line) { LINE } else { line });
    text.lines().map(line).collect()
}

/// The secrets of this gateway, in the forms in which they may stand in a text, by their first bytes.
pub struct Secrets {
    forms: HashMap<[u8; SHORTEST], Vec<Zeroizing<Vec<u8>>>>,
    count: usize,
    /// What could not be read to look for it.
    unread: Vec<String>,
}

impl Secrets {
    /// Those that the settings lead to.
    pub fn of(settings: Option<&Settings>, faults: &[Fault]) -> Self {
        let mut secrets = Self { forms: HashMap::new(), count: 0, unread: Vec::new() };
        if !faults.is_empty() {
            secrets.unread.push("settings that have faults".into());
        }
        let Some(settings) = settings else { return secrets };
        match Store::survey(&settings.state_dir) {
            Ok((records, _)) => records.iter().for_each(|record| secrets.add_record(record)),
            Err(error) => secrets.unread.push(error.to_string()),
        }
        let auth = [&settings.auth.tokens_file, &settings.auth.accounts_file].into_iter().flatten();
        for path in auth.chain(settings.tls.as_ref().map(|tls| &tls.key)) {
            let text = http::credential(path)
                .and_then(|path| read_to_string(&path, Kind::Secret).map_err(|error| error.to_string()));
            match text {
                Ok(text) => secrets.add_words(&Zeroizing::new(text)),
                Err(error) => secrets.unread.push(format!("{}: {error}", path.display())),
            }
        }
        secrets
    }

    fn add_record(&mut self, record: &Record) {
        match &record.connection.auth {
            Auth::Psk(psk) => self.add(psk.expose()),
            Auth::Certs(certs) => self.add_words(&certs.key.expose_pem()),
        }
        if let Some(ppk) = &record.connection.native.ppk {
            self.add(ppk.expose());
        }
        if let Some(before) = record.trial.as_ref().and_then(|trial| trial.before.as_ref()) {
            self.add_record(before);
        }
    }

    /// Adds the words of a file of secrets: tokens, digests, access keys, lines of a PEM block.
    fn add_words(&mut self, text: &str) {
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=');
        for line in text.lines().filter(|line| !line.starts_with("-----")) {
            let token = line.split_once(':').map(|(_, token)| token.trim());
            let words = line.split(is_end).filter(|word| word.len() >= 2 * SHORTEST);
            words.chain(token).for_each(|word| self.add(word.as_bytes()));
        }
    }

    fn add(&mut self, secret: &[u8]) {
        if secret.len() < SHORTEST {
            return;
        }
        self.count += 1;
        let texts = [
            HEXLOWER.encode(secret),
            HEXUPPER.encode(secret),
            Value::from(&*String::from_utf8_lossy(secret)).to_string(),
        ];
        let quoted = texts[2].trim_matches('"').as_bytes().to_vec();
        let [lower, upper, _] = texts.map(String::into_bytes);
        for form in
            [secret.to_vec(), lower, upper, quoted].into_iter().chain((0..3).map(|before| base64(secret, before)))
        {
            if let Some(first) = form.first_chunk() {
                let known = self.forms.entry(*first).or_default();
                if !known.iter().any(|other| **other == form) {
                    known.push(Zeroizing::new(form));
                }
            }
        }
    }

    /// How well was looked.
    pub fn summary(&self) -> String {
        let unread: Vec<_> = self.unread.iter().map(|why| format!(" (not those of {why})")).collect();
        format!("{} secrets of this gateway were looked for{}", self.count, unread.concat())
    }

    /// `text` without blocks of private keys, long numbers and known secrets, and how many were found.
    pub fn removed_from(&self, text: &str) -> (String, usize) {
        let (text, blocks) = without_blocks(text);
        let (text, numbers) = without_numbers(&text);
        let (bytes, mut clean, mut at, mut found) = (text.as_bytes(), Vec::with_capacity(text.len()), 0, 0);
        while let Some(byte) = bytes.get(at) {
            let known = bytes[at..].first_chunk().and_then(|first| self.forms.get(first));
            let longest =
                known.into_iter().flatten().filter(|form| bytes[at..].starts_with(form)).map(|form| form.len()).max();
            if longest.is_some() {
                clean.extend(REMOVED.bytes());
                found += 1;
            } else {
                clean.push(*byte);
            }
            at += longest.unwrap_or(1);
        }
        (String::from_utf8_lossy(&clean).into_owned(), blocks + numbers + found)
    }
}

/// The letters of base64 that come from `secret` alone where `before` bytes stand before it.
fn base64(secret: &[u8], before: usize) -> Vec<u8> {
    let padded = Zeroizing::new([&vec![0; before][..], secret].concat());
    let whole = padded.len() * 8 / 6;
    let letters = BASE64.encode(&padded).into_bytes();
    letters[(before * 8).div_ceil(6)..whole].to_vec()
}

/// Without the blocks of private keys.
fn without_blocks(text: &str) -> (String, usize) {
    let (mut clean, mut is_key, mut count) = (String::with_capacity(text.len()), false, 0);
    for line in text.split_inclusive('\n') {
        let begins = line.contains("-----BEGIN ") && line.contains("PRIVATE KEY");
        if begins {
            (is_key, count) = (true, count + 1);
            clean.push_str(REMOVED);
            clean.push('\n');
        }
        if !is_key {
            clean.push_str(line);
        }
        is_key &= !(line.contains("-----END ") && line.contains("PRIVATE KEY"));
    }
    (clean, count)
}

/// Without hexadecimal numbers that are as long as keys (`0x` and digits, as `ip xfrm` prints them).
fn without_numbers(text: &str) -> (String, usize) {
    let (mut clean, mut rest, mut count) = (String::with_capacity(text.len()), text, 0);
    while let Some(at) = rest.find("0x") {
        let digits = rest[at + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let (before, after) = rest.split_at(at + 2 + digits);
        if digits > NUMBER {
            clean.push_str(&before[..at]);
            clean.push_str(REMOVED);
            count += 1;
        } else {
            clean.push_str(before);
        }
        rest = after;
    }
    (clean + rest, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_found_in_every_form() {
        let mut secrets = Secrets { forms: HashMap::new(), count: 0, unread: Vec::new() };
        let key = "test-only \"key\" of 24 B";
        secrets.add(key.as_bytes());
        secrets.add_words("name: test-only-token-1\n[[a]]\nsecret = \"test-only-access-key\"\n");
        secrets.add(b"short");
        for leak in [
            key.to_owned(),
            HEXLOWER.encode(key.as_bytes()),
            format!("0x{}", HEXUPPER.encode(key.as_bytes())),
            json!({ "x": key }).to_string(),
            BASE64.encode(key.as_bytes()),
            BASE64.encode(format!("ab{key}c").as_bytes()),
            "a test-only-token-1".into(),
            "test-only-access-key".into(),
            "auth-trunc hmac(sha256) 0x0123456789abcdef0123456789abcdef 128".into(),
            "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n".into(),
        ] {
            let (clean, found) = secrets.removed_from(&leak);
            assert!(found == 1 && clean.contains(REMOVED), "{leak}: {clean}");
            assert!(!clean.contains("only") && !clean.contains("MIGH") && !clean.contains("89abcdef"), "{clean}");
        }
        let harmless = "short 0x12345678 分 -----BEGIN CERTIFICATE-----\nMIGH\n";
        assert_eq!(secrets.removed_from(harmless), (harmless.to_owned(), 0));
    }

    #[test]
    fn settings_have_no_secrets_and_no_comments() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("cygnet.toml");
        let text = "# test-only-comment\n[auth]\ntokens_file = \"/etc/t\"\ntoken = \"test-only\"\n[tls]\nkey = \"test-only\"\n";
        std::fs::write(&path, text).expect("written");
        let shown = settings(&path, false)[path.to_str().expect("text")].clone();
        let expected = json!({ "auth": { "tokens_file": "/etc/t", "token": REMOVED }, "tls": { "key": REMOVED } });
        assert_eq!(shown, expected);
        assert_eq!(settings(&path, true)[path.to_str().expect("text")]["auth"]["tokens_file"], REMOVED);
        std::fs::write(&path, "x = [test-only").expect("written");
        assert!(!settings(&path, false).to_string().contains("test-only"));
    }
}
