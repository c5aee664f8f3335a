//! Whether a pre-shared key is short, or can be guessed: a peer that is attacked from the middle gives away enough of an
//! IKE_AUTH exchange to try keys at leisure. What is found names no part of the key.

use super::{Finding, Weakness};
use crate::ipsec::{Connection, Identity, Part};
use zeroize::Zeroizing;

/// A key with fewer bytes is short: 16 random ones are 128 bits if they are binary, and about 100 as text.
const SHORT: usize = 16;
/// Of a key, this many bytes must be left when everything that can be guessed is taken away.
const LEFT: usize = 8;
/// A key with fewer different bytes can be guessed.
const DIFFERENT: usize = 6;

/// Words that keys are made of when people make them up.
const WORDS: [&str; 42] = [
    "password",
    "passw0rd",
    "passwort",
    "secret",
    "changeme",
    "change",
    "default",
    "admin",
    "root",
    "test",
    "demo",
    "example",
    "sample",
    "welcome",
    "letmein",
    "qwerty",
    "asdf",
    "zxcv",
    "ipsec",
    "strongswan",
    "cygnet",
    "zstack",
    "vpn",
    "tunnel",
    "shared",
    "preshared",
    "pre",
    "psk",
    "key",
    "site",
    "office",
    "branch",
    "gateway",
    "peer",
    "only",
    "of",
    "the",
    "to",
    "my",
    "auth",
    "abc",
    "123",
];

/// What is weak about `key`, one finding at most of each kind.
pub(super) fn weaknesses(key: &[u8], connection: &Connection) -> Vec<Finding> {
    let mut found = Vec::new();
    if key.len() < SHORT {
        let advice = format!("has fewer than {SHORT} bytes; choose 32 random characters or more");
        found.push(Weakness::ShortKey.at(Part::Psk, advice));
    }
    if let Some(why) = guessable(key, connection) {
        let advice = format!("can be guessed: {why}; choose 32 random characters or more");
        found.push(Weakness::GuessableKey.at(Part::Psk, advice));
    }
    found
}

/// Why the key can be guessed, if it can.
fn guessable(key: &[u8], connection: &Connection) -> Option<&'static str> {
    let lower = Zeroizing::new(key.to_ascii_lowercase());
    if different(&lower) < DIFFERENT {
        Some("it has few different characters")
    } else if is_repeated(&lower) {
        Some("it repeats itself")
    } else if is_sequence(&lower) {
        Some("it follows the order of the alphabet or of the digits")
    } else if lower.len() < 20 && lower.iter().all(u8::is_ascii_digit) {
        Some("it has digits only")
    } else if is_made_of(&lower, &own_words(connection)) {
        Some("it is made of the connection's own addresses and identities")
    } else if is_made_of(&lower, &WORDS.map(str::to_owned)) {
        Some("it is made of common words")
    } else {
        None
    }
}

fn different(key: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in key {
        seen[usize::from(*byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count()
}

/// Whether a part of at most half the key, again and again, is the key.
fn is_repeated(key: &[u8]) -> bool {
    let period = key.len() - border(key.len(), |a, b| key[a] == key[b]);
    period <= key.len() / 2 && period > 0
}

/// The length of the longest beginning, short of all, that is also the end of a text of `length` bytes (Knuth, Morris and
/// Pratt). `same` compares the bytes at two places; it is called at most three times
/// for each byte.
fn border(length: usize, mut same: impl FnMut(usize, usize) -> bool) -> usize {
    // Numbers that tell how a key repeats itself are a part of it.
    let mut borders = Zeroizing::new(vec![0; length]);
    let mut longest = 0;
    for at in 1..length {
        while longest > 0 && !same(at, longest) {
            longest = borders[longest - 1];
        }
        longest += usize::from(same(at, longest));
        borders[at] = longest;
    }
    longest
}

/// Whether most bytes are the neighbours, in order, of those before them.
fn is_sequence(key: &[u8]) -> bool {
    let steps = key.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 1).count();
    steps * 4 >= key.len().saturating_sub(1) * 3
}

/// Whether fewer than [`LEFT`] bytes are left of the key without `words`. It looks no further than at the byte that
/// makes them enough.
fn is_made_of(key: &[u8], words: &[String]) -> bool {
    let (mut left, mut at) = (0, 0);
    while at < key.len() && left < LEFT {
        let here = words.iter().filter(|word| key[at..].starts_with(word.as_bytes())).map(String::len).max();
        match here {
            Some(length) if length > 0 => at += length,
            // What joins words is no secret either.
            _ => {
                left += usize::from(!b"-_.:/@#!".contains(&key[at]));
                at += 1;
            }
        }
    }
    left < LEFT
}

/// What stands in the connection beside the key, in lower case.
fn own_words(connection: &Connection) -> Vec<String> {
    let addresses = [connection.local_addr].into_iter().chain(connection.remote_addr.ip());
    let addresses = addresses.map(|address| address.to_string());
    let identities = [&connection.local_id, &connection.remote_id].map(Identity::plain);
    let mut words: Vec<_> = addresses.chain(identities).map(|word| word.to_lowercase()).collect();
    words.push(connection.id().to_string());
    words.retain(|word| word.len() >= 4);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What [`is_repeated`] must say, by trying every part.
    fn repeats(key: &[u8]) -> bool {
        (1..=key.len() / 2).any(|period| key.iter().zip(&key[period..]).all(|(a, b)| a == b))
    }

    proptest! {
        #[test]
        fn a_key_repeats_itself_as_trying_every_part_says(
            part in prop::collection::vec(b'a'..=b'c', 0..8),
            times in 0_usize..6,
            rest in prop::collection::vec(b'a'..=b'c', 0..8),
        ) {
            let key = [part.repeat(times), rest].concat();
            prop_assert_eq!(is_repeated(&key), repeats(&key), "{:?}", key);
        }
    }

    #[test]
    fn the_steps_grow_with_the_length_of_the_key_alone() {
        for length in [64, 4096, 65_536] {
            let alike = vec![b'a'; length];
            let other_end = [vec![b'a'; length - 1], vec![b'b']].concat();
            let halves = [vec![b'a'; length / 2 - 1], vec![b'b'], vec![b'a'; length / 2]].concat();
            for key in [alike, other_end, halves] {
                let mut steps = 0;
                border(key.len(), |a, b| {
                    steps += 1;
                    key[a] == key[b]
                });
                assert!(steps <= 3 * key.len(), "{steps} steps for {} bytes", key.len());
            }
        }
    }
}
