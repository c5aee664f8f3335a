//! Many calls at once, cancelled calls, and requests that hang: none delays another, as far as charon allows.

use super::{AMPLE, SHORT, bench, is_unreachable, requests, sa, soon};
use crate::{connections, fake_charon::Behaviour};
use cygnet::strongswan::{StrongSwan, section::Section, vici::Asker};
use futures_util::future::join_all;
use std::{
    future::poll_fn,
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};

/// An SA as it was listed, kept whole.
fn whole(item: Section) -> Vec<Section> {
    vec![item]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_at_once_each_get_their_own_answer() {
    let b = bench(AMPLE);
    b.charon.set_sas((0..200).map(|n| sa(&format!("cygnet-{n}"), n)));
    let names: Vec<_> = (0..200).map(|n| format!("cygnet-{n}")).collect();
    let ask = |name| b.vici.read_sas(Asker::Writer, name, whole);
    let replies = soon(join_all(names.iter().map(|name| ask(name)))).await;
    for (n, reply) in (0..).zip(replies) {
        assert_eq!(reply.expect("answered").1, [sa(&format!("cygnet-{n}"), n)]);
    }
    assert!(b.charon.sockets() <= 2, "they share {} sockets", b.charon.sockets());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_commands_at_once_all_load_their_connection() {
    let b = bench(AMPLE);
    let plans = (0..200).map(|n| requests(&connections::connection(connections::parts(n)))).collect::<Vec<_>>();
    let loaded = soon(join_all(plans.iter().flatten().map(|request| b.vici.load(request)))).await;
    assert!(loaded.iter().all(Result::is_ok));
    assert_eq!((b.charon.connections().len(), b.charon.secrets().len()), (200, 200));
    assert!(b.charon.sockets() <= 3, "they share {} sockets", b.charon.sockets());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_takes_the_request_along_and_shifts_no_answer() {
    let b = bench(AMPLE);
    b.charon.set_sas([sa("cygnet-1", 1), sa("cygnet-2", 2)]);
    b.charon.once("list-sas cygnet-1", Behaviour::Late);
    let vici = std::sync::Arc::new(b.vici);
    let left = tokio::spawn({
        let vici = std::sync::Arc::clone(&vici);
        async move { vici.read_sas(Asker::Reader, "cygnet-1", whole).await }
    });
    tokio::task::block_in_place(|| b.charon.wait_for("list-sas", 1));
    left.abort();
    assert!(left.await.expect_err("aborted").is_cancelled());
    // Readers have one socket: were it not free again, this would wait for an answer that does not come.
    let (_, reply) = soon(vici.read_sas(Asker::Reader, "cygnet-2", whole)).await.expect("answered");
    assert_eq!(reply, [sa("cygnet-2", 2)]);
    b.charon.release();
    assert_eq!(soon(vici.read_sas(Asker::Reader, "cygnet-2", whole)).await.expect("answered").1, [sa("cygnet-2", 2)]);
}

/// Polls a call once: it has asked, and waits.
async fn begun<T>(mut call: Pin<&mut (impl Future<Output = T> + ?Sized)>) {
    poll_fn(|context| {
        assert!(call.as_mut().poll(context).is_pending(), "it waits");
        Poll::Ready(())
    })
    .await;
}

/// charon walks all SAs for each list: forty connections that are looked at while a list is under way cost one more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_look_while_one_list_is_made_share_the_next() {
    const MANY: u128 = 40;
    let b = bench(AMPLE);
    let id = |n: u128| format!("{n:032x}").parse::<cygnet::ipsec::ConnectionId>().expect("an id");
    let name = |n| format!("cygnet-{}", id(n));
    b.charon.set_sas((1..=10 * MANY).map(|n| sa(&name(n), u32::try_from(n).expect("small"))));
    b.charon.on(&format!("list-sas {}", name(1)), Behaviour::Late);
    let strongswan = StrongSwan::from(b.vici);
    let look = |n| Box::pin(strongswan.look(id(n)));
    let (mut first, mut left) = (look(1), look(MANY + 1));
    let mut others: Vec<_> = (1..=MANY).map(look).collect();
    while b.charon.requests_of("list-sas").is_empty() {
        begun(first.as_mut()).await;
        tokio::task::yield_now().await;
    }
    for look in others.iter_mut().chain([&mut left]) {
        begun(look.as_mut()).await;
    }
    drop(left);
    b.charon.release();
    assert_eq!(soon(first).await.expect("answered")[0].unique_id, 1);
    for (n, look) in (1..).zip(soon(join_all(others)).await) {
        let found = look.expect("answered");
        assert_eq!(found.iter().map(|ike| ike.unique_id).collect::<Vec<_>>(), [n]);
    }
    let lists = b.charon.requests_of("list-sas");
    assert_eq!(lists.len(), 2, "lists for {MANY} who looked");
    assert!(lists[1].body.text("ike").is_none(), "the second is of all");
}

/// charon has other work: after a list that took long, the next one comes after nine times as long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenth_of_the_time_at_most_goes_to_lists() {
    let b = bench(AMPLE);
    let id = format!("{:032x}", 1).parse::<cygnet::ipsec::ConnectionId>().expect("an id");
    b.charon.once(&format!("list-sas cygnet-{id}"), Behaviour::Late);
    let strongswan = StrongSwan::from(b.vici);
    let mut first = Box::pin(strongswan.look(id));
    while b.charon.requests_of("list-sas").is_empty() {
        begun(first.as_mut()).await;
        tokio::task::yield_now().await;
    }
    let asked = Instant::now();
    tokio::time::sleep(Duration::from_millis(30)).await;
    let (took, answered) = (asked.elapsed(), Instant::now());
    b.charon.release();
    soon(first).await.expect("answered");
    soon(strongswan.look(id)).await.expect("answered");
    assert!(answered.elapsed() >= 9 * took, "{:?} after one that took {took:?}", answered.elapsed());
}

/// Initiations go many in one exchange: each gets the answer that is about it, and one that nobody waits for is not begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn initiations_that_wait_together_each_get_their_own_answer() {
    let b = bench(AMPLE);
    b.charon.on("initiate", Behaviour::Late);
    let names: Vec<_> = (0..40).map(|n| format!("child-{n}")).collect();
    let begin = |name| Box::pin(b.vici.initiate("cygnet-x", name));
    let mut first = begin(&names[0]);
    while b.charon.requests_of("initiate").is_empty() {
        begun(first.as_mut()).await;
        tokio::task::yield_now().await;
    }
    let mut left = begin("left");
    begun(left.as_mut()).await;
    drop(left);
    let mut others: Vec<_> = names[1..].iter().map(|name| begin(name)).collect();
    for other in &mut others {
        begun(other.as_mut()).await;
    }
    b.charon.release();
    let outcomes = soon(join_all([first].into_iter().chain(others))).await;
    for (name, outcome) in names.iter().zip(outcomes) {
        let said = outcome.expect_err("no such child").to_string();
        assert!(said.contains(&format!("CHILD_SA config '{name}' not found")), "{name}: {said}");
    }
    let asked = b.charon.requests_of("initiate");
    let asked: Vec<_> = asked.iter().map(|one| (one.body.text("child").unwrap_or_default(), one.socket)).collect();
    let socket = asked[0].1;
    assert_eq!(asked, names.iter().map(|name| (name.as_str(), socket)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_holds_up_no_other_kind() {
    let b = bench(AMPLE);
    let connection = connections::connection(connections::parts(1));
    let name = format!("cygnet-{}", connection.id());
    b.charon.set_sas([sa(&name, 1)]);
    b.charon.on("list-sas *", Behaviour::Late);
    b.charon.on("initiate", Behaviour::Late);
    b.charon.on("load-conn cygnet-x", Behaviour::Late);
    let hanging = cygnet::strongswan::requests::Request {
        command: "load-conn",
        body: Section::new().with("cygnet-x", Section::new().with("version", "2")),
    };
    // Two loads of the reconciler hang: they have no more sockets, and writers have others.
    let loads = async { tokio::join!(b.vici.load(&hanging), b.vici.load(&hanging)).0 };
    let hang = async { tokio::join!(b.vici.list_sas(None), b.vici.initiate(&name, "c"), loads) };
    let work = async {
        let asked = |(command, count): &(&str, usize)| b.charon.requests_of(command).len() >= *count;
        while ![("list-sas", 1), ("initiate", 1), ("load-conn", 2)].iter().all(asked) {
            tokio::task::yield_now().await;
        }
        for request in requests(&connection) {
            b.vici.load_for(Asker::Writer, &request).await.expect("another connection is loaded");
        }
        b.vici.version().await.expect("it is there");
        for asker in [Asker::Writer, Asker::Reader, Asker::Reconciler] {
            assert_eq!(b.vici.read_sas(asker, &name, whole).await.expect("looked at").1, [sa(&name, 1)]);
        }
        let life = b.vici.charon_epoch().await;
        b.vici.terminate("ike-id", 1, false, life).await.expect("closed");
        b.charon.release();
    };
    let (answers, ()) = soon(Box::pin(async { tokio::join!(hang, work) })).await;
    assert!(answers.0.is_ok() && answers.2.is_ok(), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_may_take_any_time_as_long_as_it_grows() {
    const ITEMS: u32 = 8;
    let b = bench(SHORT);
    b.charon.set_sas((0..ITEMS).map(|n| sa("cygnet-a", n)));
    b.charon.on("list-sas *", Behaviour::Trickle);
    let begun = Instant::now();
    let drive = async {
        // Eight items and the answer, each in less than a deadline, take three together.
        let mut next = begun;
        for _ in 0..=ITEMS {
            next += SHORT / 3;
            while Instant::now() < next {
                tokio::task::yield_now().await;
            }
            b.charon.let_one_go();
        }
    };
    let (listed, ()) = soon(Box::pin(async { tokio::join!(b.vici.list_sas(None), drive) })).await;
    assert_eq!(listed.expect("charon is at work").len(), ITEMS as usize);
    assert!(begun.elapsed() > SHORT * 2);
    let silent = soon(b.vici.list_sas(None)).await;
    assert!(is_unreachable(&silent), "one that does not grow is given up: {silent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charon_that_hangs_up_fails_the_commands_but_not_the_client() {
    let b = bench(AMPLE);
    b.charon.on("stats", Behaviour::Late);
    b.charon.on("get-conns", Behaviour::Late);
    let calls = async { tokio::join!(b.vici.stats(), b.vici.connections()) };
    let hang_up = async {
        while b.charon.requests().len() < 2 {
            tokio::task::yield_now().await;
        }
        b.charon.hang_up();
    };
    let ((stats, connections), ()) = soon(Box::pin(async { tokio::join!(calls, hang_up) })).await;
    assert!(is_unreachable(&stats) && is_unreachable(&connections));
    b.charon.behave();
    soon(b.vici.connections()).await.expect("answered on a new socket");
}
