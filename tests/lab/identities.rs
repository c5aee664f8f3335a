//! Who the gateways say they are: every kind of identity, changed on both ends and read back from the IKE SA.

use serde_json::json;

use crate::lab;
use crate::pair::Pair;
use crate::support::lab::{Lab, Side};

/// `idType`, `localId` and `remoteId` as A has them (B has them the other way round), and what charon shows on A.
const IDENTITIES: [(&str, [&str; 2], [&str; 2]); 8] = [
    ("fqdn", ["a.site.example", "b.site.example"], ["a.site.example", "b.site.example"]),
    ("fqdn", ["192.0.2.201", "gw_b"], ["192.0.2.201", "gw_b"]),
    ("name", ["gw-a", "ops+b@site.example"], ["gw-a", "ops+b@site.example"]),
    ("name", ["C=CH, CN=gw-a", "Gateway \"B\"; {#$}"], ["C=CH, CN=gw-a", "Gateway \"B\"; {#$}"]),
    ("name", ["@#0a", "^.$"], ["@#0a", "^.$"]),
    ("name", ["café", "b"], ["63:61:66:c3:a9", "b"]),
    ("ip", ["198.51.100.1", "198.51.100.2"], ["198.51.100.1", "198.51.100.2"]),
    ("ip", ["2001:db8:a::1", "192.0.2.2"], ["2001:db8:a::1", "192.0.2.2"]),
];

#[test]
fn every_kind_of_identity() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    for version in Lab::ike_versions() {
        for (kind, [local, remote], shown) in IDENTITIES {
            let options = json!({ "ikeVersion": version, "idType": kind, "localId": local, "remoteId": remote });
            let before = pair.settled(1);
            pair.change_both(&options);
            let [a, b] = pair.renewed(&before, 1);
            let seen = [[a.ike("local-id"), a.ike("remote-id")], [b.ike("remote-id"), b.ike("local-id")]];
            assert_eq!(seen, [shown, shown], "{options}");
            assert_eq!(pair.status(Side::A), "Ready");
        }
    }
    pair.carries();
}
