//! Guard keys: two planes that write at the same moment cannot give two connections the same ends, nor two keys to one
//! identity. They are read, checked and written in the transaction that writes the spec. A guard whose connection has no
//! spec any more is no guard.

use super::{names, vault::FleetKeys};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What one connection claims: by key, the digests of its secret, or none for its ends.
pub type Claims = BTreeMap<String, Option<Vec<String>>>;

/// What `spec`, whose secrets are open, claims at `gateway`.
pub fn claims(gateway: &str, spec: &Map<String, Value>, keys: &FleetKeys) -> Claims {
    let text = |name: &str| spec.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let mut claims = Claims::new();
    let (vip, peer) = (text("vipUuid"), text("peerAddress").map(str::to_ascii_lowercase));
    // Without these the agent refuses the spec anyway.
    let Some(peer) = peer else { return claims };
    let is_anywhere = peer == "%any";
    let identity = text("remoteId").or_else(|| (!is_anywhere).then_some(peer.as_str()));
    if let Some(vip) = vip {
        let by_identity = identity.filter(|_| is_anywhere);
        claims.insert(names::ends(gateway, vip, &peer, by_identity), None);
    }
    if let (Some(identity), Some(key), "psk") = (identity, text("authKey"), text("authMode").unwrap_or("psk")) {
        claims.insert(names::identity(gateway, identity), Some(keys.digests(gateway, key)));
    }
    claims
}

/// The connections that the guard in `value` stands for, and the digest of their key.
pub fn holders(value: &[u8]) -> (Vec<String>, Option<String>) {
    let guard: Value = serde_json::from_slice(value).unwrap_or_default();
    let uuids = guard["uuids"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    (uuids.collect(), guard["key"].as_str().map(str::to_owned))
}

/// The guard of these connections; none if there is none.
pub fn guard(uuids: &[String], digest: Option<&str>) -> Option<Vec<u8>> {
    let guard = match digest {
        Some(digest) => json!({ "uuids": uuids, "key": digest }),
        None => json!({ "uuids": uuids }),
    };
    (!uuids.is_empty()).then(|| guard.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(spec: &Value) -> Claims {
        claims("g1", spec.as_object().expect("an object"), &FleetKeys::none())
    }

    #[test]
    fn ends_and_identities_are_claimed() {
        let plain = of(&json!({ "vipUuid": "v", "peerAddress": "192.0.2.2", "authKey": "test-only" }));
        let keys: Vec<_> = plain.keys().map(String::as_str).collect();
        assert_eq!(keys, ["/cygnet/g1/guard/ends/v/192.0.2.2", "/cygnet/g1/guard/identity/192.0.2.2"]);
        let named = of(&json!({ "vipUuid": "v", "peerAddress": "%any", "remoteId": "b", "authKey": "test-only" }));
        let keys: Vec<_> = named.keys().map(String::as_str).collect();
        assert_eq!(keys, ["/cygnet/g1/guard/ends/v/%25any/b", "/cygnet/g1/guard/identity/b"]);
        let certs = of(&json!({ "vipUuid": "v", "peerAddress": "b.example", "authMode": "certs", "authKey": "x" }));
        assert_eq!(certs.len(), 1);
        assert!(of(&json!({ "name": "x" })).is_empty());
    }

    #[test]
    fn a_guard_is_read_as_it_is_written() {
        let uuids = ["a".to_owned(), "b".to_owned()];
        let written = guard(&uuids, Some("d")).expect("a guard");
        assert_eq!(holders(&written), (uuids.to_vec(), Some("d".into())));
        assert_eq!((guard(&[], None), holders(b"nonsense")), (None, (Vec::new(), None)));
    }
}
