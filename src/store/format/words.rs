//! The words of the file for the model's values. They must never change: they are on disk.

use crate::ipsec::{IdentityKind, KeyOwner, Mode, Split};

pub(super) const ID_KINDS: [(IdentityKind, &str); 6] = [
    (IdentityKind::Ip, "ip"),
    (IdentityKind::StoredName, "name"),
    (IdentityKind::FreeName, "free-name"),
    (IdentityKind::Name, "name-as-fqdn"),
    (IdentityKind::Fqdn, "fqdn"),
    (IdentityKind::Guessed, "guessed-fqdn"),
];
pub(super) const KEY_OWNERS: [(KeyOwner, &str); 2] = [(KeyOwner::Remote, "remote"), (KeyOwner::Local, "local")];
pub(super) const SPLITS: [(Split, &str); 4] =
    [(Split::Auto, "auto"), (Split::Learned, "learned"), (Split::Pairs, "pairs"), (Split::Whole, "whole")];
pub(super) const MODES: [(Mode, &str); 2] = [(Mode::Tunnel, "tunnel"), (Mode::Transport, "transport")];

/// The word that stands for `value` in the file.
pub(super) fn word<T: PartialEq + Copy>(words: &[(T, &'static str)], value: T) -> &'static str {
    words.iter().find(|(v, _)| *v == value).map_or("", |(_, word)| word)
}

/// What `word` stands for in the file.
pub(super) fn meaning<T: Copy>(words: &[(T, &'static str)], word: &str) -> Option<T> {
    words.iter().find(|(_, w)| *w == word).map(|(value, _)| *value)
}
