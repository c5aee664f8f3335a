//! The names that this agent gives to objects in charon and in conf.d.
//! Objects with other names are foreign and never touched.

use crate::ipsec::{Connection, ConnectionId};

/// The name of a connection.
#[must_use]
pub fn connection(id: ConnectionId) -> String {
    format!("cygnet-{id}")
}

/// The name of the second connection of `IKE`: it initiates with IKEv1, and the first one answers both versions.
#[must_use]
pub fn fallback(id: ConnectionId) -> String {
    format!("cygnet-{id}{FALLBACK}")
}

/// The name of what stands in for the policies of a connection while it is replaced.
#[must_use]
pub(super) fn guard(id: ConnectionId) -> String {
    format!("cygnet-{id}{GUARD}")
}

/// The number of charon's connections that make up `connection`.
#[must_use]
pub fn count(connection: &Connection) -> usize {
    1 + usize::from(connection.falls_back())
}

/// The suffix of the second one.
const FALLBACK: &str = "-ikev1";

/// The suffix of a guard.
const GUARD: &str = "-guard";

/// Whether this is the name of a guard of ours.
#[must_use]
pub(super) fn is_guard(name: &str) -> bool {
    name.ends_with(GUARD) && owner(name).is_some()
}

/// Whether this is the name of a second connection of ours.
#[must_use]
pub(super) fn is_fallback(name: &str) -> bool {
    name.ends_with(FALLBACK) && owner(name).is_some()
}

/// The name (and vici id) of a connection's secret; swanctl takes only sections that begin with `ike`.
#[must_use]
pub fn secret(id: ConnectionId) -> String {
    format!("ike-cygnet-{id}")
}

/// The name (and vici id) of a connection's PPK; swanctl takes sections that begin with `ppk` for such.
#[must_use]
pub fn ppk(id: ConnectionId) -> String {
    format!("ppk-cygnet-{id}")
}

/// The name of a connection's file in conf.d.
#[must_use]
pub fn file(id: ConnectionId) -> String {
    format!("cygnet-{id}.conf")
}

/// The name of a file with a certificate or key of a connection.
#[must_use]
pub fn credential(id: ConnectionId, digits: &str) -> String {
    format!("cygnet-{id}-{digits}.pem")
}

/// The connection whose certificate or key is in the file of this name, if the file is ours.
#[must_use]
pub fn credential_owner(name: &str) -> Option<ConnectionId> {
    let (id, digits) = name.strip_prefix("cygnet-")?.strip_suffix(".pem")?.split_once('-')?;
    let ours = digits.len() == 8 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    id.parse().ok().filter(|_| ours)
}

/// The connection to which this connection or child of charon belongs, if it is ours. Pass policies are children too.
#[must_use]
pub fn owner(name: &str) -> Option<ConnectionId> {
    let rest = name.strip_prefix("cygnet-")?;
    let (id, child) = rest.split_at_checked(32)?;
    let child = child.strip_prefix("-pass").unwrap_or(child);
    let ours = child.is_empty() || [FALLBACK, GUARD].contains(&child) || (child.len() == 9 && child.starts_with('-'));
    id.parse().ok().filter(|_| ours)
}

/// The connection to which this secret belongs, if it is ours.
#[must_use]
pub(super) fn secret_owner(name: &str) -> Option<ConnectionId> {
    name.strip_prefix("ike-cygnet-")?.parse().ok()
}

/// The connection to which this PPK belongs, if it is ours.
#[must_use]
pub(super) fn ppk_owner(name: &str) -> Option<ConnectionId> {
    name.strip_prefix("ppk-cygnet-")?.parse().ok()
}

/// The connection to which this file in conf.d belongs, if it is ours.
#[must_use]
pub fn file_owner(name: &str) -> Option<ConnectionId> {
    name.strip_prefix("cygnet-")?.strip_suffix(".conf")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_have_an_owner() {
        let id: ConnectionId = "00112233445566778899aabbccddeeff".parse().expect("id");
        assert_eq!(owner(&connection(id)), Some(id));
        assert_eq!(owner(&fallback(id)), Some(id));
        assert!(is_fallback(&fallback(id)) && !is_fallback(&connection(id)) && !is_fallback("site-ikev1"));
        assert_eq!(owner(&guard(id)), Some(id));
        assert!(is_guard(&guard(id)) && !is_guard(&connection(id)) && !is_guard("site-guard"));
        assert_eq!(owner(&format!("{}-0a1b2c3d", connection(id))), Some(id));
        assert_eq!(owner(&format!("{}-pass-0a1b2c3d", connection(id))), Some(id));
        assert_eq!(secret_owner(&secret(id)), Some(id));
        assert_eq!((ppk_owner(&ppk(id)), ppk_owner(&secret(id)), secret_owner(&ppk(id))), (Some(id), None, None));
        assert_eq!(file_owner(&file(id)), Some(id));
        assert_eq!(credential_owner(&credential(id, "0a1b2c3d")), Some(id));
        for foreign in [
            "cygnet",
            "cygnet-",
            "cygnet-1",
            "cygnet-00112233445566778899AABBCCDDEEFF",
            "site",
            "cygnet-é123456789012345678901234567890123",
            "cygnet-00112233445566778899aabbccddeeff-x",
            "cygnet-00112233445566778899aabbccddeeffx12345678",
        ] {
            assert_eq!(owner(foreign), None, "{foreign}");
        }
        assert_eq!(secret_owner("ike-00112233445566778899aabbccddeeff"), None);
        assert_eq!(file_owner("cygnet-00112233445566778899aabbccddeeff.conf.bak"), None);
        for foreign in ["cygnet-00112233445566778899aabbccddeeff.pem", "ca.pem", "cygnet-x-0a1b2c3d.pem"] {
            assert_eq!(credential_owner(foreign), None, "{foreign}");
        }
    }
}
