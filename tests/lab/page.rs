//! The page in a browser beside a real charon: what an operator at night sees when a tunnel comes up, is changed, and
//! goes; when charon and the agent go and come back; and what reconnecting shows. Nobody reloads the page.

use crate::browser::{Browser, ENTER};
use crate::client::Stream;
use crate::pair::{PATIENCE, Pair};
use crate::support::agent::TOKEN;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab, say};
use serde_json::json;

/// A browser on gateway A.
fn browser(lab: &Lab) -> Browser {
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
