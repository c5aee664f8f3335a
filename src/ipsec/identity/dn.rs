//! Distinguished names (X.501), as the subjects of certificates are written: `C=CH, O=Example, CN=gw`.

use crate::ipsec::Invalid;

/// A distinguished name. Equal are those of one encoding and text; charon's comparison is [`super::Identity::matches`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dn {
    /// Its DER encoding.
    pub der: Vec<u8>,
    /// It for people.
    pub text: String,
}

/// The attributes that can be named: their words, and the DER of their object identifiers (RFC 4519, RFC 2985).
const ATTRIBUTES: [(&str, &[u8]); 15] = [
    ("CN", &[0x55, 4, 3]),
    ("SN", &[0x55, 4, 4]),
    ("serialNumber", &[0x55, 4, 5]),
    ("C", &[0x55, 4, 6]),
    ("L", &[0x55, 4, 7]),
    ("ST", &[0x55, 4, 8]),
    ("STREET", &[0x55, 4, 9]),
    ("O", &[0x55, 4, 10]),
    ("OU", &[0x55, 4, 11]),
    ("title", &[0x55, 4, 12]),
    ("GN", &[0x55, 4, 42]),
    ("E", EMAIL),
    ("emailAddress", EMAIL),
    ("DC", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25]),
    ("UID", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1]),
];
pub(super) const EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
/// The longest encoding in bytes: charon cuts the text of an identity at 511, and two digits stand for a byte.
pub const MAX: usize = 250;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;
const UTF8: u8 = 0x0c;

impl Dn {
    /// The name that `text` is: attributes in the order of the certificate, joined by commas. A value has no comma.
    ///
    /// # Errors
    /// When a part is no attribute, or its word is not known.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let (mut names, mut texts) = (Vec::new(), Vec::new());
        for part in text.split(',') {
            let (word, value) = part.split_once('=').ok_or_else(|| {
                Invalid::new(format!("{:?} is not an attribute of a distinguished name, such as CN=gw", part.trim()))
            })?;
            let (word, value) = (word.trim(), value.trim());
            let known = ATTRIBUTES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
            let (name, oid) = known.ok_or_else(|| Invalid::new(format!("has the unknown attribute {word:?}")))?;
            if value.is_empty() {
                return Err(Invalid::new(format!("has no value for its attribute {name}")));
            }
            texts.push(format!("{name}={value}"));
            let pair = [field(OBJECT_IDENTIFIER, oid), field(kind(oid, value), value.as_bytes())].concat();
            names.extend(field(SET, &field(SEQUENCE, &pair)));
        }
        Ok(Self { der: field(SEQUENCE, &names), text: texts.join(", ") })
    }
}

/// The kind of string that certificates use for the attribute.
fn kind(oid: &[u8], value: &str) -> u8 {
    let printable = |b: u8| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b);
    match oid {
        EMAIL | [0x09, .., 25] if value.is_ascii() => IA5,
        [0x55, 4, 5 | 6] if value.bytes().all(printable) => PRINTABLE,
        _ => UTF8,
    }
}

/// A tag, a length and a value.
fn field(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut bytes = vec![tag];
    match digits {
        [] => bytes.push(0),
        [short] if *short < 0x80 => bytes.push(*short),
        // At most eight bytes of a length.
        long => {
            bytes.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            bytes.extend(long);
        }
    }
    bytes.extend(value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::{FromDer, X509Name};

    #[test]
    fn what_is_written_is_read_by_others() {
        let long = format!("O={}, CN=gw", "o".repeat(200));
        for text in ["C=CH, O=Example, CN=gw", "CN=gw.example", "DC=example, UID=a b, CN=caf\u{e9}", &long] {
            let dn = Dn::new(text).expect(text);
            let (rest, name) = X509Name::from_der(&dn.der).expect(text);
            assert!(rest.is_empty());
            // The reader writes some names of attributes in small letters.
            assert!(name.to_string().eq_ignore_ascii_case(text), "{name} for {text}");
        }
        assert_eq!(Dn::new("c = CH,cn=gw").expect("a name"), Dn::new("C=CH, CN=gw").expect("a name"));
        for wrong in ["", "gw", "CN=", "CN=gw,", "XY=gw", "=gw"] {
            assert!(Dn::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
