//! The largest packet that fits through an SA without being cut, and the TCP segment in it. Pure arithmetic: RFC 4303
//! (ESP), RFC 4302 (AH), RFC 3948 (ESP in UDP), and of each algorithm its own RFC.

use super::{
    ChildSa, Encryption, IkeSa, Integrity, Mode,
    algorithm::{ENCRYPTION, INTEGRITY},
};

/// The fixed parts of a packet, in bytes.
const IPV4: u32 = 20;
const IPV6: u32 = 40;
const UDP: u32 = 8;
const TCP: u32 = 20;
/// SPI and sequence number (RFC 4303, section 2).
const ESP: u32 = 8;
/// The bytes of pad length and next header, which are encrypted too.
const TRAILER: u32 = 2;
/// AH without its ICV (RFC 4302, section 2).
const AH: u32 = 12;

/// What fits through an SA, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PacketSize {
    /// The largest inner IP packet.
    pub mtu: u32,
    /// The largest TCP segment in it, without options.
    pub mss: u32,
}

/// What an encryption algorithm adds to a packet, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cipher {
    /// The initialisation vector, as it is sent.
    iv: u32,
    /// What the encrypted part is padded to a multiple of; at least 4 (RFC 4303, section 2.4).
    block: u32,
    /// Its own ICV, if it authenticates.
    icv: u32,
}

/// RFC 2451 (3DES), RFC 3602 (AES-CBC), RFC 4106 (AES-GCM), RFC 7634 (ChaCha20-Poly1305).
fn cipher(encryption: Encryption) -> Cipher {
    match encryption {
        Encryption::TripleDes => Cipher { iv: 8, block: 8, icv: 0 },
        Encryption::Aes128 | Encryption::Aes192 | Encryption::Aes256 => Cipher { iv: 16, block: 16, icv: 0 },
        Encryption::Aes128Gcm | Encryption::Aes192Gcm | Encryption::Aes256Gcm | Encryption::ChaCha20Poly1305 => {
            Cipher { iv: 8, block: 4, icv: 16 }
        }
    }
}

/// The ICV in bytes: RFC 2403 (MD5), RFC 2404 (SHA-1), RFC 4868 (SHA-2), and its draft, which cut SHA-256 to 96 bits.
fn icv(integrity: Integrity) -> u32 {
    match integrity {
        Integrity::Md5 | Integrity::Sha1 | Integrity::Sha256Cut => 12,
        Integrity::Sha256 => 16,
        Integrity::Sha384 => 24,
        Integrity::Sha512 => 32,
    }
}

/// What fits through `sa` of `ike`, whose packets to the peer may have `path` bytes. An SA does not say whether its hash
/// `is_cut`: its configuration does. `None` where the SA does not say all
/// that it takes, or nothing fits.
#[must_use]
pub fn packet_size(ike: &IkeSa, sa: &ChildSa, is_cut: bool, path: u32) -> Option<PacketSize> {
    let outer_is_v6 = ike.remote_host.contains(':');
    let outer = if outer_is_v6 { IPV6 } else { IPV4 };
    let room = path.checked_sub(outer)?;
    let payload = if sa.ah {
        room.checked_sub(authenticated(named_integrity(sa, is_cut)?, outer_is_v6))?
    } else {
        let room = if sa.encap { room.checked_sub(UDP)? } else { room };
        encrypted(named_cipher(sa)?, named_icv(sa, is_cut)?, room)?
    };
    match sa.mode? {
        // A whole packet is the payload; of both families the larger header counts.
        Mode::Tunnel => sized(payload, sa.local.iter().chain(&sa.remote).any(|net| net.contains(':'))),
        // The packet keeps its own header.
        Mode::Transport => sized(payload + outer, outer_is_v6),
    }
}

impl PacketSize {
    /// The same where no packet may be larger than `most`.
    #[must_use]
    pub fn within(self, most: u32) -> Self {
        let less = self.mtu.saturating_sub(most);
        Self { mtu: self.mtu - less, mss: self.mss.saturating_sub(less) }
    }
}

fn sized(mtu: u32, is_v6: bool) -> Option<PacketSize> {
    let header = if is_v6 { IPV6 } else { IPV4 };
    Some(PacketSize { mtu, mss: mtu.checked_sub(header + TCP).filter(|mss| *mss > 0)? })
}

/// AH with its ICV, padded to 4 bytes under IPv4 and to 8 under IPv6 (RFC 4302, section 3.3.3.2.1).
fn authenticated(integrity: Integrity, is_v6: bool) -> u32 {
    (AH + icv(integrity)).next_multiple_of(if is_v6 { 8 } else { 4 })
}

/// The payload that fits into `room` behind the outer header.
fn encrypted(cipher: Cipher, icv: u32, room: u32) -> Option<u32> {
    let padded = room.checked_sub(ESP + cipher.iv + icv)?;
    (padded - padded % cipher.block).checked_sub(TRAILER)
}

fn named_cipher(sa: &ChildSa) -> Option<Cipher> {
    let name = sa.suite.encryption.as_deref()?;
    ENCRYPTION.iter().find(|row| row.charon == name).map(|row| cipher(row.value))
}

fn named_integrity(sa: &ChildSa, is_cut: bool) -> Option<Integrity> {
    let name = sa.suite.integrity.as_deref()?;
    INTEGRITY.iter().find(|row| row.charon == name && row.value.is_cut() == is_cut).map(|row| row.value)
}

/// The ICV of an ESP SA: of its integrity algorithm, or of its cipher.
fn named_icv(sa: &ChildSa, is_cut: bool) -> Option<u32> {
    match named_cipher(sa)?.icv {
        0 => named_integrity(sa, is_cut).map(icv),
        own => Some(own),
    }
}

#[cfg(test)]
#[path = "packet_size/tests.rs"]
mod tests;
