//! One socket under load: many calls at once, calls given up, and an end that all of them see.

use crate::{
    AMPLE, bench, connections,
    fake_charon::{Behaviour, FakeCharon},
    is_unreachable, requests, soon,
};
use cygnet::swan::{
    packet::Packet,
    section::Section,
    vici::link::{Failure, Link, Stream},
};
use futures_util::future::join_all;

fn connections_of_a_list() -> Stream {
    Stream::of("list-conn")
}

/// A request for `list-conns` of one name, whose answer is known by that name.
fn list(name: &str) -> Packet {
    Packet::Request("list-conns".into(), Section::new().with("ike", name))
}

/// A socket to a charon that has 200 connections, `list-conn` registered.
async fn link(charon: &FakeCharon) -> Link {
    let (link, _) = Link::connect(charon.path(), AMPLE).await.expect("connected");
    for n in 0..200 {
        let body = Section::new().with(&format!("conn-{n}"), Section::new().with("number", n.to_string()));
        link.call(&Packet::Request("load-conn".into(), body), None).await.expect("loaded");
    }
    link.call(&Packet::Register("list-conn".into()), None).await.expect("registered");
    link
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_at_once_each_get_their_own_answer() {
    let b = bench(AMPLE);
    let link = link(&b.charon).await;
    let ask = |n: usize| {
        let link = link.clone();
        async move { link.call(&list(&format!("conn-{n}")), Some(connections_of_a_list())).await }
    };
    let replies = soon(join_all((0..200).map(|n| tokio::spawn(ask(n))))).await;
    for (n, reply) in replies.into_iter().enumerate() {
        let items = reply.expect("no panic").expect("answered").items;
        assert_eq!(items.len(), 1, "{n}");
        let number = items[0].section(&format!("conn-{n}")).and_then(|c| c.number::<usize>("number"));
        assert_eq!(number, Some(n));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_commands_at_once_all_load_their_connection() {
    let b = bench(AMPLE);
    let plans = (0..200).map(|n| requests(&connections::connection(connections::parts(n))));
    let plans = plans.collect::<Vec<_>>();
    let loaded = soon(join_all(plans.iter().flatten().map(|request| b.vici.load(request)))).await;
    assert!(loaded.iter().all(Result::is_ok));
    assert_eq!((b.charon.connections().len(), b.charon.secrets().len()), (200, 200));
    assert!(b.charon.requests().iter().all(|r| r.socket == 1), "one socket for all commands");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_given_up_does_not_shift_the_replies() {
    let b = bench(AMPLE);
    let link = link(&b.charon).await;
    b.charon.once("list-conns", Behaviour::Late);
    let given_up = ["conn-1", "conn-2", "conn-3"].map(|name| {
        let link = link.clone();
        tokio::spawn(async move { link.call(&list(name), Some(connections_of_a_list())).await })
    });
    tokio::task::block_in_place(|| b.charon.wait_for("list-conns", 1));
    for task in given_up {
        task.abort();
        assert!(task.await.expect_err("aborted").is_cancelled());
    }
    b.charon.release();
    let reply = soon(link.call(&list("conn-9"), Some(connections_of_a_list()))).await.expect("answered");
    assert_eq!(reply.items.len(), 1);
    assert!(reply.items[0].section("conn-9").is_some(), "{:?}", reply.items);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_amid_an_answer_fails_all_who_wait_at_once() {
    let b = bench(AMPLE);
    let link = link(&b.charon).await;
    b.charon.once("version", Behaviour::Late);
    b.charon.once("stats", Behaviour::CloseMidAnswer);
    let calls = ["version", "stats", "get-conns", "get-shared", "get-conns"].map(|command| {
        let link = link.clone();
        async move { link.call(&Packet::Request(command.into(), Section::new()), None).await }
    });
    let all = tokio::spawn(join_all(calls));
    tokio::task::block_in_place(|| b.charon.wait_for("version", 1));
    b.charon.release();
    // `soon` would end the test: the calls' own deadline is no way out.
    let replies = soon(all).await.expect("no panic");
    assert!(replies[0].is_ok(), "answered before the end");
    for reply in &replies[1..] {
        assert!(matches!(reply, Err(Failure::Lost)), "{reply:?}");
    }
    assert!(link.is_closed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charon_that_hangs_up_fails_the_commands_but_not_the_client() {
    let b = bench(AMPLE);
    b.charon.once("stats", Behaviour::Late);
    let calls = async { tokio::join!(b.vici.stats(), b.vici.connections(), b.vici.shared()) };
    let hang_up = async {
        while b.charon.requests_of("stats").is_empty() {
            tokio::task::yield_now().await;
        }
        b.charon.hang_up();
    };
    let ((stats, connections, shared), ()) = soon(Box::pin(async { tokio::join!(calls, hang_up) })).await;
    assert!(is_unreachable(&stats) && is_unreachable(&connections) && is_unreachable(&shared));
    soon(b.vici.version()).await.expect("answered on a new socket");
}
