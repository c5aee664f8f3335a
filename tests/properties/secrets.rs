//! No `Debug` shows a key, as text or as hexadecimal digits.

use super::{cases, generate, records};
use cygnet::{
    ipsec::{Auth, Connection, Psk},
    store::Record,
    strongswan::{
        conf::{self, Traps},
        packet::Packet,
        requests::{self, Loadable},
    },
};
use proptest::prelude::*;
use std::fmt::Debug;

/// A key that stands in nothing else.
const KEY: &str = "test-only-Zebra-7f3a91";

/// Fails if what `value` prints has the key in it.
fn hidden(what: &str, value: &dyn Debug) {
    let hex = Psk::new(KEY).expect("a key").expose_hex();
    // As a list of numbers, which is how bytes print by default.
    let numbers = KEY.bytes().map(|b| b.to_string()).collect::<Vec<_>>();
    for printed in [format!("{value:?}"), format!("{value:#?}")] {
        let lower = printed.to_lowercase();
        let squeezed = printed.split_whitespace().collect::<String>();
        assert!(!lower.contains(&KEY.to_lowercase()), "{what} shows the key");
        assert!(!lower.contains(hex.as_str()), "{what} shows the key in hexadecimal");
        assert!(!squeezed.contains(&numbers.join(",")), "{what} shows the key's bytes");
    }
}

fn auth() -> Auth {
    Auth::Psk(Psk::new(KEY).expect("a key"))
}

fn check_connection(connection: &Connection) {
    hidden("Connection", connection);
    hidden("Auth", &connection.auth);
    let text = conf::render(connection, Traps::Supported).expect("renders");
    hidden("Conf", &text);
    let file = conf::parse(text.expose()).expect("parses");
    hidden("Section of a file", &file);
    for request in requests::load(&file, &[]).expect("a plan") {
        hidden("Request", &request);
        hidden("Section of a request", &request.body);
        hidden("Packet", &Packet::Request(request.command.into(), request.body));
    }
    hidden("Loadable", &Loadable::new(connection, Traps::Supported).expect("loadable"));
}

fn check_record(record: &Record) {
    hidden("Record", record);
    hidden("Wish", &record.spec);
    hidden("Options", &record.spec.options);
    // What has no address yet is not rendered.
    if !record.is_unresolved() {
        check_connection(&record.connection);
    }
}

proptest! {
    #![proptest_config(cases(50))]

    #[test]
    fn nothing_prints_a_key(record in records::record()) {
        let mut spec = record.spec.clone();
        spec.options.auth = auth();
        check_record(&record.changed(spec, record.changed).expect("still valid"));
    }
}

proptest! {
    #![proptest_config(cases(20))]

    #[test]
    fn no_key_prints_itself(key in generate::key()) {
        prop_assert_eq!(format!("{:?}", Psk::new(key).expect("a key")), "Psk(***)");
    }
}

#[test]
#[should_panic(expected = "shows the key's bytes")]
fn the_check_can_fail() {
    hidden("bytes", &KEY.as_bytes());
}
