//! Refusals that several use cases share.

use crate::{
    error::{Error, Resource, Result},
    ipsec::{Code, Connection, ConnectionId, IkeVersion, native::StartMode},
    strongswan::{Charon, conf::Traps},
};

/// A refusal with a reason code.
pub(in crate::agent) fn named(code: Code, text: String) -> Error {
    Error::Named { text, elaboration: code.explained() }
}

/// Why `charon` lacks the connection's version of IKE, if it does.
pub(in crate::agent) fn unspoken(connection: &Connection, charon: &Charon) -> Option<String> {
    let lacks = connection.version == IkeVersion::V1 && !charon.ikev1;
    let version = &charon.version;
    lacks.then(|| format!("this gateway's strongSwan {version} has no ikev1 (it was built without it; ikev2 is there)"))
}

/// Refuses `connection` if charon lacks one of its algorithms, its IKE version, or traps where traffic is to begin.
pub(in crate::agent) fn check_abilities(connection: &Connection, charon: &Charon) -> Result<()> {
    if let Some(text) = unspoken(connection, charon) {
        return Err(named(Code::IkeVersionMismatch, text));
    }
    if connection.start_mode() == StartMode::Trap && charon.traps == Traps::Unsupported {
        let version = &charon.version;
        return Err(Error::argument(format!(
            "field[startMode] trap is not possible: the kernel-libipsec of this gateway's strongSwan {version} sees no \
             packet before there is an SA; use initiate or respond"
        )));
    }
    if connection.is_route_based() && charon.has_libipsec() {
        return Err(Error::argument(format!(
            "field[ifId] is not possible: the kernel-libipsec of this gateway's strongSwan {} knows no XFRM interfaces, and \
             would take the packets of all interfaces; use kernel-netlink, or leave ifId out",
            charon.version
        )));
    }
    let missing = charon.missing(connection);
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = missing.iter().map(|(name, package)| format!("{name} (Debian package {package})")).collect();
    let text = format!("this gateway's strongSwan {} has no {}", charon.version, list.join(", "));
    Err(named(Code::AlgorithmUnsupported, text))
}

/// The error for a connection that does not exist.
pub(in crate::agent) fn not_found(id: ConnectionId) -> Error {
    Error::NotFound { field: "uuid", uuid: id.to_string(), resource: Resource::Connection, known: None }
}
