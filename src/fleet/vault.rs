//! The secrets of a spec under the keys of the fleet. A sealed value is a text in the place of the plain one:
//!
//! ```text
//! cygnet-sealed:1:<id of the key>:<base64 of nonce and ciphertext>      ChaCha20-Poly1305
//! ```
//!
//! Gateway, uuid and member are the associated data, so a value opens only in its own place. A key's id is made of the key.

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// How sealed values begin.
const MAGIC: &str = "cygnet-sealed:1:";
/// The length of a key in bytes.
const KEY: usize = 32;
/// How many keys are accepted: the one that seals, and its predecessor or successor.
const MOST: usize = 2;

/// A key of the fleet.
struct FleetKey {
    id: String,
    bytes: Zeroizing<[u8; KEY]>,
}

/// The keys of the fleet: the first one seals, all open.
pub struct FleetKeys(Vec<FleetKey>);

impl std::fmt::Debug for FleetKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// The place of a value, which it is tied to.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The gateway.
    pub gateway: &'a str,
    /// The last part of the spec's key.
    pub part: &'a str,
}

impl Place<'_> {
    fn bytes(&self, member: &str) -> Vec<u8> {
        [b"cygnet-fleet", self.gateway.as_bytes(), self.part.as_bytes(), member.as_bytes()].join(&0)
    }
}

/// Whether a member of a spec holds a secret: pre-shared keys, private keys, PPKs, and what later versions call so.
pub fn is_secret(member: &str) -> bool {
    let name = member.to_ascii_lowercase();
    // Not `ppkId`: the name of a PPK is no secret.
    ["key", "ppk", "secret", "password"].iter().any(|word| name.ends_with(word))
}

/// Whether `value` is a sealed one.
pub fn is_sealed(value: &str) -> bool {
    value.starts_with(MAGIC)
}

/// A new key as it stands in a key file.
pub fn new_key() -> Result<Zeroizing<String>, String> {
    let mut bytes = Zeroizing::new([0; KEY]);
    getrandom::fill(&mut *bytes).map_err(|error| format!("this host gives no random bytes: {error}"))?;
    Ok(Zeroizing::new(HEXLOWER.encode(&*bytes)))
}

