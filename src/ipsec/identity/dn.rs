//! Distinguished names (X.501), as the subjects of certificates are written: `C=CH, O=Example, CN=gw`.

mod parse;

use crate::ipsec::Invalid;
use data_encoding::HEXLOWER;

/// A distinguished name. Equal are those of one encoding and text; charon's comparison is [`super::Identity::matches`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dn {
    /// Its DER encoding.
    pub der: Vec<u8>,
    /// It for people.
    pub text: String,
}

/// The attributes that have names: their words, and the DER of their object identifiers (RFC 4519, RFC 2985, X.520). Of
/// several words for one, charon prints the first.
const ATTRIBUTES: [(&str, &[u8]); 27] = [
    ("CN", &[0x55, 4, 3]),
    ("SN", &[0x55, 4, 4]),
    ("serialNumber", &[0x55, 4, 5]),
    ("C", &[0x55, 4, 6]),
    ("L", &[0x55, 4, 7]),
    ("ST", &[0x55, 4, 8]),
    ("S", &[0x55, 4, 8]),
    ("STREET", &[0x55, 4, 9]),
    ("O", &[0x55, 4, 10]),
    ("OU", &[0x55, 4, 11]),
    ("title", &[0x55, 4, 12]),
    ("T", &[0x55, 4, 12]),
    ("description", &[0x55, 4, 13]),
    ("postalCode", &[0x55, 4, 17]),
    ("name", &[0x55, 4, 41]),
    ("GN", &[0x55, 4, 42]),
    ("initials", &[0x55, 4, 43]),
    ("dnQualifier", DN_QUALIFIER),
    ("pseudonym", &[0x55, 4, 65]),
    ("organizationIdentifier", &[0x55, 4, 97]),
    ("E", EMAIL),
    ("emailAddress", EMAIL),
    ("EMAIL", EMAIL),
    ("unstructuredName", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 2]),
    ("unstructuredAddress", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 8]),
    ("DC", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25]),
    ("UID", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1]),
];
const DN_QUALIFIER: &[u8] = &[0x55, 4, 46];
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
    /// The name that `text` is: attributes in the order of the certificate, as charon and OpenSSL print them. They are joined
    /// by commas, or by `+` within a multi-valued one, or begin with slashes. A value may be in double quotes, escaped by
    /// backslashes (RFC 4514), or be `#` and the hexadecimal digits of its encoding; a comma or `+` that no attribute follows
    /// belongs to it. A type may be an object identifier.
    ///
    /// # Errors
    /// When a part is no attribute, or its word is not known.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        Self::of(&parse::names(text)?)
    }

    /// The name that `text` is in a record of the time when each comma began an attribute, and no other character had a
    /// meaning.
    ///
    /// # Errors
    /// As [`Dn::new`].
    pub fn stored(text: &str) -> Result<Self, Invalid> {
        let single = |part: &str| parse::attribute(part).map(|attribute| vec![attribute]);
        Self::of(&text.split(',').map(single).collect::<Result<Vec<_>, _>>()?)
    }

    fn of(names: &[Vec<parse::Attribute>]) -> Result<Self, Invalid> {
        let (mut sequence, mut texts) = (Vec::new(), Vec::new());
        for attributes in names {
            let mut set = Vec::new();
            for attribute in attributes {
                let (word, oid) = kind_of(&attribute.word)?;
                let (value, shown) = match &attribute.value {
                    parse::Value::Text(text) if text.is_empty() => {
                        return Err(Invalid::new(format!("has no value for its attribute {word}")));
                    }
                    parse::Value::Text(text) => (field(kind(&oid, text), text.as_bytes()), text.clone()),
                    parse::Value::Encoded(der) => (der.clone(), format!("#{}", HEXLOWER.encode(der))),
                };
                texts.push(format!("{word}={shown}"));
                set.push(field(SEQUENCE, &[field(OBJECT_IDENTIFIER, &oid), value].concat()));
            }
            // DER wants the members of a set in the order of their encodings.
            set.sort_unstable();
            sequence.extend(field(SET, &set.concat()));
        }
        Ok(Self { der: field(SEQUENCE, &sequence), text: texts.join(", ") })
    }
}

/// The word and the object identifier of an attribute type: a known word, or an identifier in digits.
fn kind_of(word: &str) -> Result<(String, Vec<u8>), Invalid> {
    let digits = word.strip_prefix("OID.").or_else(|| word.strip_prefix("oid.")).unwrap_or(word);
    let known = match ATTRIBUTES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
        Some((name, oid)) => Some(((*name).to_owned(), oid.to_vec())),
        None => identifier(digits).map(|oid| (digits.to_owned(), oid)),
    };
    known.ok_or_else(|| {
        Invalid::new(format!(
            "has the unknown attribute {word:?}: give its object identifier in digits, such as 2.5.4.3 for CN"
        ))
    })
}

/// The DER of an object identifier in digits (X.690, section 8.19).
fn identifier(digits: &str) -> Option<Vec<u8>> {
    let arcs: Vec<u32> = digits.split('.').map(|arc| arc.parse().ok()).collect::<Option<_>>()?;
    let (first, second) = (*arcs.first()?, *arcs.get(1)?);
    if first > 2 || (first < 2 && second > 39) {
        return None;
    }
    let mut der = Vec::new();
    for arc in std::iter::once(first.checked_mul(40)?.checked_add(second)?).chain(arcs.iter().skip(2).copied()) {
        let septets = (0..5).rev().map(|place| (arc >> (7 * place)) & 0x7f);
        let mut septets: Vec<u8> =
            septets.skip_while(|septet| *septet == 0).filter_map(|s| s.try_into().ok()).collect();
        let last = septets.pop().unwrap_or_default();
        der.extend(septets.into_iter().map(|septet| septet | 0x80));
        der.push(last);
    }
    Some(der)
}

/// The kind of string that certificates use for the attribute.
fn kind(oid: &[u8], value: &str) -> u8 {
    let printable = |b: u8| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b);
    match oid {
        EMAIL | [0x09, .., 25] if value.is_ascii() => IA5,
        [0x55, 4, 5 | 6] | DN_QUALIFIER if value.bytes().all(printable) => PRINTABLE,
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
        for wrong in [
            "",
            "gw",
            "CN=",
            "CN=gw,",
            "XY=gw",
            "=gw",
            "CN=\"gw",
            "CN=gw\\",
            "CN=\"gw\"x",
            "CN=#zz",
            "CN=#",
            "3.1=x",
            "1.2.x=y",
            "/CN=",
            "CN=gw, ,O=x",
            "1.40=x",
            "2.5.4.99999999999=x",
            "CN=\\ff",
            "CN=#0c02",
            "CN=#0c016161",
        ] {
            assert!(Dn::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
