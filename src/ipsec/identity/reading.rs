//! How the texts of identities are read: what a caller says of both, and what each end has of its own.

use super::names::is_known_as_host;
use std::net::IpAddr;

/// How the text of an identity is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// An address.
    Ip,
    /// A free name as `ZStack`'s routers send it: as `ID_FQDN`, whatever it looks like; only one with `=`, with `@` before
    /// it, as a key id. Where certificates prove it, it is what [`IdentityKind::FreeName`] is.
    Name,
    /// A free name by the rules of older records: a mail address, a host name, also behind `@`, or else an opaque key id.
    /// Where certificates prove it, one that is made of attributes is a distinguished name.
    FreeName,
    /// The same by still older rules: `@` has no meaning, and in a distinguished name no character but the comma has.
    StoredName,
    /// A host name, also behind `@`, as people write it for strongSwan; or another name that peers send as `ID_FQDN`.
    Fqdn,
    /// A host name whose caller said that it is an address, as a library does that always says so.
    Guessed,
    /// A mail address.
    Email,
    /// An opaque key id, whatever it looks like.
    KeyId,
    /// A distinguished name.
    Dn,
}

impl IdentityKind {
    /// The kind that a caller asked for, or would have to ask for.
    #[must_use]
    pub fn asked(self) -> Self {
        match self {
            Self::StoredName | Self::FreeName => Self::Name,
            Self::Guessed => Self::Fqdn,
            other => other,
        }
    }

    /// How `text` is read if its caller says, or says nothing and so means, that it is an address.
    #[must_use]
    pub fn of_address(text: &str) -> Self {
        if text.parse::<IpAddr>().is_err() && is_known_as_host(text) { Self::Guessed } else { Self::Ip }
    }
}

/// How the identities of a connection are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdKinds {
    /// What the connection has as its one kind.
    pub both: IdentityKind,
    /// That of the local identity, if it is another one.
    pub local: Option<IdentityKind>,
    /// That of the remote identity, if it is another one.
    pub remote: Option<IdentityKind>,
}

impl IdKinds {
    /// Those of a connection that has `both` as its one kind.
    #[must_use]
    pub fn new(both: IdentityKind, [local, remote]: [Option<IdentityKind>; 2]) -> Self {
        let other = |kind: Option<IdentityKind>| kind.filter(|kind| *kind != both);
        Self { both, local: other(local), remote: other(remote) }
    }

    /// The kinds of the local and the remote identity.
    #[must_use]
    pub fn of_ends(self) -> [IdentityKind; 2] {
        [self.local, self.remote].map(|own| own.unwrap_or(self.both))
    }
}

impl From<IdentityKind> for IdKinds {
    fn from(both: IdentityKind) -> Self {
        Self { both, local: None, remote: None }
    }
}
