//! What arrives on the page of a connection and of the gateway while it is open: the log over a restart of the agent, the
//! end of certificates, what runs unlike what is wanted, traffic, and the fleet.

use super::{
    certs::{ca, certified},
    events::says,
    page_seen::{browser, origin},
};
use crate::{
    browser::ENTER,
    certificates::{Kind, Wanted, year},
    serve::{Bench, Options, TOKEN, params, uuid, wait_until},
};
use serde_json::json;
use std::{fs, io::Write, os::unix::net::UnixStream};

/// An agent that keeps its port over a restart, and a connection with a certificate that ends in 2077. It has a loopback
/// address of its own, where nobody else takes the port meanwhile.
fn bench() -> Bench {
    let mut b = Bench::idle(&Options::default());
    b.charon.establish(true);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = format!("127.{}.{middle}.{}", 64 + high % 64, 2 + low % 250);
    listen(&b, "127.0.0.1:0", &format!("{own}:0"));
    b.run();
    listen(&b, &format!("{own}:0"), &b.address().to_string());
    let ca = ca();
    let end = "2077-06-15T12:00:00Z".parse().expect("a time");
    let own = ca.issue_as(&Wanted {
        kind: Kind::Ecdsa,
        subject: "CN=gw",
        alternatives: &["gw.example"],
        valid: (year(2000), end),
        serial: 1,
    });
    b.create(&params(7, &certified(&own.bundle(&[&ca])))).expect(200);
    b
}

fn listen(b: &Bench, old: &str, new: &str) {
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("settings");
    fs::write(b.path("cygnet.toml"), settings.replace(old, new)).expect("settings");
}

#[test]
fn what_runs_arrives_on_the_page_of_a_connection() {
    let Some(mut browser) = browser() else { return };
    let mut b = bench();
    let name = format!("cygnet-{}", uuid(7));
    browser.open(&format!("{}#c/{}", origin(&b), uuid(7)));
    browser.enter("#token", &format!("{TOKEN}{ENTER}"));
    browser.sees("#title", "Ready");

    // The end of its certificate, and how long that is.
    browser.sees("#facts", "Certificates");
    browser.until("/not after[^]*2077/.test(document.querySelector('#facts').textContent)");
    browser.until("/expires *\\d+ d/.test(document.querySelector('#facts').textContent)");

    // What runs as wanted has no mark; what does not has one, which is no matter of colour.
    browser.until("[...document.querySelectorAll('#facts th')].some(head => head.textContent.startsWith('Runs: '))");
    assert_eq!(browser.run("return document.querySelectorAll('#facts mark').length"), 0);
    b.charon.alter_children(|child| {
        child.0.insert("encr-alg".into(), "AES_GCM_16".into());
        child.0.insert("encr-keysize".into(), "128".into());
    });
    browser
        .until("[...document.querySelectorAll('#facts mark')].some(mark => /^≠ .*AES_GCM_16/.test(mark.textContent))");
    browser.sees("#facts", "not wanted");

    // Its log, line by line, also after a restart of the agent.
    says(&b, 77, Some(&name), "test-only line before");
    browser.sees("pre", "test-only line before");
    b.stop();
    browser.sees("#away", "The agent does not answer.");
    b.run();
    browser.until("!document.querySelector('#away').textContent");
    wait_until("charon is heard", || (b.ask("GET", "/readyz", b"").status == 200).then_some(()));
    says(&b, 78, Some(&name), "test-only line after");
    browser.sees("pre", "test-only line after");
    browser.was_good(&origin(&b));
}

#[test]
fn traffic_and_the_fleet_arrive() {
    let Some(mut browser) = browser() else { return };
    let b = bench();
    browser.open(&origin(&b));
    browser.enter("#token", &format!("{TOKEN}{ENTER}"));
    browser.sees("#rows", "↓0B ↑0B");
    assert_eq!(browser.run("return document.querySelector('#rows .in').getAttribute('points')"), "");
    let mut stream = UnixStream::connect(b.path("cygnet.sock")).expect("the agent's socket");
    stream.write_all(b"GET /cygnet/v1/events?fleet=g1 HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let gateway = || b.ask("GET", "/cygnet/v1/gateway", b"").expect(200).json();
    wait_until("the follower is known", || (gateway()["fleet"] != json!([])).then_some(()));
    browser.run("location.hash = 'gateway'");
    browser.sees("#one dl", "fleetfollows true, gateway g1, connections 0");
    browser.sees("#doctor", "checks passed");
    browser.run("location.hash = ''");
    // A step of the line is a quarter of a minute: the counters grow until one has passed.
    let mut bytes = 0_u64;
    let mut grown = || {
        bytes += 10_000;
        b.charon.alter_children(|child| {
            child.0.insert("bytes-in".into(), bytes.to_string().into());
            child.0.insert("bytes-out".into(), (bytes / 2).to_string().into());
        });
    };
    browser.until_after(
        &mut grown,
        "/,1( |$)/.test(document.querySelector('#rows .in')?.getAttribute('points')) &&
            /↓[1-9].* ↑[1-9]/.test(document.querySelector('#rows').textContent)",
    );
    assert_eq!(browser.run("return document.querySelectorAll('#rows .out[points*=\",\"]').length"), 1);
    browser.was_good(&origin(&b));
}
