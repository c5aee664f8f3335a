//! Whether two identities are one to charon (strongSwan `utils/identification.c`; a lab test asks charon itself).
//! Every comparison of identities in this program is made here. How an identity is spelled stays its own matter.

use super::{Dn, Identity};
use std::net::IpAddr;

/// What identities that match have in common, for maps. Distinguished names of one key may still differ:
/// charon's comparison of those is not transitive, so no key can be exact.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdentityKey {
    /// An address by its value.
    Ip(IpAddr),
    /// A host name in lower case.
    Fqdn(String),
    /// A mail address in lower case.
    Email(String),
    /// The bytes of a key id.
    KeyId(Vec<u8>),
    /// The attributes of a distinguished name, without case and string types.
    Dn(Vec<u8>),
}

impl Identity {
    /// Whether charon takes `other` for this identity.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dn(a), Self::Dn(b)) => a.matches(b),
            (a, b) => a.key() == b.key(),
        }
    }

    /// The key under which a map finds all identities that match this one.
    #[must_use]
    pub fn key(&self) -> IdentityKey {
        match self {
            Self::Ip(address) => IdentityKey::Ip(*address),
            Self::Fqdn(name) => IdentityKey::Fqdn(name.to_ascii_lowercase()),
            Self::Email(name) => IdentityKey::Email(name.to_ascii_lowercase()),
            Self::KeyId(bytes) => IdentityKey::KeyId(bytes.clone()),
            Self::Dn(dn) => IdentityKey::Dn(dn.folded()),
        }
    }

    /// Whether `text`, an identity in charon's log, may be this one: the log does not say the kind.
    #[must_use]
    pub fn is_printed_as(&self, text: &str) -> bool {
        match self {
            Self::Ip(address) => text.parse() == Ok(*address),
            Self::Fqdn(name) | Self::Email(name) => printable(name).eq_ignore_ascii_case(text),
            Self::KeyId(bytes) if bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) => bytes == text.as_bytes(),
            Self::KeyId(bytes) => {
                let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                digits.join(":").eq_ignore_ascii_case(text)
            }
            Self::Dn(dn) => dn.text.eq_ignore_ascii_case(text),
        }
    }
}

/// A name as charon prints it: it cannot print other bytes.
fn printable(name: &str) -> String {
    name.bytes().map(|byte| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '?' }).collect()
}

/// ASN.1 tags of string types.
const UTF8: u32 = 0x0c;
const PRINTABLE: u32 = 0x13;
const IA5: u32 = 0x16;

/// An attribute of a distinguished name.
struct Attribute {
    oid: Vec<u8>,
    tag: u32,
    value: Vec<u8>,
}

impl Attribute {
    /// Whether charon compares its value without case: a `PrintableString`, or a mail address as `IA5String`.
    fn is_caseless(&self) -> bool {
        self.tag == PRINTABLE || (self.tag == IA5 && self.oid == super::dn::EMAIL)
    }

    fn matches(&self, other: &Self) -> bool {
        // Values of other string types are equal if their bytes are.
        let same = if self.tag == other.tag && self.is_caseless() {
            until_nul(&self.value).eq_ignore_ascii_case(until_nul(&other.value))
        } else {
            self.value == other.value
        };
        same && self.oid == other.oid && self.value.len() == other.value.len()
    }
}

/// charon compares without case by `strncasecmp`, which sees nothing behind a NUL.
fn until_nul(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}

impl Dn {
    fn matches(&self, other: &Self) -> bool {
        self.der == other.der || self.has_attributes_of(other, |tag, _| tag)
    }

    /// Whether the text of this name is read as `other`: a text has no string types, and charon takes what is printable
    /// for a `PrintableString`.
    #[must_use]
    pub fn is_text_of(&self, other: &Self) -> bool {
        let printable = |b: &u8| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(b);
        let read = |tag, value: &[u8]| if tag == UTF8 && value.iter().all(printable) { PRINTABLE } else { tag };
        self.text == other.text || self.has_attributes_of(other, read)
    }

    /// Whether the attributes match, with ours of the string types that `tag` makes of them.
    fn has_attributes_of(&self, other: &Self, tag: impl Fn(u32, &[u8]) -> u32) -> bool {
        let (Some(mut ours), Some(theirs)) = (self.attributes(), other.attributes()) else { return false };
        for attribute in &mut ours {
            attribute.tag = tag(attribute.tag, &attribute.value);
        }
        // Several attributes in one set are told from as many sets by the length alone.
        let same_shape = self.der.len() == other.der.len() && ours.len() == theirs.len();
        same_shape && ours.iter().zip(&theirs).all(|(a, b)| a.matches(b))
    }

    /// What names that match have in common.
    fn folded(&self) -> Vec<u8> {
        let Some(attributes) = self.attributes() else { return self.der.clone() };
        let fold = |attribute: &Attribute| {
            let length = u32::try_from(attribute.value.len()).unwrap_or(u32::MAX).to_be_bytes();
            [&attribute.oid, &length[..], &until_nul(&attribute.value).to_ascii_lowercase()].concat()
        };
        attributes.iter().flat_map(fold).collect()
    }

    /// The attributes in their order, or `None` where the encoding cannot be read.
    fn attributes(&self) -> Option<Vec<Attribute>> {
        use x509_parser::prelude::{FromDer, X509Name};
        let (rest, name) = X509Name::from_der(&self.der).ok()?;
        let attribute = |pair: &x509_parser::x509::AttributeTypeAndValue<'_>| Attribute {
            oid: pair.attr_type().as_bytes().to_vec(),
            tag: pair.attr_value().header.tag().0,
            value: pair.attr_value().data.to_vec(),
        };
        rest.is_empty().then(|| name.iter_attributes().map(attribute).collect())
    }
}
