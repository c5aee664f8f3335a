//! The page over a real charon that has ten thousand connections: the one tunnel that is up is found among all whose peers
//! do not answer, one of these has its reason, and what is changed is seen.

use crate::browser::{Browser, ENTER};
use crate::page::browser;
use crate::pair::Pair;
use crate::support::agent::{AgentOptions, TOKEN};
use crate::support::lab::Side;
use crate::support::wait_until;
use crate::{lab, say};
use serde_json::{Value, json};
use std::{fs, time::Duration};

/// They are loaded within half a minute by an agent that is not optimised; a busy machine has more time.
const LOADED: Duration = Duration::from_mins(10);

/// Stores the connection of gateway A as `count`, each with a name and a peer of its own, and starts the agent on them.
fn multiply(pair: &mut Pair, count: usize) {
    let uuid = pair.uuid(Side::A).to_owned();
    let agent = pair.agent_mut(Side::A);
    agent.stop();
    let records = agent.state_dir().join("connections");
    let text = fs::read_to_string(records.join(format!("{uuid}.json"))).expect("a record");
    for n in 1..count {
        let own = format!("{n:08x}00004000800000000000cafe");
        let text = text.replace(&uuid, &own).replace("\"office\"", &format!("\"branch-{n:05}\""));
        let text = text.replace(Side::B.wan(), &format!("10.{}.{}.{}", 100 + n / 62_500, n / 250 % 250, n % 250 + 1));
        fs::write(records.join(format!("{own}.json")), text).expect("written");
    }
    agent.restart();
}

fn finds(browser: &mut Browser, name: &str, count: usize) {
    browser.run("document.querySelector('#search').value = ''");
    browser.enter("#search", name);
    browser.sees("#found", &format!("1 of {count}"));
    browser.sees("#rows", name);
}

fn shows(count: usize) {
    if let Err(why) = Browser::available() {
        return say(format!("SKIPPED: {why}"));
    }
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start_with(&lab, |_| AgentOptions { patience: LOADED, ..Default::default() });
    for side in Side::BOTH {
        pair.create(side, &json!({ "name": "office" }));
    }
    pair.settled(1);
    multiply(&mut pair, count);
    wait_until(LOADED, "charon has them all", || (lab.list_conns(Side::A).len() == count).then_some(()));
    let port = pair.agent(Side::A).address();
    let mut browser = browser(&lab);
    browser.open(&format!("http://{port}/"));
    browser.enter("#token", &format!("{TOKEN}{ENTER}"));
    browser.sees("#found", &format!("{count} of {count}"));
    let rows = "document.querySelector('#list').ariaRowCount";
    assert_eq!(browser.run(&format!("return {rows}")), Value::from((count + 1).to_string()));

    finds(&mut browser, "office", count);
    browser.sees("#rows [data-status]", "Ready");
    let last = format!("branch-{:05}", count - 1);
    finds(&mut browser, &last, count);
    let path = format!("/zstack/v1/ipsec/{:08x}00004000800000000000cafe/actions", count - 1);
    let renamed = json!({ "updateIPsecConnection": { "name": format!("{last}-renamed") } });
    pair.agent(Side::A).request("PUT", &path, Some(&renamed)).expect(200);
    browser.sees("#rows", &format!("{last}-renamed"));
    // The first one of the others was tried: why it is not up is said, of one among all.
    finds(&mut browser, "branch-00017", count);
    browser.until("/[A-Z]+_[A-Z_]+/.test(document.querySelector('#rows').textContent)");
    browser.click("#rows a");
    browser.sees("#title", "branch-00017");
    browser.was_good(&format!("http://{port}/"));
}

#[test]
fn ten_thousand_rows() {
    shows(10_000);
}
