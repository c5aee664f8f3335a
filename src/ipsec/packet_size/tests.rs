//! The sizes against the formats of the RFCs: a packet of the size is put together field by field, and one byte more is
//! too much.

use super::*;
use crate::ipsec::{ChildState, IkeState, sa::Suite};

/// Per encryption algorithm of the tables: bytes of the IV, of a block, of its own ICV. RFC 2451 section 2 and 3; RFC 3602
/// section 3; RFC 4106 sections 3.1, 3.2 and 6; RFC 7634 section 2.
const CIPHERS: [(Encryption, [u32; 3]); 8] = [
    (Encryption::TripleDes, [8, 8, 0]),
    (Encryption::Aes128, [16, 16, 0]),
    (Encryption::Aes192, [16, 16, 0]),
    (Encryption::Aes256, [16, 16, 0]),
    (Encryption::Aes128Gcm, [8, 4, 16]),
    (Encryption::Aes192Gcm, [8, 4, 16]),
    (Encryption::Aes256Gcm, [8, 4, 16]),
    (Encryption::ChaCha20Poly1305, [8, 4, 16]),
];
/// Per integrity algorithm: bits of its hash that are sent. RFC 2403, RFC 2404, RFC 4868 section 2.6.
const HASHES: [(Integrity, u32); 6] = [
    (Integrity::Md5, 96),
    (Integrity::Sha1, 96),
    (Integrity::Sha256, 128),
    (Integrity::Sha384, 192),
    (Integrity::Sha512, 256),
    (Integrity::Sha256Cut, 96),
];

/// An SA between two hosts of a family, for networks of a family.
fn sas(outer_v6: bool, inner_v6: bool, mode: Mode, ah: bool, suite: Suite) -> (IkeSa, ChildSa) {
    let set = |v4: &str, v6: &str| [if inner_v6 { v6 } else { v4 }.to_owned()].into();
    let child = ChildSa {
        unique_id: 1,
        state: ChildState::Installed,
        mode: Some(mode),
        ah,
        suite,
        local: set("10.1.0.0/24", "fd00:1::/64"),
        remote: set("10.2.0.0/24", "fd00:2::/64"),
        ..ChildSa::default()
    };
    let hosts = if outer_v6 { ("2001:db8::1", "2001:db8::2") } else { ("192.0.2.1", "192.0.2.2") };
    let ike = IkeSa {
        unique_id: 1,
        version: 2,
        state: IkeState::Established,
        local_host: hosts.0.into(),
        remote_host: hosts.1.into(),
        ..IkeSa::default()
    };
    (ike, child)
}

fn suite(encryption: Option<Encryption>, integrity: Option<Integrity>) -> Suite {
    Suite {
        encryption: encryption.map(|value| value.row().charon.into()),
        integrity: integrity.map(|value| value.row().charon.into()),
        ..Suite::default()
    }
}

/// What the configuration says beside the suite.
fn is_cut(integrity: Option<Integrity>) -> bool {
    integrity.is_some_and(Integrity::is_cut)
}

/// The bytes on the wire of a packet with ESP: RFC 4303, section 2, from the outer header to the ICV.
fn esp_packet(inner: u32, outer: u32, encap: bool, [iv, block, own_icv]: [u32; 3], bits: u32, tunnel: bool) -> u32 {
    let payload = if tunnel { inner } else { inner - outer };
    let (spi, sequence, pad_length, next_header) = (4, 4, 1, 1);
    let content = payload + pad_length + next_header;
    // To a whole number of blocks, and of 32-bit words.
    let padding = (0..16).find(|pad| (content + pad) % block == 0 && (content + pad) % 4 == 0).expect("below a block");
    let udp = if encap { 8 } else { 0 };
    let icv = if own_icv > 0 { own_icv } else { bits / 8 };
    outer + udp + spi + sequence + iv + content + padding + icv
}

