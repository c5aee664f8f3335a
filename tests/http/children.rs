//! Each child in the native view: what is wanted, what runs, its times, and its condition.

use crate::{
    fake_charon::Behaviour,
    serve::{Bench, Options, params, uuid, wait_until},
};
use cygnet::strongswan::section::Section;
use serde_json::{Value, json};

/// Short times for idle and one-way traffic.
const FAST: &str = "[policy]\ndefault = \"off\"\n[condition]\nidle_after = \"3s\"\none_way_after = \"1s\"";

fn native(b: &Bench) -> Value {
    b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json()
}

/// The only child.
fn child(b: &Bench) -> Value {
    let mut view = native(b);
    assert_eq!(view["children"].as_array().map(Vec::len), Some(1), "{view}");
    view["children"][0].take()
}

/// An agent with the connection 7, which is up.
fn up(policy: &'static str) -> Bench {
    let b = Bench::with(&Options { policy, ..Options::default() });
    b.charon.establish(true);
    b.create(&params(7, &json!({ "ikeVersion": "ikev2", "ikeDhGroup": 19, "pfs": "dh-group19" }))).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    b
}

fn set(b: &Bench, values: &[(&str, &str)]) {
    b.charon.alter_children(|child| {
        for (key, value) in values {
            child.0.insert((*key).into(), (*value).into());
        }
    });
}

#[test]
fn everything_about_a_child_is_told() {
    let b = up(Options::default().policy);
    let used = [("use-in", "3"), ("use-out", "0"), ("packets-in", "5"), ("packets-out", "7")];
    set(
        &b,
        &[&used[..], &[("bytes-in", "500"), ("bytes-out", "700"), ("rekey-time", "-2"), ("install-time", "60")]]
            .concat(),
    );
    let child = child(&b);
    let wanted = json!({ "mode": "tunnel", "protocol": "esp", "encryption": "AES_CBC", "key_bits": 256,
                         "integrity": "HMAC_SHA2_256_128", "group": "ECP_256", "additional": null, "life_time_s": 3600 });
    assert_eq!(child["wanted"], wanted);
    assert_eq!((&child["condition"], &child["condition_since"]), (&json!("up"), &Value::Null), "{child}");
    let sa = &child["sas"][0];
    for (member, value) in [
        ("mode", json!("tunnel")),
        ("age_s", json!(60)),
        ("bytes_in", json!(500)),
        ("bytes_out", json!(700)),
        ("packets_in", json!(5)),
        ("packets_out", json!(7)),
        ("unused_in_s", json!(3)),
        ("unused_out_s", json!(0)),
        ("rekey_in_s", json!(-2)),
        ("ends_in_s", json!(3600)),
        ("group", Value::Null),
        ("spi_in", json!("c0000002")),
        ("spi_out", json!("d0000002")),
        ("udp", json!(false)),
        ("ike_sa", json!(1)),
        ("not_wanted", Value::Null),
    ] {
        assert_eq!(sa[member], value, "{member}: {sa}");
    }
}

#[test]
fn everything_about_an_ike_sa_is_told() {
    let b = up(Options::default().policy);
    b.charon.alter_ikes(|ike| {
        let more = [("established", "7200"), ("rekey-time", "-3"), ("reauth-time", "90"), ("nat-remote", "yes")];
        for (key, value) in more {
            ike.0.insert(key.into(), value.into());
        }
    });
    let ours = native(&b)["ike_sas"][0].take();
    for (member, value) in [
        ("initiator", json!("local")),
        ("initiator_spi", json!("0000000011110001")),
        ("responder_spi", json!("0000000022220001")),
        ("age_s", json!(7200)),
        ("rekey_in_s", json!(-3)),
        ("reauth_in_s", json!(90)),
        ("nat_local", json!(false)),
        ("nat_remote", json!(true)),
        ("not_wanted", Value::Null),
    ] {
        assert_eq!(ours[member], value, "{member}: {ours}");
    }
    b.charon.alter_ikes(|ike| {
        for key in ["initiator", "established", "rekey-time", "reauth-time"] {
            ike.0.shift_remove(key);
        }
    });
    let theirs = native(&b)["ike_sas"][0].take();
    assert_eq!((&theirs["initiator"], &theirs["age_s"]), (&json!("remote"), &Value::Null), "{theirs}");
}

