//! Events: they have a socket of their own, may come amid anything, and cost bounded memory.

use crate::{AMPLE, bench, fake_charon::Behaviour, sa, soon};
use cygnet::{
    error::Error,
    swan::{
        packet::Packet,
        section::Section,
        vici::{
            Events,
            link::{Link, Notice},
        },
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
    let (link, mut inbox) = Link::connect(b.charon.path(), AMPLE).await.expect("connected");
    let events = vec![("ike-updown".into(), numbered(1)), ("list-sa".into(), sa("a", 2))];
    b.charon.once("version", Behaviour::EventsFirst(events.clone()));
    let version = Packet::Request("version".into(), Section::new());
    let reply = soon(link.call(&version, None)).await.expect("answered");
    assert_eq!(reply.message.text("version"), Some("5.9.8"));
    assert!(reply.items.is_empty());
    for (name, body) in events {
        let Some(Notice::Event(got, message)) = soon(inbox.recv()).await else { panic!("an event") };
        assert_eq!((got, message), (name, body));
    }
}

#[tokio::test]
async fn an_event_in_two_halves_around_a_command_disturbs_neither() {
    let b = bench(AMPLE);
    let (link, mut inbox) = Link::connect(b.charon.path(), AMPLE).await.expect("connected");
    link.call(&Packet::Register("ike-updown".into()), None).await.expect("registered");
    for n in 0..20 {
        b.charon.send_half_event("ike-updown", numbered(n));
        let version = Packet::Request("version".into(), Section::new());
        let reply = soon(link.call(&version, None)).await.expect("answered");
        assert_eq!(reply.message.text("version"), Some("5.9.8"));
        let Some(Notice::Event(_, body)) = soon(inbox.recv()).await else { panic!("an event") };
        assert_eq!(body, numbered(n));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_is_told_and_costs_bounded_memory() {
    const SENT: usize = 50_000;
    let b = bench(AMPLE);
    let (link, mut inbox) = Link::connect(b.charon.path(), AMPLE).await.expect("connected");
    link.call(&Packet::Register("child-updown".into()), None).await.expect("registered");
    for n in 0..SENT {
        // Returns only because the client reads its socket while nobody reads the events.
        b.charon.send_event("child-updown", &numbered(n));
    }
    // Answered behind all events on the same socket: the client has seen them all.
    soon(link.call(&Packet::Request("version".into(), Section::new()), None)).await.expect("answered");
    let mut kept = 0;
    let last = loop {
        match inbox.try_recv() {
            Ok(Notice::Event(_, body)) => assert_eq!(body, numbered(kept), "none is missing without a word"),
            last => break last,
        }
        kept += 1;
    };
    assert!(matches!(last, Ok(Notice::Lagged)), "{last:?}");
    assert!((1000..SENT / 4).contains(&kept), "{kept} events were kept");
    assert!(inbox.try_recv().is_err(), "nothing follows the word that some are missing");
    b.charon.send_event("child-updown", &numbered(SENT));
    let Some(Notice::Event(_, body)) = soon(inbox.recv()).await else { panic!("an event") };
    assert_eq!(body, numbered(SENT), "what comes later is heard again");
}
