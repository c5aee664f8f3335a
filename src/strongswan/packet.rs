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
    let rest = bytes.strip_prefix(&[7, u8::try_from(event.len()).ok()?])?.strip_prefix(event.as_bytes())?;
    let (length, rest) = rest.strip_prefix(&[message::SECTION_START])?.split_first()?;
    std::str::from_utf8(rest.get(..usize::from(*length))?).ok()
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
}
