//! Keys: another one on both ends, a wrong one on one end, and keys that configuration languages choke on.

use std::time::Duration;

use cygnet::ipsec::{IkeState, Lifetime};
use cygnet::strongswan::conf::Traps;
use cygnet::strongswan::requests::Loadable;
use serde_json::json;

use crate::connections::{address, connection, group, nets, parts, psk};
use crate::pair::{PATIENCE, Pair, Tunnel, for_side, reaches};
use crate::peer::Charon;
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab, lab_for};

#[test]
fn a_new_key_is_negotiated_ikev2() {
    new_keys("ikev2");
}

#[test]
fn a_new_key_is_negotiated_ikev1() {
    new_keys("ikev1");
}

/// Changes the key twice, each time on one end alone first: the other refuses it, and the old tunnel goes on.
fn new_keys(version: &str) {
    let Some(lab) = lab_for(version) else { return };
    let pair = Pair::up(&lab, &json!({ "ikeVersion": version }));
    let mut before = pair.settled(1);
    for (round, key) in ["test-only-key-two", "test-only-key-three"].into_iter().enumerate() {
        let options = json!({ "ikeVersion": version, "authKey": key });
        let alone = pair.change(Side::B, &options);
        assert_ne!(alone["status"], "Ready", "the wanted key is not in use: {alone}");
        wait_until(PATIENCE, "a refusal for the key", || (refusals(&lab, version) > round).then_some(()));
        pair.carries();
        assert_ne!(pair.status(Side::B), "Ready");
        assert_eq!(pair.status(Side::A), "Ready", "A's tunnel runs as A wants it");
        let old = pair.ike_sas(Side::B).iter().any(|sa| sa["initiator-spi"] == before[0].ike("initiator-spi"));
        assert!(old, "the old SA stays");
        let inventory = pair.change(Side::A, &options);
        assert_eq!(inventory["status"], "Ready", "{inventory}");
        let after = pair.renewed(&before, 1);
        assert_ne!(after[0].ike("uniqueid"), before[0].ike("uniqueid"));
        pair.carries();
        before = after;
    }
}

/// The agent dies between the change of the key and its negotiation: what runs under the old key is not called Ready
/// by the next one, which makes it anew; and what it has seen it does not make again.
#[test]
fn a_new_key_outlives_the_agent() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::up(&lab, &json!({}));
    let before = pair.settled(1);
    let options = json!({ "authKey": "test-only-key-two" });
    pair.change(Side::B, &options);
    pair.agent_mut(Side::B).kill();
    pair.agent_mut(Side::B).restart();
    assert_eq!(pair.status(Side::B), "Connecting");
    pair.carries();
    pair.change(Side::A, &options);
    let after = pair.renewed(&before, 1);
    pair.carries();
    let stored = |side| std::fs::read_to_string(record(&pair, side)).expect("the record");
    for side in Side::BOTH {
        wait_until(PATIENCE, "it is stored that this runs", || (!stored(side).contains("unproven")).then_some(()));
    }
    pair.agent_mut(Side::B).kill();
    pair.agent_mut(Side::B).restart();
    assert_eq!(pair.settled(1).each_ref().map(Tunnel::numbers), after.each_ref().map(Tunnel::numbers));
}

fn record(pair: &Pair, side: Side) -> std::path::PathBuf {
    pair.agent(side).state_dir().join("connections").join(format!("{}.json", pair.uuid(side)))
}

/// How often a negotiation failed for its key, by the logs of both ends.
fn refusals(lab: &Lab, version: &str) -> usize {
    let words = match version {
        "ikev2" => "received AUTHENTICATION_FAILED notify error",
        _ => "could not decrypt payloads",
    };
    Side::BOTH.iter().map(|side| lab.charon_log(*side).matches(words).count()).sum()
}

