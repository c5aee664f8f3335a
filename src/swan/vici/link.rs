//! One vici socket. A task owns the reading half and another the writing half, so that a caller who
//! gives up never leaves half a packet behind. Replies match requests first in, first out.
//!
//! After a missed deadline the order of replies can no longer be trusted: the socket is closed, and
//! every waiting caller is told.

use crate::swan::{
    packet::{MAX_PACKET, Packet},
    section::Section,
};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::{
    codec::{FramedRead, FramedWrite, LengthDelimitedCodec},
    sync::CancellationToken,
};

/// Requests that may wait for the writer; a caller above that waits within its own deadline.
const QUEUE: usize = 64;
/// Events that may wait for their reader before the reader is told to look at everything anew.
const EVENTS: usize = 4096;

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
    /// charon does not know the command or event.
    #[error("charon does not know it")]
    Unknown,
    /// The request cannot be encoded.
    #[error("{0}")]
    Request(String),
}

/// What comes without being asked for.
#[derive(Debug)]
pub enum Notice {
    /// A registered event.
    Event(String, Section),
    /// The reader was too slow and events were dropped.
    Lagged,
}

/// Events that belong to a reply.
pub struct Stream {
    event: &'static str,
    take: Option<Box<dyn FnMut(Section) + Send>>,
}

impl Stream {
    /// The events of this name, kept whole.
    #[must_use]
    pub fn of(event: &'static str) -> Self {
        Self { event, take: None }
    }

    /// The events of this name; each is given to `take` when it comes, and not kept: thousands of them would fill the
    /// memory.
    pub fn into(event: &'static str, take: impl FnMut(Section) + Send + 'static) -> Self {
        Self { event, take: Some(Box::new(take)) }
    }

    /// Their name.
    #[must_use]
    pub fn event(&self) -> &'static str {
        self.event
    }
}

/// A caller that waits for a reply.
struct Waiting {
    stream: Option<Stream>,
    items: Vec<Section>,
    reply: oneshot::Sender<Result<Reply, Failure>>,
}

/// An answer, with the events that were streamed before it.
#[derive(Debug, Default)]
pub struct Reply {
    /// The response's message.
    pub message: Section,
    /// The streamed events' messages, as far as nobody took them.
    pub items: Vec<Section>,
}

type Queue = Arc<Mutex<VecDeque<Waiting>>>;

/// A connected socket; clones share it. Dropping the last one closes it.
#[derive(Clone)]
pub struct Link {
    jobs: mpsc::Sender<(Bytes, Waiting)>,
    closed: CancellationToken,
    deadline: Duration,
}

impl Link {
    /// Connects to the socket at `path`. Each later call must be answered within `deadline`.
    ///
    /// # Errors
    /// When it cannot be connected in that time.
    pub async fn connect(path: &Path, deadline: Duration) -> Result<(Self, mpsc::Receiver<Notice>), Failure> {
        let stream = timeout(deadline, UnixStream::connect(path))
            .await
            .map_err(|_| Failure::Deadline(deadline))?
            .map_err(|e| Failure::Connect(format!("{}: {e}", path.display())))?;
        let (read, write) = stream.into_split();
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (notices, inbox) = mpsc::channel(EVENTS);
        let closed = CancellationToken::new();
        let waiting = Queue::default();
        tokio::spawn(writer(write, queue, Arc::clone(&waiting), closed.clone()));
        tokio::spawn(reader(read, waiting, notices, closed.clone()));
        Ok((Self { jobs, closed, deadline }, inbox))
    }

