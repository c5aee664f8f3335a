//! The least of charon's vici protocol that an observer needs: a command, and the events that it brings. swanctl shows
//! the same, and a start of it costs a hundred times as much where programs start slowly. It may not use the agent's
//! own client: what is seen here is what that one is held against.

use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

/// Kinds of packets.
const COMMAND: u8 = 0;
const ANSWER: u8 = 1;
const REGISTER: u8 = 3;
const CONFIRM: u8 = 5;
const EVENT: u8 = 7;

/// A connection to charon.
pub struct Vici(UnixStream);

impl Vici {
    /// Connects; charon may then take so long for each packet.
    pub fn connect(socket: &Path, patience: Duration) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self(stream))
    }

    /// The answer to a command whose values are all texts.
    pub fn ask(&mut self, command: &str, values: &[(&str, &str)]) -> io::Result<Map<String, Value>> {
        self.send(COMMAND, command, values)?;
        self.receive(ANSWER, |_| ())
    }

    /// The named sections of all events of this name that a command brings, in order.
    pub fn list(&mut self, command: &str, event: &str, values: &[(&str, &str)]) -> io::Result<Vec<(String, Value)>> {
        self.send(REGISTER, event, &[])?;
        self.receive(CONFIRM, |_| ())?;
        self.send(COMMAND, command, values)?;
        let mut listed = Vec::new();
        self.receive(ANSWER, |sections| listed.extend(sections))?;
        Ok(listed)
    }

    fn send(&mut self, kind: u8, name: &str, values: &[(&str, &str)]) -> io::Result<()> {
        let short = |text: &str| u8::try_from(text.len()).map_err(|_| io::Error::other("a long name"));
        let mut packet = vec![kind, short(name)?];
        packet.extend_from_slice(name.as_bytes());
        for (key, value) in values {
            packet.extend_from_slice(&[3, short(key)?]);
            packet.extend_from_slice(key.as_bytes());
            packet.extend_from_slice(&[0, short(value)?]);
            packet.extend_from_slice(value.as_bytes());
        }
        let length = u32::try_from(packet.len()).map_err(io::Error::other)?;
        self.0.write_all(&[&length.to_be_bytes()[..], &packet].concat())
    }

    /// The next packet of this kind; the events before it go to `event`.
    fn receive(&mut self, wanted: u8, mut event: impl FnMut(Map<String, Value>)) -> io::Result<Map<String, Value>> {
        loop {
            let mut length = [0; 4];
            self.0.read_exact(&mut length)?;
            let mut packet = vec![0; usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?];
            self.0.read_exact(&mut packet)?;
            let mut rest = packet.as_slice();
            match taken(&mut rest, 1)?[0] {
                EVENT => {
                    text(&mut rest, 1)?;
                    event(section(&mut rest)?);
                }
                kind if kind == wanted => return section(&mut rest),
                kind => return Err(io::Error::other(format!("charon sent a packet of kind {kind}, not {wanted}"))),
            }
        }
    }
}

/// Elements of a message, up to its end or that of the section.
fn section(bytes: &mut &[u8]) -> io::Result<Map<String, Value>> {
    let mut fields = Map::new();
    while !bytes.is_empty() {
        let kind = taken(bytes, 1)?[0];
        if kind == 2 {
            break;
        }
        let name = text(bytes, 1)?;
        let value = match kind {
            1 => section(bytes)?.into(),
            3 => text(bytes, 2)?.into(),
            4 => items(bytes)?,
            other => return Err(io::Error::other(format!("an element of kind {other}"))),
        };
        fields.insert(name, value);
    }
    Ok(fields)
}

fn items(bytes: &mut &[u8]) -> io::Result<Value> {
    let mut items = Vec::new();
    while taken(bytes, 1)?[0] == 5 {
        items.push(text(bytes, 2)?);
    }
    Ok(items.into())
}

/// A text after its length, which has so many bytes.
fn text(bytes: &mut &[u8], width: usize) -> io::Result<String> {
    let length = taken(bytes, width)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    Ok(String::from_utf8_lossy(taken(bytes, length)?).into_owned())
}

fn taken<'a>(bytes: &mut &'a [u8], count: usize) -> io::Result<&'a [u8]> {
    let (first, rest) = bytes.split_at_checked(count).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    *bytes = rest;
    Ok(first)
}
