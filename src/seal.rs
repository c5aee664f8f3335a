//! Bytes under a passphrase. Argon2id makes the key, so that guessing a passphrase costs memory and time;
//! ChaCha20-Poly1305 hides the bytes and shows every change of them. Pure, but for the random salt and nonce.
//!
//! ```text
//! "cygnet-sealed\n"  version u8  memory u32 (KiB)  passes u32  lanes u32   numbers: most significant byte first
//! salt 16  check 16  nonce 12   ciphertext, with its tag of 16
//! ```
//!
//! The check is made of the passphrase beside the key: it tells a wrong passphrase from damage, and ties the ciphertext
//! to one passphrase, which Poly1305 alone does not.

use argon2::{Algorithm, Argon2, Params, Version};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How sealed bytes begin.
const MAGIC: &[u8] = b"cygnet-sealed\n";
/// The only layout so far.
const LAYOUT: u8 = 1;
/// Where the salt, the check, the nonce and the ciphertext begin.
const SALT: usize = MAGIC.len() + 1 + 12;
const CHECK: usize = SALT + 16;
const NONCE: usize = CHECK + 16;
const TEXT: usize = NONCE + NONCE_LEN;
/// The length of the key, and with the check.
const KEY: usize = 32;
const MADE: usize = KEY + 16;

/// What making the key costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// What new seals cost: the second choice of RFC 9106, section 4, for hosts with little memory, in one lane.
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
/// The most that a file may demand of the reader: it is a stranger's until it is open.
const MOST: Cost = Cost { memory_kib: 256 * 1024, passes: 16, lanes: 16 };

/// Why bytes cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// They are something else.
    #[error("it is not sealed by cygnet")]
    NotSealed,
    /// A later program made them.
    #[error("it has layout {0}, and this program reads layout {LAYOUT}: open it with a newer cygnet")]
    Newer(u8),
    /// They end before the sealed part begins.
    #[error("it is cut off")]
    Cut,
    /// Their header asks for more than a reader gives.
    #[error("its header asks for more memory or time than a seal of cygnet needs: it is damaged, or not from cygnet")]
    TooCostly,
    /// The passphrase did not make them.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// They are not what was sealed.
    #[error("it is damaged: it was cut off or changed after it was sealed")]
    Damaged,
    /// There is no passphrase.
    #[error("the passphrase is empty")]
    NoPassphrase,
    /// A fault of this host.
    #[error("the key cannot be made: {0}")]
    Host(String),
}

/// Whether `bytes` begin as sealed ones do.
#[must_use]
pub fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// `plain` under `passphrase`: other bytes at each call.
///
/// # Errors
/// When the passphrase is empty, or this host gives no random bytes or too little memory.
pub fn seal(passphrase: &str, plain: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut sealed = Vec::with_capacity(TEXT + plain.len() + CHACHA20_POLY1305.tag_len());
    sealed.extend_from_slice(MAGIC);
    sealed.push(LAYOUT);
    for number in [COST.memory_kib, COST.passes, COST.lanes] {
        sealed.extend_from_slice(&number.to_be_bytes());
    }
    let mut random = [0; 16 + NONCE_LEN];
    getrandom::fill(&mut random).map_err(|e| Fault::Host(e.to_string()))?;
    let (salt, nonce) = random.split_at(16);
    let made = derive(passphrase, salt, COST)?;
    sealed.extend_from_slice(salt);
    sealed.extend_from_slice(&made[KEY..]);
    sealed.extend_from_slice(nonce);
    let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + CHACHA20_POLY1305.tag_len()));
    text.extend_from_slice(plain);
    let (key, nonce) = (key(&made)?, self::nonce(nonce)?);
    let fail = |_| Fault::Host("the bytes are too long for one seal".into());
    key.seal_in_place_append_tag(nonce, Aad::from(&sealed[..TEXT]), &mut *text).map_err(fail)?;
    sealed.extend_from_slice(&text);
    Ok(sealed)
}

/// What was sealed under `passphrase`.
///
/// # Errors
/// When `sealed` is no such thing, was changed, or is under another passphrase. Nothing of it is returned then.
pub fn open(passphrase: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let rest = sealed.strip_prefix(MAGIC).ok_or(Fault::NotSealed)?;
    match rest.first() {
        Some(&LAYOUT) => {}
        Some(&layout) if layout > LAYOUT => return Err(Fault::Newer(layout)),
        Some(_) => return Err(Fault::NotSealed),
        None => return Err(Fault::Cut),
    }
    let (header, text) = sealed.split_at_checked(TEXT).ok_or(Fault::Cut)?;
    let number = |at: usize| header[at..at + 4].iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
    let at = MAGIC.len() + 1;
    let cost = Cost { memory_kib: number(at), passes: number(at + 4), lanes: number(at + 8) };
    if cost.memory_kib > MOST.memory_kib || cost.passes > MOST.passes || cost.lanes > MOST.lanes {
        return Err(Fault::TooCostly);
    }
    let made = derive(passphrase, &header[SALT..CHECK], cost)?;
    if !bool::from(made[KEY..].ct_eq(&header[CHECK..NONCE])) {
        return Err(Fault::WrongPassphrase);
    }
    let mut plain = Zeroizing::new(text.to_vec());
    let (key, nonce) = (key(&made)?, nonce(&header[NONCE..])?);
    let length = key.open_in_place(nonce, Aad::from(header), &mut plain).map_err(|_| Fault::Damaged)?.len();
    plain.truncate(length);
    Ok(plain)
}