    /// Whether the socket has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled() || self.jobs.is_closed()
    }

    /// Sends `packet` and waits for its answer; the events of `stream` on the way belong to it.
    ///
    /// # Errors
    /// When the socket ends, the deadline passes, or charon does not know the request.
    pub async fn call(&self, packet: &Packet, stream: Option<Stream>) -> Result<Reply, Failure> {
        let bytes = packet.encode().map_err(|e| Failure::Request(e.to_string()))?;
        if bytes.len() > MAX_PACKET {
            return Err(Failure::Request(format!("it has {} bytes, charon takes {MAX_PACKET}", bytes.len())));
        }
        let (reply, answer) = oneshot::channel();
        let job = (Bytes::from(bytes), Waiting { stream, items: Vec::new(), reply });
        let exchange = async {
            self.jobs.send(job).await.map_err(|_| Failure::Lost)?;
            answer.await.unwrap_or(Err(Failure::Lost))
        };
        timeout(self.deadline, exchange).await.unwrap_or_else(|_| {
            self.closed.cancel();
            Err(Failure::Deadline(self.deadline))
        })
    }
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(MAX_PACKET).new_codec()
}

/// Writes the queued packets; ends with the last [`Link`] or the socket. When the socket takes no more, the reader goes
/// on to its end, since answers may lie in it.
async fn writer(
    write: OwnedWriteHalf,
    mut queue: mpsc::Receiver<(Bytes, Waiting)>,
    waiting: Queue,
    closed: CancellationToken,
) {
    let mut frames = FramedWrite::new(write, codec());
    let work = async {
        while let Some((bytes, job)) = queue.recv().await {
            lock(&waiting).push_back(job);
            if frames.send(bytes).await.is_err() {
                return;
            }
            // It is empty now, and would keep what was sent: it may be a key.
            *frames.write_buffer_mut() = BytesMut::new();
        }
        closed.cancel();
    };
    closed.run_until_cancelled(work).await;
}

/// Reads packets until the socket ends or sends what is no packet; then fails all who wait.
async fn reader(read: OwnedReadHalf, waiting: Queue, notices: mpsc::Sender<Notice>, closed: CancellationToken) {
    let mut frames = FramedRead::new(read, codec());
    let mut lagged = false;
    while let Some(Some(Ok(frame))) = closed.run_until_cancelled(frames.next()).await {
        let Ok(packet) = Packet::decode(&frame) else { break };
        if !deliver(packet, &waiting, &notices, &mut lagged) {
            break;
        }
    }
    closed.cancel();
    for waiting in lock(&waiting).drain(..) {
        // A caller that is gone needs no answer.
        let _ = waiting.reply.send(Err(Failure::Lost));
    }
}

/// Hands a packet to whom it belongs; false if it belongs to nobody.
fn deliver(packet: Packet, waiting: &Queue, notices: &mpsc::Sender<Notice>, lagged: &mut bool) -> bool {
    let answer = match packet {
        Packet::Event(name, message) => {
            let of_reply = |w: &&mut Waiting| w.stream.as_ref().is_some_and(|stream| stream.event == name);
            if let Some(front) = lock(waiting).front_mut().filter(of_reply) {
                match front.stream.as_mut().and_then(|stream| stream.take.as_mut()) {
                    Some(take) => take(message),
                    None => front.items.push(message),
                }
            } else {
                notify(name, message, notices, lagged);
            }
            return true;
        }
        Packet::Response(message) => Ok(message),
        Packet::Confirm => Ok(Section::new()),
        Packet::UnknownCommand | Packet::UnknownEvent => Err(Failure::Unknown),
        Packet::Request(..) | Packet::Register(_) | Packet::Unregister(_) => return false,
    };
    let Some(Waiting { items, reply, .. }) = lock(waiting).pop_front() else { return false };
    // A caller that is gone needs no answer.
    let _ = reply.send(answer.map(|message| Reply { message, items }));
    true
}

/// Never waits: charon would queue events without limit for a reader that does not read. The last place is kept for
/// the word that events were dropped, so that the reader learns it even if no event follows.
fn notify(name: String, message: Section, notices: &mpsc::Sender<Notice>, lagged: &mut bool) {
    // A reader that is gone needs no events.
    if notices.capacity() > 1 {
        *lagged = false;
        let _ = notices.try_send(Notice::Event(name, message));
    } else if !*lagged {
        *lagged = notices.try_send(Notice::Lagged).is_ok();
    }
}

fn lock(queue: &Queue) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
