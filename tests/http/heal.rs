//! What happens behind the agent's back is found and put right, and said: a charon that was restarted or is silent,
//! objects that somebody unloaded, edited, removed or added. What is the operator's own is not touched.

use crate::{
    fake_charon::{Behaviour, Recorded},
    serve::{Bench, Options, change, files, params, uuid, wait_until},
};
use cygnet::strongswan::section::{Section, Value as Setting};
use serde_json::{Value, json};
use std::{
    fs,
    time::{Duration, Instant},
};

/// How long a drift may last: the sweep comes every 5 s.
const SOON: Duration = Duration::from_secs(20);

fn name(n: u8) -> String {
    format!("cygnet-{}", uuid(n))
}

/// Our view of a connection.
fn native(b: &Bench, n: u8) -> Value {
    b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(n)), b"").expect(200).json()
}

fn ready(b: &Bench) -> u16 {
    b.ask("GET", "/readyz", b"").status
}

/// The drift that the native view tells; that it was put right `SOON` enough is checked.
#[track_caller]
fn drift(b: &Bench, n: u8, count: u64, began: Instant) -> Vec<String> {
    let told = wait_until("the drift is told", || Some(native(b, n)["drift"].take()).filter(|d| d["count"] == count));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let words = told["put_back"].as_array().expect("a list").iter();
    words.map(|word| word.as_str().expect("a text").to_owned()).collect()
}

/// A list that shows the tunnel may come only after charon has ended.
#[test]
fn what_was_said_to_be_up_comes_before_what_was_not() {
    const ALL: u8 = 120;
    let mut b = Bench::with(&Options { wait: "0s", ..Options::default() });
    b.charon.hold(true);
    (1..=ALL).for_each(|n| drop(b.create(&params(n, &json!({}))).expect(200)));
    let begun = |b: &Bench| {
        let begun = b.charon.requests_of("initiate");
        begun.iter().filter_map(|request| request.body.text("ike").map(str::to_owned)).collect::<Vec<_>>()
    };
    wait_until("all were tried", || (begun(&b).len() >= usize::from(ALL)).then_some(()));
    let child = Section::new().with("name", name(ALL));
    let ike = Section::new()
        .with("uniqueid", "9000")
        .with("child-sas", Setting::Section(Section::new().with("child-9001", Setting::Section(child))));
    let up = Section::new().with("up", "yes").with(&name(ALL), Setting::Section(ike));
    b.charon.forget_requests();
    b.charon.send_event("child-updown", &up);
    let lists = || b.charon.requests_of("list-sas").into_iter();
    wait_until("it is looked at", || lists().any(|list| list.body.text("ike") == Some(&name(ALL))).then_some(()));
    b.charon.kill();
    wait_until("its end is seen", || (ready(&b) == 503).then_some(()));
    b.charon.forget_requests();
    b.charon.revive();
    let place = wait_until("it is tried", || begun(&b).iter().position(|ike| *ike == name(ALL)));
    assert!(place < usize::from(ALL) / 2, "{place} were tried before it");
}

#[test]
fn a_new_charon_gets_everything() {
    let mut b = Bench::start();
    for n in 7..=9 {
        b.create(&params(n, &json!({}))).expect(200);
    }
    let all =
        |b: &Bench| [7, 8, 9].map(|n| (b.charon.connection(&name(n)), b.charon.secret(&format!("ike-{}", name(n)))));
    let before = all(&b);
    assert!(before.iter().all(|(connection, secret)| connection.is_some() && secret.is_some()));
    for _ in 0..3 {
        b.charon.kill();
        wait_until("its end is seen", || (ready(&b) == 503).then_some(()));
        assert!(b.ask("GET", "/readyz", b"").json()["why"].is_string());
        b.charon.revive();
        wait_until("the agent is ready", || (ready(&b) == 200).then_some(()));
        assert_eq!(all(&b), before, "ready means that all is loaded");
    }
    assert_eq!(native(&b, 7)["drift"], Value::Null, "a new charon is no drift");
}

#[test]
fn a_silent_charon_is_noticed_and_nobody_waits_for_it() {
    let b = Bench::with(&Options { timeout: "500ms", ..Options::default() });
    b.charon.establish(true);
    b.create(&params(7, &json!({}))).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    // Nobody asks for anything now but the heartbeat.
    b.charon.on("version", Behaviour::Silence);
    wait_until("it is noticed", || (ready(&b) == 503).then_some(()));
    let asked = b.charon.requests_of("list-sas").len();
    for _ in 0..10 {
        let inventory = b.inventory(&uuid(7));
        assert!(inventory.get("status").is_none() && inventory["name"] == "site-7", "{inventory}");
        assert_eq!(native(&b, 7)["ike_sas"], Value::Null);
    }
    assert_eq!(b.charon.requests_of("list-sas").len(), asked, "nobody asks a charon that is silent");
    b.charon.behave();
    wait_until("it is there again", || (ready(&b) == 200).then_some(()));
    assert_eq!(b.inventory(&uuid(7))["status"], "Ready");
}

