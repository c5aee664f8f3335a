//! What a passphrase opens: PBES2 (RFC 8018), and the older schemes of PKCS #12 (RFC 7292, appendices B and C).

use super::ber;
use aes::{Aes128, Aes192, Aes256};
use cbc::{
    Decryptor,
    cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, KeyInit, KeyIvInit, block_padding::Pkcs7},
};
use des::{TdesEde2, TdesEde3};
use hmac::{Hmac, Mac as _};
use rc2::Rc2;
use sha1::{Digest, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512};
use x509_parser::asn1_rs::{Any, Oid, oid};
use zeroize::Zeroizing;

/// Why something stays shut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// It needs a passphrase, or another one.
    #[error("the passphrase does not open it")]
    Passphrase,
    /// It is encrypted in a way that is not known here.
    #[error(
        "it is encrypted with {0}, which is not known here: export it anew with AES-256, as OpenSSL does by default"
    )]
    Unknown(String),
    /// It is no such thing, or is cut.
    #[error("it is damaged")]
    Damaged,
}

/// A passphrase in the forms that the schemes take. It is wiped when it is dropped.
pub struct Passphrase {
    plain: Zeroizing<Vec<u8>>,
    /// In UTF-16 with the end of the text, as PKCS #12 has it.
    wide: Zeroizing<Vec<u8>>,
}

impl Passphrase {
    /// That of the text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut wide = Zeroizing::new(Vec::with_capacity(2 * text.len() + 2));
        wide.extend(text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes));
        Self { plain: Zeroizing::new(text.as_bytes().to_vec()), wide }
    }

    /// Whether it has no character.
    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// No text at all, which PKCS #12 tells from an empty one.
    pub(super) fn none() -> Self {
        Self { plain: Zeroizing::default(), wide: Zeroizing::default() }
    }
}

/// A hash that the schemes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

