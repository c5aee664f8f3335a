//! The check of a password: Argon2id, in memory that is taken once and kept. Taken and given back for each check, its
//! nineteen mebibytes would fragment the heap.

use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The memory, empty until the first check.
#[derive(Default)]
pub struct Arena(Vec<Block>);

impl Arena {
    /// Whether `hash` (an Argon2 string) is that of `digest`. It takes a while, on purpose.
    pub fn is_right(&mut self, hash: &str, digest: &str) -> bool {
        let given = PasswordHash::new(hash).ok().and_then(|hash| self.compare(&hash, digest.as_bytes()));
        given.unwrap_or(false)
    }

    /// Whether a password was ever looked at in it.
    #[cfg(test)]
    #[must_use]
    pub fn was_used(&self) -> bool {
        !self.0.is_empty()
    }

    fn compare(&mut self, hash: &PasswordHash<'_>, digest: &[u8]) -> Option<bool> {
        let algorithm = Algorithm::try_from(hash.algorithm).ok()?;
        let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
        let params = Params::try_from(hash).ok()?;
        let (expected, mut salt) = (hash.hash?, [0; 64]);
        let salt = hash.salt?.decode_b64(&mut salt).ok()?;
        let mut made = Zeroizing::new(vec![0; expected.len()]);
        let blocks = self.blocks(params.block_count());
        let outcome = Argon2::new(algorithm, version, params).hash_password_into_with_memory(
            digest,
            salt,
            &mut made,
            &mut *blocks,
        );
        // What the password was made into stays nowhere.
        blocks.fill(Block::new());
        outcome.ok()?;
        Some(expected.as_bytes().ct_eq(&made).into())
    }

    /// So many blocks, of those that there are; more are made once, when a hash wants more than all before it.
    fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            // Not beside the old ones: what grows would be copied.
            self.0 = Vec::new();
            self.0.resize(count, Block::new());
        }
        &mut self.0[..count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::{PasswordHasher, password_hash::SaltString};

    fn hash(password: &str, kib: u32) -> String {
        let salt = SaltString::encode_b64(b"test-only-salt").expect("a salt");
        let params = Params::new(kib, 1, 1, None).expect("parameters");
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password(password.as_bytes(), &salt).expect("hashed").to_string()
    }

    #[test]
    fn all_checks_use_the_same_memory_and_leave_nothing_in_it() {
        let mut arena = Arena::default();
        let (large, small) = (hash("test-only", 64), hash("test-only", 16));
        assert!(arena.is_right(&large, "test-only"));
        let place = arena.0.as_ptr();
        for _ in 0..40 {
            assert!(arena.is_right(&small, "test-only") && !arena.is_right(&large, "test-only-wrong"));
            assert!(arena.is_right(&large, "test-only"));
        }
        assert_eq!((arena.0.as_ptr(), arena.0.len()), (place, 64));
        assert!(arena.0.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
        assert!(!arena.is_right("", "") && !arena.is_right("$argon2id$v=19$m=16,t=1,p=1", ""));
    }
}