/// The key, and the check behind it.
fn derive(passphrase: &str, salt: &[u8], cost: Cost) -> Result<Zeroizing<[u8; MADE]>, Fault> {
    if passphrase.is_empty() {
        return Err(Fault::NoPassphrase);
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(MADE)).map_err(|_| Fault::Damaged)?;
    let mut made = Zeroizing::new([0; MADE]);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(passphrase.as_bytes(), salt, &mut *made).map_err(|e| Fault::Host(e.to_string()))?;
    Ok(made)
}

fn key(made: &[u8; MADE]) -> Result<LessSafeKey, Fault> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &made[..KEY]);
    key.map(LessSafeKey::new).map_err(|_| Fault::Host("the key has the wrong length".into()))
}

fn nonce(bytes: &[u8]) -> Result<Nonce, Fault> {
    Nonce::try_assume_unique_for_key(bytes).map_err(|_| Fault::Cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSPHRASE: &str = "test-only passphrase ü";

    #[test]
    fn what_is_sealed_is_opened_by_its_passphrase_alone() {
        for plain in [&b""[..], b"test-only", &vec![7; 100_000]] {
            let sealed = seal(PASSPHRASE, plain).expect("sealed");
            assert!(is_sealed(&sealed) && !is_sealed(plain));
            assert_eq!(open(PASSPHRASE, &sealed).as_deref(), Ok(&plain.to_vec()));
            assert_eq!(open("test-only passphrase u", &sealed), Err(Fault::WrongPassphrase));
        }
        assert_eq!(seal("", b"test-only"), Err(Fault::NoPassphrase));
    }

    #[test]
    fn two_seals_of_the_same_share_nothing_but_the_beginning_and_show_nothing() {
        let plain = b"test-only-canary".repeat(4);
        let (a, b) = (seal(PASSPHRASE, &plain).expect("sealed"), seal(PASSPHRASE, &plain).expect("sealed"));
        assert_eq!(a[..SALT], b[..SALT]);
        for from in [SALT, CHECK, NONCE, TEXT] {
            assert_ne!(a[from..from + 12], b[from..from + 12]);
        }
        assert!(!a.windows(16).any(|window| window == b"test-only-canary"));
    }

    #[test]
    fn every_bit_counts() {
        let sealed = seal(PASSPHRASE, b"test-only").expect("sealed");
        // Each byte once: of the costs only bits that stay payable, which the limits below hold the others to.
        let payable = MAGIC.len() + 4..MAGIC.len() + 5;
        let places = (0..=MAGIC.len()).chain(payable).chain([SALT, CHECK, NONCE, TEXT, sealed.len() - 1]);
        for place in places {
            let mut other = sealed.clone();
            other[place] ^= 1;
            assert!(open(PASSPHRASE, &other).is_err(), "byte {place}");
        }
    }

    #[test]
    fn what_is_cut_off_longer_newer_or_something_else_is_refused() {
        let sealed = seal(PASSPHRASE, b"test-only").expect("sealed");
        for length in 0..MAGIC.len() {
            assert_eq!(open(PASSPHRASE, &sealed[..length]), Err(Fault::NotSealed));
        }
        for length in MAGIC.len()..TEXT {
            let outcome = open(PASSPHRASE, &sealed[..length]);
            assert_eq!(outcome, Err(Fault::Cut), "{length}");
        }
        for length in [TEXT, TEXT + 1, sealed.len() - 1] {
            assert_eq!(open(PASSPHRASE, &sealed[..length]), Err(Fault::Damaged));
        }
        assert_eq!(open(PASSPHRASE, &[&sealed[..], b"x"].concat()), Err(Fault::Damaged));
        let mut newer = sealed;
        newer[MAGIC.len()] = 2;
        assert_eq!(open(PASSPHRASE, &newer), Err(Fault::Newer(2)));
        assert_eq!(open(PASSPHRASE, b"{}"), Err(Fault::NotSealed));
    }

    #[test]
    fn a_header_that_asks_for_too_much_costs_nothing() {
        let sealed = seal(PASSPHRASE, b"test-only").expect("sealed");
        for (at, number) in [(0, u32::MAX), (0, MOST.memory_kib + 1), (4, u32::MAX), (4, 17), (8, 17), (8, u32::MAX)] {
            let mut bomb = sealed.clone();
            let at = MAGIC.len() + 1 + at;
            bomb[at..at + 4].copy_from_slice(&number.to_be_bytes());
            assert_eq!(open(PASSPHRASE, &bomb), Err(Fault::TooCostly));
        }
        for at in [0, 4, 8] {
            let mut nothing = sealed.clone();
            nothing[MAGIC.len() + 1 + at..][..4].fill(0);
            assert_eq!(open(PASSPHRASE, &nothing), Err(Fault::Damaged));
        }
    }
}
