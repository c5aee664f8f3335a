//! `Debug` of everything that holds a key: what an `expect`, a failed assertion or a careless log line would print.

use super::needles::Needles;
use crate::serve::{NETWORK, VIP, change, hex, params, uuid};
use cygnet::{
    agent::View,
    http::{Envelope, parse},
    settings::Settings,
    store::format,
    strongswan::{conf::Traps, packet::Packet, requests::Loadable},
};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;

const KEY: &str = "test-only-Qx7Zr2-debug-unmistakable";

#[test]
fn debug_shows_no_key() {
    let settings = format!(
        "[[gateway.vips]]\nuuid = \"{VIP}\"\naddress = \"192.0.2.1\"\n\
         [[gateway.l3_networks]]\nuuid = \"{NETWORK}\"\ncidrs = [\"10.1.0.0/24\"]\n"
    );
    let gateway = Settings::parse(&settings).expect("settings").gateway;
    let body = json!({ "params": params(7, &json!({ "authKey": KEY })) }).to_string();
    let read = || Envelope::parse(body.as_bytes()).and_then(|envelope| envelope.params("params")).expect("parameters");
    let record = parse::create(&read(), &gateway, Timestamp::UNIX_EPOCH).expect("a record");
    let loadable = Loadable::new(&record.connection, Traps::Supported).expect("loadable");
    let load = loadable.requests[0].clone();
    let packet = Packet::Request(load.command.into(), load.body.clone());
    let view = View { record: Arc::new(record.clone()), running: None, discount: None };
    let printed = [
        format!("{record:?} {record:#?}"),
        format!("{:?} {:#?}", record.spec, record.spec.options.auth),
        format!("{:?}", record.connection),
        format!("{loadable:?} {loadable:#?}"),
        format!("{load:?} {:?}", load.body),
        format!("{packet:?}"),
        format!("{view:?} {view:#?}"),
    ];
    let needles = Needles::new(&[KEY]);
    for text in &printed {
        assert!(text.contains("***") || text.contains("bytes)"), "the key is hidden, not left out: {text}");
        assert_eq!(needles.found_in(text.as_bytes()), [""; 0], "{text}");
    }
    // The control: these have it.
    assert!(!needles.found_in(loadable.conf.expose().as_bytes()).is_empty());
    assert!(!needles.found_in(&format::to_bytes(&record).expect("bytes")).is_empty());
    assert!(!needles.found_in(&packet.encode().expect("bytes")).is_empty());
}

#[test]
fn errors_about_values_around_a_key_do_not_quote_it() {
    let needles = Needles::new(&[KEY]);
    for wrong in [
        json!({ "authKey": [KEY] }),
        json!({ "authKey": { "key": KEY } }),
        json!({ "authKey": format!("{KEY} ") + "\"" }),
        json!({ "authKey": KEY.repeat(4000) }),
        json!({ "authKey": KEY, "lifeTime": 1 }),
        json!({ "authKey": KEY, "peerAddress": "x" }),
    ] {
        let body = json!({ "changeIPsecConnection": change(7, &wrong) }).to_string();
        let envelope = Envelope::parse(body.as_bytes()).and_then(|envelope| envelope.params("changeIPsecConnection"));
        let failure = envelope
            .and_then(|params| {
                parse::change(&params, parse::MissingFields::Defaults, std::sync::Arc::default(), Timestamp::UNIX_EPOCH)
                    .map(drop)
            })
            .expect_err("refused");
        assert_eq!(needles.found_in(format!("{failure:?}").as_bytes()), [""; 0], "{failure:?}");
    }
    for cut in [1, 20, 60] {
        let body = format!("{{\"params\":{{\"authKey\":\"{KEY}\",{}", "\"x\":".repeat(cut));
        let failure = Envelope::parse(body.as_bytes()).map(|_| ()).expect_err("no JSON");
        assert_eq!(needles.found_in(format!("{failure:?}").as_bytes()), [""; 0], "{failure:?}");
    }
}

#[test]
fn a_stored_record_that_cannot_be_read_is_not_quoted() {
    let needles = Needles::new(&[KEY]);
    let hex = hex(KEY.as_bytes());
    for text in [
        format!("{{\"version\":1,\"psk_hex\":{hex}}}"),
        format!("{{\"version\":1,\"uuid\":\"{}\",\"psk_hex\":[\"{hex}\"]}}", uuid(7)),
        format!("{{\"version\":2,\"psk_hex\":\"{hex}\"}}"),
        format!("{{\"version\":\"{hex}\"}}"),
        format!("{{\"version\":1,\"{hex}\":1}}"),
        KEY.to_owned(),
    ] {
        let why = format::from_bytes(text.as_bytes()).expect_err("refused");
        assert_eq!(needles.found_in(why.as_bytes()), [""; 0], "{why}");
    }
}
