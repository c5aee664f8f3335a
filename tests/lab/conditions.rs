//! The condition of a child on two real gateways: a peer that narrows, traffic that goes one way, no traffic, two SAs for
//! the same child. What the word says is made on the wire and in charon, not in the agent.

use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::{cygnet, native};
use crate::lab;
use crate::pair::{KEY, PATIENCE, Pair, WAIT};
use crate::peer::Charon;
use crate::plain::Plain;
use crate::say;
use crate::support::agent::AgentOptions;
use crate::support::lab::{Lab, Side};
use crate::support::{run, wait_until};

/// Agents that call a child idle, and traffic one-way, soon.
fn pair(lab: &Lab) -> Pair {
    Pair::start_with(lab, |side| AgentOptions {
        wait: WAIT[side as usize].to_owned(),
        tables: "[condition]\nidle_after = \"4s\"\none_way_after = \"2s\"\n".to_owned(),
        ..Default::default()
    })
}

/// The only child as the agent shows it.
fn child(pair: &Pair, side: Side) -> Value {
    native(pair, side)["children"][0].take()
}

/// Waits until the child's condition is `word`; the child.
#[track_caller]
fn becomes(pair: &Pair, side: Side, word: &str) -> Value {
    wait_until(Duration::from_secs(20), word, || Some(child(pair, side)).filter(|child| child["condition"] == word))
}

/// Drops on `side` what comes from `network`, before it reaches the tunnel; or no longer.
fn drop_from(lab: &Lab, side: Side, network: &str, dropped: bool) {
    let word = if dropped { "add" } else { "del" };
    let rule = ["rule", word, "from", network, "pref", "10", "blackhole"];
    run(lab.command_in(side, "ip").args(rule));
}

#[test]
fn idle_up_and_one_way_are_told_apart() {
    let Some(lab) = lab() else { return };
    let mut pair = pair(&lab);
    pair.create_both(&json!({}));
    let before = pair.settled(1);
    let idle = becomes(&pair, Side::A, "up_idle");
    assert!(idle["condition_since"].is_string(), "{idle}");
    let ping = lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
    ping.wait_for_replies(5);
    let up = becomes(&pair, Side::A, "up");
    let sa = &up["sas"][0];
    assert!(sa["packets_in"].as_u64() >= Some(5) && sa["unused_in_s"].as_u64() <= Some(1), "{sa}");
    assert!(sa["ends_in_s"].as_i64() > sa["rekey_in_s"].as_i64() && sa["rekey_in_s"].as_i64() > Some(0), "{sa}");
    on_a_page(&pair);
    // B sends nothing back: what comes from its host is dropped before it reaches the tunnel.
    drop_from(&lab, Side::B, Side::B.host(), true);
    let (a, b) = (becomes(&pair, Side::A, "no_inbound"), becomes(&pair, Side::B, "no_outbound"));
    for (child, checks) in [(&a, ["input", "rp_filter"]), (&b, ["nat, forward", "routes"])] {
        let advice = child["condition_advice"].as_str().unwrap_or_default();
        assert!(checks.iter().all(|check| advice.contains(check)) && advice.contains("cygnet doctor"), "{child}");
    }
    assert!(a["condition_since"].is_string() && b["condition_since"].is_string(), "{a} {b}");
    assert_eq!(Side::BOTH.map(|side| pair.status(side)), ["Ready", "Ready"], "traffic has no say in the status");
    drop_from(&lab, Side::B, Side::B.host(), false);
    for side in Side::BOTH {
        becomes(&pair, side, "up");
    }
    say(format!("one way: {:?}", ping.stop()));
    for side in Side::BOTH {
        becomes(&pair, side, "up_idle");
    }
    assert_eq!(pair.settled(1)[0].child_spis(), before[0].child_spis(), "nothing was negotiated for it");
}

/// `cygnet show` has what charon says of the SAs, in lines that are not too wide.
fn on_a_page(pair: &Pair) {
    let (sas, view) = (pair.ike_sas(Side::A), native(pair, Side::A));
    let of = |name: &str| sas[0]["children"][0][name].as_str().expect("a text").to_owned();
    let (page, narrow) = (cygnet(pair, Side::A, 80, &["show", pair.uuid(Side::A)]), 40);
    for line in
        [format!("SPIs         in {}, out {}", of("spi-in"), of("spi-out")), format!("here         {}", Side::A.lan())]
    {
        assert!(page.contains(&line), "{line}: {page}");
    }
    let (ours, theirs) = (&view["ike_sas"][0], native(pair, Side::B)["ike_sas"][0].take());
    let both = [&ours["initiator"], &theirs["initiator"]];
    assert!(both == ["local", "remote"] || both == ["remote", "local"], "{both:?}");
    assert_eq!(ours["initiator_spi"], theirs["initiator_spi"]);
    let by = if ours["initiator"] == "local" { "begun by this gateway" } else { "begun by the peer" };
    let is_used =
        |title: &str| page.lines().any(|line| line.starts_with(title) && line.contains(" packets, idle for "));
    assert!(page.contains(by) && is_used("    in ") && is_used("    out "), "{page}");
    assert!(page.contains("rekey in ") && page.contains("expiry in ") && page.contains("NAT-T "), "{page}");
    let slim = cygnet(pair, Side::A, narrow, &["show", pair.uuid(Side::A)]);
    for (text, columns) in [(&page, 80), (&slim, narrow)] {
        assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}: {text}");
    }
}

