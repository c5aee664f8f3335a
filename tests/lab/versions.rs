//! IKE versions and lifetimes: changed on both ends and read back from what runs.

use serde_json::{Value, json};

use crate::pair::{Pair, Tunnel, with};
use crate::support::lab::Lab;
use crate::{lab, lab_for};

/// `ikeVersion` and the version that then runs, in an order that has each change between two of them.
const VERSIONS: [(&str, &str); 7] =
    [("ikev1", "1"), ("ike", "2"), ("ikev1", "1"), ("ikev2", "2"), ("ike", "2"), ("ikev2", "2"), ("ikev1", "1")];

#[test]
fn ike_versions() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({ "ikeVersion": "ikev2" }));
    let mut now = pair.settled(1);
    let spoken = |version| version == "ike" || Lab::ike_versions().contains(&version);
    for (version, runs) in VERSIONS.into_iter().filter(|(version, _)| spoken(*version)) {
        pair.change_both(&json!({ "ikeVersion": version }));
        now = pair.renewed(&now, 1);
        for tunnel in &now {
            assert_eq!(tunnel.ike("version"), runs, "{version}: {tunnel:#?}");
        }
        pair.carries();
    }
}

/// All that can be changed under IKEv1, one after the other: the new SAs beside the old, and then instead of them.
#[test]
fn ikev1_changes() {
    let Some(lab) = lab_for("ikev1") else { return };
    let base = json!({ "ikeVersion": "ikev1", "pfs": "dh-group19" });
    let pair = Pair::up(&lab, &base);
    let mut now = pair.settled(1);
    for (change, field, value) in [
        (json!({ "ikeEncryptionAlgorithm": "3des" }), "/encr-alg", "3DES_CBC"),
        (json!({ "ikeEncryptionAlgorithm": "aes-128", "ikeAuthAlgorithm": "sha512" }), "/prf-alg", "PRF_HMAC_SHA2_512"),
        (json!({ "ikeDhGroup": 14 }), "/dh-group", "MODP_2048"),
        (json!({ "policyEncryptionAlgorithm": "aes-128-gcm" }), "/children/0/encr-alg", "AES_GCM_16"),
        (
            json!({ "policyEncryptionAlgorithm": "3des", "policyAuthAlgorithm": "md5" }),
            "/children/0/integ-alg",
            "HMAC_MD5_96",
        ),
        (json!({ "pfs": "dh-group14" }), "/children/0/dh-group", "MODP_2048"),
        (json!({ "authKey": "test-only-another-key" }), "/version", "1"),
        (json!({ "ikeLifeTime": 600 }), "/version", "1"),
        (json!({ "lifeTime": 300 }), "/version", "1"),
    ] {
        let options = with(&base, &change);
        pair.change_both(&options);
        now = pair.renewed(&now, 1);
        for tunnel in &now {
            let seen = tunnel.0.pointer(field).and_then(Value::as_str);
            assert_eq!(seen, Some(value), "{options}: {tunnel:#?}");
        }
        pair.carries();
    }
}

/// The times of charon: the hard end is the lifetime, rekeying comes between 9/11 and 10/11 of it.
#[test]
fn lifetimes() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    let mut now = pair.settled(1);
    for version in Lab::ike_versions() {
        for (ike, child) in [(60, 30), (600, 300), (604_800, 604_800), (86_400, 3600)] {
            let options = json!({ "ikeVersion": version, "ikeLifeTime": ike, "lifeTime": child });
            pair.change_both(&options);
            now = pair.renewed(&now, 1);
            for tunnel in &now {
                check_times(tunnel, ike, child);
            }
        }
    }
}

/// Some seconds may have passed since the SAs were made.
fn check_times(tunnel: &Tunnel, ike: i64, child: i64) {
    const PASSED: i64 = 6;
    let within = |what: &str, seen: &str, (low, high): (i64, i64)| {
        let seen: i64 = seen.parse().unwrap_or(-1);
        assert!((low - PASSED..=high).contains(&seen), "{what} {seen}, wanted {low}..={high}: {tunnel:#?}");
    };
    let range = |life: i64| (life * 10 / 11 - life / 11 - 1, life * 10 / 11);
    within("IKE rekeying", tunnel.ike("rekey-time"), range(ike));
    within("child rekeying", tunnel.child("rekey-time"), range(child));
    within("child end", tunnel.child("life-time"), (child, child));
}