#[test]
fn esp_fills_the_path_and_one_byte_more_does_not_fit() {
    assert_eq!(CIPHERS.map(|(value, _)| value), ENCRYPTION.each_ref().map(|row| row.value));
    assert_eq!(HASHES.map(|(value, _)| value), INTEGRITY.each_ref().map(|row| row.value));
    let mut seen = 0;
    for (encryption, sizes) in CIPHERS {
        for (integrity, bits) in HASHES {
            let integrity = Some(integrity).filter(|_| !encryption.row().aead);
            for case in 0..32_u32 {
                let is = |bit: u32| case & (1 << bit) != 0;
                let (outer_v6, encap, tunnel) = (is(0), is(1), is(2));
                let mode = if tunnel { Mode::Tunnel } else { Mode::Transport };
                let inner_v6 = if tunnel { is(3) } else { outer_v6 };
                let path = if is(4) { 1500 } else { 1371 };
                let (ike, mut child) = sas(outer_v6, inner_v6, mode, false, suite(Some(encryption), integrity));
                child.encap = encap;
                let size = packet_size(&ike, &child, is_cut(integrity), path).expect("it is known");
                let outer = if outer_v6 { 40 } else { 20 };
                let wire = |inner| esp_packet(inner, outer, encap, sizes, bits, tunnel);
                let what = format!("{encryption:?} {integrity:?} case {case:05b}: {size:?}");
                assert!(wire(size.mtu) <= path && wire(size.mtu + 1) > path, "{what}");
                assert_eq!(size.mtu - size.mss, if inner_v6 { 60 } else { 40 }, "{what}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, CIPHERS.len() * HASHES.len() * 32);
}

#[test]
fn ah_fills_the_path() {
    // AH with its ICV, padded: RFC 4302, sections 2.2 and 3.3.3.2.1; under IPv4, under IPv6.
    let headers = [[24, 24], [24, 24], [28, 32], [36, 40], [44, 48], [24, 24]];
    for ((integrity, bits), both) in HASHES.into_iter().zip(headers) {
        for (outer_v6, header) in [(false, both[0]), (true, both[1])] {
            assert!(header >= 12 + bits / 8 && header < 12 + bits / 8 + 8);
            let outer = if outer_v6 { 40 } else { 20 };
            for (mode, expected) in [(Mode::Tunnel, 1500 - outer - header), (Mode::Transport, 1500 - header)] {
                let (ike, child) = sas(outer_v6, outer_v6, mode, true, suite(None, Some(integrity)));
                let size = packet_size(&ike, &child, integrity.is_cut(), 1500).expect("it is known");
                assert_eq!((size.mtu, size.mss), (expected, expected - outer - 20), "{integrity:?} {mode:?}");
            }
        }
    }
}

/// Numbers that others published or the kernel shows for a path of 1500 bytes.
#[test]
fn known_sizes() {
    for (encryption, integrity, encap, expected) in [
        (Encryption::Aes256, Some(Integrity::Sha1), false, (1438, 1398)),
        (Encryption::Aes128, Some(Integrity::Sha256), false, (1438, 1398)),
        (Encryption::Aes128, Some(Integrity::Sha256), true, (1422, 1382)),
        (Encryption::Aes128, Some(Integrity::Sha256Cut), true, (1422, 1382)),
        (Encryption::Aes256Gcm, None, false, (1446, 1406)),
        (Encryption::Aes256Gcm, None, true, (1438, 1398)),
    ] {
        let (ike, mut child) = sas(false, false, Mode::Tunnel, false, suite(Some(encryption), integrity));
        child.encap = encap;
        let size = packet_size(&ike, &child, is_cut(integrity), 1500).expect("it is known");
        assert_eq!((size.mtu, size.mss), expected, "{encryption:?} {integrity:?} {encap}");
    }
}

#[test]
fn what_is_not_known_has_no_size() {
    let known = || sas(false, false, Mode::Tunnel, false, suite(Some(Encryption::Aes128), Some(Integrity::Sha1)));
    let (ike, child) = known();
    assert!(packet_size(&ike, &child, false, 1500).is_some());
    for spoil in [
        (|sa| sa.mode = None) as fn(&mut ChildSa),
        |sa| sa.suite = Suite::default(),
        |sa| sa.suite.integrity = None,
        |sa| sa.suite.encryption = Some("CAMELLIA_CBC".into()),
        |sa| (sa.ah, sa.suite.integrity) = (true, None),
    ] {
        let (ike, mut child) = known();
        spoil(&mut child);
        assert_eq!(packet_size(&ike, &child, false, 1500), None, "{child:?}");
    }
    // The headers, IV and ICV are 56 bytes; the three blocks of an IP and a TCP header with one byte are 48 more.
    for path in [0, 55, 71, 103] {
        assert_eq!(packet_size(&ike, &child, false, path), None, "{path}");
    }
    assert_eq!(packet_size(&ike, &child, false, 104), Some(PacketSize { mtu: 46, mss: 6 }));
    let size = packet_size(&ike, &child, false, 1500).expect("it is known");
    assert_eq!(size.within(1400), PacketSize { mtu: 1400, mss: 1360 });
    assert_eq!(size.within(9000), size);
}
