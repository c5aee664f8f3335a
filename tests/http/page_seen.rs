//! The page as a person sees it in a browser: beside a fake charon, with which all states can be shown at once. With real
//! charons: `tests/lab/page.rs`.

use super::{
    accounts::PASSWORD,
    page::{HOSTILE, READER, bench},
};
use crate::{
    browser::{Browser, ENTER, ESCAPE, TAB, axe},
    serve::{Bench, KEY, TOKEN, change, uuid},
    skip::skipped,
};
use serde_json::{Value, json};

/// Where the page is.
pub fn origin(b: &Bench) -> String {
    format!("http://{}/", b.address())
}

/// A browser, or `None` on a machine without one.
pub fn browser() -> Option<Browser> {
    match Browser::available() {
        Ok(()) => Some(Browser::here()),
        Err(why) => {
            skipped(&why);
            None
        }
    }
}

/// What axe finds in each state of the page, with light and dark, as narrow as a phone, and at 200 %. A picture of each stays
/// below `target/page`.
fn is_accessible(browser: &mut Browser, axe: &str, name: &str) {
    for (look, width, zoom, dark) in
        [("light", 1360, 1, false), ("dark", 1360, 1, true), ("narrow", 360, 1, false), ("zoomed", 1360, 2, false)]
    {
        browser.look(width, 860, zoom, dark);
        assert_eq!(browser.run("return [innerWidth, devicePixelRatio]"), json!([width / zoom, zoom]));
        let found = browser.axe(axe);
        assert!(found.is_empty(), "{name}, {look}: {found:#?}");
        let over = browser.run("return document.documentElement.scrollWidth - innerWidth");
        assert!(over.as_i64() <= Some(0), "{name}, {look}: {over} px wider than the window");
        // Nothing is cut off that is to be used.
        let cut = browser.run(
            "return [...document.querySelectorAll('nav a, button, input, summary')].filter(e => e.checkVisibility())
                .filter(e => { let r = e.getBoundingClientRect(); return r.width < 1 || r.left < 0 || r.right > innerWidth })
                .map(e => e.outerHTML)",
        );
        assert_eq!(cut, json!([]), "{name}, {look}");
        browser.picture(&format!("{name}-{look}.png"));
    }
    browser.look(1360, 860, 1, false);
}

fn log_in(browser: &mut Browser, token: &str) {
    browser.enter("#token", &format!("{token}{ENTER}"));
    browser.until("document.querySelectorAll('#rows tr').length === 6");
}

#[test]
fn everybody_can_read_it_and_names_are_text() {
    let Some(mut browser) = browser() else { return };
    let axe = axe().expect("axe is fetched");
    let b = bench();
    browser.open(&origin(&b));
    browser.sees("#login", "Token");
    is_accessible(&mut browser, &axe, "login");
    log_in(&mut browser, TOKEN);
    is_accessible(&mut browser, &axe, "list");
    for name in HOSTILE {
        let name = Value::from(name);
        browser.until(&format!("[...document.querySelectorAll('#rows a')].some(a => a.textContent === {name})"));
    }
    browser.open(&format!("{}#c/{}", origin(&b), uuid(1)));
    browser.sees("#title", HOSTILE[0]);
    browser.sees("#facts", "Known since");
    is_accessible(&mut browser, &axe, "connection");
    browser.open(&format!("{}#gateway", origin(&b)));
    browser.sees("#doctor", "checks passed");
    is_accessible(&mut browser, &axe, "gateway");
    assert_eq!(browser.run("return document.querySelectorAll('img, iframe, object, main script').length"), 0);
    assert_ne!(browser.run("return document.title"), "taken");
    browser.was_good(&origin(&b));
}

#[test]
fn the_keyboard_is_enough() {
    let Some(mut browser) = browser() else { return };
    let b = bench();
    browser.open(&origin(&b));
    browser.sees("#login", "Token");
    browser.press(TAB);
    browser.press(&format!("{TOKEN}{ENTER}"));
    browser.until("document.querySelectorAll('#rows tr').length === 6");
    let reach = |browser: &mut Browser, what: &str| {
        for _ in 0..60 {
            if browser.run(&format!("return document.activeElement.matches({})", Value::from(what))) == true {
                return;
            }
            browser.press(TAB);
        }
        panic!("{what} is not reached by Tab");
    };
    reach(&mut browser, "#search");
    browser.press("site-7");
    browser.until("document.querySelectorAll('#rows tr').length === 1");
    reach(&mut browser, "#down");
    browser.press(" ");
    browser.sees("#found", "0 of 6");
    browser.press(" ");
    reach(&mut browser, "th:nth-child(3) button");
    browser.press(ENTER);
    browser.until("document.querySelector('th:nth-child(3)').ariaSort === 'ascending'");
    // What is drawn anew every three seconds keeps the focus.
    reach(&mut browser, "#rows a");
    b.change(&uuid(7), &change(7, &json!({ "peerAddress": "198.51.100.77" }))).expect(200);
    browser.sees("#rows", "198.51.100.77");
    reach(&mut browser, "#rows a");
    browser.press(ENTER);
    browser.sees("#title", "site-7");
    reach(&mut browser, "#one button");
    browser.press(ENTER);
    browser.until("document.querySelector('#ask').open");
    browser.press(ESCAPE);
    browser.until("!document.querySelector('#ask').open");
    browser.was_good(&origin(&b));
}

#[test]
fn who_logs_in_sees_what_they_may_and_no_key_is_in_the_page() {
    let Some(mut browser) = browser() else { return };
    let b = bench();
    browser.open(&origin(&b));
    browser.enter("#token", &format!("wrong{ENTER}"));
    browser.sees("#refused", "not valid");
    browser.click("summary");
    browser.enter("#account", "admin");
    browser.enter("#password", &format!("test-only-wrong{ENTER}"));
    browser.sees("#refused", "wrong account name or password");
    browser.run("document.querySelector('#password').value = ''");
    browser.enter("#password", &format!("{PASSWORD}{ENTER}"));
    browser.until("document.querySelectorAll('#rows tr').length === 6");
    let session = browser.run("return sessionStorage.token").as_str().expect("a session").to_owned();
    assert_eq!(browser.run("return [localStorage.length, document.cookie]"), json!([0, ""]));
    browser.click("#out");
    browser.sees("#login", "Token");
    let valid = b.ask("GET", &format!("/zstack/v1/accounts/sessions/{session}/valid"), b"").expect(200).json();
    assert_eq!(valid, json!({ "valid": false }), "who logs out has no session");

    log_in(&mut browser, READER);
    browser.open(&format!("{}#c/{}", origin(&b), uuid(7)));
    browser.sees("#done", "Your role is read: you may not reconnect.");
    browser.click("#out");

    browser.sees("#login", "Token");
    // The address still names the connection.
    browser.enter("#token", &format!("{TOKEN}{ENTER}"));
    browser.sees("#facts", "Known since");
    browser.click("#one button:nth-of-type(2)");
    browser.sees("#done", "Copied.");
    let page = browser.run("return document.documentElement.outerHTML + JSON.stringify(view)").to_string();
    assert!(!page.contains(KEY) && !page.contains("authKey\\\\\\\""), "no key");
    browser.was_good(&origin(&b));
}
