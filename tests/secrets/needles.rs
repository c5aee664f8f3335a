//! The forms in which a key may show.

use crate::serve::hex;
use memchr::memmem;
use std::{fs, path::Path};

/// The alphabet of base64, and that of its form for URLs.
pub const ALPHABETS: [&[u8; 64]; 2] = [
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
];
/// How much of a key is a leak: this many bytes of it.
const PART: usize = 12;

/// All forms of some keys.
pub struct Needles(Vec<(String, Vec<u8>)>);

impl Needles {
    /// The forms of `keys`, and of their beginnings and ends.
    pub fn new(keys: &[&str]) -> Self {
        let mut needles = Vec::new();
        for key in keys.iter().map(|key| key.as_bytes()) {
            assert!(key.len() >= 2 * PART, "a key that cannot be there by chance");
            for part in [&key[..PART], &key[key.len() - PART..]] {
                needles.extend(forms(part));
            }
        }
        Self(needles)
    }

    /// Which forms stand in `bytes`.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        // Text in either case of letters, but for base64 and the key itself, in which case matters little here.
        let folded = bytes.to_ascii_lowercase();
        let holds = |needle: &[u8]| find(bytes, needle) || find(&folded, &needle.to_ascii_lowercase());
        self.0.iter().filter(|(_, needle)| holds(needle)).map(|(form, _)| form.as_str()).collect()
    }

    /// The files below `directory` in which a form stands. Sockets are passed over.
    pub fn files_below(&self, directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).expect("a directory") {
            let entry = entry.expect("an entry");
            let (path, kind) = (entry.path(), entry.file_type().expect("a type"));
            if kind.is_dir() {
                found.extend(self.files_below(&path));
            } else if kind.is_file() && !self.found_in(&fs::read(&path).expect("readable")).is_empty() {
                found.push(path.display().to_string());
            }
        }
        found.sort_unstable();
        found
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> bool {
    memmem::find(bytes, needle).is_some()
}

fn forms(part: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut forms = vec![
        ("the text".to_owned(), part.to_vec()),
        ("the text backwards".into(), part.iter().rev().copied().collect()),
        ("UTF-16".into(), part.iter().flat_map(|byte| [*byte, 0]).collect()),
    ];
    let mut joined = |form: &str, separator: &str, byte: fn(&u8) -> String| {
        let text = part.iter().map(byte).collect::<Vec<_>>().join(separator);
        forms.push((form.into(), text.into_bytes()));
    };
    joined("hexadecimal", "", |byte| format!("{byte:02x}"));
    joined("hexadecimal with blanks", " ", |byte| format!("{byte:02x}"));
    joined("hexadecimal with colons", ":", |byte| format!("{byte:02x}"));
    joined("a list of numbers", ", ", ToString::to_string);
    joined("a list of numbers without blanks", ",", ToString::to_string);
    joined("escapes", "", |byte| format!("\\x{byte:02x}"));
    joined("percent escapes", "", |byte| format!("%{byte:02x}"));
    joined("JSON escapes", "", |byte| format!("\\u00{byte:02x}"));
    for alphabet in ALPHABETS {
        // The form depends on how many bytes stand before the key.
        for before in 0..3 {
            forms.push((format!("base64 after {before} bytes"), base64(part, before, alphabet)));
        }
    }
    forms
}

/// The letters of base64 that come from `part` alone when `before` bytes stand before it.
pub fn base64(part: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bits: Vec<bool> = part.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
    // The first whole letter begins at a multiple of 6 bits of the whole.
    let skipped = (6 - before * 8 % 6) % 6;
    let number = |letter: &[bool]| letter.iter().fold(0, |n, bit| n << 1 | usize::from(*bit));
    bits[skipped..].chunks_exact(6).map(|letter| alphabet[number(letter)]).collect()
}

#[test]
fn every_form_is_found() {
    let key = "test-only-Qx7Zr2-unmistakable";
    let needles = Needles::new(&[key]);
    assert!(needles.found_in(b"nothing of it: test-only- unmistakab Qx7Z").is_empty());
    for leak in [
        format!("authKey={key};"),
        format!("...{}", &key[..PART]),
        format!("{:?}", key.as_bytes()),
        hex(key.as_bytes()).to_uppercase(),
        key.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02x}")),
        // base64 of the key, and of "x" and "xy" followed by the key.
        "dGVzdC1vbmx5LVF4N1pyMi11bm1pc3Rha2FibGU=".into(),
        "eHRlc3Qtb25seS1ReDdacjItdW5taXN0YWthYmxl".into(),
        "eHl0ZXN0LW9ubHktUXg3WnIyLXVubWlzdGFrYWJsZQ==".into(),
        key.to_uppercase(),
    ] {
        assert!(!needles.found_in(leak.as_bytes()).is_empty(), "{leak}");
    }
}
