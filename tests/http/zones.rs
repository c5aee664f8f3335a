//! The gateway's time zone: dates in answers, and the wall clocks of signed requests.

use super::accounts::{signature, tool, with_accounts};
use crate::serve::{Bench, Options, params, uuid};
use jiff::{Timestamp, ToSpan, Zoned, civil::DateTime, tz::TimeZone};
use serde_json::json;

/// An agent in this zone with an access key: its id and secret.
fn bench(zone: &'static str) -> (Bench, String, String) {
    let mut b = Bench::idle(&Options { zone, ..Options::default() });
    with_accounts(&b);
    let made = String::from_utf8(tool(&b, &["accesskey", "ops"], "").stdout).expect("text");
    let word = |name: &str| made.lines().find_map(|line| line.strip_prefix(name)).expect("printed").trim().to_owned();
    let (id, secret) = (word("id "), word("secret "));
    b.run();
    (b, id, secret)
}

/// The wall clock so many hours east of Greenwich.
fn clock(hours: i8) -> Zoned {
    Timestamp::now().to_zoned(TimeZone::fixed(jiff::tz::offset(hours)))
}

#[test]
fn dates_and_signatures_are_those_of_the_gateways_zone() {
    for (zone, hours) in [
        ("Asia/Shanghai", 8),
        (":Asia/Shanghai", 8),
        ("/usr/share/zoneinfo/Asia/Shanghai", 8),
        ("PRC", 8),
        ("CST-8", 8),
        ("<+08>-8", 8),
        ("Etc/GMT+5", -5),
        ("", 0),
        ("UTC", 0),
        ("Nowhere/At-all", 0),
    ] {
        let (b, id, secret) = bench(zone);
        b.create(&params(7, &json!({}))).expect(200);
        let made = b.inventory(&uuid(7))["createDate"].as_str().expect("a date").to_owned();
        let made = DateTime::strptime("%b %d, %Y %I:%M:%S %p", &made).expect("the form of clients");
        let off = clock(hours).datetime().duration_since(made).as_secs();
        assert!((0..120).contains(&off), "{zone}: {made} is {off} s off");
        let asked = br#"{"org.zstack.header.managementnode.APIGetVersionMsg": {}}"#;
        let told = b.tcp().request("POST", "/zstack/api", &[], asked).expect("answered").json();
        let told =
            told["finishedDate"].as_str().and_then(|text| DateTime::strptime("%b %d, %Y %I:%M:%S %p", text).ok());
        let off = clock(hours).datetime().duration_since(told.expect("the form of clients")).as_secs();
        assert!((0..120).contains(&off), "{zone}: an envelope's date is {off} s off");
        let ask = |date: &Zoned| {
            let date = format!("{} CST", date.strftime("%a, %d %b %Y %H:%M:%S"));
            let path = format!("/v1/ipsec/{}", uuid(7));
            let value = format!("ZStack {id}:{}", signature(&secret, "GET", &date, &path));
            let headers = [("Authorization", value.as_str()), ("Date", date.as_str())];
            b.tcp().request("GET", &format!("/zstack{path}"), &headers, b"").expect("answered").status
        };
        assert_eq!((ask(&clock(hours)), ask(&clock(0))), (200, 200), "{zone}: its own clock, and UTC");
        assert_eq!(ask(&clock(hours + 1)), 403, "{zone}: another one");
        assert_eq!(ask(&(clock(hours) - 20.minutes())), 403, "{zone}: too old");
        assert_eq!(b.logs().contains("names no time zone"), zone.starts_with("Nowhere"), "{zone}");
    }
}
