//! How a connection is made of its parts: [`Connection::new`] holds every rule that joins several values.

use super::{Connection, Generation, IkeVersion, KeyOwner, Mode, Parts, Protocol, networks};
use crate::ipsec::{
    Auth, ByteLifetime, Conflict, Identity, NativeOptions, Part, Remote, certs::Certificate, native::StartMode,
};
use std::{net::IpAddr, sync::Arc};

impl Connection {
    /// Checks the rules that join the parts.
    ///
    /// # Errors
    /// The first rule that is broken, with the part to change.
    pub fn new(mut parts: Parts) -> Result<Self, Conflict> {
        addresses(&parts)?;
        if parts.remote_addr == Remote::Anywhere {
            parts.version = from_anywhere(&parts)?;
        }
        if parts.version == IkeVersion::V1 && parts.ike.encryption.row().aead {
            return Err(Conflict::AeadUnderIkev1(parts.ike.encryption));
        }
        native_options(&parts)?;
        let (local_id, remote_id) = (local_id(&parts)?, remote_id(&parts)?);
        if let Auth::Certs(certs) = &mut parts.auth
            && certs.has_peers(&remote_id)
        {
            Arc::make_mut(certs).pin(&remote_id)?;
        }
        let (local, remote) = networks::of(&parts)?;
        let children = networks::children(&parts, &local, &remote)?;
        Ok(Self {
            id: parts.id,
            local_addr: parts.local_addr,
            remote_addr: parts.remote_addr,
            version: parts.version,
            ike: parts.ike,
            ike_lifetime: parts.ike_lifetime,
            local_id,
            remote_id,
            auth: parts.auth,
            key_owner: KeyOwner::default(),
            ike_generation: parts.ike_generation,
            child_generation: Generation::default(),
            native: parts.native.of_connection(),
            mode: parts.mode,
            protocol: parts.protocol,
            accepted: Vec::new(),
            lifetime: parts.lifetime,
            children,
            answered: Vec::new(),
        })
    }
}

/// The rules that join the options of our own with the rest.
fn native_options(parts: &Parts) -> Result<(), Conflict> {
    let (native, version) = (&parts.native, parts.version);
    let refused = |option, why| Err(Conflict::Native { option, why });
    if native.force_encapsulation && matches!(parts.protocol, Protocol::Ah(_)) {
        return refused("forceEncapsulation", "is not possible with ah, which cannot go in UDP (RFC 3948): use esp");
    }
    if native.ike_prf.is_some() && version == IkeVersion::V1 {
        return refused("ikePrf", "must be auto with ikev1, which takes the hash of the integrity: use ikev2");
    }
    if native.if_id != 0 && parts.mode == Mode::Transport {
        let why =
            "must be 0 in transport mode: what goes through an interface is packets between networks; use tunnel mode";
        return refused("ifId", why);
    }
    if native.next_layer.has_stray_port() {
        let name = if native.next_layer.local_port == 0 { "selectorRemotePort" } else { "selectorLocalPort" };
        return refused(name, "needs selectorProtocol tcp, udp or sctp: packets of other protocols have no ports");
    }
    post_quantum(native, version)?;
    let bytes = native.child_rekey_bytes;
    if bytes != 0 && ByteLifetime::new(bytes).is_none() {
        let why = "must be 0 for no limit, or at least 67108864 (64 MiB): with less, a fast line rekeys all the time";
        return refused("childRekeyBytes", why);
    }
    Ok(())
}

/// The rules of what protects against quantum computers.
fn post_quantum(native: &NativeOptions, version: IkeVersion) -> Result<(), Conflict> {
    let refused = |option, why| Err(Conflict::Native { option, why });
    let is_v2 = version == IkeVersion::V2;
    match (&native.ppk_id, &native.ppk) {
        (Some(_), _) if !is_v2 => refused("ppkId", "is possible with ikev2 only (RFC 8784): set ikeVersion ikev2"),
        (Some(_), None) => refused("ppk", "is missing: a ppkId names a key, which both ends have"),
        (None, Some(_)) => refused("ppkId", "is missing: by it both ends know which key the ppk is"),
        (None, None) if native.ppk_optional => refused("ppkRequired", "says nothing without ppkId and ppk: add them"),
        _ => Ok(()),
    }?;
    match native.post_quantum {
        Some(_) if !is_v2 => refused("postQuantum", "is possible with ikev2 only (RFC 9370): set ikeVersion ikev2"),
        None if native.post_quantum_optional => {
            refused("postQuantumMode", "says nothing with postQuantum none: choose mlkem768 or mlkem1024")
        }
        _ => Ok(()),
    }
}

