//! Dead peer detection: when a peer that is silent is asked whether it lives (RFC 3706; RFC 7296, section 2.4).

use super::Invalid;

/// The times of dead peer detection, in seconds.
///
/// charon asks when nothing came in for `delay`, neither IKE nor protected packets; it knows one delay, whether traffic
/// goes one way or none at all. Under IKEv2 the question is retransmitted as any other, and the peer is dead when that
/// ends (`retransmit_*` in strongswan.conf). `timeout` counts under IKEv1 alone, from the last packet that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dpd {
    delay: u32,
    timeout: u32,
}

impl Dpd {
    /// The range of both times.
    pub(super) const RANGE: (u32, u32) = (1, 3600);
    /// What a connection has that says nothing. With the retransmissions that the package brings, a dead peer is noticed
    /// within 30 s: 10 + 17.8 s under IKEv2, 28 s with two questions in them under IKEv1.
    pub const DEFAULT: Self = Self { delay: 10, timeout: 28 };
    /// What connections have that were stored before the times could be chosen.
    pub const STORED: Self = Self { delay: 30, timeout: 150 };

    /// These times.
    ///
    /// # Errors
    /// When one is out of its range.
    pub fn new(delay: i64, timeout: i64) -> Result<Self, Invalid> {
        Ok(Self { delay: Self::seconds(delay)?, timeout: Self::seconds(timeout)? })
    }

    /// One of the times.
    ///
    /// # Errors
    /// When it is out of its range.
    pub fn seconds(seconds: i64) -> Result<u32, Invalid> {
        let (low, high) = Self::RANGE;
        let inside = u32::try_from(seconds).ok().filter(|s| (low..=high).contains(s));
        inside.ok_or_else(|| Invalid::new(format!("must be in range of [{low}, {high}]")))
    }

    /// Seconds of silence before the peer is asked.
    #[must_use]
    pub fn delay(self) -> u32 {
        self.delay
    }

    /// Seconds after its last packet until a silent peer is dead, under IKEv1.
    #[must_use]
    pub fn timeout(self) -> u32 {
        self.timeout
    }

    /// The same with these times in place of its own.
    #[must_use]
    pub fn with(self, delay: Option<u32>, timeout: Option<u32>) -> Self {
        Self { delay: delay.unwrap_or(self.delay), timeout: timeout.unwrap_or(self.timeout) }
    }
}
