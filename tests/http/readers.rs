//! Many readers beside those who change something: all share one list of charon's, and nobody who changes waits for it.
//! charon is lost when it does not answer `version`, whatever else it does not answer.

use crate::{
    fake_charon::{Behaviour, Recorded},
    serve::{Bench, Options, change, params, uuid, wait_until},
    stream::Events,
};
use cygnet::strongswan::section::Section;
use serde_json::json;
use std::{
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

/// What is answered from a list of all SAs.
const LISTS: [&str; 4] =
    ["/metrics", "/cygnet/v1/connections", "/zstack/v1/ipsec?fields=uuid,status&q=status=Ready", "/cygnet/v1/doctor"];
/// How many read at once.
const READERS: usize = 60;

fn name(n: u8) -> String {
    format!("cygnet-{}", uuid(n))
}

/// How often all SAs were listed.
fn lists(b: &Bench) -> usize {
    let of_all = |request: &Recorded| request.body.text("ike").is_none();
    b.charon.requests_of("list-sas").into_iter().filter(of_all).count()
}

/// An agent with connections that are up.
fn bench(options: &Options, count: u8) -> Bench {
    let b = Bench::with(options);
    b.charon.establish(true);
    (1..=count).for_each(|n| drop(b.create(&params(n, &json!({}))).expect(200)));
    for n in 1..=count {
        wait_until("it is up", || (b.inventory(&uuid(n))["status"] == "Ready").then_some(()));
    }
    b
}

fn ready(b: &Bench) -> bool {
    b.ask("GET", "/readyz", b"").status == 200
}

/// Waits until charon is asked for a list of all that it does not answer.
fn wait_for_list(b: &Bench, before: usize) {
    wait_until("the list is asked for", || (lists(b) > before).then_some(()));
}

#[test]
fn readers_share_one_list_and_a_change_does_not_wait_for_it() {
    let b = bench(&Options::default(), 10);
    b.charon.on("list-sas *", Behaviour::Late);
    let before = lists(&b);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|n| {
                let (b, path) = (&b, LISTS[n % 3]);
                scope.spawn(move || b.ask("GET", path, b"").expect(200))
            })
            .collect();
        wait_for_list(&b, before);
        // The list is not answered yet: whatever is done now did not wait for it.
        for n in 1..=10 {
            let changed = b.change(&uuid(n), &change(n, &json!({ "lifeTime": 1234 }))).expect(200).json();
            assert_eq!(changed["inventory"]["lifeTime"], 1234);
            assert_eq!(b.inventory(&uuid(n))["lifeTime"], 1234, "nor does a look at one connection");
        }
        assert!(ready(&b));
        let asked = lists(&b) - before;
        b.charon.release();
        for reader in readers {
            reader.join().expect("no panic");
        }
        // Those who gave up took their list along, and those who came later asked for another: one at a time.
        assert!(asked <= READERS / 10, "{READERS} readers asked charon for {asked} lists");
    });
    b.charon.behave();
    let (before, begun) = (lists(&b), Instant::now());
    thread::scope(|scope| {
        for n in 0..READERS {
            let (b, path) = (&b, LISTS[n % LISTS.len()]);
            scope.spawn(move || b.ask("GET", path, b"").expect(200));
        }
    });
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("few");
    let asked = lists(&b) - before;
    assert!(asked <= 2 + seconds, "{READERS} readers asked for {asked} lists in {seconds} s");
    assert!(!b.logs().contains("charon is unreachable"), "{}", b.logs());
}

/// Whoever changes something and then asks for a list sees it there, though lists are shared.
#[test]
fn a_shared_list_is_not_older_than_what_its_reader_knows() {
    let b = Bench::with(&Options { wait: "5s", ..Options::default() });
    b.charon.establish(true);
    // On a busy machine charon's answer may be late, and the status unknown: that is nothing older.
    let up = |b: &Bench| {
        wait_until("the status of all is known", || {
            let all = b.ask("GET", "/zstack/v1/ipsec?fields=uuid,status", b"").expect(200).json();
            let all = all["inventories"].as_array().cloned().unwrap_or_default();
            let is_known = all.iter().all(|one| one["status"].is_string());
            is_known.then(|| all.iter().filter(|one| one["status"] == "Ready").count())
        })
    };
    for n in 1..=8 {
        assert_eq!(up(&b), usize::from(n) - 1);
        assert_eq!(b.create(&params(n, &json!({}))).expect(200).json()["inventory"]["status"], "Ready");
        assert_eq!(up(&b), usize::from(n), "what was created is in the list");
    }
    for n in 1..=4 {
        let disable = json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } }).to_string();
        b.ask("PUT", &format!("/zstack/v1/ipsec/{}/actions", uuid(n)), disable.as_bytes()).expect(200);
        assert_eq!(up(&b), 8 - usize::from(n));
    }
    for n in 5..=8 {
        b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(n)), b"").expect(200);
        assert_eq!(up(&b), 8 - usize::from(n));
    }
}

#[test]
fn a_reader_who_leaves_takes_the_list_along() {
    let b = bench(&Options::default(), 2);
    b.charon.on("list-sas *", Behaviour::Silence);
    for _ in 0..20 {
        let before = lists(&b);
        let mut reader = TcpStream::connect(b.address()).expect("connected");
        reader.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
        wait_for_list(&b, before);
        let sockets = b.charon.sockets();
        drop(reader);
        wait_until("its socket to charon is closed", || (b.charon.sockets() < sockets).then_some(()));
    }
    b.charon.behave();
    let metrics = b.ask("GET", "/metrics", b"").expect(200).text();
    assert!(metrics.contains("cygnet_connections{state=\"Enabled\",status=\"Ready\"} 2"), "{metrics}");
}

