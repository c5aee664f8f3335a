//! Messages of IKE that take several packets, on a path that loses large ones: the reason and the doctor say so, and are
//! silent as soon as all arrive.

use crate::certificates::{Ca, Kind};
use crate::certs::{create, issued};
use crate::lab;
use crate::pair::Pair;
use crate::reasons::named;
use crate::support::lab::{Lab, Side};
use crate::support::run;

/// Whatever is larger does not reach a gateway: what a firewall does, or a path with a small MTU.
const LOST: &str = "udp length > 1000";

fn nft(lab: &Lab, text: &str) {
    for side in Side::BOTH {
        run(lab.command_in(side, "nft").arg(text));
    }
}

/// What the doctor says of it.
fn diagnosed(pair: &Pair) -> Option<String> {
    let report = pair.agent(Side::A).request("GET", "/cygnet/v1/doctor", None).expect(200).json();
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["check"] == "fragments")?;
    Some(found["what"].as_str().expect("words").to_owned())
}

/// A proof with a certificate of RSA takes two packets.
#[test]
fn what_is_large_and_lost_is_named() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    nft(&lab, "add table inet path");
    nft(&lab, "add chain inet path input { type filter hook input priority 0; }");
    nft(&lab, &format!("add rule inet path input {LOST} drop"));
    let ca = Ca::new(Kind::Rsa, "CN=test-only CA");
    create(&mut pair, &Side::BOTH.map(|side| issued(&ca, Kind::Rsa, side).bundle(&[&ca])));
    let reason = named(&pair, Side::A, &["PEER_UNREACHABLE"]);
    let details = reason["details"].as_str().expect("words");
    assert!(details.contains("not IKE_AUTH (") && details.contains("are large packets lost"), "{details}");
    let found = diagnosed(&pair).expect("a finding");
    assert!(found.contains("the peer of lab-a") && found.contains(" bytes in 2 packets"), "{found}");
    nft(&lab, "delete table inet path");
    pair.settled(1);
    assert_eq!(diagnosed(&pair), None, "all arrives");
}
