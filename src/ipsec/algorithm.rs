//! The algorithms, one table per kind: variant, spelling on the wire of the API, strongSwan's
//! proposal keyword, IANA number, and the name under which charon reports it.
//!
//! Sources: IANA "IKEv2 Parameters"; strongSwan `proposal_keywords_static.txt` and the enum names
//! that `get-algorithms` and `list-sas` print. To add an algorithm, add a variant and a row.

/// The Debian package whose plugins (openssl, gcm, ...) bring what `libstrongswan0` lacks.
const STANDARD: &str = "libstrongswan-standard-plugins";
/// The base package, up to 5.9: aes, sha1, sha2, md5, hmac and gmp (MODP groups).
pub const BASE: &str = "libstrongswan";

/// An encryption algorithm (RFC 7296, transform type 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// 3DES in CBC mode; weak, kept for old peers.
    TripleDes,
    /// AES-CBC with a 128-bit key.
    Aes128,
    /// AES-CBC with a 192-bit key.
    Aes192,
    /// AES-CBC with a 256-bit key.
    Aes256,
    /// AES-GCM with a 128-bit key and a 16-byte tag (RFC 4106, RFC 5282).
    Aes128Gcm,
    /// AES-GCM with a 192-bit key and a 16-byte tag.
    Aes192Gcm,
    /// AES-GCM with a 256-bit key and a 16-byte tag.
    Aes256Gcm,
    /// ChaCha20-Poly1305 (RFC 7634).
    ChaCha20Poly1305,
}

/// A row of the encryption table.
#[derive(Debug)]
pub struct EncryptionRow {
    /// The variant.
    pub value: Encryption,
    /// The API's spelling.
    pub wire: &'static str,
    /// The keyword in a swanctl.conf proposal.
    pub keyword: &'static str,
    /// IANA transform id.
    pub iana: u16,
    /// Key length in bits, as charon reports it; `None` where the key length is fixed.
    pub key_bits: Option<u16>,
    /// charon's name.
    pub charon: &'static str,
    /// Authenticates by itself: no integrity transform beside it.
    pub aead: bool,
    /// The Debian package that brings it.
    pub package: &'static str,
}

const fn encryption(
    value: Encryption,
    wire: &'static str,
    keyword: &'static str,
    (iana, charon): (u16, &'static str),
    key_bits: Option<u16>,
    (aead, package): (bool, &'static str),
) -> EncryptionRow {
    EncryptionRow { value, wire, keyword, iana, key_bits, charon, aead, package }
}

/// All encryption algorithms, in the order of the variants.
#[rustfmt::skip]
pub const ENCRYPTION: [EncryptionRow; 8] = [
    encryption(Encryption::TripleDes,        "3des",              "3des",             (3,  "3DES_CBC"),          None,      (false, STANDARD)),
    encryption(Encryption::Aes128,           "aes-128",           "aes128",           (12, "AES_CBC"),           Some(128), (false, BASE)),
    encryption(Encryption::Aes192,           "aes-192",           "aes192",           (12, "AES_CBC"),           Some(192), (false, BASE)),
    encryption(Encryption::Aes256,           "aes-256",           "aes256",           (12, "AES_CBC"),           Some(256), (false, BASE)),
    encryption(Encryption::Aes128Gcm,        "aes-128-gcm",       "aes128gcm16",      (20, "AES_GCM_16"),        Some(128), (true,  STANDARD)),
    encryption(Encryption::Aes192Gcm,        "aes-192-gcm",       "aes192gcm16",      (20, "AES_GCM_16"),        Some(192), (true,  STANDARD)),
    encryption(Encryption::Aes256Gcm,        "aes-256-gcm",       "aes256gcm16",      (20, "AES_GCM_16"),        Some(256), (true,  STANDARD)),
    encryption(Encryption::ChaCha20Poly1305, "chacha20-poly1305", "chacha20poly1305", (28, "CHACHA20_POLY1305"), None,      (true,  STANDARD)),
];

impl Encryption {
    /// This algorithm's row.
    #[must_use]
    pub fn row(self) -> &'static EncryptionRow {
        &ENCRYPTION[self as usize]
    }

    /// The algorithm that the API spells `name` (case-sensitive).
    #[must_use]
    pub fn from_wire(name: &str) -> Option<Self> {
        ENCRYPTION.iter().find(|row| row.wire == name).map(|row| row.value)
    }
}

/// An integrity algorithm (transform type 3), which in IKE also names the PRF (type 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// HMAC-MD5-96; weak.
    Md5,
    /// HMAC-SHA1-96; weak.
    Sha1,
    /// HMAC-SHA2-256-128.
    Sha256,
    /// HMAC-SHA2-384-192.
    Sha384,
    /// HMAC-SHA2-512-256.
    Sha512,
    /// HMAC-SHA2-256 cut to 96 bits, as the draft of RFC 4868 had it; of packets only. No transform has this name, so
    /// SHA-256 is negotiated, and both ends must know that packets have less of it.
    Sha256Cut,
}

