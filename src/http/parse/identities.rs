//! The identities of Create and Change, and how each of them is read. A library that always says `ip`, or a caller that
//! says nothing, changes no identity that it does not name.

use super::check::{choice, text};
use crate::{
    error::{Error, Result},
    http::options::ID_TYPES,
    ipsec::{IdKinds, IdentityKind},
    store::Options,
};
use std::net::IpAddr;

/// The identities as they are stored.
pub(super) struct Identities {
    /// How they are read.
    pub(super) kinds: IdKinds,
    /// The gateway's.
    pub(super) local_id: Option<String>,
    /// The peer's.
    pub(super) remote_id: Option<String>,
}

/// An identity before and after.
struct End {
    /// The text that counts.
    text: Option<String>,
    /// Whether the caller leaves it out, and there is one.
    is_kept: bool,
    /// How it was read, if the text is the stored one and no option of our own said how.
    stored: Option<IdentityKind>,
    /// What an option of our own says.
    said: Option<IdentityKind>,
}

/// What `id_type` and `new` make of the identities of `old`; `said` is what options of our own say of their kinds.
pub(super) fn identities(
    id_type: Option<String>,
    new: [Option<String>; 2],
    said: [Option<IdentityKind>; 2],
    old: Option<&Options>,
) -> Result<Identities> {
    let says_nothing = id_type.is_none();
    let asked =
        Some(choice("idType", 32, id_type, &ID_TYPES, IdentityKind::Ip)?).filter(|kind| *kind != IdentityKind::Ip);
    let [local, remote] = new;
    let [local_kind, remote_kind] = old.map_or([IdentityKind::Ip; 2], |old| old.id_kind.of_ends());
    let stored = |text: Option<&String>, said: Option<IdentityKind>, kind| {
        text.map(|text| (text.clone(), Some(kind).filter(|_| said.is_none())))
    };
    let local_was = old.and_then(|old| stored(old.local_id.as_ref(), old.native.local_id_type, local_kind));
    let remote_was = old.and_then(|old| stored(old.remote_id.as_ref(), old.native.remote_id_type, remote_kind));
    let ends = [
        End::new(identity("localId", local)?, local_was, said[0]),
        End::new(identity("remoteId", remote)?, remote_was, said[1]),
    ];
    needs_identity("localIdType", "localId", &ends[0])?;
    needs_identity("remoteIdType", "remoteId", &ends[1])?;
    let was = old.map_or(IdentityKind::Ip, |old| old.id_kind.both);
    let keeps_names = ends.iter().any(End::is_kept_name);
    let beside_kept = Some(was.asked()).filter(|_| says_nothing && keeps_names);
    let kinds = ends.each_ref().map(|end| end.kind(asked, was, beside_kept));
    let is_name = |kind: &IdentityKind| *kind != IdentityKind::Ip;
    let stays = ends.iter().zip(&kinds).any(|(end, kind)| end.stored == *kind && kind.as_ref().is_some_and(is_name));
    let both = match asked {
        Some(asked) if stays && asked == was.asked() => was,
        Some(asked) => asked,
        None if stays || keeps_names => was,
        None => kinds.iter().flatten().copied().find(is_name).map_or(IdentityKind::Ip, IdentityKind::asked),
    };
    let [local_id, remote_id] = ends.map(|end| end.text);
    Ok(Identities { kinds: IdKinds::new(both, kinds), local_id, remote_id })
}

impl End {
    fn new(new: Option<String>, old: Option<(String, Option<IdentityKind>)>, said: Option<IdentityKind>) -> Self {
        let is_kept = new.is_none() && old.is_some();
        let (old_text, stored) = old.map_or((None, None), |(text, kind)| (Some(text), kind));
        let is_same = is_kept || new == old_text;
        Self { text: new.or(old_text), is_kept, stored: stored.filter(|_| is_same), said }
    }

    fn is_address(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.parse::<IpAddr>().is_ok())
    }

    /// Whether the caller leaves it out, and it is no address.
    fn is_kept_name(&self) -> bool {
        self.is_kept && !self.is_address()
    }

    /// How it is read by `idType`; `asked` is that, unless it is `ip`, and `was` that of the stored connection. A new name
    /// is as those `beside_kept`, if the caller says nothing.
    fn kind(
        &self,
        asked: Option<IdentityKind>,
        was: IdentityKind,
        beside_kept: Option<IdentityKind>,
    ) -> Option<IdentityKind> {
        let text = self.text.as_ref()?;
        if self.said.is_some() {
            return None;
        }
        Some(match (asked, self.stored) {
            // A guess ends where the caller says the same.
            (Some(asked), Some(stored)) if stored != IdentityKind::Guessed && was.asked() == asked => stored,
            (Some(asked), _) => asked,
            (None, Some(stored)) if self.is_kept || !self.is_address() => stored,
            (None, _) => match beside_kept {
                Some(kind) if !self.is_address() => kind,
                _ => IdentityKind::of_address(text),
            },
        })
    }
}

/// A kind says something of an identity that is given.
fn needs_identity(field: &str, of: &str, end: &End) -> Result<()> {
    if end.said.is_some() && end.text.is_none() {
        let rule = format!("needs a {of}: without one, the identity is the address, or the subject of the certificate");
        return Err(Error::rule(field, rule));
    }
    Ok(())
}

/// An identity; one of blanks is refused. An empty text has been read as none before.
fn identity(field: &str, value: Option<String>) -> Result<Option<String>> {
    match text(field, value, 255)? {
        Some(empty) if empty.is_empty() => Err(Error::rule(field, "cannot be an empty string")),
        other => Ok(other),
    }
}
