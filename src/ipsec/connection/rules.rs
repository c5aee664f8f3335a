//! How a connection is made of its parts: [`Connection::new`] holds every rule that joins several values.

use super::{Connection, Generation, IkeVersion, KeyOwner, Parts, Protocol, networks};
use crate::ipsec::{Conflict, Identity, Part, certs::Certificate};
use std::net::IpAddr;

impl Connection {
    /// Checks the rules that join the parts.
    ///
    /// # Errors
    /// The first rule that is broken, with the part to change.
    pub fn new(parts: Parts) -> Result<Self, Conflict> {
        addresses(&parts)?;
        if parts.version == IkeVersion::V1 && parts.ike.encryption.row().aead {
            return Err(Conflict::AeadUnderIkev1(parts.ike.encryption));
        }
        native_options(&parts)?;
        let local_id = local_id(&parts)?;
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
            remote_id: parts.remote_id.unwrap_or(Identity::Ip(*parts.remote_addr)),
            auth: parts.auth,
            key_owner: KeyOwner::default(),
            ike_generation: parts.ike_generation,
            child_generation: Generation::default(),
            native: parts.native.of_connection(),
            mode: parts.mode,
            protocol: parts.protocol,
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
    Ok(())
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

/// Both addresses are those of single hosts, of one family, and differ.
fn addresses(parts: &Parts) -> Result<(), Conflict> {
    for (part, address) in [(Part::LocalAddr, parts.local_addr), (Part::RemoteAddr, *parts.remote_addr)] {
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        if address.is_unspecified() || address.is_multicast() || broadcast || mapped {
            return Err(Conflict::NotOneHost { part, address });
        }
    }
    if parts.local_addr == *parts.remote_addr {
        return Err(Conflict::SameAddress(parts.remote_addr));
    }
    if parts.local_addr.is_ipv4() != parts.remote_addr.is_ipv4() {
        return Err(Conflict::AddressFamilies { peer: parts.remote_addr, local: parts.local_addr });
    }
    Ok(())
}
