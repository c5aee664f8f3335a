//! What is left alone beside connections of other kinds than [`crate::on_neighbours`] has: stored by an earlier version,
//! the hub of a full tunnel, and one that asks for a network around the gateway by its name.

use serde_json::{Value, json};

use crate::bed::{charon, in_the_kernel};
use crate::on_neighbours::{
    LAN, MGMT, PATIENCE, address, algorithms, all_reach, bed, comes_back, everything, hub, view,
};
use crate::pair::{Pair, Tunnel, WAIT, with};
use crate::support::agent::AgentOptions;
use crate::support::lab::Side;
use crate::support::wait_until;

fn up(pair: &Pair) -> Tunnel {
    wait_until(PATIENCE, "the tunnel is up", || pair.tunnel(Side::A, 1).filter(|_| pair.status(Side::A) == "Ready"))
}

/// `text` without its pass children, as an earlier version rendered it.
fn without_passes(text: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.contains("-pass-") {
            assert!(lines.any(|line| line.trim() == "}"), "{text}");
        } else {
            kept.push(line);
        }
    }
    kept.join("\n") + "\n"
}

/// Has the record be one that an earlier version wrote.
fn age(pair: &Pair) {
    let path = pair.agent(Side::A).state_dir().join(format!("connections/{}.json", pair.uuid(Side::A)));
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).expect("a record")).expect("JSON");
    for (part, member) in [("child", "split"), ("ike", "dpd")] {
        assert!(record[part].as_object_mut().expect("a part").remove(member).is_some(), "{record:#}");
    }
    std::fs::write(&path, record.to_string()).expect("written");
}

#[test]
#[ignore = "on a machine of its own"]
fn an_upgrade_brings_them_and_renegotiates_nothing() {
    let lab = bed();
    let mut pair = everything(&lab, &algorithms());
    lab.load_conf(Side::B, "hub", &hub());
    up(&pair);
    pair.agent_mut(Side::A).stop();
    age(&pair);
    lab.kill_charon(Side::A);
    lab.start_charon_with(Side::A, charon());
    pair.agent_mut(Side::A).restart();
    let made = up(&pair);
    // What that version would have left: the same file and tunnel, and nothing left alone.
    pair.agent_mut(Side::A).stop();
    let conf = pair.agent(Side::A).conf_dir().join(format!("{}.conf", pair.name(Side::A)));
    let text = std::fs::read_to_string(&conf).expect("the file");
    assert!(text.contains("-pass-") && text.contains("dpd_delay = 30"), "{text}");
    std::fs::write(&conf, without_passes(&text)).expect("written");
    assert!(lab.swanctl(Side::A, &["--load-all", "--noprompt"]).status.success());
    wait_until(PATIENCE, "the LAN has lost its gateway", || (!comes_back(LAN.on_host(&lab), "10.1.0.1")).then_some(()));
    assert_eq!(pair.tunnel(Side::A, 1).map(|now| now.spis()), Some(made.spis()), "the stage is right");

    pair.agent_mut(Side::A).restart();
    all_reach(&lab, 0, "after the upgrade");
    wait_until(PATIENCE, "it is Ready", || (pair.status(Side::A) == "Ready").then_some(()));
    assert_eq!(std::fs::read_to_string(&conf).expect("the file"), text);
    let now = pair.tunnel(Side::A, 1).expect("the tunnel");
    assert_eq!(now.spis(), made.spis(), "{}", pair.agent(Side::A).logs());
}

/// Its local network is everything, so all that it leaves alone has everything on its own side.
#[test]
#[ignore = "on a machine of its own"]
fn the_hub_of_a_full_tunnel_leaves_them_alone() {
    const ALL: &str = "c0000000000040008000000000000009";
    let lab = bed();
    lab.add_address(Side::B, "172.20.0.1/32");
    lab.start_charon_with(Side::A, charon());
    lab.start_charon_with(Side::B, charon());
    let spoke = hub().replace("0.0.0.0/0", "172.16.0.0/12").replace("remote_ts = 10.1.0.0/24", "remote_ts = 0.0.0.0/0");
    lab.load_conf(Side::B, "spoke", &spoke);
    let mut pair = Pair::join(&lab, |side| AgentOptions {
        wait: WAIT[side as usize].to_owned(),
        l3_networks: vec![(ALL.to_owned(), vec!["0.0.0.0/0".to_owned()])],
        ..Default::default()
    });
    let options = json!({ "l3NetworkUuid": ALL, "peerCidrs": ["172.16.0.0/12"] });
    pair.create(Side::A, &with(&algorithms(), &options));
    up(&pair);
    assert_eq!(view(&pair)["passes"][0]["local"], json!(["0.0.0.0/0"]), "{:#}", view(&pair));
    all_reach(&lab, 0, "beside the spoke");
    wait_until(PATIENCE, "the LAN reaches the spoke", || comes_back(LAN.on_host(&lab), "172.20.0.1").then_some(()));
}

/// Who asks for such a network by its name is told that its tunnel carries nothing, for as long as the host is in it.
#[test]
#[ignore = "on a machine of its own"]
fn a_network_around_that_is_asked_for_is_warned_of() {
    let lab = bed();
    lab.start_charon_with(Side::A, charon());
    let mut pair = Pair::join(&lab, |_| AgentOptions { wait: "0s".into(), ..Default::default() });
    pair.create(Side::A, &with(&algorithms(), &json!({ "peerCidrs": ["172.16.0.0/24"] })));
    let warned = || {
        let warnings = view(&pair)["warnings"].clone();
        let of = |code: &str| warnings.as_array()?.iter().find(|warning| warning["code"] == code).cloned();
        assert_eq!(of("NEIGHBOURS_TAKEN"), None, "{warnings}");
        of("CONNECTED_NETWORK")
    };
    let warning = warned().expect("a warning");
    assert!(warning["field"] == "peerCidrs" && warning["message"].to_string().contains("172.16.0.0/24"), "{warning}");
    all_reach(&lab, 0, "beside it");
    let mut ip = lab.command_in(Side::A, "ip");
    assert!(ip.args(["address", "del", MGMT.gateway[0], "dev", MGMT.name]).status().expect("ip runs").success());
    wait_until(PATIENCE, "the host has left it", || warned().is_none().then_some(()));
    wait_until(PATIENCE, "the tunnel may take it", || {
        let all = in_the_kernel(&lab, Side::A);
        all.iter().any(|line| line.contains(address("172.16.0.0/24"))).then_some(())
    });
}