/// Keys that the API takes, in the bytes it means.
fn api_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "0x",
        "0X41",
        "0xzz",
        "0x61:62",
        "0s",
        "0sdGVzdA==",
        "0S!!!!",
        "#",
        "a#b",
        "{",
        "}",
        "}{#$=;,",
        "$HOME${x}",
        "include",
        "=",
        "%any",
        "%s%n",
        "\u{0}",
        "a\u{0}b",
        "ключ\u{1f511}",
        "é\u{301}",
        "*",
        "~!@#%^&*()_+-=[]|;:,.<>?/",
        "\u{7f}\u{1}\u{1b}[31m",
        "\u{feff}x",
        "0x0x",
    ]
    .map(str::to_owned)
    .to_vec();
    let printable: Vec<char> = ('!'..='~').filter(|c| !"'\"`\\".contains(*c)).collect();
    keys.push((0..200).map(|i| printable[i * 7 % printable.len()]).collect());
    keys.push("k".repeat(4096));
    keys
}

/// The peer has the raw bytes by vici; whatever the agent makes of the text must be the same key.
#[test]
fn hostile_keys_by_the_api() {
    let Some(lab) = lab() else { return };
    for side in Side::BOTH {
        lab.start_charon(side);
    }
    let agent = Agent::start(&lab, Side::A, AgentOptions::default());
    let peer = Charon::of(&lab, Side::B);
    peer.load_connection("peer", Side::B);
    let mut uuid = None::<String>;
    let mut last = 0;
    for key in api_keys() {
        peer.load_secret("peer", key.as_bytes(), &[Side::A.wan()]);
        let shown: String = key.chars().take(40).collect();
        let options = json!({ "authKey": key });
        let answer = match &uuid {
            None => agent.create(&crate::pair::creation(Side::A, &options)),
            Some(uuid) => agent.change(uuid, &for_side(Side::A, &options)),
        };
        let inventory = answer.expect(200).json()["inventory"].clone();
        assert_eq!(inventory["status"], "Ready", "{shown:?}: {}", lab.charon_log(Side::A));
        assert_eq!(inventory["authKey"], key.as_str());
        uuid = inventory["uuid"].as_str().map(Into::into);
        last = wait_until(PATIENCE, "one SA, made with this key", || match peer.running().as_slice() {
            [ike] if ike.unique_id > last && ike.state == IkeState::Established => Some(ike.unique_id),
            _ => None,
        });
    }
    reaches(&lab, Side::A, Side::A.host(), Side::B.host());
}

/// Bytes that the API does not take, at the model: loaded by vici as the agent does, and from the file by swanctl.
#[test]
fn hostile_keys_in_the_model() {
    let Some(lab) = lab() else { return };
    for side in Side::BOTH {
        lab.start_charon(side);
    }
    let [ours, peer] = Side::BOTH.map(|side| Charon::of(&lab, side));
    peer.load_connection("peer", Side::B);
    let every: Vec<u8> = (0..=255).collect();
    let mut keys: Vec<Vec<u8>> = api_keys().iter().map(|key| key.as_bytes().to_vec()).collect();
    let odd: [&[u8]; 10] =
        [b" ", b"'\"`\\", b"\n", b"a\r\nb", b"\t x \t", b"\\n", b"\" }\nsecrets {", b"\0", b"\xff\xfe", b"\x80"];
    keys.extend(odd.map(<[u8]>::to_vec));
    keys.push(every);
    for (index, key) in keys.iter().enumerate() {
        let mut wanted = parts(7);
        wanted.remote_addr = address(Side::B.wan()).into();
        wanted.ike.group = group(31);
        wanted.remote_nets = nets(Side::B.lan());
        wanted.auth = psk(key);
        wanted.ike_lifetime = Lifetime::ike(86_400).expect("in range");
        let connection = connection(wanted);
        let loadable = Loadable::new(&connection, Traps::Unsupported).expect("a plan");
        peer.load_secret("peer", key, &[Side::A.wan()]);
        if index % 2 == 0 {
            ours.load_all(&loadable);
        } else {
            lab.load_conf(Side::A, "cygnet", loadable.conf.expose());
        }
        ours.initiate(&format!("cygnet-{}", connection.id()), &connection.children[0].name);
        let [ike] = wait_until(Duration::from_secs(20), "the tunnel", || {
            let running = ours.running();
            let up = running.first().is_some_and(|ike| ike.state == IkeState::Established);
            <[_; 1]>::try_from(running).ok().filter(|_| up)
        });
        ours.close(&ike);
        wait_until(Duration::from_secs(20), "the tunnel's end", || {
            (ours.running().is_empty() && peer.running().is_empty()).then_some(())
        });
    }
}
