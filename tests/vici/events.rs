//! Events: they have a socket of their own, may come amid anything, and cost bounded memory.

use super::{AMPLE, bench, sa, soon};
use crate::fake_charon::Behaviour;
use cygnet::{
    error::Error,
    strongswan::{
        section::Section,
        vici::{Events, Notice},
    },
};

/// An event with a number.
fn numbered(n: usize) -> Section {
    Section::new().with("number", n.to_string())
}

/// The number of the next event; `None` for the word that some are missing.
async fn next(events: &mut Events) -> Option<usize> {
    match soon(events.next()).await.expect("charon is there") {
        Notice::Event(_, body) => Some(body.number("number").expect("numbered")),
        Notice::Lagged => None,
        Notice::Line(line) => panic!("no line was sent: {}", line.text),
    }
}

#[tokio::test]
async fn events_arrive_in_their_order() {
    let b = bench(AMPLE);
    let mut events = b.vici.events(&["ike-updown", "child-updown"]).await.expect("subscribed");
    for n in 0..100 {
        let name = if n % 2 == 0 { "ike-updown" } else { "child-updown" };
        assert_eq!(b.charon.send_event(name, &numbered(n)), 1);
    }
    assert_eq!(b.charon.send_event("ike-rekey", &numbered(0)), 0, "not registered");
    for n in 0..100 {
        assert_eq!(next(&mut events).await, Some(n));
    }
}

#[tokio::test]
async fn an_unknown_event_is_refused_and_named() {
    let b = bench(AMPLE);
    let Err(Error::Refused { doing, .. }) = b.vici.events(&["ike-updown", "alert"]).await else { panic!("refused") };
    assert_eq!(doing, "the subscription to alert");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_subscription_closes_its_socket() {
    let b = bench(AMPLE);
    let events = b.vici.events(&["ike-updown"]).await.expect("subscribed");
    assert_eq!(b.charon.send_event("ike-updown", &numbered(0)), 1);
    drop(events);
    tokio::task::block_in_place(|| b.charon.wait_for_goodbye());
    assert_eq!(b.charon.send_event("ike-updown", &numbered(1)), 0);
}

#[tokio::test]
async fn the_end_of_charon_ends_the_events() {
    let mut b = bench(AMPLE);
    let mut events = b.vici.events(&["ike-updown"]).await.expect("subscribed");
    b.charon.send_event("ike-updown", &numbered(1));
    b.charon.kill();
    assert_eq!(next(&mut events).await, Some(1), "what came before the end is not lost");
    assert!(soon(events.next()).await.is_none());
}

#[tokio::test]
async fn events_before_an_answer_are_not_the_answer() {
    let b = bench(AMPLE);
    let events = vec![("ike-updown".into(), numbered(1)), ("list-sa".into(), sa("a", 2))];
    b.charon.once("version", Behaviour::EventsFirst(events.clone()));
    assert_eq!(soon(b.vici.version()).await.expect("answered").version, "5.9.8");
    // What comes while one subscribes is heard.
    b.charon.once("child-updown", Behaviour::EventsFirst(events.clone()));
    let mut heard = b.vici.events(&["ike-updown", "child-updown"]).await.expect("subscribed");
    for (name, body) in events {
        let Some(Notice::Event(got, message)) = soon(heard.next()).await else { panic!("an event") };
        assert_eq!((got, message), (name, body));
    }
}

#[tokio::test]
async fn an_event_in_two_halves_is_put_together() {
    let b = bench(AMPLE);
    let mut events = b.vici.events(&["ike-updown"]).await.expect("subscribed");
    for n in 0..20 {
        b.charon.send_half_event("ike-updown", numbered(2 * n));
        b.charon.send_event("ike-updown", &numbered(2 * n + 1));
        assert_eq!((next(&mut events).await, next(&mut events).await), (Some(2 * n), Some(2 * n + 1)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_is_told_and_costs_bounded_memory() {
    const SENT: usize = 50_000;
    let b = bench(AMPLE);
    let mut events = b.vici.events(&["child-updown"]).await.expect("subscribed");
    for n in 0..SENT {
        // Returns only because the client reads its socket while nobody reads the events.
        b.charon.send_event("child-updown", &numbered(n));
    }
    let mut kept = 0;
    while let Some(number) = next(&mut events).await {
        assert_eq!(number, kept, "none is missing without a word");
        kept += 1;
    }
    assert!((1000..SENT).contains(&kept), "{kept} events were kept");
    b.charon.send_event("child-updown", &numbered(SENT));
    while next(&mut events).await != Some(SENT) {}
    assert_eq!(b.charon.send_event("child-updown", &numbered(0)), 1, "the subscription lives on");
}

/// charon logs some thirty lines for each negotiation: only those of an IKE SA take a place in the queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_the_log_are_those_of_ike_sas() {
    let b = bench(AMPLE);
    let mut events = b.vici.events(&["ike-updown", "log"]).await.expect("subscribed");
    let line =
        |text: &str| Section::new().with("group", "IKE").with("level", "1").with("thread", "7").with("msg", text);
    let of = |name: &str, text: &str| line(text).with("ikesa-name", name).with("ikesa-uniqueid", "12");
    for _ in 0..5000 {
        b.charon.send_event("log", &line("about nothing in particular"));
    }
    b.charon.send_event("log", &of("(unnamed)", "192.0.2.2 is initiating an IKE_SA"));
    b.charon.send_event("log", &of("a", &"x".repeat(5000)));
    b.charon.send_event("ike-updown", &numbered(1));
    let mut lines = Vec::new();
    while let Notice::Line(line) = soon(events.next()).await.expect("charon is there") {
        lines.push((line.unique_id, line.group, line.name, line.text));
    }
    let [first, second] = <[_; 2]>::try_from(lines).expect("two, and no word that some were lost");
    assert_eq!(first, (12, "IKE".into(), None, "192.0.2.2 is initiating an IKE_SA".into()));
    assert!(second.2.as_deref() == Some("a") && second.3.len() <= 1024, "{second:?}");
}
