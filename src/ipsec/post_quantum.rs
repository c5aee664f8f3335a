//! What keeps traffic secret that is recorded today and attacked by a quantum computer later: a key encapsulation by ML-KEM
//! beside the key exchange (RFC 9370), and a key that both ends have beforehand, the PPK (RFC 8784). IKEv2 alone has them.

/// A parameter set of ML-KEM (FIPS 203), as a key exchange of IKE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MlKem {
    /// About as strong as AES-192.
    MlKem768,
    /// About as strong as AES-256.
    MlKem1024,
}

/// A row of its table.
#[derive(Debug)]
pub struct MlKemRow {
    /// The API's spelling, which is strongSwan's keyword too.
    pub wire: &'static str,
    /// charon's name.
    pub charon: &'static str,
}

/// All, in the order of the variants.
const ML_KEM: [MlKemRow; 2] =
    [MlKemRow { wire: "mlkem768", charon: "ML_KEM_768" }, MlKemRow { wire: "mlkem1024", charon: "ML_KEM_1024" }];

/// The first strongSwan whose plugin openssl has ML-KEM, with OpenSSL 3.5.
pub const ML_KEM_SINCE: &str = "6.0.2";

impl MlKem {
    /// The one that the API calls `name`.
    #[must_use]
    pub fn from_wire(name: &str) -> Option<Self> {
        [Self::MlKem768, Self::MlKem1024].into_iter().find(|kem| kem.row().wire == name)
    }

    /// Its row.
    #[must_use]
    pub fn row(self) -> &'static MlKemRow {
        &ML_KEM[self as usize]
    }
}

/// The longest name of a PPK, in bytes.
pub const MAX_PPK_ID: usize = 64;

/// Whether charon reads `id` the same as the peer gets it. charon takes the name of a PPK for an identity and sends its
/// bytes without their kind: an address would come as four bytes, and `@name` as `name`.
#[must_use]
pub(in crate::ipsec) fn is_ppk_id(id: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic();
    (1..=MAX_PPK_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        && id.as_bytes().iter().any(is_letter)
        && id.as_bytes()[0].is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ppks_are_read_alike_at_both_ends() {
        for good in ["a", "site-a", "gw.example", "2026-k", "Branch_7"] {
            assert!(is_ppk_id(good), "{good}");
        }
        let long = "a".repeat(MAX_PPK_ID + 1);
        for bad in
            ["", "192.0.2.1", "10.0.0.1-10.0.0.9", "12", "@a", "a@b", "%any", "a b", "keyid:a", "CN=a", "é", &long]
        {
            assert!(!is_ppk_id(bad), "{bad}");
        }
    }

    #[test]
    fn rows_stand_in_the_order_of_the_variants() {
        assert_eq!(MlKem::MlKem768.row().wire, "mlkem768");
        assert_eq!(MlKem::MlKem1024.row().charon, "ML_KEM_1024");
    }
}
