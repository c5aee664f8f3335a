//! What is fuzzed, and what must hold: shared by the fuzzer's binaries and the replay of the corpus in `tests/corpus.rs`.
//! Nothing here may panic on any bytes, but for the assertions.

use cygnet::{
    http::{Envelope, parse},
    store::format,
    strongswan::{conf, packet::Packet, requests},
};

/// The parser of swanctl.conf: whatever it takes, the planner can judge.
pub fn conf(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(file) = conf::parse(text) {
        let _ = requests::load(&file, &[]);
    }
}

/// The vici decoder: what it takes, it can write again, and reads back the same.
pub fn message(bytes: &[u8]) {
    let Ok(packet) = Packet::decode(bytes) else { return };
    // A name may be empty when it comes from charon, but we never send one.
    if let Ok(again) = packet.encode() {
        assert_eq!(Packet::decode(&again).as_ref(), Ok(&packet));
    }
}

/// A request body as `ChangeIPsecConnection` and as `CreateIPsecConnection`.
pub fn body(bytes: &[u8]) {
    if let Ok(params) = Envelope::parse(bytes).and_then(|envelope| envelope.params("changeIPsecConnection")) {
        let _ = parse::change(&params, parse::MissingFields::Defaults, std::sync::Arc::default(), jiff_epoch()).is_ok();
        let _ = parse::create(&params, &cygnet::settings::Gateway::default(), jiff_epoch());
    }
}

/// A stored record: what is read, is written again and read the same.
pub fn record(bytes: &[u8]) {
    let Ok(record) = format::from_bytes(bytes) else { return };
    let again = format::to_bytes(&record).expect("a record can be written");
    assert_eq!(format::from_bytes(&again).as_ref(), Ok(&record));
}

fn jiff_epoch() -> cygnet::store::Timestamp {
    cygnet::store::Timestamp::UNIX_EPOCH
}