#[test]
fn what_a_peer_narrows_is_not_ready() {
    let Some(lab) = lab() else { return };
    let mut pair = pair(&lab);
    // B joins a half of what A wants; B's end is exactly what B wants.
    let half = "10.1.0.0/25";
    pair.create(Side::B, &json!({ "peerCidrs": [half] }));
    pair.create(Side::A, &json!({}));
    let told = becomes(&pair, Side::A, "narrowed");
    let sa = &told["sas"][0];
    assert_eq!((&sa["local"], &sa["as_wanted"]), (&json!([half]), &json!(false)), "{told}");
    assert_eq!(told["local"], json!([Side::A.lan()]));
    assert_ne!(pair.status(Side::A), "Ready");
    let details = told["reason"]["details"].as_str().unwrap_or_default();
    assert_eq!(told["reason"]["code"], "TS_MISMATCH", "{told}");
    let both = (format!("{half} === {}", Side::B.lan()), format!("wanted here: {} ===", Side::A.lan()));
    assert!(details.contains(&both.0) && details.contains(&both.1), "{details}");
    wait_until(Duration::from_secs(10), "B has what it wants", || (pair.status(Side::B) == "Ready").then_some(()));
    // The attempts to get the rest do not pile up SAs.
    let attempts = || pair.agent(Side::A).logs().lines().filter(|line| line.contains("next step: negotiate ")).count();
    wait_until(Duration::from_secs(20), "three attempts", || (attempts() >= 3).then_some(()));
    let sas = pair.ike_sas(Side::A);
    let children: usize = sas.iter().map(|sa| sa["children"].as_array().map_or(0, Vec::len)).sum();
    assert!(sas.len() == 1 && children <= 2, "{sas:#?}");
    assert_eq!(child(&pair, Side::A)["condition"], "narrowed");
    // Both say the same again.
    pair.agent(Side::B).delete(pair.uuid(Side::B)).expect(200);
    pair.create(Side::B, &json!({}));
    pair.settled(1);
}

#[test]
fn two_sas_for_a_child_are_a_duplicate_until_one_goes() {
    let Some(lab) = lab() else { return };
    let mut pair = pair(&lab);
    pair.create_both(&json!({}));
    pair.settled(1);
    // The peer makes a second IKE SA with the same child, by a connection that differs in a detail.
    let name = "by-hand";
    let peer = Charon::of(&lab, Side::B);
    peer.load_secret("by-hand-key", KEY.as_bytes(), &[Side::A.wan()]);
    peer.load_connection(name, Side::B);
    peer.initiate(name, "k");
    let told = becomes(&pair, Side::A, "duplicate");
    assert_eq!(told["sas"].as_array().map(Vec::len), Some(2), "{told}");
    assert_eq!(pair.status(Side::A), "Ready");
    // The agent closes one of the two, and one remains.
    let left = wait_until(Duration::from_secs(20), "one is left", || {
        Some(child(&pair, Side::A)).filter(|child| child["condition"] != "duplicate")
    });
    assert!(left["condition"].as_str().is_some_and(|word| word.starts_with("up")), "{left}");
}

/// IPv4 and IPv6 have a child each: what the peer makes of one says nothing of the other, and Ready is both.
#[test]
fn a_family_that_the_peer_narrows_is_named() {
    for version in Lab::ike_versions() {
        let Some(lab) = lab() else { return };
        let networks = "c0000000000040008000000000000003";
        let both = |side: Side| vec![side.lan().to_owned(), side.lan6().to_owned()];
        let mut pair = Pair::start_with(&lab, |side| AgentOptions {
            wait: "0s".into(),
            l3_networks: vec![(networks.into(), both(side))],
            ..Default::default()
        });
        let peer = |remote6: &str| {
            // A child per family, as IKEv1 needs it.
            let six =
                format!("}}\n six {{\n esp_proposals = aes256-sha256\n local_ts = fd00:2::/64\n remote_ts = {remote6}");
            Plain { extra: &six, ..Plain::right(version) }.load(&lab);
        };
        peer("fd00:1::/65");
        pair.create(Side::A, &json!({ "ikeVersion": version, "l3NetworkUuid": networks, "peerCidrs": both(Side::B) }));
        let of = |family: &str| {
            let view = native(&pair, Side::A);
            let all = view["children"].as_array().cloned().unwrap_or_default();
            all.into_iter().find(|child| child["local"].to_string().contains(family)).unwrap_or_default()
        };
        wait_until(PATIENCE, "IPv4 is up and IPv6 is not", || {
            let (four, six) = (of("10.1."), of("fd00:"));
            let is_up = four["reason"].is_null() && four["condition"].as_str()?.starts_with("up");
            (is_up && six["reason"]["code"] == "TS_MISMATCH").then_some(())
        });
        assert_ne!(pair.status(Side::A), "Ready");
        let details = of("fd00:")["reason"]["details"].to_string();
        assert!(details.contains("fd00:1::/65") && details.contains("fd00:1::/64"), "{version}: {details}");
        peer("fd00:1::/64");
        wait_until(Duration::from_mins(1), "Ready", || (pair.status(Side::A) == "Ready").then_some(()));
    }
}