/// A row of the integrity table.
#[derive(Debug)]
pub struct IntegrityRow {
    /// The variant.
    pub value: Integrity,
    /// The API's spelling.
    pub wire: &'static str,
    /// The keyword in a swanctl.conf proposal.
    pub keyword: &'static str,
    /// IANA transform id of the integrity algorithm.
    pub iana: u16,
    /// charon's name of the integrity algorithm.
    pub charon: &'static str,
    /// The keyword of the PRF on the same hash.
    pub prf_keyword: &'static str,
    /// IANA transform id of that PRF.
    pub prf_iana: u16,
    /// charon's name of that PRF.
    pub prf_charon: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

const fn integrity(
    value: Integrity,
    wire: &'static str,
    (iana, charon): (u16, &'static str),
    (prf_keyword, prf_iana, prf_charon): (&'static str, u16, &'static str),
) -> IntegrityRow {
    let package = BASE;
    IntegrityRow { value, wire, keyword: wire, iana, charon, prf_keyword, prf_iana, prf_charon, package }
}

/// One that is negotiated as another, and cut afterwards.
const fn cut(value: Integrity, wire: &'static str, negotiated: &IntegrityRow) -> IntegrityRow {
    IntegrityRow { value, wire, ..*negotiated }
}

/// All integrity algorithms, in the order of the variants.
#[rustfmt::skip]
pub const INTEGRITY: [IntegrityRow; 6] = [
    integrity(Integrity::Md5,    "md5",    (1,  "HMAC_MD5_96"),       ("prfmd5",    1, "PRF_HMAC_MD5")),
    integrity(Integrity::Sha1,   "sha1",   (2,  "HMAC_SHA1_96"),      ("prfsha1",   2, "PRF_HMAC_SHA1")),
    integrity(Integrity::Sha256, "sha256", (12, "HMAC_SHA2_256_128"), ("prfsha256", 5, "PRF_HMAC_SHA2_256")),
    integrity(Integrity::Sha384, "sha384", (13, "HMAC_SHA2_384_192"), ("prfsha384", 6, "PRF_HMAC_SHA2_384")),
    integrity(Integrity::Sha512, "sha512", (14, "HMAC_SHA2_512_256"), ("prfsha512", 7, "PRF_HMAC_SHA2_512")),
    cut(Integrity::Sha256Cut, "sha256-96",
        &integrity(Integrity::Sha256, "sha256", (12, "HMAC_SHA2_256_128"), ("prfsha256", 5, "PRF_HMAC_SHA2_256"))),
];

impl Integrity {
    /// This algorithm's row.
    #[must_use]
    pub fn row(self) -> &'static IntegrityRow {
        &INTEGRITY[self as usize]
    }

    /// Those of IKE messages, which nobody cuts.
    pub fn of_ike() -> impl Iterator<Item = &'static IntegrityRow> {
        INTEGRITY.iter().filter(|row| !row.value.is_cut())
    }

    /// Whether packets have less of it than was negotiated.
    #[must_use]
    pub fn is_cut(self) -> bool {
        self == Self::Sha256Cut
    }

    /// The algorithm that the API spells `name` (case-sensitive).
    #[must_use]
    pub fn from_wire(name: &str) -> Option<Self> {
        INTEGRITY.iter().find(|row| row.wire == name).map(|row| row.value)
    }
}

/// A Diffie-Hellman group (transform type 4); made by [`DhGroup::new`] from the table only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DhGroup(usize);