#[test]
fn what_was_unloaded_is_loaded_again() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    assert_eq!(native(&b, 7)["drift"], Value::Null);
    let loaded = b.charon.connection(&name(7));
    for (count, object) in [(1, name(7)), (2, format!("ike-{}", name(7)))] {
        let began = Instant::now();
        assert!(b.charon.unload(&object), "{object} was there");
        assert_eq!(drift(&b, 7, count, began), ["charon's configuration"]);
        assert_eq!(b.charon.connection(&name(7)), loaded);
        assert_eq!(b.charon.secrets(), [format!("ike-{}", name(7))]);
    }
}

#[test]
fn a_file_that_was_edited_or_removed_is_written_again() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    let (path, text) = (b.conf(&uuid(7)), fs::read_to_string(b.conf(&uuid(7))).expect("written"));
    let edited = text.replace("life_time = 3600s", "life_time = 9999s");
    for (contents, count) in [(Some(&edited), 1), (None, 2)] {
        let began = Instant::now();
        contents.map_or_else(|| fs::remove_file(&path), |text| fs::write(&path, text)).expect("done");
        let put_back = drift(&b, 7, count, began);
        assert!(put_back.contains(&"the file in conf.d".to_owned()), "{put_back:?}");
        assert_eq!(fs::read_to_string(&path).expect("written"), text);
    }
    assert_eq!(files(&b.conf_dir()), [format!("{}.conf", name(7))]);
}

#[test]
fn strangers_with_our_names_go_and_the_operators_own_stays() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    let connection = || Section::new().with("version", "2");
    let secret =
        |id: &str| Section::new().with("id", id).with("type", "ike").with("data", Setting::Text(b"x".to_vec()));
    let stranger = format!("ike-{}", name(9));
    b.charon.load(Some((&name(9), connection())), Some((&stranger, secret(&stranger))));
    // Names that only look like ours are not.
    for own in ["operators-own", "cygnet-by-hand", "cygnet-"] {
        b.charon.load(Some((own, connection())), Some((&format!("ike-{own}"), secret(own))));
    }
    fs::write(b.conf(&uuid(9)), "connections {\n}\n").expect("written");
    for own in ["operator.conf", "cygnet-by-hand.conf"] {
        fs::write(b.conf_dir().join(own), "# by hand\n").expect("written");
    }
    let began = Instant::now();
    let gone = || !b.charon.connections().contains(&name(9)) && !b.charon.secrets().contains(&stranger);
    wait_until("the stranger is gone", || (gone() && !b.conf(&uuid(9)).exists()).then_some(()));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(b.charon.connections(), [name(7).as_str(), "operators-own", "cygnet-by-hand", "cygnet-"]);
    assert_eq!(b.charon.secrets().len(), 4, "{:?}", b.charon.secrets());
    assert_eq!(
        files(&b.conf_dir()),
        ["cygnet-by-hand.conf".into(), format!("{}.conf", name(7)), "operator.conf".into()]
    );
    assert_eq!(native(&b, 7)["drift"], Value::Null);
}

/// Tunnels that do not come up wait behind all others for their next attempt, but not when they are changed.
#[test]
fn what_fails_again_and_again_is_tried_rarely() {
    const ALL: u8 = 40;
    const PACE: Duration = Duration::from_millis(400);
    let began = Instant::now();
    let b = Bench::start();
    (1..=ALL).for_each(|n| drop(b.create(&params(n, &json!({}))).expect(200)));
    b.charon.wait_for("initiate", usize::from(ALL) + 10);
    let attempts = || b.charon.requests_of("initiate").len();
    let again = attempts() - usize::from(ALL);
    let most = began.elapsed().as_millis() / PACE.as_millis() + 2;
    assert!(again as u128 <= most, "{again} of at most {most} after {:?}", began.elapsed());
    b.charon.forget_requests();
    b.change(&uuid(ALL), &change(ALL, &json!({ "lifeTime": 4321 }))).expect(200);
    wait_until("it is tried as it is now", || {
        let of_it = |request: &Recorded| request.body.text("ike") == Some(name(ALL).as_str());
        b.charon.requests_of("initiate").iter().any(of_it).then_some(())
    });
    let others = attempts();
    assert!(others <= usize::from(ALL) / 2, "it did not wait behind {others} others");
}
