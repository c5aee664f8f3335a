//! While a connection is replaced in charon, a guard has its policies, so that nothing leaves in the clear meanwhile.

use crate::{
    fake_charon::Behaviour,
    serve::{Bench, change, params, uuid, wait_until},
};
use cygnet::strongswan::section::{Section, Value};
use serde_json::json;

const LOAD: &str = "load-conn (guard)";
const UNLOAD: &str = "unload-conn (guard)";

fn name(n: u8) -> String {
    format!("cygnet-{}", uuid(n))
}

fn guard(n: u8) -> String {
    format!("{}-guard", name(n))
}

/// What was loaded and unloaded.
fn loads(b: &Bench) -> Vec<String> {
    b.charon.commands().into_iter().filter(|command| command.contains("load-")).collect()
}

/// The mode, the local and the remote selectors of each policy of the guard that was loaded last.
fn policies(b: &Bench, n: u8) -> Vec<String> {
    let latest = b.charon.requests_of(LOAD).pop().expect("a guard");
    let body = latest.body.section(&guard(n)).expect("its name").clone();
    assert_eq!(body.items("remote_addrs").collect::<Vec<_>>(), ["127.0.0.1"], "no peer's");
    let list = |child: &Section, key| child.items(key).collect::<Vec<_>>().join(" ");
    let policy = |child: &Section| {
        assert_eq!(child.text("start_action"), Some("trap"));
        format!("{} {} - {}", child.text("mode").unwrap_or_default(), list(child, "local_ts"), list(child, "remote_ts"))
    };
    body.section("children").expect("policies").sections().map(|(_, child)| policy(child)).collect()
}

fn networks(b: &Bench, method: &str, tail: &str, body: &str) {
    b.ask(method, &format!("/zstack/v1/ipsec/{}{tail}", uuid(7)), body.as_bytes()).expect(200);
}

#[test]
fn what_is_replaced_is_guarded_and_nothing_else() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    assert!(b.charon.requests_of(LOAD).is_empty(), "there was nothing to replace");
    b.charon.forget_requests();
    b.change(&uuid(7), &change(7, &json!({ "lifeTime": 1800 }))).expect(200);
    assert_eq!(loads(&b), [LOAD, "load-shared", "load-conn", UNLOAD]);
    let before = policies(&b, 7);
    assert!(before.len() == 1 && before[0].starts_with("drop "), "{before:?}");
    // The old networks and the new ones.
    networks(&b, "POST", "/remote-cidrs", &json!({ "params": { "peerCidrs": ["10.99.0.0/16"] } }).to_string());
    let all = policies(&b, 7);
    assert!(all.len() == 2 && all.contains(&before[0]) && all.iter().any(|p| p.contains("10.99.0.0/16")), "{all:?}");
    networks(&b, "DELETE", "/remote-cidrs?peerCidrs=10.99.0.0%2F16", "{}");
    assert_eq!(policies(&b, 7), all);
    // Nothing waits for packets: not without traps, and not when it goes.
    b.charon.forget_requests();
    b.change(&uuid(7), &change(7, &json!({ "startMode": "respond" }))).expect(200);
    b.change(&uuid(7), &change(7, &json!({ "startMode": "respond", "lifeTime": 700 }))).expect(200);
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(7)), b"").expect(200);
    assert!(loads(&b).iter().all(|command| ![LOAD, UNLOAD].contains(&command.as_str())), "{:?}", loads(&b));
    assert!(b.charon.connections().is_empty());
}

#[test]
fn a_guard_that_charon_refuses_ends_the_change_and_one_that_stays_ends_with_the_next() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    let before = b.charon.connection(&name(7));
    b.charon.once(LOAD, Behaviour::Refuse("no such thing".into()));
    let refused = b.change(&uuid(7), &change(7, &json!({ "lifeTime": 1800 }))).expect(503).text();
    assert!(refused.contains("no such thing"), "{refused}");
    assert_eq!((b.charon.connection(&name(7)), b.charon.connections()), (before, vec![name(7)]));
    b.charon.once(UNLOAD, Behaviour::Refuse("not now".into()));
    b.change(&uuid(7), &change(7, &json!({ "lifeTime": 1800 }))).expect(503);
    b.change(&uuid(7), &change(7, &json!({ "lifeTime": 700 }))).expect(200);
    wait_until("no guard is left", || (b.charon.connections() == [name(7)]).then_some(()));
}

/// An agent died while it replaced connections: one has its guard, one is gone altogether but for it, and one was never
/// stored.
#[test]
fn guards_that_a_crash_left_behind_go_at_the_next_start() {
    let mut b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    b.create(&params(8, &json!({ "startMode": "respond" }))).expect(200);
    b.stop();
    let left = || Section::new().with("children", Value::Section(Section::new()));
    for n in [7, 8, 9] {
        b.charon.load(Some((&guard(n), left())), None);
    }
    assert!(b.charon.unload(&name(8)));
    b.run();
    let wanted = [name(7), name(8)];
    wait_until("guards are gone, and connections are there", || {
        let mut now = b.charon.connections();
        now.sort();
        (now == wanted).then_some(())
    });
}
