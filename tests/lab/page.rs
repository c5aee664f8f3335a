//! The page in a browser beside a real charon: what an operator at night sees when a tunnel comes up, is changed, and
//! goes; when charon and the agent go and come back; and what reconnecting shows. Nobody reloads the page.

use crate::browser::{Browser, ENTER};
use crate::client::Stream;
use crate::pair::{PATIENCE, Pair, creation, with};
use crate::support::agent::{AgentOptions, TOKEN};
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab, say};
use serde_json::{Value, json};
use std::time::Duration;

/// A browser on gateway A.
pub fn browser(lab: &Lab) -> Browser {
    let (here, dials) = (lab.clone(), lab.clone());
    Browser::start(
        move |program| here.command_in(Side::A, program),
        move |address| dials.connect_tcp(Side::A, address).map(Stream::Tcp),
    )
}

const STATUS: &str = "#rows [data-status]";

#[test]
fn an_operator_sees_what_happens() {
    if let Err(why) = Browser::available() {
        return say(format!("SKIPPED: {why}"));
    }
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    let port = pair.agent(Side::A).address();
    let config = pair.agent(Side::A).config();
    let mut browser = browser(&lab);
    browser.open(&format!("http://{port}/"));
    browser.enter("#token", &format!("{TOKEN}{ENTER}"));
    browser.sees("#found", "0 of 0");

    pair.create(Side::A, &json!({ "name": "office" }));
    browser.sees("#rows", "office");
    pair.create(Side::B, &json!({}));
    browser.sees(STATUS, "Ready");

    // What is changed over the API is seen.
    let path = format!("/zstack/v1/ipsec/{}/actions", pair.uuid(Side::A));
    let renamed = json!({ "updateIPsecConnection": { "name": "office-2" } });
    pair.agent(Side::A).request("PUT", &path, Some(&renamed)).expect(200);
    browser.sees("#rows", "office-2");
    pair.change_both(&json!({ "policyEncryptionAlgorithm": "aes-256-gcm" }));
    browser.click("#rows a");
    browser.sees("#title", "Ready");
    browser.sees("#facts", "AES_GCM_16");
    browser.sees("pre", "established");
    let before = wait_until(PATIENCE, "one tunnel", || pair.tunnel(Side::A, 1)).spis();
    browser.click("#one button");
    browser.sees("#what", "Reconnect");
    browser.click("#yes");
    browser.sees("#done", "Reconnected: Ready");
    wait_until(PATIENCE, "another tunnel", || pair.tunnel(Side::A, 1).filter(|tunnel| tunnel.spis() != before));

    // The peer goes, and the reason comes.
    browser.run("location.hash = ''");
    lab.kill_charon(Side::B);
    pair.agent_mut(Side::B).kill();
    pair.agent(Side::A).request("PUT", &path, Some(&json!({ "reconnectIPsecConnection": {} })));
    browser.until("document.querySelector('#rows [data-status]').textContent !== 'Ready'");
    browser.until("/DPD_TIMEOUT|PEER_UNREACHABLE/.test(document.querySelector('#rows').textContent)");

    // charon goes, and the agent; both come back by themselves.
    lab.kill_charon(Side::A);
    browser.sees("#away", "charon does not answer");
    browser.sees(STATUS, "Unknown");
    lab.start_charon(Side::A);
    browser.until("!document.querySelector('#away').textContent");
    let text = std::fs::read_to_string(&config).expect("settings").replace("127.0.0.1:0", &port.to_string());
    std::fs::write(&config, text).expect("settings");
    pair.agent_mut(Side::A).kill();
    browser.sees("#away", "The agent does not answer.");
    pair.agent_mut(Side::A).restart();
    browser.until("!document.querySelector('#away').textContent");
    browser.sees("#rows", "office");
    browser.was_good(&format!("http://{port}/"));
}