impl FleetKeys {
    /// No key: nothing is sealed, and nothing sealed is opened.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The keys in the text of a key file: one or two lines of 64 hexadecimal digits; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = lines.map(|line| {
            let wrong = || "each line must have 64 hexadecimal digits, as `cygnet-fleet keygen` makes them".to_owned();
            let decoded = Zeroizing::new(HEXLOWER_PERMISSIVE.decode(line.as_bytes()).map_err(|_| wrong())?);
            let bytes = Zeroizing::new(<[u8; KEY]>::try_from(decoded.as_slice()).map_err(|_| wrong())?);
            let id = HEXLOWER.encode(&mac(&*bytes, &[b"key id"]).as_ref()[..4]);
            Ok(FleetKey { id, bytes })
        });
        let keys = keys.collect::<Result<Vec<_>, String>>()?;
        match keys.len() {
            0 => Err("it has no key: make one with `cygnet-fleet keygen`".into()),
            1..=MOST => Ok(Self(keys)),
            more => Err(format!("it has {more} keys, and at most {MOST} are accepted: remove the oldest")),
        }
    }

    /// Whether there is a key.
    pub fn can_seal(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether `spec` has a value that is not under the first key.
    pub fn is_outdated(&self, spec: &Map<String, Value>) -> bool {
        let Some(first) = self.0.first() else { return false };
        let beginning = format!("{MAGIC}{}:", first.id);
        secrets(spec).any(|(_, value)| !value.starts_with(&beginning))
    }

    /// Seals the secrets of `spec` that are not sealed.
    pub fn seal(&self, place: Place<'_>, spec: &mut Map<String, Value>) -> Result<(), String> {
        let Some(key) = self.0.first() else { return Ok(()) };
        for (member, value) in spec.iter_mut().filter(|(member, _)| is_secret(member)) {
            if let Value::String(text) = value
                && !is_sealed(text)
            {
                let sealed = seal(key, &place.bytes(member), text.as_bytes())?;
                drop(Zeroizing::new(std::mem::replace(text, sealed)));
            }
        }
        Ok(())
    }

    /// Opens the secrets of `spec`. One that is not sealed is refused unless `allow_unsealed`.
    pub fn open(&self, place: Place<'_>, spec: &mut Map<String, Value>, allow_unsealed: bool) -> Result<(), String> {
        for (member, value) in spec.iter_mut().filter(|(member, _)| is_secret(member)) {
            let Value::String(text) = value else { continue };
            if let Some(rest) = text.strip_prefix(MAGIC) {
                let plain = self.open_one(rest, &place.bytes(member)).map_err(|why| format!("{member}: {why}"))?;
                *text = plain;
            } else if !allow_unsealed {
                return Err(format!(
                    "{member}: it is not sealed: write it with `cygnet-fleet put` and a fleet key, or set allow_unsealed"
                ));
            }
        }
        Ok(())
    }

    fn open_one(&self, rest: &str, place: &[u8]) -> Result<String, String> {
        let (id, text) = rest.split_once(':').ok_or("the sealed value is cut off")?;
        let key = self.0.iter().find(|key| key.id == id).ok_or_else(|| {
            format!("it is sealed under the fleet key {id}, which this host does not have: add it to fleet_key_file")
        })?;
        let mut bytes = BASE64.decode(text.as_bytes()).map_err(|_| "the sealed value is damaged")?;
        let (nonce, cipher) = bytes.split_at_mut_checked(NONCE_LEN).ok_or("the sealed value is cut off")?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| "the sealed value is cut off")?;
        let plain = aead(key)?.open_in_place(nonce, Aad::from(place), cipher).map_err(
            |_| "the sealed value is damaged, or was sealed for another gateway, uuid or member: seal it anew",
        )?;
        let plain = Zeroizing::new(plain.to_vec());
        drop(Zeroizing::new(bytes));
        std::str::from_utf8(&plain).map(str::to_owned).map_err(|_| "the sealed value is no text".into())
    }

    /// What stands for `secret` in a guard: the same for the same secret, and nobody without the fleet key can guess it.
    /// One for each key, the first key's first. Without a key the specs show their secrets anyway.
    pub fn digests(&self, gateway: &str, secret: &str) -> Vec<String> {
        let of = |key: &[u8]| HEXLOWER.encode(mac(key, &[b"guard", gateway.as_bytes(), secret.as_bytes()]).as_ref());
        if self.0.is_empty() { vec![of(b"unsealed")] } else { self.0.iter().map(|key| of(&*key.bytes)).collect() }
    }
}

/// The secrets of a spec that are texts.
fn secrets(spec: &Map<String, Value>) -> impl Iterator<Item = (&str, &str)> {
    let texts = spec.iter().filter_map(|(member, value)| Some((member.as_str(), value.as_str()?)));
    texts.filter(|(member, _)| is_secret(member))
}

fn seal(key: &FleetKey, place: &[u8], plain: &[u8]) -> Result<String, String> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|error| format!("this host gives no random bytes: {error}"))?;
    let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + CHACHA20_POLY1305.tag_len()));
    text.extend_from_slice(plain);
    let unique = Nonce::assume_unique_for_key(nonce);
    let too_long = |_| "the secret is too long".to_owned();
    aead(key)?.seal_in_place_append_tag(unique, Aad::from(place), &mut *text).map_err(too_long)?;
    Ok(format!("{MAGIC}{}:{}", key.id, BASE64.encode(&[&nonce[..], &text].concat())))
}

fn aead(key: &FleetKey) -> Result<LessSafeKey, String> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &*key.bytes);
    key.map(LessSafeKey::new).map_err(|_| "the fleet key has the wrong length".into())
}