/// Who we are. What a certificate does not say, charon would silently replace by its subject.
fn local_id(parts: &Parts) -> Result<Identity, Conflict> {
    let Some(certs) = parts.auth.certs() else {
        return Ok(parts.local_id.clone().unwrap_or(Identity::Ip(parts.local_addr)));
    };
    let certificate = &certs.certificate;
    if parts.version == IkeVersion::V1 && certificate.is_ed25519 {
        return Err(Conflict::Ed25519UnderIkev1);
    }
    if parts.version == IkeVersion::V1 && certificate.pss_hashes.is_some() {
        return Err(Conflict::PssUnderIkev1);
    }
    match &parts.local_id {
        // An empty sequence: a name that would fit everybody.
        None if certificate.subject.der.len() <= 2 => Err(Conflict::NoSubject { names: certificate.names() }),
        None => subject_of(certificate),
        Some(id) if certificate.is_subject(id) => subject_of(certificate),
        Some(id) if certificate.is_for(id) => Ok(id.clone()),
        Some(id) => Err(Conflict::NotInCertificate { id: id.plain(), names: certificate.names() }),
    }
}

/// The subject as the certificate has it.
fn subject_of(certificate: &Certificate) -> Result<Identity, Conflict> {
    Identity::subject(certificate.subject.clone()).map_err(Conflict::Subject)
}

/// Who the peer is.
fn remote_id(parts: &Parts) -> Result<Identity, Conflict> {
    match (&parts.remote_id, parts.remote_addr) {
        (Some(id), _) => Ok(id.clone()),
        (None, Remote::At(address)) => Ok(Identity::Ip(*address)),
        (None, Remote::Anywhere | Remote::Unresolved) => Err(Conflict::Anywhere {
            part: Part::RemoteId,
            why: "is needed where the peer has no fixed address: give the name by which it identifies itself",
        }),
    }
}

/// The rules of a peer that calls from anywhere, and the version of IKE that it is answered with.
fn from_anywhere(parts: &Parts) -> Result<IkeVersion, Conflict> {
    let refused = |part, why| Err(Conflict::Anywhere { part, why });
    let has_key = parts.auth.certs().is_none();
    if matches!(parts.remote_id, Some(Identity::Ip(_))) {
        let why = "is an address, and tells no peer from another that calls from anywhere (%any): give a name";
        return refused(Part::RemoteId, why);
    }
    if parts.mode == Mode::Transport {
        return refused(Part::RemoteAddr, "cannot be %any in transport mode, which joins two known addresses");
    }
    if parts.native.start_mode == StartMode::Trap {
        let why = "cannot be trap with the peer %any, which traffic cannot call: use respond";
        return Err(Conflict::Native { option: "startMode", why });
    }
    match parts.version {
        IkeVersion::V1 if has_key => {
            let why = "cannot be %any with ikev1 and a pre-shared key: main mode takes the key before it knows who calls; \
                       use ikev2, or certificates";
            refused(Part::RemoteAddr, why)
        }
        // The same of an answer with IKEv1.
        IkeVersion::Any if has_key => Ok(IkeVersion::V2),
        version => Ok(version),
    }
}

/// Both addresses are those of single hosts, of one family, and differ.
fn addresses(parts: &Parts) -> Result<(), Conflict> {
    let remote = parts.remote_addr.ip().map(|address| (Part::RemoteAddr, address));
    for (part, address) in [(Part::LocalAddr, parts.local_addr)].into_iter().chain(remote) {
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        if address.is_unspecified() || address.is_multicast() || broadcast || mapped {
            return Err(Conflict::NotOneHost { part, address });
        }
    }
    let Some(peer) = parts.remote_addr.address() else { return Ok(()) };
    if parts.local_addr == *peer {
        return Err(Conflict::SameAddress(peer));
    }
    if parts.local_addr.is_ipv4() != peer.is_ipv4() {
        return Err(Conflict::AddressFamilies { peer, local: parts.local_addr });
    }
    Ok(())
}
