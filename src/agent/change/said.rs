//! Warnings about what a caller said of a connection, whatever became of it in the tunnel.

use crate::{
    agent::Warning,
    ipsec::{Auth, IdentityKind, Part, native::PeerKind},
    store::{Options, Record},
};

/// The warnings about what the record says.
#[must_use]
pub fn said(record: &Record) -> Vec<Warning> {
    guessed(record).into_iter().chain(unsafe_key(record)).collect()
}

/// The warning for a key that the peer's own files would change, if the peer is known to be one with such files. It is in
/// the same words for each such key: it says nothing of the key but that.
fn unsafe_key(record: &Record) -> Option<Warning> {
    let Options { auth, native, .. } = &record.spec.options;
    let is_unsafe = matches!(auth, Auth::Psk(psk) if native.peer == PeerKind::ZStack && psk.is_unsafe_at_zstack());
    let message = "is one that a ZStack router (peer zstack) does not read as it is: its files change or cut a key that begins \
                   with 0x or 0s, or has one of # & + < > { }, and may then load nothing; give both ends a key of letters, \
                   digits and other signs";
    is_unsafe.then(|| Warning { code: "PEER_KEY_UNSAFE", part: Some(Part::Psk), message: message.into(), remedy: None })
}

/// The warnings for identities that are no addresses, though their caller says that they are.
fn guessed(record: &Record) -> Vec<Warning> {
    let options = &record.spec.options;
    let [local, remote] = options.id_kind.of_ends();
    let ends = [
        (Part::LocalId, &options.local_id, options.native.local_id_type, local),
        (Part::RemoteId, &options.remote_id, options.native.remote_id_type, remote),
    ];
    let is_guessed = |said: Option<_>, kind| said.is_none() && kind == IdentityKind::Guessed;
    let warning = |(part, text, ..): (_, &Option<String>, _, _)| {
        let text = text.as_deref()?;
        let message = format!(
            "is {text:?}, which is no address as the idType ip says: it is taken for a host name (ID_FQDN); set the idType to \
             fqdn or name if it is one"
        );
        Some(Warning { code: "ID_TYPE_GUESSED", part: Some(part), message, remedy: None })
    };
    ends.into_iter().filter(|(_, _, said, kind)| is_guessed(*said, *kind)).filter_map(warning).collect()
}
