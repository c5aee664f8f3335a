//! A dry run of `swanctl --load-all`: it connects to a socket of this process, which records its requests.
//!
//! swanctl treats a broken file as an empty configuration, unloads everything and exits 0 (facts 0.1). A real run
//! would send the same requests to charon. If they are not the wanted ones, swanctl is not run.

use super::{
    packet::{MAX_PACKET, Packet},
    section::{Section, Value},
};
use crate::strongswan::requests::Request;
use futures_util::{SinkExt, StreamExt};
use std::{io, path::Path};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// A vici socket that records requests and does nothing.
pub struct RecordingVici {
    listener: UnixListener,
    connections: Vec<String>,
}

/// The requests of swanctl.
#[derive(Debug, Default)]
pub struct Recorded {
    /// What is loaded, in order: certificates, keys, secrets and connections.
    pub loads: Vec<Request>,
    /// The connections that it would unload.
    pub unloads: Vec<String>,
}

impl RecordingVici {
    /// A socket at `path`, with `connections` that seem to be loaded.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn new(path: &Path, connections: Vec<String>) -> io::Result<Self> {
        Ok(Self { listener: UnixListener::bind(path)?, connections })
    }

    /// Answers one client until it goes.
    ///
    /// # Errors
    /// When the socket fails or the client does not speak vici.
    pub async fn watch(self) -> io::Result<Recorded> {
        let (stream, _) = self.listener.accept().await?;
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_PACKET).new_codec();
        let mut frames: Framed<UnixStream, _> = Framed::new(stream, codec);
        let mut seen = Recorded::default();
        while let Some(frame) = frames.next().await {
            let packet = Packet::decode(&frame?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            let answer = match packet {
                Packet::Request(name, body) => Packet::Response(self.answer(&mut seen, &name, body)),
                _ => Packet::Confirm,
            };
            let bytes = answer.encode().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            frames.send(bytes::Bytes::from(bytes)).await?;
        }
        Ok(seen)
    }

    fn answer(&self, seen: &mut Recorded, command: &str, body: Section) -> Section {
        let list = |items: &[String]| Value::List(items.iter().map(|item| item.as_bytes().to_vec()).collect());
        match command {
            "get-conns" => return Section::new().with("conns", list(&self.connections)),
            "get-shared" | "get-keys" => return Section::new().with("keys", list(&[])),
            "load-conn" => seen.loads.push(Request { command: "load-conn", body }),
            "load-cert" => seen.loads.push(Request { command: "load-cert", body }),
            "load-key" => {
                seen.loads.push(Request { command: "load-key", body });
                // swanctl wants to know what it may not unload.
                return Section::new().with("success", "yes").with("id", "00");
            }
            "load-shared" => seen.loads.push(Request { command: "load-shared", body }),
            "unload-conn" => seen.unloads.extend(body.text("name").map(Into::into)),
            _ => {}
        }
        Section::new().with("success", "yes")
    }
}
