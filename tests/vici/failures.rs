//! A charon that is slow, silent, gone or hostile.

use super::{AMPLE, SHORT, bench, is_unreachable, requests, sa, soon};
use crate::{connections, fake_charon::Behaviour};
use cygnet::strongswan::vici::Vici;
use std::time::Instant;

#[tokio::test]
async fn split_frames_are_put_together() {
    let b = bench(AMPLE);
    b.charon.set_sas([sa("cygnet-a", 1)]);
    for key in ["version", "get-algorithms", "list-sa", "list-sas", "load-conn"] {
        b.charon.on(key, Behaviour::Split);
    }
    assert_eq!(b.vici.version().await.expect("answered").version, "5.9.8");
    assert_eq!(b.vici.algorithms().await.expect("answered").sections().count(), 5);
    assert_eq!(b.vici.list_sas(None).await.expect("answered"), [sa("cygnet-a", 1)]);
    let request = requests(&connections::connection(connections::parts(1))).remove(1);
    b.vici.load(&request).await.expect("loaded");
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_the_next_call_has_a_new_socket() {
    let b = bench(SHORT);
    b.charon.once("version", Behaviour::Silence);
    let start = Instant::now();
    let error = b.vici.version().await.expect_err("no answer");
    assert!(start.elapsed() >= SHORT, "it waits for its deadline");
    assert_eq!(error.to_string(), "charon did not answer version: no answer within 500ms");
    // The silent socket's first answer would be the wrong one.
    let b2 = Vici::new(b.charon.path(), AMPLE);
    b2.version().await.expect("charon itself answers");
    soon(b.vici.version()).await.expect("answered on a new socket");
    let sockets = b.charon.requests_of("version").iter().map(|r| r.socket).collect::<Vec<_>>();
    assert_eq!(sockets, [1, 2, 3]);
}

#[tokio::test]
async fn an_answer_behind_its_deadline_is_nobody_elses() {
    let b = bench(SHORT);
    b.charon.once("version", Behaviour::Late);
    assert!(is_unreachable(&b.vici.version().await));
    b.charon.release();
    // The late answer has no list of names; were replies shifted by one, this would be empty too.
    let request = requests(&connections::connection(connections::parts(1))).remove(1);
    soon(b.vici.load(&request)).await.expect("loaded");
    assert_eq!(soon(b.vici.connections()).await.expect("answered").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_registration_holds_no_caller_longer_than_two_deadlines() {
    let b = bench(SHORT);
    b.charon.on("list-sa", Behaviour::Silence);
    let start = Instant::now();
    let lists = futures_util::future::join_all((0..40).map(|_| b.vici.list_sas(None))).await;
    assert!(lists.iter().all(is_unreachable));
    // One after the other they would take forty.
    assert!(start.elapsed() < SHORT * 39, "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_end_amid_an_answer_fails_the_call_and_the_next_one_connects_anew() {
    let b = bench(AMPLE);
    for behaviour in [Behaviour::CloseMidAnswer, Behaviour::Garbage, Behaviour::HugeLength] {
        b.charon.once("get-algorithms", behaviour);
        let error = soon(b.vici.algorithms()).await.expect_err("no answer");
        assert!(error.to_string().ends_with("the connection to charon was lost"), "{error}");
        soon(b.vici.algorithms()).await.expect("answered on a new socket");
    }
    let sockets = b.charon.requests().iter().map(|r| r.socket).collect::<Vec<_>>();
    assert_eq!(sockets, [1, 2, 2, 3, 3, 4]);
}

#[tokio::test]
async fn a_huge_length_takes_no_memory() {
    let b = bench(AMPLE);
    b.charon.on("version", Behaviour::HugeLength);
    let before = peak_kib();
    for _ in 0..20 {
        assert!(is_unreachable(&soon(b.vici.version()).await));
    }
    // Threads of the other tests map memory too, but not as much as one such length claims.
    assert!(peak_kib() - before < 4 * 1024 * 1024, "a length claims 4 GiB");
}

/// The most memory that this process ever had mapped.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).expect("VmPeak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_charon_is_invisible_to_the_next_call() {
    let mut b = bench(AMPLE);
    b.vici.version().await.expect("answered");
    b.vici.list_sas(None).await.expect("answered");
    b.charon.kill();
    let error = soon(b.vici.version()).await.expect_err("it is gone");
    assert!(error.to_string().contains("charon.vici: Connection refused"), "{error}");
    b.charon.revive();
    b.charon.set_sas([sa("cygnet-a", 1)]);
    soon(b.vici.version()).await.expect("answered");
    assert_eq!(soon(b.vici.list_sas(None)).await.expect("answered"), [sa("cygnet-a", 1)]);
}

#[tokio::test]
async fn a_socket_that_is_not_there_names_its_path() {
    let vici = Vici::new(std::path::Path::new("/nonexistent/charon.vici"), AMPLE);
    let error = vici.version().await.expect_err("no charon");
    let words = "charon did not answer version: /nonexistent/charon.vici: No such file or directory";
    assert!(error.to_string().starts_with(words), "{error}");
}
