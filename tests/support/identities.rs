//! Pairs of identities, and whether charon takes them for one: measured, and measured again by the lab. One table for the
//! tests with a charon and those without.

use cygnet::ipsec::{Dn, Identity};

pub const CN: &[u8] = &[0x55, 4, 3];
pub const C: &[u8] = &[0x55, 4, 6];
pub const DC: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];
pub const MAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
pub const UTF8: u8 = 0x0c;
pub const PRINTABLE: u8 = 0x13;
pub const TELETEX: u8 = 0x14;
pub const IA5: u8 = 0x16;

/// An attribute: its object identifier, the type of its string, its bytes.
pub type Attribute<'a> = (&'a [u8], u8, &'a [u8]);

fn field(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(value.len()).expect("short")], value].concat()
}

/// A distinguished name of these attributes, all in one set or each in its own.
pub fn dn_of(attributes: &[Attribute<'_>], one_set: bool) -> Identity {
    let pairs = attributes.iter().map(|(oid, tag, value)| field(0x30, &[field(6, oid), field(*tag, value)].concat()));
    let pairs: Vec<_> = pairs.collect();
    let sets = if one_set { field(0x31, &pairs.concat()) } else { pairs.iter().flat_map(|p| field(0x31, p)).collect() };
    Identity::Dn(Dn { der: field(0x30, &sets), text: "test-only".into() })
}

fn dn(attributes: &[Attribute<'_>]) -> Identity {
    dn_of(attributes, false)
}

fn cn(tag: u8, value: &str) -> Identity {
    dn(&[(CN, tag, value.as_bytes())])
}

/// Each pair, and whether it is one identity.
pub fn pairs() -> Vec<(Identity, Identity, bool)> {
    let ip = |text: &str| Identity::Ip(text.parse().expect("an address"));
    let fqdn = |text: &str| Identity::Fqdn(text.into());
    let mail = |text: &str| Identity::Email(text.into());
    let key_id = |bytes: &[u8]| Identity::KeyId(bytes.to_vec());
    let mailbox = |tag, text: &str| dn(&[(MAIL, tag, text.as_bytes())]);
    let (ch, gw): (Attribute<'_>, Attribute<'_>) = ((C, PRINTABLE, b"CH"), (CN, UTF8, b"gw"));
    vec![
        (fqdn("peer.example"), fqdn("PEER.example"), true),
        (fqdn("peer.example"), fqdn("peer.example."), false),
        (fqdn("peer_x-1"), fqdn("PEER_X-1"), true),
        (fqdn("peer.example"), fqdn("peer-example"), false),
        (mail("Ops@site.example"), mail("ops@SITE.example"), true),
        (mail("ops@site.example"), mail("op@site.example"), false),
        (mail("ops@site"), fqdn("ops"), false),
        (key_id(b"aa"), key_id(b"AA"), false),
        (key_id(b"aa"), key_id(b"aa"), true),
        (key_id(b"aa"), fqdn("aa"), false),
        (ip("::1"), ip("0:0:0:0:0:0:0:1"), true),
        (ip("2001:DB8::1"), ip("2001:db8:0::1"), true),
        (ip("192.0.2.1"), fqdn("192.0.2.1"), false),
        (ip("192.0.2.1"), ip("::ffff:192.0.2.1"), false),
        (cn(UTF8, "foo"), cn(UTF8, "FOO"), false),
        (cn(PRINTABLE, "foo"), cn(PRINTABLE, "FOO"), true),
        (cn(PRINTABLE, "foo"), cn(UTF8, "foo"), true),
        (cn(PRINTABLE, "foo"), cn(UTF8, "FOO"), false),
        (cn(IA5, "foo"), cn(IA5, "FOO"), false),
        (cn(TELETEX, "foo"), cn(TELETEX, "FOO"), false),
        (dn(&[(DC, IA5, b"foo")]), dn(&[(DC, IA5, b"FOO")]), false),
        (mailbox(IA5, "foo@x"), mailbox(IA5, "FOO@x"), true),
        (mailbox(UTF8, "foo@x"), mailbox(UTF8, "FOO@x"), false),
        (mailbox(IA5, "foo@x"), mailbox(UTF8, "foo@x"), true),
        (cn(PRINTABLE, "a b"), cn(PRINTABLE, "a  b"), false),
        (dn(&[(CN, PRINTABLE, b"a\0b")]), dn(&[(CN, PRINTABLE, b"a\0c")]), true),
        (dn(&[(CN, UTF8, b"a\0b")]), dn(&[(CN, UTF8, b"a\0c")]), false),
        (cn(UTF8, "\u{e9}"), cn(UTF8, "\u{c9}"), false),
        (cn(PRINTABLE, "\u{e9}"), cn(PRINTABLE, "\u{c9}"), false),
        (dn(&[ch, gw]), dn(&[gw, ch]), false),
        (dn(&[ch, gw]), dn(&[(C, UTF8, b"CH"), (CN, PRINTABLE, b"gw")]), true),
        (dn(&[ch, gw]), dn(&[(C, PRINTABLE, b"ch"), gw]), true),
        (dn(&[ch]), dn(&[ch, gw]), false),
        (dn(&[ch]), dn(&[(CN, PRINTABLE, b"CH")]), false),
        (dn_of(&[ch, gw], true), dn_of(&[gw, ch], true), false),
        (dn_of(&[ch, gw], true), dn_of(&[(C, PRINTABLE, b"ch"), gw], true), true),
        (dn_of(&[ch, gw], true), dn(&[ch, gw]), false),
        (cn(PRINTABLE, "*"), cn(PRINTABLE, "f"), false),
    ]
}
