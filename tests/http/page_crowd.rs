//! The page with a thousand connections, and with ten thousand: as many rows are drawn as the window shows, and all can
//! be found, sorted and reached.

use crate::{
    browser::{Browser, ENTER},
    serve::{Bench, Options, TOKEN, params, uuid},
    skip::skipped,
};
use serde_json::{Value, json};
use std::{fs, time::Duration};

/// An agent that finds so many stored connections at its start, made of one.
fn bench(count: u32) -> Bench {
    let mut b = Bench::idle(&Options { log: "warn", ..Options::default() });
    b.run();
    b.create(&params(7, &json!({ "state": "Enabled" }))).expect(200);
    b.stop();
    let text = fs::read_to_string(b.record(&uuid(7))).expect("a record");
    for n in 0..count - 1 {
        let own = format!("{n:08x}00004000800000000000cafe");
        let text = text.replace(&uuid(7), &own).replace("site-7", &format!("branch-{n}"));
        let text = text.replace("198.51.100.7", &format!("10.{}.{}.{}", 100 + n / 62_500, n / 250 % 250, n % 250 + 1));
        fs::write(b.record(&own), text).expect("written");
    }
    if count > 1000 {
        // Loading so many takes minutes in a build for tests, and what is looked at is the page.
        b.charon.kill();
    }
    b.run_within(Duration::from_mins(3));
    b
}

/// The agent, and a browser that shows all of it; `None` on a machine without one.
fn shown(count: u32) -> Option<(Bench, Browser)> {
    if let Err(why) = Browser::available() {
        skipped(&why);
        return None;
    }
    let b = bench(count);
    let mut browser = Browser::here();
    browser.open(&format!("http://{}/", b.address()));
    browser.enter("#token", &format!("{TOKEN}{ENTER}"));
    browser.sees("#found", &format!("{count} of {count}"));
    Some((b, browser))
}

fn shows(count: u32) {
    let Some((_b, mut browser)) = shown(count) else { return };
    let drawn = "document.querySelectorAll('#rows tr').length";
    let few = |browser: &mut Browser| {
        let drawn = browser.run(&format!("return {drawn}")).as_u64().expect("a number");
        assert!((10..100).contains(&drawn), "{drawn} rows are drawn");
    };
    few(&mut browser);
    assert_eq!(
        browser.run("return document.querySelector('#list').ariaRowCount"),
        Value::from((count + 1).to_string())
    );
    let index = "+document.querySelector('#rows tr:last-child').ariaRowIndex";
    for part in [0.5, 1.0, 0.1] {
        // The rows in the window are those of this place: none is missing, none stands there twice.
        browser.run(&format!("scrollTo(0, (document.documentElement.scrollHeight - innerHeight) * {part})"));
        browser.until("[100, 400, 700].every(y => document.elementFromPoint(300, y).closest('#rows tr'))");
        let wanted = f64::from(count) * part;
        browser.until(&format!("Math.abs({index} - {wanted}) < 60"));
        few(&mut browser);
    }
    browser.run("scrollTo(0, 0)");
    browser.enter("#search", &format!("branch-{}", count - 2));
    browser.sees("#found", &format!("1 of {count}"));
    browser.click("#rows a");
    browser.sees("#title", &format!("branch-{}", count - 2));
}

/// The figures of docs/performance.md: `CYGNET_BIN=target/release/cygnet cargo test --test agent page_crowd::measured --
/// --ignored --nocapture`.
#[test]
#[ignore = "it measures"]
fn measured() {
    for count in [1000, 10_000] {
        let Some((_b, mut browser)) = shown(count) else { return };
        // Asked, read, sorted and drawn: two frames later it is on the screen.
        let mut took: Vec<f64> = (0..9)
            .map(|_| {
                let took = browser.run_later(
                    "let done = arguments[0], began = performance.now(); rows = new Map
                    load().then(() => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began))))",
                );
                took.as_f64().expect("milliseconds")
            })
            .collect();
        took.sort_by(f64::total_cmp);
        let steps = browser.run(
            "let took = []
            for (let y = 0; y < 60000; y += 300) { scrollTo(0, y); let began = performance.now(); paint(); document.body.offsetHeight; took.push(performance.now() - began) }
            took.sort((a, b) => a - b)
            return [took[100], took[190], took[199]]",
        );
        eprintln!(
            "{count} rows: drawn after {:.0} ms (at most {:.0}); a step of scrolling takes {steps} ms (median, 95 %, most)",
            took[4], took[8]
        );
    }
}

#[test]
fn a_thousand_are_shown() {
    shows(1000);
}

#[test]
fn ten_thousand_are_shown() {
    shows(10_000);
}
