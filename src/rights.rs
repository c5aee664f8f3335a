//! Users and their rights: who counts as an ordinary user, and what one is told who may not do something.

use nix::unistd::{Gid, Group, Uid, User};
use std::{io, sync::OnceLock};

/// The user of the packaged unit.
pub const SERVICE: &str = "cygnet";
/// What is said to a user for whom the system refuses something that root may do.
pub const NOT_PERMITTED: &str = "not permitted: run with sudo";

/// The number of the packaged unit's user, where the package created it.
#[must_use]
pub fn service() -> Option<u32> {
    static UNIT: OnceLock<Option<u32>> = OnceLock::new();
    *UNIT.get_or_init(|| User::from_name(SERVICE).ok().flatten().map(|user| user.uid.as_raw()))
}

/// Whether this process belongs neither to root nor to the packaged unit: root may do more, and sudo is the way.
#[must_use]
pub fn is_ordinary() -> bool {
    let own = Uid::effective();
    !own.is_root() && service() != Some(own.as_raw())
}

/// An error of the system in words; to an ordinary user, with what to do about missing rights.
#[must_use]
pub fn explained(error: &io::Error) -> String {
    if is_denied(error) { format!("{NOT_PERMITTED} ({error})") } else { error.to_string() }
}

/// Whether this process may use the agent's socket: root, the agent itself, and the members of its group.
#[must_use]
pub fn is_operator() -> bool {
    let is_member = |group: Group| {
        nix::unistd::getgroups().is_ok_and(|own| own.contains(&group.gid)) || group.gid == Gid::effective()
    };
    !is_ordinary() || Group::from_name(SERVICE).ok().flatten().is_some_and(is_member)
}

/// Whether this is an error that an ordinary user gets and root would not (EACCES, EPERM).
#[must_use]
pub fn is_denied(error: &io::Error) -> bool {
    is_ordinary() && error.kind() == io::ErrorKind::PermissionDenied
}
