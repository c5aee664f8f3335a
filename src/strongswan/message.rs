//! The vici message encoding (strongSwan `src/libcharon/plugins/vici/README.md`): the part of a
//! packet after its name. Encoding cannot make an unbalanced message; decoding trusts no byte.

use super::section::{Section, Value};
use indexmap::map::Entry;

pub(super) const SECTION_START: u8 = 1;
const SECTION_END: u8 = 2;
pub(super) const KEY_VALUE: u8 = 3;
const LIST_START: u8 = 4;
const LIST_ITEM: u8 = 5;
const LIST_END: u8 = 6;

/// The deepest nesting of sections; charon's own messages need four.
pub const MAX_DEPTH: usize = 16;
/// The longest value in bytes.
pub const MAX_VALUE: usize = 65_535;

/// Why bytes are no message, or a tree cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end within an element.
    #[error("the message ends within an element")]
    Truncated,
    /// An element type that does not exist or is not allowed here.
    #[error("element type {0} may not stand here")]
    Element(u8),
    /// A section or list is not closed, or closed twice.
    #[error("sections or lists are not balanced")]
    Unbalanced,
    /// Sections are nested deeper than [`MAX_DEPTH`].
    #[error("sections stand too deep in each other")]
    Depth,
    /// A name is empty, too long or not printable ASCII.
    #[error("a name is empty, too long or not printable ASCII")]
    Name,
    /// A value is longer than [`MAX_VALUE`].
    #[error("a value is longer than {MAX_VALUE} bytes")]
    Value,
    /// Two elements of different kinds have the same name.
    #[error("a name stands for two kinds of value")]
    Clash,
}

/// The bytes of `message`.
///
/// # Errors
/// When a name or value cannot be encoded, or sections are nested too deep.
pub fn encode(message: &Section) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    section_body(&mut bytes, message, 0)?;
    Ok(bytes)
}

fn section_body(bytes: &mut Vec<u8>, section: &Section, depth: usize) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::Depth);
    }
    for (key, value) in &section.0 {
        match value {
            Value::Text(text) => {
                bytes.push(KEY_VALUE);
                put_name(bytes, key)?;
                put_value(bytes, text)?;
            }
            Value::List(items) => {
                bytes.push(LIST_START);
                put_name(bytes, key)?;
                for item in items {
                    bytes.push(LIST_ITEM);
                    put_value(bytes, item)?;
                }
                bytes.push(LIST_END);
            }
            Value::Section(inner) => {
                bytes.push(SECTION_START);
                put_name(bytes, key)?;
                section_body(bytes, inner, depth + 1)?;
                bytes.push(SECTION_END);
            }
        }
    }
    Ok(())
}

/// Appends a name behind its length; charon drops a packet with an unprintable one without a reply.
pub(super) fn put_name(bytes: &mut Vec<u8>, name: &str) -> Result<(), Malformed> {
    let length = u8::try_from(name.len()).map_err(|_| Malformed::Name)?;
    if name.is_empty() || !is_printable(name.as_bytes()) {
        return Err(Malformed::Name);
    }
    bytes.push(length);
    bytes.extend_from_slice(name.as_bytes());
    Ok(())
}

fn is_printable(name: &[u8]) -> bool {
    name.iter().all(|b| matches!(b, 0x20..=0x7e))
}

fn put_value(bytes: &mut Vec<u8>, value: &[u8]) -> Result<(), Malformed> {
    let length = u16::try_from(value.len()).map_err(|_| Malformed::Value)?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(value);
    Ok(())
}

/// Decodes `bytes` as one message. The last value of a repeated key counts; repeated
/// sections and lists are joined, as in charon.
///
/// # Errors
/// When the bytes are not one balanced message.
pub fn decode(bytes: &[u8]) -> Result<Section, Malformed> {
    let mut rest = Reader(bytes);
    let mut open = vec![(String::new(), Section::new())];
    let mut list: Option<(String, Vec<Vec<u8>>)> = None;
    while let Some(element) = rest.byte() {
        match (element, &mut list) {
            (LIST_ITEM, Some((_, items))) => items.push(rest.value()?),
            (LIST_END, Some(_)) => {
                let (name, items) = list.take().ok_or(Malformed::Unbalanced)?;
                put(&mut open, name, Value::List(items))?;
            }
            (SECTION_START, None) if open.len() > MAX_DEPTH => return Err(Malformed::Depth),
            (SECTION_START, None) => open.push((rest.name()?, Section::new())),
            (SECTION_END, None) if open.len() > 1 => {
                let (name, section) = open.pop().ok_or(Malformed::Unbalanced)?;
                put(&mut open, name, Value::Section(section))?;
            }
            (SECTION_END, None) => return Err(Malformed::Unbalanced),
            (KEY_VALUE, None) => {
                let name = rest.name()?;
                let value = rest.value()?;
                put(&mut open, name, Value::Text(value))?;
            }
            (LIST_START, None) => list = Some((rest.name()?, Vec::new())),
            (other, _) => return Err(Malformed::Element(other)),
        }
    }
    match (open.pop(), open.is_empty(), list) {
        (Some((_, root)), true, None) => Ok(root),
        _ => Err(Malformed::Unbalanced),
    }
}

/// Puts a value into the innermost open section.
fn put(open: &mut [(String, Section)], name: String, value: Value) -> Result<(), Malformed> {
    let (_, section) = open.last_mut().ok_or(Malformed::Unbalanced)?;
    match section.0.entry(name) {
        Entry::Vacant(place) => {
            place.insert(value);
        }
        Entry::Occupied(mut place) => match (place.get_mut(), value) {
            (Value::Text(old), Value::Text(new)) => *old = new,
            (Value::List(old), Value::List(new)) => old.extend(new),
            (Value::Section(old), Value::Section(new)) => old.0.extend(new.0),
            _ => return Err(Malformed::Clash),
        },
    }
    Ok(())
}

/// What is left to read.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A name; it may be empty, since charon takes and reports connections without one.
    pub fn name(&mut self) -> Result<String, Malformed> {
        let length = self.byte().ok_or(Malformed::Truncated)?;
        let name = self.take(length.into())?;
        if is_printable(name) {
            String::from_utf8(name.to_vec()).map_err(|_| Malformed::Name)
        } else {
            Err(Malformed::Name)
        }
    }

    fn value(&mut self) -> Result<Vec<u8>, Malformed> {
        let length = self.take(2)?;
        let length = u16::from_be_bytes([length[0], length[1]]);
        self.take(length.into()).map(<[u8]>::to_vec)
    }
}
