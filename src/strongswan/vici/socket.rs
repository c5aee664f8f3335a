//! One vici socket, for one exchange at a time. charon answers a socket strictly in order: whoever has asked and does not
//! wait for the answer, because it gave up or was dropped, leaves a socket that nobody may use again.

use crate::strongswan::{
    packet::{self, MAX_PACKET, Packet},
    section::Section,
};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use nix::sys::socket::{MsgFlags, recv};
use std::{io::ErrorKind, os::fd::AsRawFd, path::Path, time::Duration};
use tokio::{
    net::UnixStream,
    task::coop::consume_budget,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// How often a connection is tried again while charon's queue of new connections is full.
const CROWDED: Duration = Duration::from_millis(5);

/// Why a socket gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The socket cannot be connected.
    #[error("{0}")]
    Connect(String),
    /// The socket ended.
    #[error("the connection to charon was lost")]
    Lost,
    /// Nothing came in time.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// All sockets for such requests were in use.
    #[error("earlier requests took longer than {0:?}")]
    Busy(Duration),
    /// charon does not know the command or event.
    #[error("charon does not know it")]
    Unknown,
    /// The request cannot be encoded.
    #[error("{0}")]
    Request(String),
}

impl Failure {
    /// Whether charon has answered all the same, or was not asked: the socket stays in use.
    #[must_use]
    pub fn spares_the_socket(&self) -> bool {
        matches!(self, Self::Unknown | Self::Request(_))
    }
}

/// A connected socket. Dropping it closes it.
pub struct Socket {
    frames: Framed<UnixStream, LengthDelimitedCodec>,
    deadline: Duration,
    /// The events of lists that are registered on it: charon sends each as often as it was registered (facts 2.2).
    streams: Vec<&'static str>,
}

impl Socket {
    /// Connects to the socket at `path`. Each packet of an answer must come within `deadline`.
    ///
    /// # Errors
    /// When it cannot be connected in that time.
    pub async fn connect(path: &Path, deadline: Duration) -> Result<Self, Failure> {
        let connected = async {
            loop {
                match UnixStream::connect(path).await {
                    // Unix sockets do not queue for a place in the listener's queue.
                    Err(e) if e.kind() == ErrorKind::WouldBlock => sleep(CROWDED).await,
                    other => return other.map_err(|e| Failure::Connect(format!("{}: {e}", path.display()))),
                }
            }
        };
        let stream = timeout(deadline, connected).await.map_err(|_| Failure::Deadline(deadline))??;
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_PACKET).new_codec();
        Ok(Self { frames: Framed::new(stream, codec), deadline, streams: Vec::new() })
    }

    /// Whether nothing has come since the last answer, not even the end.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let seen = recv(self.frames.get_ref().as_raw_fd(), &mut [0], look);
        self.frames.read_buffer().is_empty() && seen == Err(nix::errno::Errno::EAGAIN)
    }

    /// Sends `packet` and waits for its answer. Events on the way go to `take`; one that belongs to the answer, which
    /// `take` says, is a sign that charon is at work: a long list may take any time.
    ///
    /// # Errors
    /// When the socket ends, nothing comes within the deadline, or charon does not know the request.
    pub async fn call(
        &mut self,
        packet: &Packet,
        take: impl FnMut(String, Section) -> bool,
    ) -> Result<Section, Failure> {
        self.sift(packet, |_| true, take).await
    }

    /// The same; packets that are not wanted are not decoded, and count as signs that charon is at work.
    async fn sift(
        &mut self,
        packet: &Packet,
        is_wanted: impl FnMut(&[u8]) -> bool,
        take: impl FnMut(String, Section) -> bool,
    ) -> Result<Section, Failure> {
        self.send(std::slice::from_ref(packet)).await?;
        self.answer(is_wanted, take).await
    }

    /// Sends requests, which charon answers in their order. Whoever sends several small ones reads as many answers.
    ///
    /// # Errors
    /// When one of them cannot be encoded, and none was sent, or when the socket ends or takes nothing within the deadline.
    pub(super) async fn send(&mut self, packets: &[Packet]) -> Result<(), Failure> {
        let mut all = Vec::new();
        for packet in packets {
            let bytes = packet.encode().map_err(|e| Failure::Request(e.to_string()))?;
            if bytes.len() > MAX_PACKET {
                return Err(Failure::Request(format!("it has {} bytes, charon takes {MAX_PACKET}", bytes.len())));
            }
            all.push(Ok(Bytes::from(bytes)));
        }
        let mut all = futures_util::stream::iter(all);
        let sent = self.frames.send_all(&mut all);
        let late = |_| Failure::Deadline(self.deadline);
        timeout(self.deadline, sent).await.map_err(late)?.map_err(|_| Failure::Lost)?;
        // It is empty now, and would keep what was sent: it may be a key.
        *self.frames.write_buffer_mut() = BytesMut::new();
        Ok(())
    }

    /// The answer to the first request that is not answered yet.
    ///
    /// # Errors
    /// As [`Socket::call`].
    pub(super) async fn answer(
        &mut self,
        mut is_wanted: impl FnMut(&[u8]) -> bool,
        mut take: impl FnMut(String, Section) -> bool,
    ) -> Result<Section, Failure> {
        let late = |_| Failure::Deadline(self.deadline);
        let mut end = Instant::now() + self.deadline;
        loop {
            let bytes = timeout_at(end, self.frames.next()).await.map_err(late)?;
            let bytes = bytes.and_then(Result::ok).ok_or(Failure::Lost)?;
            if !is_wanted(&bytes) {
                end = Instant::now() + self.deadline;
                consume_budget().await;
                continue;
            }
            match Packet::decode(&bytes).map_err(|_| Failure::Lost)? {
                Packet::Event(name, message) => {
                    if take(name, message) {
                        end = Instant::now() + self.deadline;
                    }
                    // To read thousands of them takes a while, in which others have their turn.
                    consume_budget().await;
                }
                Packet::Response(message) => return Ok(message),
                Packet::Confirm => return Ok(Section::new()),
                Packet::UnknownCommand | Packet::UnknownEvent => return Err(Failure::Unknown),
                Packet::Request(..) | Packet::Register(_) | Packet::Unregister(_) => return Err(Failure::Lost),
            }
        }
    }

    /// The same for a command that streams events of the name `event` before it answers; each is given to `take` when it
    /// comes if its name is wanted, and not kept: thousands of them would fill the memory. Returns when it was asked for, than which nothing in
    /// the list is older, and the answer.
    ///
    /// # Errors
    /// As [`Socket::call`].
    pub async fn stream(
        &mut self,
        packet: &Packet,
        event: &'static str,
        mut is_wanted: impl FnMut(&str) -> bool,
        mut take: impl FnMut(Section),
    ) -> Result<(Instant, Section), Failure> {
        if !self.streams.contains(&event) {
            // A streaming command sends nothing unless its event was registered first.
            self.call(&Packet::Register(event.into()), |_, _| false).await?;
            self.streams.push(event);
        }
        let take = |name: String, message| {
            let own = name == event;
            if own {
                take(message);
            }
            own
        };
        let asked = Instant::now();
        let is_wanted = |bytes: &[u8]| packet::item(bytes, event).is_none_or(&mut is_wanted);
        self.sift(packet, is_wanted, take).await.map(|answer| (asked, answer))
    }

    /// The next packet; `None` when the socket ends. Who stops waiting loses nothing of it.
    pub(super) async fn packet(&mut self) -> Option<BytesMut> {
        self.frames.next().await?.ok()
    }
}
