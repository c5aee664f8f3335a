//! The request bodies as they come: every member optional, nothing checked but its JSON type.
//! Unknown members are ignored, `null` is absent (contract 1.3).

use super::{
    error::Failure,
    members::{INTEGERS, LISTS},
    options::{CONTRACT, Json},
};
use crate::error::{Error, Problem};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, DeserializeSeed, Visitor},
};
use serde_json::{Map, Value};
use std::cell::Cell;

/// `params` of `CreateIPsecConnection`, without the option block. It holds the key: no `Debug`.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateParams {
    pub name: Option<String>,
    pub description: Option<String>,
    pub vip_uuid: Option<String>,
    pub peer_address: Option<String>,
    pub auth_key: Option<String>,
    pub ppk: Option<String>,
    pub l3_network_uuid: Option<String>,
    pub peer_cidrs: Option<Vec<Option<String>>>,
    pub resource_uuid: Option<String>,
    pub tag_uuids: Option<Vec<String>>,
}

/// `ChangeIPsecConnection`, without the option block. It holds the key: no `Debug`.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChangeParams {
    pub peer_address: Option<String>,
    pub auth_key: Option<String>,
    pub ppk: Option<String>,
}

/// What a declared connection has beside the members of Create.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeclaredParams {
    pub uuid: Option<String>,
    pub state: Option<String>,
    pub l3_network_uuids: Option<Vec<Option<String>>>,
}

/// `logInByAccount`. It holds a password's digest: no `Debug`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoginParams {
    pub account_name: Option<String>,
    pub password: Option<String>,
}

/// `renewSession`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RenewParams {
    pub duration: Option<Integer>,
}

/// `UpdateIPsecConnection`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateParams {
    pub name: Option<String>,
    pub description: Option<String>,
}

/// `ChangeIPSecConnectionState`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StateParams {
    pub state_event: Option<String>,
}

/// `AddRemoteCidrsToIPsecConnection` and `AttachL3NetworksToIPsecConnection`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkParams {
    pub peer_cidrs: Option<Vec<Option<String>>>,
    pub l3_network_uuids: Option<Vec<Option<String>>>,
}

/// `GetVpcAttachedIpsec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PageParams {
    pub start: Option<Integer>,
    pub limit: Option<Integer>,
}

/// The contract's options, which Create and Change share; those of our own are read by their table.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OptionBlock {
    pub auth_mode: Option<String>,
    pub id_type: Option<String>,
    pub local_id: Option<String>,
    pub remote_id: Option<String>,
    pub ike_version: Option<String>,
    pub ike_auth_algorithm: Option<String>,
    pub ike_encryption_algorithm: Option<String>,
    pub ike_dh_group: Option<Integer>,
    pub ike_life_time: Option<Integer>,
    pub policy_auth_algorithm: Option<String>,
    pub policy_encryption_algorithm: Option<String>,
    pub pfs: Option<String>,
    pub policy_mode: Option<String>,
    pub transform_protocol: Option<String>,
    pub life_time: Option<Integer>,
}

/// Tags, which may stand beside the parameters or among them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tags {
    pub system_tags: Option<Vec<String>>,
    pub user_tags: Option<Vec<String>>,
}

/// A whole number, which may be written as `3600`, `3600.0` or `"3600"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Integer(pub i64);

/// 400 in the words of the contract, spelling as they are: the number `field` is none.
#[must_use]
pub fn not_an_integer(field: &str, found: &str) -> Failure {
    Failure::Wrong(Error::member(field, Problem::NotAnInteger(found.chars().take(64).collect())))
}

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        integer(&value).map(Self).ok_or_else(|| serde::de::Error::custom("no whole number"))
    }
}

/// The whole number that `value` is, if it is one within the range of a 32-bit Java `int`, as the contract's are.
pub fn integer(value: &Value) -> Option<i64> {
    long(value).filter(|number| i32::try_from(*number).is_ok())
}