const HASHES: [(Oid<'static>, Hash); 10] = [
    (oid!(1.3.14.3.2.26), Hash::Sha1),
    (oid!(2.16.840.1.101.3.4.2.4), Hash::Sha224),
    (oid!(2.16.840.1.101.3.4.2.1), Hash::Sha256),
    (oid!(2.16.840.1.101.3.4.2.2), Hash::Sha384),
    (oid!(2.16.840.1.101.3.4.2.3), Hash::Sha512),
    // The same within an HMAC.
    (oid!(1.2.840.113549.2.7), Hash::Sha1),
    (oid!(1.2.840.113549.2.8), Hash::Sha224),
    (oid!(1.2.840.113549.2.9), Hash::Sha256),
    (oid!(1.2.840.113549.2.10), Hash::Sha384),
    (oid!(1.2.840.113549.2.11), Hash::Sha512),
];

impl Hash {
    fn of(algorithm: &Any<'_>) -> Result<Self, Shut> {
        let kind = ber::first_oid(algorithm).ok_or(Shut::Damaged)?;
        let known = HASHES.iter().find(|(oid, _)| *oid == kind).map(|(_, hash)| *hash);
        known.ok_or_else(|| Shut::Unknown(kind.to_id_string()))
    }

    fn digest(self, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        fn of<D: Digest>(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
            let mut digest = D::new();
            for part in parts {
                digest.update(part);
            }
            Zeroizing::new(digest.finalize().to_vec())
        }
        match self {
            Self::Sha1 => of::<Sha1>(parts),
            Self::Sha224 => of::<Sha224>(parts),
            Self::Sha256 => of::<Sha256>(parts),
            Self::Sha384 => of::<Sha384>(parts),
            Self::Sha512 => of::<Sha512>(parts),
        }
    }

    /// The bytes that it takes at once.
    fn block(self) -> usize {
        if matches!(self, Self::Sha384 | Self::Sha512) { 128 } else { 64 }
    }

    /// PBKDF2 (RFC 8018, section 5.2).
    fn stretch(self, plain: &[u8], salt: &[u8], rounds: u32, key: &mut [u8]) {
        match self {
            Self::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(plain, salt, rounds, key),
            Self::Sha224 => pbkdf2::pbkdf2_hmac::<Sha224>(plain, salt, rounds, key),
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(plain, salt, rounds, key),
            Self::Sha384 => pbkdf2::pbkdf2_hmac::<Sha384>(plain, salt, rounds, key),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(plain, salt, rounds, key),
        }
    }

    /// Whether `value` is the HMAC of `data`.
    fn is_hmac(self, key: &[u8], data: &[u8], value: &[u8]) -> bool {
        macro_rules! verified {
            ($hash:ty) => {
                Hmac::<$hash>::new_from_slice(key).is_ok_and(|mac| mac.chain_update(data).verify_slice(value).is_ok())
            };
        }
        match self {
            Self::Sha1 => verified!(Sha1),
            Self::Sha224 => verified!(Sha224),
            Self::Sha256 => verified!(Sha256),
            Self::Sha384 => verified!(Sha384),
            Self::Sha512 => verified!(Sha512),
        }
    }
}

/// More rounds than anybody uses would only keep the machine busy.
const MOST_ROUNDS: u32 = 50_000_000;

fn rounds(value: &Any<'_>) -> Result<u32, Shut> {
    value.clone().u32().ok().filter(|rounds| (1..=MOST_ROUNDS).contains(rounds)).ok_or(Shut::Damaged)
}

/// What PKCS #12 derives bytes for.
#[derive(Clone, Copy)]
enum For {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// So many bytes derived as PKCS #12 does (RFC 7292, appendix B.2).
fn derive(hash: Hash, purpose: For, wide: &[u8], salt: &[u8], rounds: u32, length: usize) -> Zeroizing<Vec<u8>> {
    let block = hash.block();
    let filled =
        |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().cycle().take(bytes.len().div_ceil(block) * block).collect() };
    let mut input = Zeroizing::new([filled(salt), filled(wide)].concat());
    let mut made = Zeroizing::new(Vec::with_capacity(length + 64));
    while made.len() < length {
        let mut digest = hash.digest(&[&vec![purpose as u8; block], &input]);
        for _ in 1..rounds {
            digest = hash.digest(&[&digest]);
        }
        made.extend_from_slice(&digest);
        let repeated: Zeroizing<Vec<u8>> = Zeroizing::new(digest.iter().copied().cycle().take(block).collect());
        for part in input.chunks_mut(block) {
            // As numbers, and one more.
            let mut carry = 1;
            for (byte, more) in part.iter_mut().zip(repeated.iter()).rev() {
                let sum = u16::from(*byte) + u16::from(*more) + carry;
                (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
            }
        }
    }
    made.truncate(length);
    made
}

/// Whether `passphrase` is that of `data` with the MAC of PKCS #12 in `mac` (RFC 7292, section 4).
pub(super) fn is_sealed(mac: &Any<'_>, passphrase: &Passphrase, data: &[u8]) -> Result<bool, Shut> {
    let members = ber::values(mac.data).ok_or(Shut::Damaged)?;
    let [info, salt, rest @ ..] = members.as_slice() else { return Err(Shut::Damaged) };
    let info = ber::values(info.data).ok_or(Shut::Damaged)?;
    let [algorithm, value] = info.as_slice() else { return Err(Shut::Damaged) };
    let (hash, rounds) = (Hash::of(algorithm)?, rest.first().map_or(Ok(1), rounds)?);
    let value = ber::octets(value);
    let length = hash.digest(&[]).len();
    let key = derive(hash, For::Mac, &passphrase.wide, &ber::octets(salt), rounds, length);
    Ok(hash.is_hmac(&key, data, &value))
}

/// What `passphrase` makes of `cipher`, which is encrypted with `algorithm`.
pub(super) fn open(algorithm: &Any<'_>, passphrase: &Passphrase, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>, Shut> {
    let members = ber::values(algorithm.data).ok_or(Shut::Damaged)?;
    let [kind, parameters] = members.as_slice() else { return Err(Shut::Damaged) };
    let kind = ber::oid(kind).ok_or(Shut::Damaged)?;
    let parameters = ber::values(parameters.data).ok_or(Shut::Damaged)?;
    let [first, second] = parameters.as_slice() else { return Err(Shut::Unknown(kind.to_id_string())) };
    if kind == PBES2 {
        return open_pbes2(first, second, passphrase, cipher);
    }
    let (salt, rounds) = (ber::octets(first), rounds(second)?);
    let made = |purpose, length| derive(Hash::Sha1, purpose, &passphrase.wide, &salt, rounds, length);
    let iv = made(For::Iv, 8);
    match PKCS12_SCHEMES.iter().find(|(oid, _)| *oid == kind).map(|(_, scheme)| scheme) {
        Some(Scheme::TripleDes3) => decrypt::<TdesEde3>(&made(For::Key, 24), &iv, cipher),
        Some(Scheme::TripleDes2) => decrypt::<TdesEde2>(&made(For::Key, 16), &iv, cipher),
        Some(Scheme::Rc2(length)) => {
            let key = made(For::Key, *length);
            let cipher_of_key = Rc2::new_with_eff_key_len(&key, 8 * length);
            finish(Decryptor::inner_iv_slice_init(cipher_of_key, &iv).map_err(|_| Shut::Damaged)?, cipher)
        }
        None => Err(Shut::Unknown(kind.to_id_string())),
    }
}

const PBES2: Oid<'static> = oid!(1.2.840.113549.1.5.13);
const PBKDF2: Oid<'static> = oid!(1.2.840.113549.1.5.12);

/// The schemes of PKCS #12 (RFC 7292, appendix C) but those with RC4.
enum Scheme {
    TripleDes3,
    TripleDes2,
    /// With a key of so many bytes.
    Rc2(usize),
}

const PKCS12_SCHEMES: [(Oid<'static>, Scheme); 4] = [
    (oid!(1.2.840.113549.1.12.1.3), Scheme::TripleDes3),
    (oid!(1.2.840.113549.1.12.1.4), Scheme::TripleDes2),
    (oid!(1.2.840.113549.1.12.1.5), Scheme::Rc2(16)),
    (oid!(1.2.840.113549.1.12.1.6), Scheme::Rc2(5)),
];

/// Whether `algorithm` is one that a passphrase opens.
pub(super) fn is_scheme(algorithm: &Any<'_>) -> bool {
    let of_pkcs = |kind: Oid<'_>| {
        let kind = kind.to_id_string();
        ["1.2.840.113549.1.5.", "1.2.840.113549.1.12.1."].iter().any(|start| kind.starts_with(start))
    };
    ber::first_oid(algorithm).is_some_and(of_pkcs)
}

fn open_pbes2(
    derivation: &Any<'_>,
    scheme: &Any<'_>,
    passphrase: &Passphrase,
    cipher: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Shut> {
    let derivation = ber::values(derivation.data).ok_or(Shut::Damaged)?;
    let [kind, parameters] = derivation.as_slice() else { return Err(Shut::Damaged) };
    let kind = ber::oid(kind).ok_or(Shut::Damaged)?;
    if kind != PBKDF2 {
        return Err(Shut::Unknown(kind.to_id_string()));
    }
    let parameters = ber::values(parameters.data).ok_or(Shut::Damaged)?;
    let [salt, count, rest @ ..] = parameters.as_slice() else { return Err(Shut::Damaged) };
    // An optional length, which the cipher says too, may stand before the hash.
    let hash = rest.iter().find(|value| value.header.is_constructed()).map_or(Ok(Hash::Sha1), Hash::of)?;
    let (salt, rounds) = (ber::octets(salt), rounds(count)?);
    let key = |length| {
        let mut key = Zeroizing::new(vec![0; length]);
        hash.stretch(&passphrase.plain, &salt, rounds, &mut key);
        key
    };
    let scheme = ber::values(scheme.data).ok_or(Shut::Damaged)?;
    let [kind, iv] = scheme.as_slice() else { return Err(Shut::Damaged) };
    let (kind, iv) = (ber::oid(kind).ok_or(Shut::Damaged)?, ber::octets(iv));
    match kind.to_id_string().as_str() {
        "2.16.840.1.101.3.4.1.2" => decrypt::<Aes128>(&key(16), &iv, cipher),
        "2.16.840.1.101.3.4.1.22" => decrypt::<Aes192>(&key(24), &iv, cipher),
        "2.16.840.1.101.3.4.1.42" => decrypt::<Aes256>(&key(32), &iv, cipher),
        "1.2.840.113549.3.7" => decrypt::<TdesEde3>(&key(24), &iv, cipher),
        other => Err(Shut::Unknown(other.to_owned())),
    }
}

fn decrypt<C: BlockCipherDecrypt + KeyInit>(key: &[u8], iv: &[u8], cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>, Shut> {
    let decryptor = Decryptor::<C>::new_from_slices(key, iv).map_err(|_| Shut::Damaged)?;
    finish(decryptor, cipher)
}

/// A wrong passphrase shows in what fills the last block up, nearly always.
fn finish(decryptor: impl BlockModeDecrypt, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>, Shut> {
    let mut bytes = Zeroizing::new(cipher.to_vec());
    let length = decryptor.decrypt_padded::<Pkcs7>(&mut bytes).map_err(|_| Shut::Passphrase)?.len();
    bytes.truncate(length);
    Ok(bytes)
}
