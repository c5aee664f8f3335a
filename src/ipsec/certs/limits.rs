//! What the gateway's own certificate and the CAs above it allow it: key usage, path length and names (RFC 5280, section
//! 4.2.1). Every peer checks that, and says no more than that it refuses; so it is said here, where it can be cured.

use super::{Certificate, Certs, signature};
use crate::ipsec::{Identity, Invalid};
use std::net::IpAddr;
use x509_parser::{
    asn1_rs::{FromDer, Oid, oid},
    certificate::X509Certificate,
    extensions::{GeneralName, GeneralSubtree},
    x509::{AttributeTypeAndValue, X509Name},
};

/// The purposes with which peers take a certificate for IKE: ipsecEndSystem, ipsecTunnel, ipsecUser, ipsecIKE and Cisco's
/// iKEIntermediate, beside those for TLS.
const PURPOSES: [Oid<'static>; 5] = [
    oid!(1.3.6.1.5.5.7.3.5),
    oid!(1.3.6.1.5.5.7.3.6),
    oid!(1.3.6.1.5.5.7.3.7),
    oid!(1.3.6.1.5.5.7.3.17),
    oid!(1.3.6.1.5.5.8.2.2),
];

impl Certs {
    /// Refuses a certificate of the gateway that peers refuse for what stands in it, or in a CA above it.
    pub(super) fn check_limits(&self) -> Result<(), Invalid> {
        let own = &self.certificate;
        let why = own.parsed().and_then(|parsed| usage(&parsed)).or_else(|| {
            let mut path = (0..).zip(self.path());
            path.find_map(|(below, ca)| ca.parsed().and_then(|parsed| limit(&parsed, ca, below, own)))
        });
        match why {
            None => Ok(()),
            Some(why) => Err(Invalid::new(format!("has the certificate '{}', {why}", own.subject.text))),
        }
    }

    /// The CAs above our certificate, up to a root: the shortest way where a root has signed one of them.
    fn path(&self) -> Vec<&Certificate> {
        let mut path: Vec<&Certificate> = Vec::new();
        let mut last = &self.certificate;
        while let Some(next) = self.cas.iter().chain(&self.intermediates).find(|ca| last.is_signed_by(ca)) {
            if path.contains(&next) {
                break;
            }
            path.push(next);
            last = next;
        }
        path
    }
}

/// What its own extensions and its key do not allow.
fn usage(own: &X509Certificate<'_>) -> Option<String> {
    let key = own.key_usage().ok().flatten().map(|usage| usage.value);
    if key.is_some_and(|usage| !usage.digital_signature() && !usage.non_repudiation()) {
        return Some("whose key usage does not allow it to sign: have it issued with digitalSignature".into());
    }
    if signature::pss_hashes(own.public_key()).is_some_and(|hashes| hashes.is_empty()) {
        return Some(
            "whose RSA-PSS key is for a hash that strongSwan does not sign with: have it made for SHA-256, SHA-384 or \
             SHA-512, or for any"
                .into(),
        );
    }
    let purposes = own.extended_key_usage().ok().flatten().map(|usage| usage.value)?;
    let fits = purposes.any || purposes.server_auth || purposes.client_auth;
    (!fits && !purposes.other.iter().any(|one| PURPOSES.contains(one))).then(|| {
        "whose extended key usage does not allow it to prove a gateway: have it issued with serverAuth and clientAuth, \
         or with ipsecIKE"
            .into()
    })
}

/// What `ca`, with so many CAs between it and `own`, does not allow.
fn limit(parsed: &X509Certificate<'_>, ca: &Certificate, below: u32, own: &Certificate) -> Option<String> {
    let name = &ca.subject.text;
    let basic = parsed.basic_constraints().ok().flatten().map(|basic| basic.value);
    if let Some(most) = basic.and_then(|basic| basic.path_len_constraint).filter(|most| below > *most) {
        return Some(format!(
            "whose chain is longer than its CA '{name}' allows (path length of CAs below it: {below}, at most {most}): have it \
             issued higher up"
        ));
    }
    let constraints = parsed.name_constraints().ok().flatten()?.value;
    let permitted = constraints.permitted_subtrees.as_deref().unwrap_or_default();
    let excluded = constraints.excluded_subtrees.as_deref().unwrap_or_default();
    let is_refused = |one: &&Identity| {
        let mut of_its_kind = permitted.iter().filter_map(|tree| holds(tree, one)).peekable();
        (of_its_kind.peek().is_some() && !of_its_kind.any(|holds| holds))
            || excluded.iter().any(|tree| holds(tree, one) == Some(true))
    };
    // An empty sequence is no name.
    let subject = Some(Identity::Dn(own.subject.clone())).filter(|_| own.subject.der.len() > 2);
    let refused = own.alternatives.iter().chain(&subject).find(is_refused)?;
    Some(format!(
        "whose name '{}' is not among those that its CA '{name}' may certify (name constraints): have it issued without \
         the name, or by another CA",
        refused.plain()
    ))
}

/// Whether `name` is in `tree`, if both are of one kind.
fn holds(tree: &GeneralSubtree<'_>, name: &Identity) -> Option<bool> {
    match (&tree.base, name) {
        (GeneralName::DNSName(base), Identity::Fqdn(name)) => Some(is_under(name, base.trim_start_matches('.'))),
        (GeneralName::RFC822Name(base), Identity::Email(name)) => {
            let host = name.rsplit_once('@').map_or("", |(_, host)| host);
            Some(match base.strip_prefix('.') {
                Some(domain) => is_under(host, domain) && !host.eq_ignore_ascii_case(domain),
                None if base.contains('@') => base.eq_ignore_ascii_case(name),
                None => base.eq_ignore_ascii_case(host),
            })
        }
        (GeneralName::IPAddress(base), Identity::Ip(address)) => {
            let bytes = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            let (network, mask) = base.split_at_checked(bytes.len()).filter(|(_, mask)| mask.len() == bytes.len())?;
            Some(bytes.iter().zip(network).zip(mask).all(|((byte, network), mask)| byte & mask == network & mask))
        }
        (GeneralName::DirectoryName(base), Identity::Dn(name)) => {
            X509Name::from_der(&name.der).ok().map(|(_, name)| begins_with(&name, base))
        }
        _ => None,
    }
}

/// Whether the first parts of `name` are those of `base`, as charon compares them.
fn begins_with(name: &X509Name<'_>, base: &X509Name<'_>) -> bool {
    let texts = |name: &X509Name<'_>| {
        let attribute = |one: &AttributeTypeAndValue<'_>| {
            let value = one.attr_value().data.to_ascii_lowercase();
            (one.attr_type().to_id_string(), value)
        };
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    texts(name).starts_with(&texts(base))
}

/// Whether `name` is `domain` or a name below it.
fn is_under(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    domain.is_empty() || name.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