#[test]
fn a_long_list_is_no_silence_and_silence_on_lists_is_no_loss() {
    const TIMEOUT: Duration = Duration::from_millis(600);
    let b = bench(&Options { timeout: "600ms", ..Options::default() }, 8);
    let events = Events::open(&b.path("cygnet.sock"), "/cygnet/v1/events", None);
    b.charon.on("list-sas *", Behaviour::Trickle);
    let (before, begun) = (lists(&b), Instant::now());
    thread::scope(|scope| {
        let reader = scope.spawn(|| b.ask("GET", "/metrics", b"").expect(200).text());
        wait_for_list(&b, before);
        let mut next = begun;
        while !reader.is_finished() {
            next += TIMEOUT / 3;
            wait_until("a third of the time", || (Instant::now() >= next).then_some(()));
            b.charon.let_one_go();
            assert!(ready(&b), "charon is at work");
        }
        let metrics = reader.join().expect("no panic");
        assert!(metrics.contains("cygnet_connections{state=\"Enabled\",status=\"Ready\"} 8"), "{metrics}");
        assert!(begun.elapsed() > TIMEOUT * 2, "it took longer than a call may be silent");
    });
    // Now the lists are not answered at all, and neither are looks at single connections.
    b.charon.behave();
    b.charon.on("list-sas", Behaviour::Silence);
    let pings = b.charon.requests_of("version").len();
    while b.charon.requests_of("version").len() < pings + 5 {
        b.ask("GET", "/metrics", b"").expect(200);
        assert!(ready(&b));
    }
    assert!(!events.names().contains(&"charon_lost".to_owned()), "{:?}", events.all());
    b.charon.on("version", Behaviour::Silence);
    wait_until("it is lost", || events.names().contains(&"charon_lost".to_owned()).then_some(()));
    assert!(!ready(&b));
}

/// What a connection whose `load-conn` hangs costs the others: one place.
#[test]
fn a_connection_that_hangs_holds_up_no_other_one() {
    let b = bench(&Options { timeout: "20s", ..Options::default() }, 3);
    b.charon.on(&format!("load-conn {}", name(1)), Behaviour::Late);
    let loads = b.charon.requests_of("load-conn").len();
    assert!(b.charon.unload(&name(1)));
    b.charon.wait_for("load-conn", loads + 1);
    let updown = |n: u8| Section::new().with(&name(n), Section::new().with("uniqueid", n.to_string()));
    let rekey = |n: u8| {
        let pair = Section::new().with("old", updown(n)).with("new", updown(n));
        Section::new().with(&name(n), pair)
    };
    for _ in 0..40 {
        b.charon.send_event("ike-updown", &updown(1));
        b.charon.send_event("ike-rekey", &rekey(1));
    }
    // A caller's change of it waits too, and takes nobody's place either.
    thread::scope(|scope| {
        let changes: Vec<_> = (0..40)
            .map(|_| scope.spawn(|| b.change(&uuid(1), &change(1, &json!({ "lifeTime": 2000 }))).status))
            .collect();
        b.charon.set_sas([]);
        for n in [2, 3] {
            let tries = || {
                let of_it = |request: &Recorded| request.body.text("ike") == Some(name(n).as_str());
                b.charon.requests_of("initiate").into_iter().filter(of_it).count()
            };
            let before = tries();
            b.charon.send_event("ike-updown", &updown(n));
            wait_until("it is negotiated anew", || (tries() > before).then_some(()));
            b.change(&uuid(n), &change(n, &json!({ "lifeTime": 1500 }))).expect(200);
        }
        assert!(ready(&b));
        assert!(b.charon.connection(&name(1)).is_some(), "the fake charon does what it does not answer");
        b.charon.release();
        for change in changes {
            assert_eq!(change.join().expect("no panic"), 200);
        }
    });
    assert_eq!(b.inventory(&uuid(1))["lifeTime"], 2000);
}

/// One connection that charon does not load keeps neither the others nor the agent from their work, also at a start.
#[test]
fn a_start_does_not_depend_on_one_connection() {
    let mut b = bench(&Options { timeout: "500ms", ..Options::default() }, 12);
    b.stop();
    b.charon.kill();
    b.charon.revive();
    b.charon.on(&format!("load-conn {}", name(5)), Behaviour::Silence);
    b.run();
    wait_until("it is ready", || ready(&b).then_some(()));
    for n in (1..=12).filter(|n| *n != 5) {
        assert!(b.charon.connection(&name(n)).is_some(), "{n}");
    }
    let loads = b.charon.requests_of("load-conn").len();
    b.charon.wait_for("load-conn", loads + 2);
    assert!(ready(&b), "it is tried again, and charon is there");
    b.charon.behave();
    wait_until("it comes up", || (b.inventory(&uuid(5))["status"] == "Ready").then_some(()));
}

#[test]
fn a_timeout_that_the_watchdog_does_not_outlast_is_refused_at_the_start() {
    let b = Bench::idle(&Options { timeout: "8s", ..Options::default() });
    let output = b.command().env("WATCHDOG_USEC", "30000000").output().expect("it ends");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for word in ["cygnet.toml", "charon.timeout = 8s", "WatchdogSec = 30s", "at most 7.5s"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(b.charon.commands().is_empty(), "nothing was begun");
}
