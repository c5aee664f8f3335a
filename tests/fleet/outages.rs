//! etcd, its leader, a follower and a gateway go away and come back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bed::{PATIENCE, bed, gateway, spec, uuid};
use crate::say;
use crate::scale::memory;
use crate::support::lab::Side;
use crate::support::wait_until;

/// One end of a connection that nobody answers, and that begins nothing.
fn idle(number: usize) -> Value {
    let (third, fourth) = (number / 250, number % 250 + 1);
    spec(
        Side::A,
        &json!({
            "name": format!("idle-{number}"), "peerAddress": format!("198.18.{third}.{fourth}"), "state": "Disabled",
            "peerCidrs": [format!("10.{}.{fourth}.0/24", 100 + third)],
        }),
    )
}

/// How many wishes are written while the gateway is off.
fn many() -> usize {
    std::env::var("CYGNET_FLEET_WISHES").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

#[test]
fn what_is_written_while_a_follower_is_away_is_there_afterwards_and_nothing_twice() {
    let Some(mut bed) = bed() else { return };
    bed.start_gateway(Side::A, crate::support::agent::AgentOptions::default());
    bed.start_follower(Side::A, "g1");
    let first = bed.put("g1", &uuid(0), &idle(0));
    bed.status_with("g1", &uuid(0), "it is taken", |status| status["revision"] == first);
    bed.stop_follower(Side::A);
    // A follower that ends takes its statuses with it.
    assert_eq!(bed.status("g1", &uuid(0)), None);
    let shown = |follows: bool, count: usize, revision: i64| json!([{ "follows": follows, "gateway": "g1", "connections": count, "revision": revision }]);
    bed.shows_fleet(Side::A, &shown(false, 1, first));

    let many = many();
    let began = Instant::now();
    // In transactions of etcd's own client, each of which is one revision.
    for group in (1..=many).collect::<Vec<_>>().chunks(50) {
        let put = |number: &usize| format!("put /cygnet/g1/spec/{} {:?}\n", uuid(*number), idle(*number).to_string());
        let puts = group.iter().map(put).collect::<Vec<_>>().concat();
        bed.etcdctl_txn(&format!("\n{puts}\n\n"));
    }
    bed.delete("g1", &uuid(0));
    let last = bed.put("g1", &uuid(1), &idle(1));
    bed.etcdctl_ok(&["compact", &last.to_string()]);
    say(format!("{many} wishes written and compacted: {:?}", began.elapsed()));
    let began = Instant::now();
    bed.start_follower(Side::A, "g1");
    wait_until(PATIENCE * 4, "all are there", || {
        let all = bed.statuses("g1");
        (all.len() == many && all.iter().all(|(_, status)| status["error"].is_null())).then_some(())
    });
    say(format!("{many} wishes there after the start: {:?}", began.elapsed()));
    say(format!("the follower: {}", memory(bed.follower(Side::A).pid())));
    bed.shows_fleet(Side::A, &shown(true, many, last));
    let mut uuids: Vec<_> = bed.connections(Side::A).iter().map(|item| item["uuid"].to_string()).collect();
    uuids.sort();
    let count = uuids.len();
    uuids.dedup();
    assert_eq!((count, uuids.len()), (many, many));

    // A compaction under a watcher that has lost its member.
    bed.follower(Side::A).signal(nix::sys::signal::Signal::SIGSTOP);
    let last = bed.put("g1", &uuid(1), &idle(many + 1));
    bed.delete("g1", &uuid(2));
    bed.etcdctl_ok(&["compact", &(last + 1).to_string()]);
    (0..3).for_each(|number| bed.kill_member(number));
    (0..3).for_each(|number| bed.start_member(number));
    bed.wait_for_etcd();
    bed.follower(Side::A).signal(nix::sys::signal::Signal::SIGCONT);
    bed.status_with("g1", &uuid(1), "it catches up", |status| status["revision"] == last);
    wait_until(PATIENCE, "what was deleted is gone", || (bed.connections(Side::A).len() == many - 1).then_some(()));
}

/// How long etcd is gone.
fn gone() -> Duration {
    Duration::from_secs(std::env::var("CYGNET_FLEET_GONE").ok().and_then(|text| text.parse().ok()).unwrap_or(3))
}

#[test]
fn tunnels_do_without_etcd_and_a_leader_and_a_gateway_are_missed() {
    let Some(mut bed) = bed() else { return };
    bed.start_both();
    let id = uuid(1);
    let revisions = Side::BOTH.map(|side| bed.put(gateway(side), &id, &spec(side, &json!({}))));
    for (side, revision) in Side::BOTH.into_iter().zip(revisions) {
        bed.ready(gateway(side), &id, revision);
    }

    // The leader: the next write goes through, and comes.
    let leader = bed.leader();
    bed.kill_member(leader);
    let began = Instant::now();
    let file = bed.lab.directory().join("spec.json");
    let spec_after = spec(Side::A, &json!({ "description": "after the leader" }));
    std::fs::write(&file, spec_after.to_string()).expect("a file");
    let said = bed.plane_ok(&["put", &format!("g1/{id}"), &file.display().to_string(), "--json"]);
    let revision = serde_json::from_str::<Value>(&said).expect("JSON")["revision"].as_i64().expect("a revision");
    say(format!("writes after the leader was killed: {:?}", began.elapsed()));
    bed.ready("g1", &id, revision);
    say(format!("and Ready: {:?}", began.elapsed()));
    bed.start_member(leader);

    // All of etcd: the tunnel carries on.
    let host = |side: Side| side.host();
    bed.reaches(Side::A);
    let ping = bed.lab.ping_background(Side::A, host(Side::A), host(Side::B), Duration::from_millis(100));
    ping.wait_for_replies(5);
    (0..3).for_each(|number| bed.kill_member(number));
    let until = Instant::now() + gone();
    while Instant::now() < until {
        ping.wait_for_replies(5);
    }
    let result = ping.stop();
    say(format!("etcd gone for {:?}: {result:?}", gone()));
    assert_eq!(result.lost(), 0, "{result:?}");
    // A charon that ends meanwhile is healed by the agent alone.
    bed.lab.kill_charon(Side::A);
    bed.lab.start_charon(Side::A);
    bed.reaches(Side::A);
    let not_followed = json!([{ "follows": false, "gateway": "g1", "connections": 1, "revision": revision }]);
    bed.shows_fleet(Side::A, &not_followed);
    (0..3).for_each(|number| bed.start_member(number));
    bed.wait_for_etcd();
    let began = Instant::now();
    bed.ready("g1", &id, revision);
    say(format!("the status after etcd is back: {:?}", began.elapsed()));
    let revision = bed.put("g2", &id, &spec(Side::B, &json!({ "description": "afterwards" })));
    bed.ready("g2", &id, revision);

    // A gateway is gone, and nobody takes its last word for the truth.
    bed.kill_follower(Side::B);
    let began = Instant::now();
    wait_until(PATIENCE, "the status is gone", || bed.status("g2", &id).is_none().then_some(()));
    say(format!("the status of a dead gateway (lease 3 s): {:?}", began.elapsed()));
    let list: Value = serde_json::from_str(&bed.plane_ok(&["list", "g2", "--json"])).expect("JSON");
    assert_eq!(list["connections"][0]["state"], "Unknown", "{list}");
    assert!(bed.plane_ok(&["status"]).lines().any(|line| line.starts_with("g2") && line.contains('1')));
}

/// An etcd that is made anew knows no wish: that is no reason to cut a gateway off.
#[test]
fn an_etcd_that_has_lost_its_data_deletes_nothing() {
    let Some(mut bed) = bed() else { return };
    bed.start_gateway(Side::A, crate::support::agent::AgentOptions::default());
    bed.start_follower(Side::A, "g1");
    for number in 1..=20 {
        bed.put("g1", &uuid(99), &idle(number));
    }
    let last = bed.put("g1", &uuid(1), &idle(50));
    bed.status_with("g1", &uuid(1), "it is taken", |status| status["revision"] == last);
    (0..3).for_each(|number| bed.kill_member(number));
    (0..3).for_each(|number| std::fs::remove_dir_all(bed.data(number)).expect("removed"));
    (0..3).for_each(|number| bed.start_member(number));
    bed.wait_for_etcd();
    wait_until(PATIENCE, "it is held back", || bed.logs().contains("etcd has lost data").then_some(()));
    assert!(bed.connections(Side::A).iter().any(|item| item["uuid"] == uuid(1)));
}
