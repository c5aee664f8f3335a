//! The members of requests: the names that a type of the wire takes, and the JSON types of those that are no strings.

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

/// The members that are whole numbers, beside options; `Integer` in the types of the wire.
pub(super) const INTEGERS: [&str; 3] = ["duration", "limit", "start"];
/// The members that are lists. All others are strings, and so are the elements of a list.
pub const LISTS: [&str; 5] = ["l3NetworkUuids", "peerCidrs", "systemTags", "tagUuids", "userTags"];

/// The names of the members that `T` takes, as its own `Deserialize` has them: no second list can go astray.
#[must_use]
pub(super) fn names_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    T::deserialize(Asked).err().map_or(&[], |Names(names)| names)
}

/// Asks a type for its members, and gives it none.
struct Asked;

/// The members, which come as an error: there is no value.
#[derive(Debug)]
struct Names(&'static [&'static str]);

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it has the members {:?}", self.0)
    }
}

impl std::error::Error for Names {}

impl Error for Names {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Asked {
    type Error = Names;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Names> {
        Err(Names(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Names> {
        Err(Names(fields))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