/// HMAC-SHA-256 of `parts`, which no other parts have.
fn mac(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLACE: Place<'_> = Place { gateway: "g1", part: "aa" };

    fn keys(texts: &[u8]) -> FleetKeys {
        let lines: Vec<_> = texts.iter().map(|byte| HEXLOWER.encode(&[*byte; KEY])).collect();
        let lines = lines.join("\n") + "\n";
        FleetKeys::parse(&format!("# test keys\n{lines}")).expect("keys")
    }

    fn spec() -> Map<String, Value> {
        json!({ "name": "x", "authKey": "test-only-canary" }).as_object().cloned().expect("an object")
    }

    #[test]
    fn a_key_opens_in_its_own_place_alone() {
        let keys = keys(&[1]);
        let mut sealed = spec();
        keys.seal(PLACE, &mut sealed).expect("sealed");
        assert!(!Value::from(sealed.clone()).to_string().contains("canary") && !keys.is_outdated(&sealed));
        let mut again = sealed.clone();
        keys.seal(PLACE, &mut again).expect("sealed");
        assert_eq!(again, sealed, "what is sealed stays as it is");
        for (place, opens) in [
            (PLACE, true),
            (Place { part: "ab", ..PLACE }, false),
            (Place { gateway: "g2", ..PLACE }, false),
            (Place { gateway: "g1\0a", part: "a" }, false),
        ] {
            let mut opened = sealed.clone();
            assert_eq!(keys.open(place, &mut opened, false).is_ok(), opens, "{place:?}");
            assert_eq!(opened == spec(), opens);
        }
        let mut moved = sealed.clone();
        let text = moved.shift_remove("authKey").expect("a key");
        moved.insert("ppk".into(), text);
        assert!(keys.open(PLACE, &mut moved, false).is_err(), "the member counts too");
    }

    #[test]
    fn keys_are_secrets_and_their_names_are_not() {
        assert!(["authKey", "ppk", "privateKey", "PPK", "clientSecret"].into_iter().all(is_secret));
        assert!(!["ppkId", "ppkRequired", "idType", "localId", "name", "ikeDhGroup"].into_iter().any(is_secret));
    }

    #[test]
    fn every_byte_counts() {
        let keys = keys(&[1]);
        let mut sealed = spec();
        keys.seal(PLACE, &mut sealed).expect("sealed");
        let text = sealed["authKey"].as_str().expect("a text").to_owned();
        for at in MAGIC.len()..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let mut broken = sealed.clone();
            broken.insert("authKey".into(), String::from_utf8(other).expect("ASCII").into());
            assert!(keys.open(PLACE, &mut broken, true).is_err(), "{at}");
            broken.insert("authKey".into(), text[..at].into());
            assert!(keys.open(PLACE, &mut broken, true).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn two_keys_are_accepted_and_the_first_one_seals() {
        let mut sealed = spec();
        keys(&[1]).seal(PLACE, &mut sealed).expect("sealed");
        let both = keys(&[2, 1]);
        let mut opened = sealed.clone();
        both.open(PLACE, &mut opened, false).expect("the older key opens");
        assert_eq!(opened, spec());
        assert!(both.is_outdated(&sealed));
        let why = keys(&[2]).open(PLACE, &mut sealed, false).expect_err("another key");
        assert!(why.contains("fleet_key_file"), "{why}");
        assert!(FleetKeys::parse("").is_err() && FleetKeys::parse("12").is_err());
        assert!(FleetKeys::parse(&format!("{0}\n{0}\n{0}\n", "00".repeat(KEY))).is_err());
    }

    #[test]
    fn what_is_not_sealed_is_refused_unless_it_is_allowed() {
        let why = keys(&[1]).open(PLACE, &mut spec(), false).expect_err("unsealed");
        assert!(why.contains("authKey") && !why.contains("canary"), "{why}");
        assert_eq!(FleetKeys::none().open(PLACE, &mut spec(), true), Ok(()));
        let mut without = json!({ "name": "x" }).as_object().cloned().expect("an object");
        assert_eq!(keys(&[1]).open(PLACE, &mut without, false), Ok(()));
    }

    #[test]
    fn a_guard_shows_no_secret() {
        let (one, two) = (keys(&[1]), keys(&[2, 1]));
        let digest = one.digests("g1", "test-only-canary");
        assert_eq!(digest, one.digests("g1", "test-only-canary"));
        assert_ne!(digest, one.digests("g1", "test-only-canarz"));
        assert_ne!(digest, one.digests("g2", "test-only-canary"));
        assert_eq!(two.digests("g1", "test-only-canary")[1], digest[0]);
        assert_ne!(digest, FleetKeys::none().digests("g1", "test-only-canary"));
    }
}
