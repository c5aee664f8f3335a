//! Identities: who a gateway says it is (RFC 7296, section 3.5).
//! `Display` writes strongSwan's spelling, in which charon cannot mistake one kind for another.

mod dn;
mod kinds;
mod matching;
mod names;
mod reading;

use super::Invalid;
use data_encoding::HEXLOWER;
pub use dn::Dn;
pub use matching::IdentityKey;
use names::{is_domain_like, is_host_name, is_mail_address};
pub use reading::{IdKinds, IdentityKind};
use std::{fmt, net::IpAddr};

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
        if (text.starts_with('%') || text.contains('*')) && kind != IdentityKind::KeyId {
            return Err(Invalid::new(format!("{text:?} is a wildcard: name exactly one peer")));
        }
        let identity = match kind {
            IdentityKind::Ip => Self::ip(text)?,
            IdentityKind::Fqdn | IdentityKind::Guessed => Self::fqdn(text)?,
            IdentityKind::Email if is_mail_address(text) => Self::Email(text.into()),
            IdentityKind::Email => {
                return Err(Invalid::new(format!("{text:?} is not a mail address, such as gw@branch.example")));
            }
            IdentityKind::KeyId => Self::KeyId(text.as_bytes().to_vec()),
            IdentityKind::Dn => return Self::subject(Dn::new(text)?),
            IdentityKind::Name => match Self::fqdn(text) {
                Ok(identity) => identity,
                // No file of strongSwan can have them in a name.
                Err(_) if text.contains(char::is_control) => Self::name(text),
                // strongSwan looks for a distinguished name first, which no type behind `@` is, and takes it all as bytes.
                Err(_) if text.contains('=') => Self::KeyId(format!("@{}", text.trim_start_matches('@')).into_bytes()),
                Err(_) => Self::Fqdn(text.into()),
            },
            IdentityKind::FreeName => match text.strip_prefix('@') {
                Some(name) if is_host_name(name) && is_domain_like(name) => Self::Fqdn(name.into()),
                _ => Self::name(text),
            },
            IdentityKind::StoredName => Self::name(text),
        };
        match identity.to_string().len() {
            n if n > MAX_SPELLING => Err(Invalid::new(format!(
                "is too long: strongSwan's spelling has {n} bytes, {MAX_SPELLING} are possible"
            ))),
            _ => Ok(identity),
        }
    }

    /// The identity that `text` is where certificates prove it: a name made of attributes is a distinguished name, and
    /// other names have the kinds that certificates have them as. `ZStack`'s routers have no certificates.
    ///
    /// # Errors
    /// As [`Identity::new`], and when a distinguished name is not one.
    pub fn certified(kind: IdentityKind, text: &str) -> Result<Self, Invalid> {
        match kind {
            IdentityKind::Name | IdentityKind::FreeName if text.contains('=') => Self::new(IdentityKind::Dn, text),
            IdentityKind::Name => Self::new(IdentityKind::FreeName, text),
            IdentityKind::StoredName if text.contains('=') && text.contains('*') => {
                Err(Invalid::new(format!("{text:?} is a wildcard: name exactly one peer")))
            }
            IdentityKind::StoredName if text.contains('=') => Self::subject(Dn::stored(text)?),
            _ => Self::new(kind, text),
        }
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

    fn fqdn(text: &str) -> Result<Self, Invalid> {
        match text.strip_prefix('@').unwrap_or(text) {
            name if is_domain_like(name) || is_host_name(name) => Ok(Self::Fqdn(name.into())),
            _ => Err(Invalid::new(format!(
                "{text:?} is not a host name: letters, digits, '-', '_', '.', and within it '@', '+' and '/'"
            ))),
        }
    }

    fn name(text: &str) -> Self {
        match text.contains('@') {
            true if is_mail_address(text) => Self::Email(text.into()),
            false if is_host_name(text) => Self::Fqdn(text.into()),
            _ => Self::KeyId(text.as_bytes().to_vec()),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Fqdn(name) if is_host_name(name) => write!(f, "fqdn:{name}"),
            Self::Fqdn(name) => write!(f, "fqdn:#{}", HEXLOWER.encode_display(name.as_bytes())),
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
        assert_eq!(spelled(IdentityKind::Name, "ops@site"), "fqdn:#6f70734073697465");
        assert_eq!(spelled(IdentityKind::Name, "left/gw"), "fqdn:#6c6566742f6777");
        assert_eq!(spelled(IdentityKind::Name, "caf\u{e9}"), "fqdn:#636166c3a9");
        assert_eq!(spelled(IdentityKind::Name, "a\n"), "keyid:#610a");
        assert_eq!(spelled(IdentityKind::Name, "CN=a"), "keyid:#40434e3d61");
        assert_eq!(spelled(IdentityKind::Name, "@l@left"), "fqdn:#6c406c656674");
        assert_eq!(spelled(IdentityKind::FreeName, "ops@site.example"), "email:ops@site.example");
        assert_eq!(spelled(IdentityKind::FreeName, "caf\u{e9}"), "keyid:#636166c3a9");
        assert_eq!(spelled(IdentityKind::FreeName, "@#0a"), "keyid:#40233061");
        assert_eq!(spelled(IdentityKind::FreeName, "@branch.example"), "fqdn:branch.example");
        assert_eq!(spelled(IdentityKind::Guessed, "peer.example"), "fqdn:peer.example");
        assert_eq!(spelled(IdentityKind::Name, "@branch.example"), "fqdn:branch.example");
        assert_eq!(spelled(IdentityKind::StoredName, "@branch"), "keyid:#406272616e6368");
        assert_eq!(spelled(IdentityKind::Fqdn, "@branch.example"), "fqdn:branch.example");
        assert_eq!(spelled(IdentityKind::Fqdn, "l@left"), "fqdn:#6c406c656674");
        assert_eq!(spelled(IdentityKind::KeyId, "branch1"), "keyid:#6272616e636831");
        assert_eq!(spelled(IdentityKind::KeyId, "*"), "keyid:#2a");
        assert_eq!(spelled(IdentityKind::Email, "ops@site.example"), "email:ops@site.example");
        assert_eq!(spelled(IdentityKind::Dn, "CN=a"), "asn1dn:#300c310a300806035504030c0161");
        assert_eq!(spelled(IdentityKind::FreeName, "C=CH, CN=gw"), "keyid:#433d43482c20434e3d6777");
        assert_eq!(spelled(IdentityKind::FreeName, "^.$"), "keyid:#5e2e24");
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
        for text in ["a b", "a:b", "@@b", "@", "/a", "a\nb", "caf\u{e9}", "^a", "a\""] {
            assert!(Identity::new(IdentityKind::Fqdn, text).is_err(), "{text:?}");
        }
        for text in ["ops", "@site", "ops@", "a b@site", "ops@site example", "a@b@c"] {
            assert!(Identity::new(IdentityKind::Email, text).is_err(), "{text:?}");
        }
        assert!(Identity::new(IdentityKind::Fqdn, &"a".repeat(251)).is_err());
        assert!(Identity::new(IdentityKind::Name, &"é".repeat(100)).is_err());
    }
}