/// A row of the group table.
#[derive(Debug)]
pub struct DhGroupRow {
    /// IANA group number, which is also how the API names it.
    pub number: u16,
    /// The API's spelling in `pfs`.
    pub wire: &'static str,
    /// The keyword in a swanctl.conf proposal.
    pub keyword: &'static str,
    /// charon's name.
    pub charon: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

const fn group(
    number: u16,
    wire: &'static str,
    keyword: &'static str,
    charon: &'static str,
    package: &'static str,
) -> DhGroupRow {
    DhGroupRow { number, wire, keyword, charon, package }
}

/// All groups that the API and strongSwan share, by number.
#[rustfmt::skip]
pub const DH_GROUP: [DhGroupRow; 22] = [
    group(1,  "dh-group1",  "modp768",      "MODP_768",      BASE),
    group(2,  "dh-group2",  "modp1024",     "MODP_1024",     BASE),
    group(5,  "dh-group5",  "modp1536",     "MODP_1536",     BASE),
    group(14, "dh-group14", "modp2048",     "MODP_2048",     BASE),
    group(15, "dh-group15", "modp3072",     "MODP_3072",     BASE),
    group(16, "dh-group16", "modp4096",     "MODP_4096",     BASE),
    group(17, "dh-group17", "modp6144",     "MODP_6144",     BASE),
    group(18, "dh-group18", "modp8192",     "MODP_8192",     BASE),
    group(19, "dh-group19", "ecp256",       "ECP_256",       STANDARD),
    group(20, "dh-group20", "ecp384",       "ECP_384",       STANDARD),
    group(21, "dh-group21", "ecp521",       "ECP_521",       STANDARD),
    group(22, "dh-group22", "modp1024s160", "MODP_1024_160", BASE),
    group(23, "dh-group23", "modp2048s224", "MODP_2048_224", BASE),
    group(24, "dh-group24", "modp2048s256", "MODP_2048_256", BASE),
    group(25, "dh-group25", "ecp192",       "ECP_192",       STANDARD),
    group(26, "dh-group26", "ecp224",       "ECP_224",       STANDARD),
    group(27, "dh-group27", "ecp224bp",     "ECP_224_BP",    STANDARD),
    group(28, "dh-group28", "ecp256bp",     "ECP_256_BP",    STANDARD),
    group(29, "dh-group29", "ecp384bp",     "ECP_384_BP",    STANDARD),
    group(30, "dh-group30", "ecp512bp",     "ECP_512_BP",    STANDARD),
    group(31, "dh-group31", "x25519",       "CURVE_25519",   STANDARD),
    group(32, "dh-group32", "x448",         "CURVE_448",     STANDARD),
];

impl DhGroup {
    /// The group with IANA number `number`, if it is in the table.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        DH_GROUP.iter().position(|row| i64::from(row.number) == number).map(Self)
    }

    /// The group that the API's `pfs` spells `name` (`dh-group14`).
    #[must_use]
    pub fn from_wire(name: &str) -> Option<Self> {
        DH_GROUP.iter().position(|row| row.wire == name).map(Self)
    }

    /// This group's row.
    #[must_use]
    pub fn row(self) -> &'static DhGroupRow {
        &DH_GROUP[self.0]
    }
}

impl std::fmt::Debug for DhGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DhGroup({})", self.row().number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_variants() {
        for (index, row) in ENCRYPTION.iter().enumerate() {
            assert_eq!(row.value as usize, index, "{}", row.wire);
            assert_eq!(Encryption::from_wire(row.wire), Some(row.value));
        }
        for (index, row) in INTEGRITY.iter().enumerate() {
            assert_eq!(row.value as usize, index, "{}", row.wire);
            assert_eq!(Integrity::from_wire(row.wire), Some(row.value));
        }
        for row in &DH_GROUP {
            let group = DhGroup::new(row.number.into()).expect("in the table");
            assert_eq!(group.row().wire, format!("dh-group{}", row.number));
            assert_eq!(DhGroup::from_wire(row.wire), Some(group));
        }
    }

    #[test]
    fn unknown_names_are_unknown() {
        for name in ["", "AES-256", "aes256", "aes-256 ", "null", "des"] {
            assert_eq!(Encryption::from_wire(name), None, "{name:?}");
        }
        for number in [0, 3, 4, 6, 13, 33, -1, 65536 + 14] {
            assert_eq!(DhGroup::new(number), None, "{number}");
        }
    }
}
