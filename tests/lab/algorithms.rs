//! Every algorithm of every kind: changed on both ends, then read back from what charon negotiated.

use serde_json::{Value, json};

use crate::lab;
use crate::pair::{Pair, Tunnel};
use crate::support::lab::Side;

/// What `list-sas` must say: fields and values; an empty value where the field must be absent.
type Fields = &'static [(&'static str, &'static str)];

/// The ciphers of the API and what charon calls them.
const CIPHERS: [(&str, Fields); 8] = [
    ("3des", &[("encr-alg", "3DES_CBC"), ("encr-keysize", "")]),
    ("aes-128", &[("encr-alg", "AES_CBC"), ("encr-keysize", "128")]),
    ("aes-192", &[("encr-alg", "AES_CBC"), ("encr-keysize", "192")]),
    ("aes-256", &[("encr-alg", "AES_CBC"), ("encr-keysize", "256")]),
    ("aes-128-gcm", &[("encr-alg", "AES_GCM_16"), ("encr-keysize", "128"), ("integ-alg", "")]),
    ("aes-192-gcm", &[("encr-alg", "AES_GCM_16"), ("encr-keysize", "192"), ("integ-alg", "")]),
    ("aes-256-gcm", &[("encr-alg", "AES_GCM_16"), ("encr-keysize", "256"), ("integ-alg", "")]),
    ("chacha20-poly1305", &[("encr-alg", "CHACHA20_POLY1305"), ("encr-keysize", ""), ("integ-alg", "")]),
];

/// The hashes of the API and what charon calls them, in an IKE SA and in a child.
const HASHES: [(&str, Fields, Fields); 5] = [
    ("md5", &[("integ-alg", "HMAC_MD5_96"), ("prf-alg", "PRF_HMAC_MD5")], &[("integ-alg", "HMAC_MD5_96")]),
    ("sha1", &[("integ-alg", "HMAC_SHA1_96"), ("prf-alg", "PRF_HMAC_SHA1")], &[("integ-alg", "HMAC_SHA1_96")]),
    (
        "sha256",
        &[("integ-alg", "HMAC_SHA2_256_128"), ("prf-alg", "PRF_HMAC_SHA2_256")],
        &[("integ-alg", "HMAC_SHA2_256_128")],
    ),
    (
        "sha384",
        &[("integ-alg", "HMAC_SHA2_384_192"), ("prf-alg", "PRF_HMAC_SHA2_384")],
        &[("integ-alg", "HMAC_SHA2_384_192")],
    ),
    (
        "sha512",
        &[("integ-alg", "HMAC_SHA2_512_256"), ("prf-alg", "PRF_HMAC_SHA2_512")],
        &[("integ-alg", "HMAC_SHA2_512_256")],
    ),
];

/// The groups of the API and what charon calls them.
const GROUPS: [(i64, &str); 22] = [
    (1, "MODP_768"),
    (2, "MODP_1024"),
    (5, "MODP_1536"),
    (14, "MODP_2048"),
    (15, "MODP_3072"),
    (16, "MODP_4096"),
    (17, "MODP_6144"),
    (18, "MODP_8192"),
    (19, "ECP_256"),
    (20, "ECP_384"),
    (21, "ECP_521"),
    (22, "MODP_1024_160"),
    (23, "MODP_2048_224"),
    (24, "MODP_2048_256"),
    (25, "ECP_192"),
    (26, "ECP_224"),
    (27, "ECP_224_BP"),
    (28, "ECP_256_BP"),
    (29, "ECP_384_BP"),
    (30, "ECP_512_BP"),
    (31, "CURVE_25519"),
    (32, "CURVE_448"),
];

fn check(sa: &Value, fields: Fields, options: &Value) {
    for (field, value) in fields {
        assert_eq!(sa[field].as_str().unwrap_or_default(), *value, "{field} after {options}: {sa:#}");
    }
}

/// Changes both ends and sees the tunnel replaced; what runs then, and whether the IKE SA is another one.
fn changed(pair: &Pair, before: &[Tunnel; 2], options: &Value) -> ([Tunnel; 2], bool) {
    pair.change_both(options);
    let after = pair.renewed(before, 1);
    let fresh = after[0].ike("initiator-spi") != before[0].ike("initiator-spi");
    (after, fresh)
}

#[test]
fn ike_encryption_and_authentication() {
    let Some(lab) = lab() else { return };
    let start = json!({ "ikeEncryptionAlgorithm": "aes-256", "ikeAuthAlgorithm": "sha256", "ikeDhGroup": 19 });
    let pair = Pair::up(&lab, &start);
    let mut now = pair.settled(1);
    let ciphers = CIPHERS.map(|(cipher, fields)| (json!({ "ikeEncryptionAlgorithm": cipher }), fields));
    let hashes = HASHES.map(|(hash, fields, _)| (json!({ "ikeAuthAlgorithm": hash }), fields));
    for (options, fields) in ciphers.into_iter().chain(hashes) {
        let (after, fresh) = changed(&pair, &now, &options);
        assert!(fresh, "{options}: another IKE SA");
        for tunnel in &after {
            check(&tunnel.0, fields, &options);
        }
        now = after;
    }
    pair.carries();
}

#[test]
fn ike_groups() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    let mut now = pair.settled(1);
    for (group, name) in GROUPS {
        let options = json!({ "ikeDhGroup": group });
        let (after, fresh) = changed(&pair, &now, &options);
        assert!(fresh, "{options}: another IKE SA");
        for tunnel in &after {
            assert_eq!(tunnel.ike("dh-group"), name, "{options}: {tunnel:#?}");
        }
        now = after;
    }
    pair.carries();
}

#[test]
fn policy_encryption_and_authentication() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({ "policyAuthAlgorithm": "sha1", "policyEncryptionAlgorithm": "aes-128" }));
    let mut now = pair.settled(1);
    let ciphers = CIPHERS.map(|(cipher, fields)| (json!({ "policyEncryptionAlgorithm": cipher }), fields));
    let hashes = HASHES.map(|(hash, _, fields)| (json!({ "policyAuthAlgorithm": hash }), fields));
    for (options, fields) in ciphers.into_iter().chain(hashes) {
        let (after, fresh) = changed(&pair, &now, &options);
        assert!(!fresh, "{options}: the IKE SA is not touched");
        for tunnel in &after {
            check(&tunnel.children()[0], fields, &options);
        }
        pair.carries();
        now = after;
    }
}

/// The group of a child shows only where the child is negotiated apart from its IKE SA: by a rekeying, here a forced
/// one, and by a change of the child alone.
#[test]
fn pfs() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({ "pfs": "dh-group14" }));
    let before = pair.settled(1);
    assert_eq!(before[0].child("dh-group"), "");
    let rekey = lab.swanctl(Side::A, &["--rekey", "--child", before[0].child("name")]);
    assert!(rekey.status.success(), "{rekey:?}");
    let mut now = pair.renewed(&before, 1);
    for tunnel in &now {
        assert_eq!(tunnel.child("dh-group"), "MODP_2048", "{tunnel:#?}");
    }
    let none = [("none", "")].into_iter();
    let groups = GROUPS.map(|(group, name)| (format!("dh-group{group}"), name));
    let groups = groups.iter().map(|(pfs, name)| (pfs.as_str(), *name));
    for (pfs, name) in none.chain(groups) {
        let options = json!({ "pfs": pfs });
        (now, _) = changed(&pair, &now, &options);
        for tunnel in &now {
            assert_eq!(tunnel.child("dh-group"), name, "{options}: {tunnel:#?}");
        }
    }
    pair.carries();
}
