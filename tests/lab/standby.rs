//! A gateway of a pair, whose local addresses come and go as keepalived moves them, with charon's own retransmissions.
//! Without the address it sends nothing; with it, the tunnel is up at once, whatever went before.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::calls::native;
use crate::pair::{KEY, PATIENCE, Pair, reaches, with};
use crate::planner::attempts;
use crate::stream::Events;
use crate::support::agent::AgentOptions;
use crate::support::lab::{CharonOptions, Lab, Side};
use crate::support::wait_until;
use crate::{lab, say};

/// The address of the gateway's own, which stays; and those that move.
const OWN: &str = "192.0.2.11/24";
const VIP: &str = "192.0.2.1/32";
const VIP6: &str = "2001:db8::1/64";
/// How long many tunnels may take on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// charon as it is without any settings: it gives a peer up after 165 s.
pub fn patient() -> CharonOptions {
    CharonOptions { retransmit_timeout: 4.0, retransmit_base: 1.8, retransmit_tries: 5, ..Default::default() }
}

/// A has an address of its own, and the VIP beside it. Of A's events, those from the start on.
fn pair_with_vip(lab: &Lab) -> Pair {
    lab.remove_address(Side::A, "192.0.2.1/24");
    lab.add_address(Side::A, OWN);
    lab.add_address(Side::A, VIP);
    for side in Side::BOTH {
        lab.start_charon_with(side, patient());
    }
    Pair::join(lab, |side| AgentOptions {
        wait: "0s".to_owned(),
        vips: vec![(vip6(side), side.wan6().to_owned())],
        l3_networks: std::iter::once((lan6(side), vec![side.lan6().to_owned()])).chain(many_lans()).collect(),
        ..AgentOptions::default()
    })
}

fn vip6(side: Side) -> String {
    format!("{}0000000000040008000000000000006", side.letter())
}

fn lan6(side: Side) -> String {
    format!("{}0000000000040008000000000000007", side.letter())
}

fn vip_role(pair: &Pair) -> Value {
    native(pair, Side::A)["vip"]["role"].clone()
}

fn is_ready(pair: &Pair) -> Option<()> {
    (pair.status(Side::A) == "Ready").then_some(())
}

/// The address goes, and comes back: what the gateway did in between.
fn moved(pair: &Pair, events: &Events, meanwhile: impl FnOnce(&Pair)) {
    let lab = &pair.lab;
    let capture = lab.capture();
    lab.remove_address(Side::A, VIP);
    wait_until(PATIENCE, "A stands by, without SAs", || {
        (vip_role(pair) == "standby" && pair.ike_sas(Side::A).is_empty()).then_some(())
    });
    assert_eq!(pair.status(Side::A), "Disconnected");
    meanwhile(pair);
    let [sent, _] = capture.finish_each();
    assert_eq!(sent.ike, 0, "a standby sends nothing\n{}", pair.agent(Side::A).logs());
    let before = attempts(pair, Side::A);
    let begun = Instant::now();
    lab.add_address(Side::A, VIP);
    wait_until(PATIENCE, "Ready", || is_ready(pair));
    say(format!("the address was back {:?} before the tunnel was up", begun.elapsed()));
    reaches(lab, Side::A, Side::A.host(), Side::B.host());
    assert_eq!(attempts(pair, Side::A), before + 1, "{}", pair.agent(Side::A).logs());
    assert!(!events.names().contains(&"down".to_owned()), "{:?}", events.names());
}

fn follows_the_address(version: &str) {
    let Some(lab) = lab() else { return };
    let mut pair = pair_with_vip(&lab);
    let events = Events::open(&pair.agent(Side::A).socket(), "/cygnet/v1/events", None);
    pair.create(Side::B, &json!({ "ikeVersion": version, "startMode": "respond" }));
    pair.create(Side::A, &json!({ "ikeVersion": version }));
    pair.settled(1);
    // Nothing happens; the other end pings in vain.
    moved(&pair, &events, |pair| {
        pair.lab.ping(Side::B, Side::B.host(), Side::A.host(), 5, Duration::from_millis(10));
    });
    // charon starts anew; a write comes, and is taken.
    moved(&pair, &events, |pair| {
        pair.lab.kill_charon(Side::A);
        pair.lab.start_charon(Side::A);
        wait_until(PATIENCE, "A is ready", || {
            let ready = pair.agent(Side::A).request("GET", "/readyz", None);
            (ready.status == 200 && ready.json()["role"] == "mixed").then_some(())
        });
        pair.change(Side::A, &json!({ "ikeVersion": version, "lifeTime": 7200 }));
        assert!(pair.ike_sas(Side::A).is_empty());
    });
    let told: Vec<_> =
        events.names().into_iter().filter(|name| name.ends_with("_over") || name.starts_with("gave")).collect();
    assert_eq!(told, ["gave_up", "took_over", "gave_up", "took_over"]);
}