/// The whole number that `value` is, if it is one that every reader of JSON has.
pub fn long(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => whole(number.as_f64()?),
        Value::String(text) => text_as_number(text),
        _ => None,
    }
}

/// The whole number that `text` is, as in a query: `30` and `30.0`.
pub fn whole_text(text: &str) -> Option<i64> {
    text_as_number(text).filter(|number| i32::try_from(*number).is_ok())
}

fn text_as_number(text: &str) -> Option<i64> {
    // `inf` and `nan` are numbers to Rust only.
    whole(text.trim().parse().ok().filter(|_| text.contains(|c: char| c.is_ascii_digit()))?)
}

/// `number` if it is whole and one that no other number is rounded to.
fn whole(number: f64) -> Option<i64> {
    let fits = number.fract() == 0.0 && number.abs() < 2_f64.powi(53);
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    fits.then_some(number as i64)
}

/// Reads the parameters `T` from the members of an object.
///
/// # Errors
/// 400 for a number that is none, as the contract says; an argument error for any other wrong type.
/// Texts name the member and never quote a value that may be a key.
pub fn read<T: DeserializeOwned>(members: &Map<String, Value>) -> Result<T, Failure> {
    serde_path_to_error::deserialize(Value::Object(members.clone())).map_err(|error| {
        let field = error.path().to_string();
        if is_integer(&field) {
            let found = members.get(&field).map(Value::to_string).unwrap_or_default();
            return not_an_integer(&field, found.trim_matches('"'));
        }
        let wanted = if LISTS.contains(&field.as_str()) { "a list" } else { "a string" };
        Failure::Api(Error::rule(&field, format!("must be {wanted}")))
    })
}

/// Whether the member `name` is a whole number.
fn is_integer(name: &str) -> bool {
    INTEGERS.contains(&name) || CONTRACT.iter().any(|row| row.name == name && row.json != Json::Text)
}

/// The most values in one body: a short text of many small ones takes a hundred times its length in memory.
pub(super) const MAX_VALUES: usize = 10_000;

/// Reads JSON, with what serde's own `Value` would take silently refused: the same member twice, and
/// more than `most` values.
///
/// # Errors
/// serde's; those two are of its category `Data`.
pub fn strict(text: &str, most: usize) -> serde_json::Result<Value> {
    let left = Cell::new(most);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { left: &left, most }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Reads one value and all in it; how many more there may be.
#[derive(Clone, Copy)]
struct Strict<'a> {
    left: &'a Cell<usize>,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| {
            serde::de::Error::custom(format!("the body is too large: it has more than {} values", self.most))
        })?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if map.insert(key, members.next_value_seed(self)?).is_some() {
                return Err(serde::de::Error::custom("the body is ambiguous: a member stands twice"));
            }
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::members::names_of;

    /// The members of the structs above that have a type which begins so.
    fn members(kind: &str) -> Vec<String> {
        let camel = |name: &str| {
            let mut words = name.split('_');
            let first = words.next().unwrap_or_default().to_owned();
            words.fold(first, |text, word| text + &word[..1].to_uppercase() + &word[1..])
        };
        let fields = include_str!("wire.rs").lines().filter_map(|line| line.strip_prefix("    pub ")?.split_once(": "));
        let mut found: Vec<_> = fields.filter(|(_, of)| of.starts_with(kind)).map(|(name, _)| camel(name)).collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn options_are_those_of_the_table() {
        assert_eq!(names_of::<OptionBlock>(), CONTRACT.map(|row| row.name));
    }

    #[test]
    fn types_are_those_of_the_structs() {
        let options = CONTRACT.iter().filter(|row| row.json != Json::Text).map(|row| row.name);
        let mut integers: Vec<_> = options.chain(INTEGERS).collect();
        integers.sort_unstable();
        assert_eq!(members("Option<Integer>"), integers);
        assert_eq!(members("Option<Vec<"), LISTS);
    }
}