/// Of several SAs, each that is not wanted says why; the newest one of a duplicate stays.
#[test]
fn what_is_not_wanted_says_why() {
    let b = up(Options::default().policy);
    b.charon.establish(false);
    let marks = || {
        let sas = child(&b)["sas"].take();
        let sas = sas.as_array().expect("a list").iter();
        sas.map(|sa| (sa["id"].as_u64().unwrap_or(0), sa["not_wanted"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(marks().iter().map(|(_, mark)| mark.clone()).collect::<Vec<_>>(), [Value::Null]);
    let first = marks()[0].0;
    b.charon.double_children();
    let doubled = marks();
    let of_first = |marks: &[(u64, Value)]| marks.iter().find(|(id, _)| *id == first).expect("it is listed").1.clone();
    assert_eq!((doubled.len(), of_first(&doubled)), (2, json!("duplicate")), "{doubled:?}");
    assert_eq!(doubled.iter().filter(|(_, mark)| mark.is_null()).count(), 1, "{doubled:?}");
    for (key, value, mark) in
        [("state", "REKEYED", "replaced"), ("state", "DELETING", "closing"), ("encr-keysize", "128", "differs")]
    {
        let id = first.to_string();
        b.charon.alter_children(|child| {
            if child.text("uniqueid") == Some(&id) {
                child.0.insert("state".into(), "INSTALLED".into());
                child.0.insert(key.into(), value.into());
            }
        });
        assert_eq!(of_first(&marks()), mark);
    }
}

#[test]
fn a_part_of_the_networks_is_narrowed_and_not_ready() {
    let b = up(Options::default().policy);
    b.charon.alter_children(|child| {
        child.0.insert("remote-ts".into(), cygnet::strongswan::section::Value::List(vec![b"10.7.2.0/25".to_vec()]));
    });
    let child = child(&b);
    assert_eq!((&child["condition"], &child["sas"][0]["as_wanted"]), (&json!("narrowed"), &json!(false)), "{child}");
    assert_eq!(child["sas"][0]["remote"], json!(["10.7.2.0/25"]));
    assert_eq!(child["remote"], json!(["10.7.2.0/24"]));
    let (code, details) = (&child["reason"]["code"], child["reason"]["details"].as_str().unwrap_or_default());
    assert_eq!(code, "TS_MISMATCH", "{child}");
    assert!(details.contains("=== 10.7.2.0/25; wanted here: ") && details.ends_with("=== 10.7.2.0/24"), "{details}");
    assert_eq!(native(&b)["reason"]["code"], "TS_MISMATCH");
    assert_eq!(b.inventory(&uuid(7))["status"], "Connecting");
}

/// A peer that protects one protocol between the hosts: the rest goes in the clear, or not at all.
#[test]
fn a_part_of_the_protocols_is_narrowed_and_says_so() {
    let b = up(Options::default().policy);
    b.charon.establish(false);
    b.charon.alter_children(|child| {
        child
            .0
            .insert("remote-ts".into(), cygnet::strongswan::section::Value::List(vec![b"10.7.2.0/24[gre]".to_vec()]));
    });
    let child = child(&b);
    let details = child["reason"]["details"].as_str().unwrap_or_default();
    assert_eq!((&child["condition"], &child["reason"]["code"]), (&json!("narrowed"), &json!("TS_MISMATCH")), "{child}");
    assert!(details.contains("some protocols or ports only") && details.contains("10.7.2.0/24[gre]"), "{details}");
    assert_eq!(b.inventory(&uuid(7))["status"], "Connecting");
}

/// A peer with one child per pair of networks, or with smaller ones: each has its SA, and together they are what is wanted.
#[test]
fn parts_that_are_the_whole_together_are_ready() {
    let b = up(Options::default().policy);
    b.charon.establish(false);
    b.charon.double_children();
    let halves = |halves: [&'static [u8]; 2]| {
        let number = std::sync::atomic::AtomicUsize::new(0);
        b.charon.alter_children(move |child| {
            let half = halves[number.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2];
            child.0.insert("remote-ts".into(), cygnet::strongswan::section::Value::List(vec![half.to_vec()]));
        });
    };
    halves([b"10.7.2.0/25", b"10.7.2.128/25"]);
    let seen = child(&b);
    assert_eq!(seen["condition"], "up", "{seen}");
    assert!(seen["sas"].as_array().expect("a list").iter().all(|sa| sa["as_wanted"] == true), "{seen}");
    assert_eq!(b.inventory(&uuid(7))["status"], "Ready");
    halves([b"10.7.2.0/25", b"10.7.2.128/26"]);
    assert_eq!(child(&b)["condition"], "narrowed");
    assert_eq!(b.inventory(&uuid(7))["status"], "Connecting");
}

/// What runs under the connection and is none of its children is shown too.
#[test]
fn an_sa_that_nobody_wants_is_listed() {
    let b = up(Options::default().policy);
    b.charon.establish(false);
    assert_eq!(native(&b)["other_sas"], json!([]));
    b.charon.double_children();
    let number = std::sync::atomic::AtomicUsize::new(0);
    b.charon.alter_children(move |child| {
        if number.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1 {
            child.0.insert("name".into(), "cygnet-00000000000000000000000000000007-0000beef".into());
        }
    });
    let view = native(&b);
    let others = view["other_sas"].as_array().expect("a list");
    assert_eq!(others.len(), 1, "{view}");
    assert_eq!((&others[0]["as_wanted"], &others[0]["remote"]), (&json!(false), &json!(["10.7.2.0/24"])), "{view}");
    assert_eq!(view["children"][0]["sas"].as_array().map(Vec::len), Some(1), "{view}");
    b.charon.on("list-sas", Behaviour::Silence);
    assert_eq!(native(&b)["other_sas"], Value::Null);
}

#[test]
fn other_algorithms_are_told() {
    let b = up(Options::default().policy);
    set(&b, &[("encr-keysize", "128")]);
    assert_eq!(child(&b)["condition"], "other_algorithms");
    assert_eq!(b.inventory(&uuid(7))["status"], "Connecting");
}

#[test]
fn one_way_traffic_is_told_with_its_beginning_and_stays_ready() {
    let b = up(FAST);
    let mut sent = 0;
    let told = wait_until("nothing comes back", || {
        sent += 1;
        set(&b, &[("packets-out", &sent.to_string()), ("use-out", "0")]);
        Some(child(&b)).filter(|child| child["condition"] == "no_inbound")
    });
    let since: jiff::Timestamp = told["condition_since"].as_str().expect("a time").parse().expect("a time");
    assert!((0..20).contains(&jiff::Timestamp::now().duration_since(since).as_secs()), "{told}");
    assert_eq!(b.inventory(&uuid(7))["status"], "Ready", "traffic has no say in that");
    let advice = told["condition_advice"].as_str().expect("an advice");
    assert!(advice.contains("cut HMAC-SHA-256 to 96 bits") && advice.contains("sha256-96"), "{advice}");
    // One answer, and it is over.
    set(&b, &[("packets-in", "1"), ("use-in", "0"), ("packets-out", &(sent + 1).to_string())]);
    assert_eq!((&child(&b)["condition"], &child(&b)["condition_advice"]), (&json!("up"), &json!(null)));
    let mut received = 1;
    wait_until("we send nothing", || {
        received += 1;
        set(&b, &[("packets-in", &received.to_string()), ("use-in", "0")]);
        (child(&b)["condition"] == "no_outbound").then_some(())
    });
    // And when nothing passes any more, it is idle.
    let idle = wait_until("it is idle", || Some(child(&b)).filter(|child| child["condition"] == "up_idle"));
    assert!(idle["condition_since"].is_string(), "{idle}");
}

#[test]
fn two_sas_for_one_child_are_a_duplicate() {
    let b = up(Options::default().policy);
    let sa = child(&b);
    let name = sa["name"].as_str().expect("a name").to_owned();
    b.charon.double_children();
    assert_eq!(child(&b)["condition"], "duplicate");
    assert_eq!(child(&b)["sas"].as_array().map(Vec::len), Some(2), "{name}");
    assert_eq!(b.inventory(&uuid(7))["status"], "Ready");
}

#[test]
fn what_is_not_there_is_down_and_what_cannot_be_asked_unknown() {
    let b = up(Options::default().policy);
    b.charon.establish(false);
    b.charon.set_sas([] as [Section; 0]);
    assert_eq!(child(&b)["condition"], "down");
    b.charon.on("list-sas", Behaviour::Silence);
    let view = child(&b);
    assert_eq!((&view["condition"], &view["sas"]), (&json!("unknown"), &Value::Null));
}

/// Of two connections with the same networks, the one whose SA came later has the packets.
#[test]
fn what_another_connection_took_over_is_shadowed_and_stays_ready() {
    let b = up(Options::default().policy);
    let condition = |n| {
        let view = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(n)), b"").expect(200).json();
        view["children"][0]["condition"].as_str().expect("a word").to_owned()
    };
    assert_ne!(condition(7), "shadowed");
    let same = b.inventory(&uuid(7))["peerCidrs"][0]["cidr"].clone();
    let options = |cidr: &Value| json!({ "ikeVersion": "ikev2", "peerCidrs": [cidr] });
    // What only overlaps has a policy of its own.
    b.create(&params(9, &options(&json!("10.7.0.0/16")))).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(9))["status"] == "Ready").then_some(()));
    assert_ne!(condition(7), "shadowed");
    b.create(&params(8, &options(&same))).expect(200);
    wait_until("the earlier one is shadowed", || (condition(7) == "shadowed").then_some(()));
    assert_ne!(condition(8), "shadowed");
    assert_eq!(b.inventory(&uuid(7))["status"], "Ready");
    b.ask(
        "PUT",
        &format!("/zstack/v1/ipsec/{}/actions", uuid(8)),
        br#"{"changeIPSecConnectionState": {"stateEvent": "disable"}}"#,
    )
    .expect(200);
    wait_until("the other is gone", || (condition(7) != "shadowed").then_some(()));
}
