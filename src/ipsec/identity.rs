//! Identities: who a gateway says it is (RFC 7296, section 3.5).
//! `Display` writes strongSwan's spelling, in which charon cannot mistake one kind for another.

mod dn;
mod kinds;
mod matching;

use super::Invalid;
use data_encoding::HEXLOWER;
pub use dn::Dn;
pub use matching::IdentityKey;
use std::{fmt, net::IpAddr};

/// How the text of an identity is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// An address.
    Ip,
    /// A free name: a mail address, a host name, or else an opaque key id.
    Name,
    /// A host name.
    Fqdn,
}

/// An identity that charon will take literally: never empty, never a wildcard. Equal are those of one spelling; which are
/// one to charon, [`Identity::matches`] tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// `ID_IPV4_ADDR` or `ID_IPV6_ADDR`.
    Ip(IpAddr),
    /// `ID_FQDN`.
    Fqdn(String),
    /// `ID_RFC822_ADDR`.
    Email(String),
    /// `ID_KEY_ID`: bytes without a meaning of their own.
    KeyId(Vec<u8>),
    /// `ID_DER_ASN1_DN`: the subject of a certificate.
    Dn(Dn),
}

/// The longest spelling in bytes: charon cuts the owners of a secret at 255 without a word.
const MAX_SPELLING: usize = 255;

impl Identity {
    /// The identity that `text` is, read as `kind`.
    ///
    /// # Errors
    /// When the text is empty, a wildcard, too long, or not of that kind.
    pub fn new(kind: IdentityKind, text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("cannot be an empty string: an empty identity would match every peer"));
        }
        if text.starts_with('%') || text.contains('*') {
            return Err(Invalid::new(format!("{text:?} is a wildcard: name exactly one peer")));
        }
        let identity = match kind {
            IdentityKind::Ip => Self::ip(text)?,
            IdentityKind::Fqdn if is_host_name(text) => Self::Fqdn(text.into()),
            IdentityKind::Fqdn => {
                return Err(Invalid::new(format!(
                    "{text:?} is not a host name: letters, digits, '-', '_' and '.' only"
                )));
            }
            IdentityKind::Name => Self::name(text),
        };
        match identity.to_string().len() {
            n if n > MAX_SPELLING => Err(Invalid::new(format!(
                "is too long: strongSwan's spelling has {n} bytes, {MAX_SPELLING} are possible"
            ))),
            _ => Ok(identity),
        }
    }

    /// The identity that `text` is where certificates prove it: a name made of attributes is a distinguished name.
    ///
    /// # Errors
    /// As [`Identity::new`], and when a distinguished name is not one.
    pub fn certified(kind: IdentityKind, text: &str) -> Result<Self, Invalid> {
        if kind != IdentityKind::Name || !text.contains('=') {
            return Self::new(kind, text);
        }
        if text.contains('*') {
            return Err(Invalid::new(format!("{text:?} is a wildcard: name exactly one peer")));
        }
        Self::subject(Dn::new(text)?)
    }

    /// The identity of a certificate's subject.
    ///
    /// # Errors
    /// When it is longer than charon can read.
    pub fn subject(dn: Dn) -> Result<Self, Invalid> {
        match dn.der.len() {
            n if n > dn::MAX => {
                Err(Invalid::new(format!("is too long: its encoding has {n} bytes, {} are possible", dn::MAX)))
            }
            _ => Ok(Self::Dn(dn)),
        }
    }

    /// The identity as charon's log writes it: without its kind.
    #[must_use]
    pub fn plain(&self) -> String {
        match self {
            Self::Ip(address) => address.to_string(),
            Self::Fqdn(name) | Self::Email(name) => name.clone(),
            Self::KeyId(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Dn(dn) => dn.text.clone(),
        }
    }

    fn ip(text: &str) -> Result<Self, Invalid> {
        match text.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => Err(Invalid::new(format!("{text} would match every peer"))),
            Ok(address) => Ok(Self::Ip(address)),
            Err(_) => {
                Err(Invalid::new(format!("{text:?} is not an IP address: give one, or set the idType to fqdn or name")))
            }
        }
    }

    fn name(text: &str) -> Self {
        match text.split_once('@') {
            Some((user, domain)) if is_mail_user(user) && is_host_name(domain) => Self::Email(text.into()),
            None if is_host_name(text) => Self::Fqdn(text.into()),
            _ => Self::KeyId(text.as_bytes().to_vec()),
        }
    }
}

/// Letters, digits, `-`, `_` and `.`: nothing that strongSwan's identity parser gives a meaning to.
fn is_host_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The printable characters of a mail address's local part, without quotes and the leading `@` or `#` of key ids.
fn is_mail_user(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Fqdn(name) => write!(f, "fqdn:{name}"),
            Self::Email(name) => write!(f, "email:{name}"),
            Self::KeyId(bytes) => write!(f, "keyid:#{}", HEXLOWER.encode_display(bytes)),
            Self::Dn(dn) => write!(f, "asn1dn:#{}", HEXLOWER.encode_display(&dn.der)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(kind: IdentityKind, text: &str) -> String {
        Identity::new(kind, text).map_or_else(|e| format!("refused: {e}"), |i| i.to_string())
    }

    #[test]
    fn each_kind_has_one_spelling() {
        assert_eq!(spelled(IdentityKind::Ip, "2001:DB8:0::1"), "2001:db8::1");
        assert_eq!(spelled(IdentityKind::Fqdn, "site-1.example"), "fqdn:site-1.example");
        assert_eq!(spelled(IdentityKind::Fqdn, "192.0.2.1"), "fqdn:192.0.2.1");
        assert_eq!(spelled(IdentityKind::Name, "gw1"), "fqdn:gw1");
        assert_eq!(spelled(IdentityKind::Name, "ops@site.example"), "email:ops@site.example");
        assert_eq!(spelled(IdentityKind::Name, "café"), "keyid:#636166c3a9");
        assert_eq!(spelled(IdentityKind::Name, "@#0a"), "keyid:#40233061");
        assert_eq!(spelled(IdentityKind::Name, "C=CH, CN=gw"), "keyid:#433d43482c20434e3d6777");
        assert_eq!(spelled(IdentityKind::Name, "^.$"), "keyid:#5e2e24");
    }

    #[test]
    fn what_would_match_more_than_one_peer_is_refused() {
        for kind in [IdentityKind::Ip, IdentityKind::Name, IdentityKind::Fqdn] {
            for text in ["", "%any", "*", "*.example", "%any6"] {
                assert!(Identity::new(kind, text).is_err(), "{kind:?} {text:?}");
            }
        }
        for text in ["0.0.0.0", "::", "10.0.0.0/8", "1.2.3", "gw.example", "fqdn:a"] {
            assert!(Identity::new(IdentityKind::Ip, text).is_err(), "{text:?}");
        }
        for text in ["a b", "a:b", "a@b", "a\nb", "caf\u{e9}", "^a", "a\""] {
            assert!(Identity::new(IdentityKind::Fqdn, text).is_err(), "{text:?}");
        }
        assert!(Identity::new(IdentityKind::Fqdn, &"a".repeat(251)).is_err());
        assert!(Identity::new(IdentityKind::Name, &"é".repeat(100)).is_err());
    }
}
