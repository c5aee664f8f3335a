//! The pre-shared key. It has no `Display` and no `Serialize`; `Debug` hides it; memory is wiped.

use super::Invalid;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A pre-shared key (RFC 7296, section 2.15): any non-empty bytes. Clones share them, so that memory has them once.
#[derive(Clone)]
pub struct Psk(Arc<Zeroizing<Vec<u8>>>);

impl Psk {
    /// The longest key in bytes: a vici value's length is 16 bits.
    pub const MAX: usize = 65_535;

    /// A key of these bytes.
    ///
    /// # Errors
    /// When it is empty or longer than [`Psk::MAX`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, Invalid> {
        let bytes = Zeroizing::new(bytes.into());
        match bytes.len() {
            0 => Err(Invalid::new("cannot be an empty string")),
            n if n > Self::MAX => Err(Invalid::new(format!("must have at most {} bytes, it has {n}", Self::MAX))),
            _ => Ok(Self(Arc::new(bytes))),
        }
    }

    /// A key that nobody has.
    ///
    /// # Errors
    /// When the kernel has no random bytes.
    pub fn random() -> Result<Self, Invalid> {
        let mut bytes = vec![0; 32];
        getrandom::fill(&mut bytes).map_err(|e| Invalid::new(format!("cannot be random: {e}")))?;
        Self::new(bytes)
    }

    /// The key itself, for the file and the message that must hold it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The key as lower-case hexadecimal digits.
    #[must_use]
    pub fn expose_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(HEXLOWER.encode(&self.0))
    }

    /// Whether a program that decodes keys takes these bytes for others: `0x` and hexadecimal digits, `0s` and base64.
    #[must_use]
    pub fn looks_encoded(&self) -> bool {
        let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
        match self.0.split_at_checked(2) {
            Some((b"0x" | b"0X", rest)) => !rest.is_empty() && rest.iter().all(u8::is_ascii_hexdigit),
            Some((b"0s", rest)) => !rest.is_empty() && rest.len().is_multiple_of(4) && rest.iter().all(is_base64),
            _ => false,
        }
    }

    /// Whether the files of a `ZStack` router give that router another key, or none. Read by strongSwan 5.9.8 of both kinds
    /// of file: `0x` and `0s` are decoded; swanctl.conf, written as HTML, has entities for `&`, `<`, `>` and `+`, begins a
    /// comment at `#`, and loses its structure by braces. Control characters are in no such file.
    #[must_use]
    pub fn is_unsafe_at_zstack(&self) -> bool {
        let begins = |prefix: &[u8]| self.0.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        let is_unsafe = |byte: &u8| b"#&+<>{}".contains(byte) || byte.is_ascii_control();
        begins(b"0x") || begins(b"0s") || self.0.iter().any(is_unsafe)
    }

    /// The key that these hexadecimal digits stand for.
    ///
    /// # Errors
    /// When they are not pairs of hexadecimal digits, or not a key.
    pub fn from_hex(text: &str) -> Result<Self, Invalid> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        Self::new(bytes.map_err(|_| Invalid::new("must be pairs of hexadecimal digits"))?)
    }
}

impl PartialEq for Psk {
    /// Takes the same time wherever the keys differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Psk {}

impl std::fmt::Debug for Psk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Psk(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_key() {
        let key = Psk::new("test-only-key").expect("valid");
        assert_eq!(format!("{key:?}"), "Psk(***)");
    }

    #[test]
    fn hex_goes_both_ways() {
        for bytes in [&b"\0"[..], b"0xzz", b"\xff\x00\n\"", "ключ".as_bytes()] {
            let key = Psk::new(bytes).expect("valid");
            assert_eq!(Psk::from_hex(&key.expose_hex()).expect("hex"), key);
        }
        for wrong in ["", "0", "0g", "zz", "0 ", "é"] {
            assert!(Psk::from_hex(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn keys_that_others_decode_are_seen() {
        for (text, wanted) in [
            ("0x4d1f", true),
            ("0XAB", true),
            ("0sdGVzdC1vbmx5", true),
            ("0x", false),
            ("0x4d1g", false),
            ("0sdGVzdC1vbmx", false),
            ("0s-not-base64", false),
            ("test-only-0x4d", false),
            ("0", false),
        ] {
            assert_eq!(Psk::new(text).expect("a key").looks_encoded(), wanted, "{text}");
        }
    }

    #[test]
    fn keys_that_a_zstack_router_reads_otherwise_are_seen() {
        let is_unsafe = |text: &str| Psk::new(text).expect("a key").is_unsafe_at_zstack();
        for text in ["0x4d1f", "0Xno", "0s", "0S-key", "#key", "a#b", "a&b", "a+b", "a<b", "a>b", "{a}", "a}", "a\u{1}"]
        {
            assert!(is_unsafe(text), "{text}");
        }
        // All other printable characters that the API takes.
        for text in ["x0x4d1f", "0", "0key", "!$%()*,-./:;=?@[]^_|~", "=a", "%any", "$a", "include", "k\u{e9}y"] {
            assert!(!is_unsafe(text), "{text}");
        }
    }

    #[test]
    fn random_keys_are_nobodys() {
        let keys = [Psk::random(), Psk::random()].map(|key| key.expect("random bytes"));
        assert!(keys[0] != keys[1] && keys.iter().all(|key| key.expose().len() == 32));
    }

    #[test]
    fn lengths_are_bounded() {
        assert!(Psk::new("").is_err());
        assert!(Psk::new(vec![1; Psk::MAX]).is_ok());
        assert!(Psk::new(vec![1; Psk::MAX + 1]).is_err());
    }
}
