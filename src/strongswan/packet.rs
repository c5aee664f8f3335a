//! vici packets: a type, for some a name, and a message (strongSwan `vici/README.md`).
//! The four bytes of length before each packet belong to the client's framing.

use super::{
    message::{self, Malformed, Reader},
    section::Section,
};

/// The longest packet in bytes; charon resets the connection above it.
pub const MAX_PACKET: usize = 512 * 1024;

/// A packet of either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A named request.
    Request(String, Section),
    /// The answer to a request.
    Response(Section),
    /// The answer to a request that charon does not know.
    UnknownCommand,
    /// A subscription to an event.
    Register(String),
    /// The end of a subscription.
    Unregister(String),
    /// The answer to a (un)subscription.
    Confirm,
    /// The answer to a (un)subscription of an event that charon does not know.
    UnknownEvent,
    /// Of this name; it comes without a request.
    Event(String, Section),
}

impl Packet {
    /// The packet's bytes.
    ///
    /// # Errors
    /// When a name or value has no encoding.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let (kind, name, body) = match self {
            Self::Request(name, body) => (0, Some(name), Some(body)),
            Self::Response(body) => (1, None, Some(body)),
            Self::UnknownCommand => (2, None, None),
            Self::Register(name) => (3, Some(name), None),
            Self::Unregister(name) => (4, Some(name), None),
            Self::Confirm => (5, None, None),
            Self::UnknownEvent => (6, None, None),
            Self::Event(name, body) => (7, Some(name), Some(body)),
        };
        let mut bytes = vec![kind];
        if let Some(name) = name {
            message::put_name(&mut bytes, name)?;
        }
        if let Some(body) = body {
            bytes.extend(message::encode(body)?);
        }
        Ok(bytes)
    }

    /// Decodes `bytes` as a packet.
    ///
    /// # Errors
    /// When they are not one packet.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut rest = Reader(bytes);
        let packet = match rest.byte().ok_or(Malformed::Truncated)? {
            0 => Self::Request(rest.name()?, message::decode(rest.0)?),
            1 => Self::Response(message::decode(rest.0)?),
            2 => Self::UnknownCommand,
            3 => Self::Register(rest.name()?),
            4 => Self::Unregister(rest.name()?),
            5 => Self::Confirm,
            6 => Self::UnknownEvent,
            7 => Self::Event(rest.name()?, message::decode(rest.0)?),
            other => return Err(Malformed::Element(other)),
        };
        Ok(packet)
    }
}

/// The name of the first section in an event of this name, without decoding the rest: that of the item of a list.
#[must_use]
pub fn item<'a>(bytes: &'a [u8], event: &str) -> Option<&'a str> {
    let rest = of_event(bytes, event)?;
    let (length, rest) = rest.strip_prefix(&[message::SECTION_START])?.split_first()?;
    std::str::from_utf8(rest.get(..usize::from(*length))?).ok()
}

/// The message of an event of this name.
#[must_use]
pub fn of_event<'a>(bytes: &'a [u8], event: &str) -> Option<&'a [u8]> {
    bytes.strip_prefix(&[7, u8::try_from(event.len()).ok()?])?.strip_prefix(event.as_bytes())
}

/// Gives `take` the names and values of an event of this name, without decoding it as a tree; `None` if it is another packet,
/// or has more than values.
pub fn values<'a>(bytes: &'a [u8], event: &str, mut take: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let mut rest = of_event(bytes, event)?;
    while let Some(element) = rest.strip_prefix(&[message::KEY_VALUE]) {
        let (length, element) = element.split_first()?;
        let (name, element) = element.split_at_checked(usize::from(*length))?;
        let (length, element) = element.split_first_chunk()?;
        let (value, element) = element.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        take(name, value);
        rest = element;
    }
    rest.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_item_is_read_without_the_rest() {
        let of = |message| Packet::Event("list-sa".into(), message).encode().expect("a packet");
        let packet = of(Section::new().with("cygnet-1", Section::new().with("uniqueid", "1")));
        assert_eq!(item(&packet, "list-sa"), Some("cygnet-1"));
        assert_eq!(item(&packet, "list-conn"), None, "another event");
        assert_eq!(item(&of(Section::new().with("uniqueid", "1")), "list-sa"), None, "no section");
        (0..packet.len())
            .for_each(|end| assert!(item(&packet[..end], "list-sa").is_none_or(|name| name == "cygnet-1")));
    }

    #[test]
    fn values_are_read_without_a_tree() {
        let of = |message| Packet::Event("log".into(), message).encode().expect("a packet");
        let read = |bytes: &[u8]| {
            let mut read = Vec::new();
            values(bytes, "log", |name, value| read.push((name.to_vec(), value.to_vec()))).map(|()| read)
        };
        let packet = of(Section::new().with("group", "IKE").with("msg", "x".repeat(300)));
        let expected = [("group", "IKE".to_owned()), ("msg", "x".repeat(300))];
        let expected = expected.map(|(name, value)| (name.as_bytes().to_vec(), value.into_bytes()));
        assert_eq!(read(&packet), Some(expected.to_vec()));
        assert!((0..packet.len()).all(|end| read(&packet[..end]).is_none_or(|read| expected.starts_with(&read))));
        assert_eq!(read(&of(Section::new().with("a", Section::new()))), None, "more than values");
        assert_eq!(values(&packet, "alert", |_, _| ()), None, "another event");
    }
}
