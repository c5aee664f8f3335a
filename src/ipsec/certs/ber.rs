//! Reading BER (X.690) by its structure, where no type of the library fits. Nothing is copied.

use x509_parser::asn1_rs::{Any, Class, FromBer, Oid};

/// The values that stand one behind the other in `bytes`.
pub(super) fn values(mut bytes: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (rest, value) = Any::from_ber(bytes).ok()?;
        found.push(value);
        bytes = rest;
    }
    Some(found)
}

/// The members of the one value in `bytes`.
pub(super) fn members(bytes: &[u8]) -> Option<Vec<Any<'_>>> {
    let (_, value) = Any::from_ber(bytes).ok()?;
    values(value.data)
}

/// The content of the member with the tag `[number]`.
pub(super) fn tagged<'a>(members: &[Any<'a>], number: u32) -> Option<&'a [u8]> {
    let is_it = |member: &&Any<'a>| member.class() == Class::ContextSpecific && member.tag().0 == number;
    members.iter().find(is_it).map(|member| member.data)
}

/// The object identifier that `value` is.
pub(super) fn oid<'a>(value: &Any<'a>) -> Option<Oid<'a>> {
    value.clone().oid().ok()
}
