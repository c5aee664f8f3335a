//! Refusals that several use cases share.

use crate::{
    error::{Error, Resource, Result},
    ipsec::{Conflict, Connection, ConnectionId, IkeVersion, native::StartMode},
    strongswan::{Charon, Missing, conf::Traps},
};

/// That `charon` lacks the connection's version of IKE, if it does.
pub(in crate::agent) fn unspoken(connection: &Connection, charon: &Charon) -> Option<Conflict> {
    let lacks = connection.version == IkeVersion::V1 && !charon.ikev1;
    lacks.then(|| Conflict::NoIkev1 { version: charon.version.clone() })
}

/// Refuses `connection` if charon lacks one of its algorithms, its IKE version, or traps where traffic is to begin.
pub(in crate::agent) fn check_abilities(connection: &Connection, charon: &Charon) -> Result<()> {
    if let Some(conflict) = unspoken(connection, charon) {
        return Err(conflict.into());
    }
    let version = charon.version.clone();
    if connection.start_mode() == StartMode::Trap && charon.traps == Traps::Unsupported {
        return Err(Conflict::NoTraps { version }.into());
    }
    if connection.is_route_based() && charon.has_libipsec() {
        return Err(Error::argument(format!(
            "field[ifId] is not possible: the kernel-libipsec of this gateway's strongSwan {} knows no XFRM interfaces, and \
             would take the packets of all interfaces; use kernel-netlink, or leave ifId out",
            charon.version
        )));
    }
    let missing = charon.missing(connection);
    let Some(Missing { part, .. }) = missing.first() else { return Ok(()) };
    let (part, missing) = (*part, missing.iter().map(ToString::to_string).collect());
    Err(Conflict::Unsupported { part, version, missing }.into())
}

/// The error for a connection that does not exist.
pub(in crate::agent) fn not_found(id: ConnectionId) -> Error {
    Error::NotFound { field: "uuid", uuid: id.to_string(), resource: Resource::Connection, known: None }
}
