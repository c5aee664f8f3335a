//! vici's encoding: what is encoded is decoded, and no bytes make the decoder panic.

use super::cases;
use cygnet::strongswan::{
    message::{self, MAX_DEPTH, MAX_VALUE, Malformed},
    packet::Packet,
    section::{Section, Value},
};
use proptest::{collection::vec, prelude::*};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![9 => "[ -~]{1,20}", 1 => "[ -~]{255}"]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![19 => vec(any::<u8>(), 0..40), 1 => any::<u8>().prop_map(|byte| vec![byte; MAX_VALUE])]
}

fn tree() -> impl Strategy<Value = Section> {
    let leaf = prop_oneof![bytes().prop_map(Value::Text), vec(bytes(), 0..4).prop_map(Value::List)];
    let value = leaf.prop_recursive(6, 24, 4, |inner| section(inner).prop_map(Value::Section));
    section(value)
}

fn section(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Section> {
    vec((name(), value), 0..5).prop_map(|members| Section(members.into_iter().collect()))
}

fn packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        (name(), tree()).prop_map(|(name, body)| Packet::Request(name, body)),
        tree().prop_map(Packet::Response),
        Just(Packet::UnknownCommand),
        name().prop_map(Packet::Register),
        name().prop_map(Packet::Unregister),
        Just(Packet::Confirm),
        Just(Packet::UnknownEvent),
        (name(), tree()).prop_map(|(name, body)| Packet::Event(name, body)),
    ]
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn every_tree_comes_back(tree in tree()) {
        let bytes = message::encode(&tree).expect("valid");
        let back = message::decode(&bytes).expect("valid");
        prop_assert!(back == tree);
        prop_assert!(back.0.keys().eq(tree.0.keys()), "in another order");
    }

    #[test]
    fn every_packet_comes_back(packet in packet()) {
        let bytes = packet.encode().expect("valid");
        prop_assert!(Packet::decode(&bytes).expect("valid") == packet);
    }

    #[test]
    fn a_cut_message_is_an_error_or_a_shorter_message(tree in tree(), cut in any::<prop::sample::Index>()) {
        let bytes = message::encode(&tree).expect("valid");
        let shorter = &bytes[..cut.index(bytes.len() + 1)];
        if let Ok(part) = message::decode(shorter) {
            // Only whole members may be missing.
            prop_assert_eq!(message::encode(&part).expect("valid"), shorter);
        }
    }

    #[test]
    fn a_flipped_bit_does_not_panic(packet in packet(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = packet.encode().expect("valid");
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = Packet::decode(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in vec(prop_oneof![0..8_u8, any::<u8>()], 0..200)) {
        let _ = Packet::decode(&bytes);
        if let Ok(tree) = message::decode(&bytes) {
            prop_assert!(message::encode(&tree).is_ok_and(|again| message::decode(&again) == Ok(tree))
                || message::decode(&bytes).is_ok_and(|tree| has_empty_name(&tree)));
        }
    }
}

/// Whether a name is empty: charon may send such a one, we may not.
fn has_empty_name(section: &Section) -> bool {
    section.0.contains_key("") || section.sections().any(|(_, inner)| has_empty_name(inner))
}

#[test]
fn limits_are_errors() {
    let value = |bytes: usize| Section::new().with("a", Value::Text(vec![0; bytes]));
    assert!(message::encode(&value(MAX_VALUE)).is_ok());
    assert_eq!(message::encode(&value(MAX_VALUE + 1)), Err(Malformed::Value));
    let item = Section::new().with("a", Value::List(vec![vec![0; MAX_VALUE + 1]]));
    assert_eq!(message::encode(&item), Err(Malformed::Value));
    for name in [String::new(), "n".repeat(256), "é".into(), "a\n".into(), "\u{7f}".into()] {
        let named = Section::new().with(&name, "x");
        assert_eq!(message::encode(&named), Err(Malformed::Name), "{name:?}");
        assert_eq!(Packet::Register(name).encode(), Err(Malformed::Name));
    }
    let nested = |depth: usize| (0..depth).fold(Section::new(), |inner, _| Section::new().with("s", inner));
    let deepest = message::encode(&nested(MAX_DEPTH)).expect("just deep enough");
    assert!(message::decode(&deepest).is_ok());
    assert_eq!(message::encode(&nested(MAX_DEPTH + 1)), Err(Malformed::Depth));
    // 170 000 levels end other clients' stack.
    assert_eq!(message::decode(&[1, 1, b's'].repeat(170_000)), Err(Malformed::Depth));
}

#[test]
fn what_is_not_balanced_is_no_message() {
    let wrong: [(&[u8], Malformed); 9] = [
        (b"\x02", Malformed::Unbalanced),
        (b"\x01\x01a", Malformed::Unbalanced),
        (b"\x04\x01a", Malformed::Unbalanced),
        (b"\x05\x00\x00", Malformed::Element(5)),
        (b"\x04\x01a\x03\x01k\x00\x00\x06", Malformed::Element(3)),
        (b"\x04\x01a\x04\x01b\x06\x06", Malformed::Element(4)),
        (b"\x07", Malformed::Element(7)),
        (b"\x03\x01a\x00\x05ab", Malformed::Truncated),
        (b"\x03\x01a\x00\x00\x01\x01a\x02", Malformed::Clash),
    ];
    for (bytes, error) in wrong {
        assert_eq!(message::decode(bytes), Err(error), "{}", bytes.escape_ascii());
    }
}