#[test]
fn a_gateway_follows_its_address() {
    follows_the_address("ikev2");
}

#[test]
fn a_gateway_follows_its_address_ikev1() {
    if Lab::ike_versions().contains(&"ikev1") {
        follows_the_address("ikev1");
    }
}

/// The gateway starts without the address: attempts made then do not hold those up that have it.
#[test]
fn half_open_attempts_from_before_the_address_are_given_up() {
    let Some(lab) = lab() else { return };
    let mut pair = pair_with_vip(&lab);
    lab.remove_address(Side::A, VIP);
    pair.agent_mut(Side::A).stop();
    // It never had it, as far as it knows.
    std::fs::remove_file(pair.agent(Side::A).state_dir().join("addresses.json")).expect("it was stored");
    pair.agent_mut(Side::A).restart();
    pair.create(Side::B, &json!({ "startMode": "respond" }));
    pair.create(Side::A, &json!({}));
    wait_until(PATIENCE, "charon tries", || pair.ike_sas(Side::A).first().map(|_| ()));
    let view = native(&pair, Side::A);
    assert_eq!((&view["vip"]["role"], &view["reason"]["code"]), (&json!("missing"), &json!("LOCAL_ADDRESS_MISSING")));
    let before = attempts(&pair, Side::A);
    lab.add_address(Side::A, VIP);
    // charon alone would wait for 4 s and more before it sends again.
    wait_until(PATIENCE, "Ready", || is_ready(&pair));
    assert_eq!(attempts(&pair, Side::A), before + 1);
}

/// Two addresses, one of IPv6: the gateway works for the one that it has.
#[test]
fn each_address_is_followed_by_itself() {
    let Some(lab) = lab() else { return };
    let mut pair = pair_with_vip(&lab);
    let start = |side: Side| json!({ "startMode": if side == Side::A { "initiate" } else { "respond" } });
    for side in [Side::B, Side::A] {
        pair.create(side, &start(side));
    }
    let four = pair.settled(1)[0].spis();
    for side in [Side::B, Side::A] {
        let six = json!({ "name": "six", "vipUuid": vip6(side), "peerAddress": side.other().wan6(),
                          "l3NetworkUuid": lan6(side), "peerCidrs": [side.other().lan6()] });
        pair.create(side, &with(&start(side), &six));
    }
    pair.settled(1);
    reaches(&lab, Side::A, Side::A.host6(), Side::B.host6());
    let role = || pair.agent(Side::A).request("GET", "/readyz", None).expect(200).json()["role"].clone();
    assert_eq!(role(), "active");
    lab.remove_address(Side::A, VIP6);
    wait_until(PATIENCE, "A stands by for IPv6", || {
        (role() == "mixed" && vip_role(&pair) == "standby" && pair.ike_sas(Side::A).is_empty()).then_some(())
    });
    reaches(&lab, Side::A, Side::A.host(), Side::B.host());
    lab.add_address(Side::A, VIP6);
    wait_until(PATIENCE, "Ready again", || is_ready(&pair));
    assert_eq!(role(), "active");
    reaches(&lab, Side::A, Side::A.host6(), Side::B.host6());
    let still = lab.sas(Side::A);
    let of_four = |sa: &&Value| four.0.starts_with(sa["initiator-spi"].as_str().unwrap_or("none"));
    assert!(still.as_array().is_some_and(|all| all.iter().any(|sa| of_four(&sa))), "the other one stayed: {still:#}");
}

/// An address that comes and goes without end: attempts do not start over each time.
#[test]
fn a_flapping_address_makes_no_storm() {
    let Some(lab) = lab() else { return };
    let mut pair = pair_with_vip(&lab);
    // Nobody answers, so no tunnel comes up in between.
    lab.kill_charon(Side::B);
    pair.create(Side::A, &json!({}));
    wait_until(PATIENCE, "charon tries", || pair.ike_sas(Side::A).first().map(|_| ()));
    let before = attempts(&pair, Side::A);
    let begun = Instant::now();
    for _ in 0..20 {
        lab.remove_address(Side::A, VIP);
        wait_until(PATIENCE, "standby", || (vip_role(&pair) == "standby").then_some(()));
        lab.add_address(Side::A, VIP);
        wait_until(PATIENCE, "active", || (vip_role(&pair) == "active").then_some(()));
    }
    let made = attempts(&pair, Side::A) - before;
    // One a second, however often the address comes back in that time.
    let seconds = begun.elapsed().as_secs();
    assert!(made as u64 <= seconds + 2, "{made} attempts in {seconds} s\n{}", pair.agent(Side::A).logs());
}

/// How many tunnels move together.
const MANY: usize = 100;