/// The other ends of the pictures: name, local address and network on B, and what is special.
fn ends() -> [(&'static str, u8, Value); 5] {
    let post_quantum = if lacks_ml_kem() {
        json!({ "ppkId": "headquarters", "ppk": "test-only-ppk-of-thirty-two-bytes", "ppkRequired": true,
                "pfs": "dh-group31" })
    } else {
        json!({ "postQuantum": "mlkem768", "postQuantumMode": "require", "pfs": "dh-group31" })
    };
    [
        ("headquarters", 11, post_quantum),
        ("datacenter", 12, json!({ "policyEncryptionAlgorithm": "aes-256-gcm", "ikeDhGroup": 31 })),
        ("branch-lyon", 13, json!({})),
        ("branch-oslo", 14, json!({})),
        ("old-site", 15, json!({})),
    ]
}

/// Whether the strongSwan of this run knows a PPK alone.
fn lacks_ml_kem() -> bool {
    Lab::strongswan() < [6, 0, 2]
}

/// Two gateways, five connections: two up, one whose peer is not there, one whose peer has another key, one disabled.
fn site(lab: &Lab) -> Pair {
    let uuid = |kind: u8, number: u8| format!("b0000000000040008000000000{kind:02}00{number:02}");
    for (_, number, _) in ends().into_iter().filter(|(name, ..)| *name != "branch-lyon") {
        lab.add_address(Side::B, &format!("192.0.2.{number}/24"));
    }
    let pair = Pair::start_with(lab, |side| {
        let of_b = ends().map(|(_, number, _)| number).into_iter().filter(|_| side == Side::B);
        let (vips, networks) = of_b
            .map(|number| {
                let network = vec![format!("10.{number}.0.0/24")];
                ((uuid(1, number), format!("192.0.2.{number}")), (uuid(2, number), network))
            })
            .unzip();
        AgentOptions { wait: "0s".into(), vips, l3_networks: networks, ..Default::default() }
    });
    for (name, number, options) in ends() {
        let key = |side: Side| {
            if side == Side::B && name == "branch-oslo" {
                "test-only-another-key"
            } else {
                "test-only-Zq8vT3xKp7Lw2RnYb5Hs9Dm4"
            }
        };
        let own = json!({ "vipUuid": uuid(1, number), "l3NetworkUuid": uuid(2, number), "authKey": key(Side::B) });
        if name != "branch-lyon" {
            let far = with(&creation(Side::B, &options), &own);
            pair.agent(Side::B).create(&far).expect(200);
        }
        let near = json!({ "name": name, "peerAddress": format!("192.0.2.{number}"),
                           "peerCidrs": [format!("10.{number}.0.0/24")], "authKey": key(Side::A) });
        let made = pair.agent(Side::A).create(&with(&creation(Side::A, &options), &near)).expect(200).json();
        if name == "old-site" {
            let path = format!("/zstack/v1/ipsec/{}/actions", made["inventory"]["uuid"].as_str().expect("a uuid"));
            let off = json!({ "changeIPsecConnectionState": { "stateEvent": "disable" } });
            pair.agent(Side::A).request("PUT", &path, Some(&off)).expect(200);
        }
    }
    pair
}

#[test]
#[ignore = "makes the pictures of the documents; best with CYGNET_STRONGSWAN=sid"]
fn pictures() {
    if let Err(why) = Browser::available() {
        return say(format!("SKIPPED: {why}"));
    }
    let Some(lab) = lab() else { return };
    let pair = site(&lab);
    lab.add_lan(Side::B, "10.11.0.1/24");
    let mut browser = browser(&lab);
    browser.open(&format!("http://{}/", pair.agent(Side::A).address()));
    browser.enter("#token", &format!("{TOKEN}{ENTER}"));
    browser.sees("#found", "5 of 5");
    let row = |name: &str| {
        format!("[...document.querySelectorAll('#rows tr')].find(row => row.textContent.startsWith('{name}'))")
    };
    browser.until(&format!(
        "{}.textContent.includes('{}')",
        row("headquarters"),
        if lacks_ml_kem() { "PPK" } else { "ML_KEM_768" }
    ));
    browser.until(&format!("{}.textContent.includes('AUTH_FAILED')", row("branch-oslo")));
    browser.until(&format!("{}.textContent.includes('PEER_UNREACHABLE')", row("branch-lyon")));
    // Steps of a quarter of a minute, with pings at another pace in each.
    let points = format!("{}.querySelector('.in')?.getAttribute('points').split(' ').length", row("headquarters"));
    for (steps, pause) in (2..).zip([500, 200, 100, 300, 200, 500, 100, 200]) {
        let pause = Duration::from_millis(pause);
        let ping = lab.ping_background(Side::A, Side::A.host(), "10.11.0.1", pause);
        browser.until(&format!("{points} >= {steps}"));
        ping.stop();
    }
    let href = browser.run(&format!("return {}.querySelector('a').hash", row("headquarters")));
    for (name, hash, element, text) in [
        ("list", "", "#rows", "headquarters"),
        ("connection", href.as_str().expect("a link"), "#facts", "IKE"),
        ("doctor", "#gateway", "#doctor", "checks passed"),
    ] {
        browser.run(&format!("location.hash = '{hash}'"));
        browser.sees(element, text);
        for (look, dark) in [("light", false), ("dark", true)] {
            browser.look(1360, if name == "list" { 560 } else { 1100 }, 1, dark);
            browser.picture(&format!("lab-{name}-{look}.png"));
        }
    }
}
