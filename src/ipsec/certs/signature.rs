//! Signatures of certificates and revocation lists: whether they are right, as far as this agent can tell, and whether
//! charon can.
//!
//! charon has more algorithms than the library that checks here. What that library lacks must not be mistaken for a wrong
//! signature, so there are three answers.

use x509_parser::{
    asn1_rs::{BitString, Oid, oid},
    error::X509Error,
    prelude::FromDer,
    public_key::RSAPublicKey,
    signature_algorithm::RsaSsaPssParams,
    verify::verify_signature,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

/// What is known of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The key has made it.
    Right,
    /// The key has not made it.
    Wrong,
    /// Only charon can tell.
    Unknown,
}

impl Verdict {
    /// Whether nothing speaks against it.
    pub(super) fn is_possible(self) -> bool {
        self != Self::Wrong
    }
}

/// The kinds of keys that charon can check signatures with.
#[derive(PartialEq, Eq)]
enum Family {
    Rsa,
    Ec,
    Ed25519,
    Ed448,
}

/// `id-RSASSA-PSS`, of keys and of signatures.
pub(super) const PSS: Oid<'static> = oid!(1.2.840.113549.1.1.10);

/// The signatures that charon 5.9.8 can check with its openssl plugin.
fn family_of_signature(algorithm: &Oid<'_>) -> Option<Family> {
    let rsa = [
        oid!(1.2.840.113549.1.1.5),
        oid!(1.2.840.113549.1.1.11),
        oid!(1.2.840.113549.1.1.12),
        oid!(1.2.840.113549.1.1.13),
        oid!(1.2.840.113549.1.1.14),
        oid!(1.3.14.3.2.29),
        PSS,
    ];
    let ec = [oid!(1.2.840.10045.4.1), oid!(1.2.840.10045.4.3.2), oid!(1.2.840.10045.4.3.3), oid!(1.2.840.10045.4.3.4)];
    match algorithm {
        rsa_one if rsa.contains(rsa_one) => Some(Family::Rsa),
        ec_one if ec.contains(ec_one) => Some(Family::Ec),
        other => family_of_ed(other),
    }
}

fn family_of_key(algorithm: &Oid<'_>) -> Option<Family> {
    match algorithm {
        rsa if *rsa == oid!(1.2.840.113549.1.1.1) || *rsa == PSS => Some(Family::Rsa),
        ec if *ec == oid!(1.2.840.10045.2.1) => Some(Family::Ec),
        other => family_of_ed(other),
    }
}

fn family_of_ed(algorithm: &Oid<'_>) -> Option<Family> {
    match algorithm {
        one if *one == oid!(1.3.101.112) => Some(Family::Ed25519),
        one if *one == oid!(1.3.101.113) => Some(Family::Ed448),
        _ => None,
    }
}

/// The name of the algorithm, if charon cannot check signatures of it.
pub(super) fn beyond_charon(algorithm: &Oid<'_>) -> Option<String> {
    family_of_signature(algorithm).is_none().then(|| algorithm.to_id_string())
}

/// Whether `key` has signed `data`.
pub(super) fn verdict(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &BitString<'_>,
    data: &[u8],
) -> Verdict {
    match verify_signature(key, algorithm, signature, data) {
        Ok(()) => Verdict::Right,
        Err(_) if family_of_signature(&algorithm.algorithm) != family_of_key(&key.algorithm.algorithm) => {
            Verdict::Wrong
        }
        Err(X509Error::SignatureVerificationError) if is_within_reach(key, algorithm) => Verdict::Wrong,
        Err(_) => Verdict::Unknown,
    }
}

/// The hashes with which `key` may make signatures, as charon names them, if it is for RSA-PSS alone (RFC 4055, section 3.1).
pub(super) fn pss_hashes(key: &SubjectPublicKeyInfo<'_>) -> Option<Vec<&'static str>> {
    let algorithm = &key.algorithm;
    let any = || HASHES.iter().map(|(_, _, name)| *name).collect();
    let named = |digest: &Oid<'_>| {
        HASHES.iter().filter(|(oid, _, _)| oid == digest).map(|(_, _, name)| *name).collect::<Vec<_>>()
    };
    let params = algorithm.parameters.as_ref().map(RsaSsaPssParams::try_from);
    (algorithm.algorithm == PSS).then(|| match params {
        None => any(),
        Some(Ok(params)) => named(params.hash_algorithm_oid()),
        Some(Err(_)) => Vec::new(),
    })
}

/// The hashes of RSA-PSS that both charon and the library have: the length in bytes, and charon's name.
const HASHES: [(Oid<'static>, u32, &str); 3] = [
    (oid!(2.16.840.1.101.3.4.2.1), 32, "sha256"),
    (oid!(2.16.840.1.101.3.4.2.2), 48, "sha384"),
    (oid!(2.16.840.1.101.3.4.2.3), 64, "sha512"),
];

/// Whether the library has tried, for it calls a key of another size a wrong signature, and one with other parameters too.
fn is_within_reach(key: &SubjectPublicKeyInfo<'_>, algorithm: &AlgorithmIdentifier<'_>) -> bool {
    let is_plain = algorithm.algorithm != PSS || has_plain_parameters(algorithm);
    is_plain && rsa_bits(key).is_none_or(|bits| (2048..=8192).contains(&bits))
}

/// Whether the salt is as long as the digest, and one digest is used throughout.
fn has_plain_parameters(algorithm: &AlgorithmIdentifier<'_>) -> bool {
    let Some(Ok(params)) = algorithm.parameters.as_ref().map(RsaSsaPssParams::try_from) else { return false };
    let digest = params.hash_algorithm_oid();
    let length = HASHES.iter().find_map(|(known, length, _)| (known == digest).then_some(*length));
    Some(params.salt_length()) == length && params.mask_gen_algorithm().is_ok_and(|mask| mask.hash == *digest)
}

/// The size of `key`, if it is of RSA.
pub(super) fn rsa_bits(key: &SubjectPublicKeyInfo<'_>) -> Option<usize> {
    if family_of_key(&key.algorithm.algorithm) != Some(Family::Rsa) {
        return None;
    }
    let (_, rsa) = RSAPublicKey::from_der(&key.subject_public_key.data).ok()?;
    let zeros = rsa.modulus.iter().take_while(|byte| **byte == 0).count();
    let first = rsa.modulus.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
    Some((rsa.modulus.len() - zeros) * 8 - first)
}