/// B's charon answers as so many peers, each with an address and a network of its own.
fn load_many(lab: &Lab) {
    let mut connections = String::new();
    for n in 1..=MANY {
        let (peer, vip) = (many_peer(n), Side::A.wan());
        lab.add_address(Side::B, &format!("{peer}/32"));
        let _ = write!(
            connections,
            " p{n} {{\n version = 2\n local_addrs = {peer}\n remote_addrs = {vip}\n unique = no\n \
             proposals = aes256-sha256-x25519\n local {{\n auth = psk\n id = {peer}\n }}\n \
             remote {{\n auth = psk\n id = {vip}\n }}\n children {{\n k{n} {{\n esp_proposals = aes256-sha256\n \
             local_ts = 10.2.{n}.0/24\n remote_ts = 10.1.{n}.0/24\n }}\n }}\n }}\n"
        );
    }
    let secrets = format!(" ike-many {{\n id-1 = {}\n secret = \"{KEY}\"\n }}\n", Side::A.wan());
    lab.load_conf(Side::B, "many", &format!("connections {{\n{connections}}}\nsecrets {{\n{secrets}}}\n"));
}

/// A network for each of them: kernel-libipsec has one route to a network.
fn many_lans() -> impl Iterator<Item = (String, Vec<String>)> {
    (1..=MANY).map(|n| (many_lan(n), vec![format!("10.1.{n}.0/24")]))
}

fn many_lan(n: usize) -> String {
    format!("d{n:031x}")
}

fn many_peer(n: usize) -> String {
    format!("192.0.2.{}", 100 + n)
}

/// Many tunnels follow the address together. What is counted are the IKE SAs: now and then kernel-libipsec has no route for
/// one of so many CHILD_SAs, and then its charon refuses the child.
#[test]
fn many_tunnels_follow_the_address() {
    let Some(lab) = lab() else { return };
    let mut pair = pair_with_vip(&lab);
    load_many(&lab);
    for n in 1..=MANY {
        let options = json!({ "name": format!("many-{n}"), "peerAddress": many_peer(n), "l3NetworkUuid": many_lan(n),
                              "peerCidrs": [format!("10.2.{n}.0/24")] });
        pair.create(Side::A, &options);
    }
    let established = || {
        let sas = lab.sas(Side::A);
        sas.as_array().into_iter().flatten().filter(|sa| sa["state"] == "ESTABLISHED").count()
    };
    wait_until(LONG, "all are there", || (established() == MANY).then_some(()));
    for _ in 0..2 {
        // Before that, a child that its charon refused may be asked for again.
        lab.remove_address(Side::A, VIP);
        let capture = lab.capture();
        wait_until(LONG, "no SA is left", || lab.sas(Side::A).as_array().is_some_and(Vec::is_empty).then_some(()));
        let [sent, _] = capture.finish_each();
        assert_eq!(sent.ike, 0, "a standby sends nothing");
        let begun = Instant::now();
        lab.add_address(Side::A, VIP);
        wait_until(LONG, "one is there", || (established() > 0).then_some(()));
        let first = begun.elapsed();
        wait_until(LONG, "all are there", || (established() == MANY).then_some(()));
        say(format!("{MANY} tunnels: the first {first:?} after the address, the last {:?}", begun.elapsed()));
    }
}

/// Before maintenance the peer is told, so that it need not notice.
#[test]
fn a_gateway_that_gives_up_tells_its_peer() {
    let Some(lab) = lab() else { return };
    let mut pair = pair_with_vip(&lab);
    let events = Events::open(&pair.agent(Side::A).socket(), "/cygnet/v1/events", None);
    pair.create(Side::B, &json!({ "startMode": "respond" }));
    pair.create(Side::A, &json!({}));
    pair.settled(1);
    let before = attempts(&pair, Side::A);
    let roles = pair.agent(Side::A).request("POST", "/cygnet/v1/standby", None).expect(200).json();
    assert_eq!((&roles["role"], &roles["given_up"]), (&json!("standby"), &json!(true)), "{roles}");
    assert!(pair.ike_sas(Side::A).is_empty(), "its answer waits for that");
    wait_until(PATIENCE, "B has no SA", || pair.ike_sas(Side::B).is_empty().then_some(()));
    assert!(lab.charon_log(Side::B).contains("received DELETE for IKE_SA"));
    pair.agent_mut(Side::A).restart();
    assert_eq!((vip_role(&pair), attempts(&pair, Side::A)), (json!("standby"), before));
    pair.agent(Side::A).request("POST", "/cygnet/v1/active", None).expect(200);
    wait_until(PATIENCE, "Ready", || is_ready(&pair));
    assert!(!events.names().contains(&"down".to_owned()), "{:?}", events.names());
}
