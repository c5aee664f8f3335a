//! A gateway that takes over many tunnels at once: what it asks charon for, and what it tells of those that wait for their
//! turn. That it is made active again stands for an address that came.

use super::accounts::tool;
use crate::{
    serve::{Bench, KEY, NETWORK, Options, VIP, wait_until},
    stream::Events,
};
use serde_json::json;
use std::{collections::BTreeSet, fs};

fn uuid(n: usize) -> String {
    format!("c0000000000040008000000000{n:06x}")
}

/// A gateway with so many tunnels that were up, and were given up.
fn standby(tunnels: usize) -> Bench {
    let mut b = Bench::idle(&Options::default());
    // One that this host has.
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("settings").replace("192.0.2.1", "127.0.0.1");
    fs::write(b.path("cygnet.toml"), settings).expect("written");
    b.run();
    b.charon.establish(true);
    for n in 0..tunnels {
        let params = json!({
            "name": format!("site-{n}"), "vipUuid": VIP, "peerAddress": format!("198.51.{}.{}", n / 250, n % 250 + 1),
            "authKey": KEY, "l3NetworkUuid": NETWORK, "peerCidrs": [format!("10.{}.{}.0/24", 100 + n / 250, n % 250)],
            "resourceUuid": uuid(n),
        });
        b.create(&params).expect(200);
    }
    wait_until("all are up", || (ready(&b) == tunnels).then_some(()));
    tool(&b, &["standby"], "");
    wait_until("all are closed", || (b.charon.sas() == 0).then_some(()));
    b
}

fn ready(b: &Bench) -> usize {
    let list = b.ask("GET", "/zstack/v1/ipsec?q=status=Ready&count=true", b"").expect(200).json();
    usize::try_from(list["total"].as_u64().expect("a number")).expect("a number")
}

/// Each tunnel is loaded with its traps and negotiated, and charon is asked for nothing else but lists.
#[test]
fn a_take_over_asks_charon_for_little() {
    const TUNNELS: usize = 200;
    let b = standby(TUNNELS);
    b.charon.forget_requests();
    tool(&b, &["active"], "");
    wait_until("all are up again", || (ready(&b) == TUNNELS).then_some(()));
    let of = |command: &str| b.charon.requests_of(command).len();
    assert_eq!([of("load-conn"), of("load-shared"), of("initiate")], [TUNNELS; 3]);
    assert_eq!([of("unload-conn"), of("terminate")], [0; 2], "there was nothing to guard, and nothing to close");
}

/// The last of many waits for seconds. Of a tunnel that was not tried nobody hears that it is down.
#[test]
fn what_waits_for_its_turn_is_not_down() {
    // Those that are half open all have places, and the last ones begin after seven seconds.
    const TUNNELS: usize = 500;
    let b = standby(TUNNELS);
    b.charon.hold(true);
    b.charon.forget_requests();
    let events = Events::open(&b.path("cygnet.sock"), "/cygnet/v1/events", None);
    tool(&b, &["active"], "");
    let downs = || {
        let all = events.all().into_iter().filter(|event| event.name == "down");
        all.map(|event| event.data["uuid"].as_str().expect("a uuid").to_owned()).collect::<BTreeSet<_>>()
    };
    let checked = |least: usize| {
        let down = downs();
        if down.len() < least {
            return None;
        }
        // Whatever was begun before it was said is in this list.
        let begun = b.charon.requests_of("initiate");
        let begun: BTreeSet<_> = begun
            .iter()
            .filter_map(|begun| begun.body.text("ike")?.strip_prefix("cygnet-").map(str::to_owned))
            .collect();
        if let Some(early) = down.difference(&begun).next() {
            let told = events.all().into_iter().filter(|event| event.data["uuid"] == **early).collect::<Vec<_>>();
            panic!(
                "down, and not tried: {told:?}\n{}",
                b.ask("GET", &format!("/cygnet/v1/connections/{early}/log"), b"").text()
            );
        }
        Some(begun.len())
    };
    wait_until("the first ones are down", || checked(1));
    wait_until("all were tried", || checked(1).filter(|begun| *begun == TUNNELS));
    wait_until("what was tried is down", || checked(TUNNELS));
}
