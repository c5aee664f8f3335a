//! Several sites behind one public address, which a real NAT gives them: by keys and by certificates, each told from the
//! others by its identity, because the agent sees but one address and ports that the NAT made up.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::anywhere::{create, is_ready, view, waits};
use crate::certificates::{Ca, Kind};
use crate::lab;
use crate::pair::{reaches, with};
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::output;

/// A site: its address behind the NAT, its network and a host in that, and its key if it has no certificate.
struct Site {
    id: &'static str,
    address: &'static str,
    network: &'static str,
    host: &'static str,
    key: Option<&'static str>,
}

#[rustfmt::skip]
const SITES: [Site; 4] = [
    Site { id: "one.example", address: "172.16.0.2", network: "10.2.0.0/26", host: "10.2.0.1", key: Some("test-only-key-of-site-one") },
    Site { id: "two.example", address: "172.16.0.3", network: "10.2.0.64/26", host: "10.2.0.65", key: Some("test-only-key-of-site-two") },
    Site { id: "three.example", address: "172.16.0.4", network: "10.2.0.128/26", host: "10.2.0.129", key: None },
    Site { id: "four.example", address: "172.16.0.5", network: "10.2.0.192/26", host: "10.2.0.193", key: None },
];

/// The gateway's identity: it has a certificate for it.
const GATEWAY: &str = "gw.example";

/// What the sites have, all in one charon, which sends from each site's own address.
fn conf() -> String {
    let (mut connections, mut secrets) = (String::new(), String::new());
    for Site { id, address, network, key, .. } in &SITES {
        let name = id.split('.').next().unwrap_or_default();
        let (proof, theirs) = match key {
            Some(_) => ("auth = psk".to_owned(), "auth = psk"),
            None => (format!("auth = pubkey\n certs = {name}.pem"), "auth = pubkey\n cacerts = ca.pem"),
        };
        let _ = write!(
            connections,
            "{name} {{\n version = 2\n local_addrs = {address}\n remote_addrs = 192.0.2.1\n \
             proposals = aes256-sha256-x25519\n unique = no\n local {{\n id = fqdn:{id}\n {proof}\n }}\n \
             remote {{\n id = fqdn:{GATEWAY}\n {theirs}\n }}\n children {{ {name}-k {{\n local_ts = {network}\n \
             remote_ts = 10.1.0.0/24\n esp_proposals = aes256-sha256\n }} }} }}\n"
        );
        if let Some(key) = key {
            let _ = writeln!(secrets, "ike-{name} {{\n id-1 = fqdn:{id}\n secret = \"{key}\"\n }}");
        }
    }
    format!("connections {{\n{connections}}}\nsecrets {{\n{secrets}}}\n")
}

/// B's addresses within, and its one address to the outside.
fn nat(lab: &Lab) {
    let text = "add table ip lab; add chain ip lab out { type nat hook postrouting priority srcnat; }; \
                add rule ip lab out ip saddr 172.16.0.0/24 oifname wan masquerade";
    assert!(output(lab.command_in(Side::B, "nft").arg(text)).status.success());
    for Site { address, host, .. } in &SITES {
        lab.add_lan(Side::B, &format!("{address}/32"));
        lab.add_lan(Side::B, &format!("{host}/32"));
    }
}

#[test]
fn sites_behind_a_nat_are_told_apart_by_their_identities() {
    let Some(lab) = lab() else { return };
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let gateway = ca.issue(Kind::Ecdsa, "CN=gw", &[GATEWAY]).bundle(&[&ca]);
    nat(&lab);
    let write = |name: &str, text: &str| fs::write(lab.swanctl_dir(Side::B).join(name), text).expect("written");
    write("x509ca/ca.pem", ca.pem());
    for Site { id, .. } in SITES.iter().filter(|site| site.key.is_none()) {
        let (name, issued) =
            (id.split('.').next().unwrap_or_default(), ca.issue(Kind::Ecdsa, &format!("CN={id}"), &[id]));
        write(&format!("x509/{name}.pem"), &issued.pem);
        write(&format!("private/{name}.pem"), &issued.key);
    }
    lab.start_charon(Side::A);
    lab.start_charon(Side::B);
    lab.load_conf(Side::B, "sites", &conf());
    let agent = Agent::start(&lab, Side::A, AgentOptions::default());
    let uuids = SITES.each_ref().map(|Site { id, network, key, .. }| {
        let options = json!({ "name": id, "peerAddress": "%any", "idType": "fqdn", "localId": GATEWAY, "remoteId": id,
                              "peerCidrs": [network] });
        let proof = match key {
            Some(key) => json!({ "authKey": key }),
            None => json!({ "authMode": "certs", "authKey": gateway }),
        };
        create(&agent, &with(&options, &proof))
    });
    for (site, uuid) in SITES.iter().zip(&uuids) {
        waits(&agent, uuid);
        let child = format!("{}-k", site.id.split('.').next().unwrap_or_default());
        assert!(
            lab.swanctl(Side::B, &["--initiate", "--child", &child, "--timeout", "10"]).status.success(),
            "{child}"
        );
        is_ready(&agent, uuid, Side::B.wan());
    }
    // All at once, each its own traffic, and the NAT tells them apart by ports.
    for (site, uuid) in SITES.iter().zip(&uuids) {
        is_ready(&agent, uuid, Side::B.wan());
        reaches(&lab, Side::A, Side::A.host(), site.host);
        reaches(&lab, Side::B, site.host, Side::A.host());
        let view = view(&agent, uuid);
        assert_eq!(
            (&view["ike_sas"].as_array().map(Vec::len), &view["role"]),
            (&Some(1), &json!("waits_for_peer")),
            "{view}"
        );
    }
    let sas = lab.sas(Side::A);
    let sas: Vec<&Value> = sas.as_array().into_iter().flatten().collect();
    let ports: BTreeSet<_> = sas.iter().map(|sa| sa["remote-port"].to_string()).collect();
    assert_eq!((sas.len(), ports.len()), (SITES.len(), SITES.len()), "{sas:#?}");
    assert!(sas.iter().all(|sa| sa["nat-remote"] == "yes" && sa["remote-host"] == Side::B.wan()), "{sas:#?}");
}
