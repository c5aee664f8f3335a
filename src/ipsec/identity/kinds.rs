//! Identities with their kinds, as a reason names them: two may have one text and be different.

use super::Identity;
use std::net::IpAddr;

impl Identity {
    /// The identity with its kind, such as `fqdn:192.0.2.1` or `ipv4:192.0.2.1`.
    #[must_use]
    pub fn with_kind(&self) -> String {
        let kind = match self {
            Self::Ip(IpAddr::V4(_)) => "ipv4",
            Self::Ip(IpAddr::V6(_)) => "ipv6",
            Self::Fqdn(_) => "fqdn",
            Self::Email(_) => "email",
            Self::KeyId(_) => "keyid",
            Self::Dn(_) => "dn",
        };
        format!("{kind}:{}", self.plain())
    }

    /// The identity that charon writes as `text`, with its kind, if it is known not to be this one. charon writes no kinds:
    /// the same text as this one's must be of another.
    #[must_use]
    pub fn another_with_kind(&self, text: &str) -> String {
        let has_same_text = self.is_printed_as(text);
        let kind = match (text.parse::<IpAddr>(), self) {
            // A mail address is sent as one or as a name, and an address as a name too.
            (Ok(_), Self::Ip(_)) | (Err(_), Self::Email(_)) if has_same_text => "fqdn",
            (Ok(IpAddr::V4(_)), _) => "ipv4",
            (Ok(IpAddr::V6(_)), _) => "ipv6",
            (Err(_), Self::Fqdn(_) | Self::KeyId(_)) if has_same_text && text.contains('@') => "email",
            (Err(_), Self::Fqdn(_)) if has_same_text => "keyid",
            (Err(_), Self::KeyId(_)) if has_same_text => "fqdn",
            _ if text.contains('=') => "dn",
            _ if text.contains('@') => "email",
            // What charon cannot print it writes in hexadecimal digits.
            _ if text.contains(':') => "keyid",
            _ => "fqdn",
        };
        format!("{kind}:{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_of_two_kinds_is_told_apart() {
        let (name, text) = (Identity::Fqdn("192.168.1.99".into()), "192.168.1.99");
        let address = Identity::Ip("192.168.1.99".parse().expect("an address"));
        assert_eq!(
            (name.with_kind().as_str(), name.another_with_kind(text).as_str()),
            ("fqdn:192.168.1.99", "ipv4:192.168.1.99")
        );
        assert_eq!(
            (address.with_kind().as_str(), address.another_with_kind(text).as_str()),
            ("ipv4:192.168.1.99", "fqdn:192.168.1.99")
        );
        let branch = Identity::Fqdn("branch1".into());
        assert_eq!(
            (branch.with_kind().as_str(), branch.another_with_kind("branch1").as_str()),
            ("fqdn:branch1", "keyid:branch1")
        );
        assert_eq!(branch.another_with_kind("branch2"), "fqdn:branch2");
        assert_eq!(Identity::KeyId(b"branch1".to_vec()).another_with_kind("branch1"), "fqdn:branch1");
        assert_eq!(Identity::KeyId(b"a@b".to_vec()).another_with_kind("a@b"), "email:a@b");
        assert_eq!(Identity::Fqdn("a@b".into()).another_with_kind("a@b"), "email:a@b");
        assert_eq!(Identity::Email("a@b".into()).another_with_kind("a@b"), "fqdn:a@b");
        for (text, kind) in
            [("a@b.example", "email"), ("C=CH, CN=gw", "dn"), ("2001:db8::1", "ipv6"), ("63:61:66", "keyid")]
        {
            assert_eq!(branch.another_with_kind(text), format!("{kind}:{text}"));
        }
    }
}
