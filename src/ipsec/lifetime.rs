//! Lifetimes. The API's number is the hard end of an SA; rekeying must be over before it.

use super::Invalid;

/// The hard lifetime of an SA in seconds, with the times that follow from it.
///
/// Invariant, for every value that exists: `0 < rand < rekey < hard` and `rekey + over == hard`
/// (strongSwan accepts the opposite and then cuts the tunnel at each expiry; facts 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(u32);

impl Lifetime {
    /// The range of an IKE SA's lifetime, in seconds.
    pub const IKE: (u32, u32) = (60, 604_800);
    /// The range of a CHILD_SA's lifetime, in seconds.
    pub const CHILD: (u32, u32) = (30, 604_800);

    /// An IKE SA's lifetime of `seconds`.
    ///
    /// # Errors
    /// When it is outside [`Lifetime::IKE`].
    pub fn ike(seconds: i64) -> Result<Self, Invalid> {
        Self::within(seconds, Self::IKE)
    }

    /// A CHILD_SA's lifetime of `seconds`.
    ///
    /// # Errors
    /// When it is outside [`Lifetime::CHILD`].
    pub fn child(seconds: i64) -> Result<Self, Invalid> {
        Self::within(seconds, Self::CHILD)
    }

    fn within(seconds: i64, (low, high): (u32, u32)) -> Result<Self, Invalid> {
        // Peers with longer ones, or none, are usual.
        let why = "; the peer may have another one: the end with the shorter one makes the new SA";
        let why = if seconds > i64::from(high) { why } else { "" };
        u32::try_from(seconds)
            .ok()
            .filter(|s| (low..=high).contains(s))
            .map(Self)
            .ok_or_else(|| Invalid::new(format!("must be in range of [{low}, {high}]{why}")))
    }

    /// The hard end, in seconds after the SA was made.
    #[must_use]
    pub fn hard(self) -> u32 {
        self.0
    }

    /// When rekeying starts at the latest: ten elevenths of the hard end, strongSwan's own ratio.
    #[must_use]
    pub fn rekey(self) -> u32 {
        self.0 * 10 / 11
    }

    /// What remains for rekeying between [`Lifetime::rekey`] and the hard end.
    #[must_use]
    pub fn over(self) -> u32 {
        self.0 - self.rekey()
    }

    /// Rekeying starts earlier by a random time up to this, so that peers do not collide.
    #[must_use]
    pub fn rand(self) -> u32 {
        self.rekey() / 10
    }
}

/// How many bytes a CHILD_SA carries in one direction before it is rekeyed, with the limits that follow from it.
///
/// Invariant, for every value that exists: `rand < rekey < hard`. Unlike time, bytes may run out at any speed: so the margin
/// is never less than what 128 Mbit/s carry in 4 s, until charon's first retransmission of a rekeying that got lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteLifetime(u64);

impl ByteLifetime {
    /// The least. A line of 1 Gbit/s rekeys twice a second under it, and charon keeps each replaced SA for 5 s.
    pub const MIN: u64 = 64 << 20;
    /// The most: every reader of JSON has whole numbers up to this one.
    pub const MAX: u64 = (1 << 53) - 1;

    /// A CHILD_SA that is rekeyed after `bytes`.
    #[must_use]
    pub fn new(bytes: u64) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&bytes).then_some(Self(bytes))
    }

    /// When rekeying starts at the latest.
    #[must_use]
    pub fn rekey(self) -> u64 {
        self.0
    }

    /// The hard end: a tenth later, as strongSwan has it, but at least [`ByteLifetime::MIN`].
    #[must_use]
    pub fn hard(self) -> u64 {
        self.0 + (self.0 / 10).max(Self::MIN)
    }

    /// Rekeying starts earlier by a random number of bytes up to this, so that peers do not collide.
    #[must_use]
    pub fn rand(self) -> u64 {
        self.0 / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lifetime_leaves_room_for_rekeying() {
        for seconds in 30..=604_800 {
            let life = Lifetime::child(seconds).expect("in range");
            assert!(0 < life.rand() && life.rand() < life.rekey() && life.rekey() < life.hard(), "{seconds}");
            assert_eq!(life.rekey() + life.over(), life.hard());
        }
    }

    #[test]
    fn every_number_of_bytes_leaves_room_for_rekeying() {
        for bytes in [ByteLifetime::MIN, 640 << 20, 640 << 20 | 1, 10_u64.pow(12), ByteLifetime::MAX] {
            let life = ByteLifetime::new(bytes).expect("in range");
            assert!(0 < life.rand() && life.rand() < life.rekey(), "{bytes}");
            assert!(life.rekey() + ByteLifetime::MIN <= life.hard() && life.hard() <= life.rekey() * 2, "{bytes}");
        }
        for bytes in [0, ByteLifetime::MIN - 1, ByteLifetime::MAX + 1, u64::MAX] {
            assert_eq!(ByteLifetime::new(bytes), None, "{bytes}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_inside() {
        for seconds in [60, 604_800] {
            assert!(Lifetime::ike(seconds).is_ok());
        }
        for seconds in [59, 604_801, 0, -60, i64::MAX, i64::MIN] {
            assert!(Lifetime::ike(seconds).is_err(), "{seconds}");
        }
        assert!(Lifetime::child(30).is_ok() && Lifetime::child(29).is_err());
    }
}
