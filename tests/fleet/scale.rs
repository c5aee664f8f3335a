//! The figures of docs/fleet.md, measured once: `cargo test --release --features fleet --test fleet scale:: -- --ignored`.

use std::fs;
use std::time::{Duration, Instant};

use etcd_client::{Client, PutOptions, Txn, TxnOp, WatchOptions};
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, bed, gateway, spec, uuid};
use crate::say;
use crate::support::lab::Side;
use crate::support::{output, wait_until};

/// Does `work` where a plane is.
fn plane<T: Send>(bed: &Bed, work: impl AsyncFnOnce(Client) -> T + Send) -> T {
    bed.lab.inside_middle(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client = Client::connect([Bed::endpoint(0)], None).await.expect("etcd answers");
            work(client).await
        })
    })
}

#[test]
#[ignore = "it measures"]
fn from_a_write_to_ready_on_both() {
    let Some(mut bed) = bed() else { return };
    bed.start_both();
    let id = uuid(1);
    let mut took = plane(&bed, async |mut client| {
        let mut took = Vec::new();
        for round in 0..30 {
            let group = if round % 2 == 0 { "dh-group31" } else { "none" };
            let began = Instant::now();
            let puts = Side::BOTH.map(|side| {
                TxnOp::put(
                    format!("/cygnet/{}/spec/{id}", gateway(side)),
                    spec(side, &json!({ "pfs": group })).to_string(),
                    None,
                )
            });
            let revision =
                client.txn(Txn::new().and_then(puts)).await.expect("written").header().expect("a header").revision();
            for side in Side::BOTH {
                loop {
                    let key = format!("/cygnet/{}/status/{id}", gateway(side));
                    let answer = client.get(key, None).await.expect("read");
                    let status: Option<Value> =
                        answer.kvs().first().and_then(|key| serde_json::from_slice(key.value()).ok());
                    let fits = |status: &Value| status["revision"] == revision && status["status"] == "Ready";
                    if status.as_ref().is_some_and(fits) {
                        break;
                    }
                    assert!(began.elapsed() < PATIENCE, "{side:?}: {status:?}");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            took.push(began.elapsed());
        }
        took
    });
    took.sort();
    say(format!("write to Ready on both: p50 {:?}, p90 {:?}, max {:?}", took[15], took[26], took[29]));
    for side in Side::BOTH {
        say(format!("follower: {}", memory(bed.follower(side).pid())));
    }
}

/// The resident memory of a process.
pub fn memory(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .filter(|line| ["VmRSS", "VmHWM", "RssAnon"].iter().any(|word| line.starts_with(word)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What has passed the loopback interface between the gateways: bytes.
fn passed(bed: &Bed) -> u64 {
    bed.lab.inside_middle(|| {
        let all = fs::read_to_string("/proc/thread-self/net/dev").expect("counters");
        let line = all.lines().find_map(|line| line.trim().strip_prefix("lo:")).expect("lo");
        line.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).expect("a number")
    })
}

#[test]
#[ignore = "it measures"]
fn a_plane_lists_ten_thousand_connections_of_a_hundred_gateways() {
    let Some(bed) = bed() else { return };
    let (gateways, each) = (100, 100);
    plane(&bed, async |mut client| {
        let mut watches = Vec::new();
        for gateway in 0..gateways {
            let lease = client.lease_client().grant(5, None).await.expect("a lease").id();
            let renewing = client.clone();
            watches.push(tokio::spawn(async move {
                let (mut keeper, mut answers) = renewing.lease_client().keep_alive(lease).await.expect("renewed");
                loop {
                    tokio::time::sleep(Duration::from_millis(1667)).await;
                    keeper.keep_alive().await.expect("renewed");
                    answers.message().await.expect("answered");
                }
            }));
            let prefix = format!("/cygnet/g{gateway}/spec/");
            let mut watching = client.watch_client();
            let options = WatchOptions::new().with_prefix();
            let mut stream = watching.watch(prefix, Some(options)).await.expect("watched");
            watches.push(tokio::spawn(async move { while let Ok(Some(_)) = stream.message().await {} }));
            for group in (0..each).collect::<Vec<_>>().chunks(50) {
                let ops: Vec<_> = group
                    .iter()
                    .flat_map(|number| {
                        let id = uuid(gateway * 1000 + number);
                        let spec =
                            spec(Side::A, &json!({ "peerAddress": format!("198.18.{gateway}.{number}") })).to_string();
                        let status = json!({ "revision": 1, "generation": 1, "status": "Ready", "condition": "up",
                                             "reason": null, "as_wanted": true, "error": null });
                        let own = Some(PutOptions::new().with_lease(lease));
                        [
                            TxnOp::put(format!("/cygnet/g{gateway}/spec/{id}"), spec, None),
                            TxnOp::put(format!("/cygnet/g{gateway}/status/{id}"), status.to_string(), own),
                        ]
                    })
                    .collect();
                client.txn(Txn::new().and_then(ops)).await.expect("written");
            }
        }
        let before = passed(&bed);
        tokio::time::sleep(Duration::from_secs(10)).await;
        say(format!("idle, with 100 leases and watches, all of etcd's traffic: {} B/s", (passed(&bed) - before) / 10));
        let (before, began) = (passed(&bed), Instant::now());
        let listed = tokio::task::spawn_blocking({
            let mut command = bed.plane_command(&["list"]);
            move || output(&mut command)
        });
        let listed = listed.await.expect("it ends");
        let (took, lines) = (began.elapsed(), String::from_utf8_lossy(&listed.stdout).lines().count());
        say(format!("{} connections listed in {took:?}, {} bytes on the wire", lines - 1, passed(&bed) - before));
        assert_eq!(lines, gateways * each + 1);
        watches.iter().for_each(tokio::task::JoinHandle::abort);
    });
    say(format!("a member of etcd: {}", memory(bed.member(0).pid())));
    let mut command = bed.plane_command(&["list", "--json"]);
    command.stdout(std::process::Stdio::null());
    let process = bed.lab.spawn("cygnet-fleet list", command);
    let mut most = String::new();
    wait_until(PATIENCE, "it ends", || {
        let now = memory(process.pid());
        if !now.is_empty() {
            most = now;
        }
        process.status().map(drop)
    });
    say(format!("the plane that lists: {most}"));
}
