//! What a [`Spec`] means: the connection that is made of it.

use super::record::{Options, Spec};
use crate::ipsec::{
    AhProposal, Auth, Conflict, Connection, ConnectionId, EspProposal, Identity, IdentityKind, Mode, Part, Parts,
    Protocol,
};
use std::net::IpAddr;

impl Spec {
    pub(super) fn connection(
        &self,
        id: ConnectionId,
        ike_generation: u32,
        resolved: Option<IpAddr>,
    ) -> Result<Connection, Conflict> {
        // Without a rest: an option that has no effect on the connection does not compile.
        let Options {
            auth,
            id_kind,
            local_id,
            remote_id,
            version,
            ike,
            ike_lifetime,
            ah,
            encryption,
            integrity,
            pfs,
            mode,
            lifetime,
            native,
        } = &self.options;
        let identity = |part, text: &Option<String>, kind| {
            let read = |text: &String| {
                let identity = match auth {
                    Auth::Psk(_) => Identity::new(kind, text),
                    Auth::Certs(_) => Identity::certified(kind, text),
                };
                identity.map_err(|why| Conflict::Identity { part, why })
            };
            text.as_ref().map(read).transpose()
        };
        let [local_kind, remote_kind] = id_kind.of_ends();
        let named = self.named(remote_id.is_none(), *mode)?;
        let (encryption, integrity, pfs) = (*encryption, *integrity, *pfs);
        Connection::new(Parts {
            id,
            local_addr: self.vip.address,
            remote_addr: self.peer.remote(resolved),
            version: *version,
            ike: *ike,
            ike_lifetime: *ike_lifetime,
            local_id: identity(Part::LocalId, local_id, native.local_id_type.unwrap_or(local_kind))?,
            remote_id: identity(Part::RemoteId, remote_id, native.remote_id_type.unwrap_or(remote_kind))?.or(named),
            auth: auth.clone(),
            ike_generation,
            mode: *mode,
            protocol: if *ah {
                Protocol::Ah(AhProposal { integrity, pfs })
            } else {
                Protocol::Esp(EspProposal { encryption, integrity, pfs })
            },
            lifetime: *lifetime,
            local_nets: self.local.iter().flat_map(|network| network.cidrs.iter().copied()).collect(),
            remote_nets: self.remote.iter().map(|entry| entry.cidr).collect(),
            native: native.clone(),
        })
    }

    /// The identity of a peer that is found by its name, if that `is_wanted`: the name, whatever its address is.
    fn named(&self, is_wanted: bool, mode: Mode) -> Result<Option<Identity>, Conflict> {
        let Some(name) = self.peer.name() else { return Ok(None) };
        if mode == Mode::Transport {
            let why = "cannot be a name in transport mode, which joins two known addresses";
            return Err(Conflict::Anywhere { part: Part::RemoteAddr, why });
        }
        let identity = is_wanted.then(|| Identity::new(IdentityKind::Fqdn, name.as_str()));
        identity.transpose().map_err(|why| Conflict::Identity { part: Part::RemoteId, why })
    }
}
