//! A subscription to charon's events, on a socket of its own. A task always reads it, because charon queues
//! events without limit for a client that does not read.

use super::socket::{Failure, Socket};
use crate::strongswan::{
    log_parser::Line,
    packet::{self, Packet},
    section::Section,
};
use std::{path::Path, time::Duration};
use tokio::sync::mpsc;

/// The most events in the queue; beyond it the reader is told to resynchronise.
const EVENTS: usize = 4096;

/// An item of the subscription.
#[derive(Debug)]
pub enum Notice {
    /// A registered event.
    Event(String, Section),
    /// The event `log`, about an IKE SA. Others of it are left out.
    Line(Line),
    /// The reader was too slow and events were dropped.
    Lagged,
}

/// A subscription. Dropping it closes its socket.
pub struct Events {
    inbox: mpsc::Receiver<Notice>,
}

/// The other end: what the task writes to.
struct Outbox {
    notices: mpsc::Sender<Notice>,
    lagged: bool,
}

impl Events {
    /// Subscribes to `names` at the socket `path`.
    ///
    /// # Errors
    /// The name of the event that could not be subscribed to, and why; no name when there is no socket.
    pub(super) async fn subscribe(path: &Path, deadline: Duration, names: &[&str]) -> Result<Self, (String, Failure)> {
        let mut socket = Socket::connect(path, deadline).await.map_err(|e| (String::new(), e))?;
        let (notices, inbox) = mpsc::channel(EVENTS);
        let mut outbox = Outbox { notices, lagged: false };
        for name in names {
            // Events registered before may arrive first.
            let early = |name, message| {
                outbox.put(Notice::Event(name, message));
                false
            };
            socket.call(&Packet::Register((*name).into()), early).await.map_err(|e| ((*name).to_owned(), e))?;
        }
        tokio::spawn(deliver(socket, outbox));
        Ok(Self { inbox })
    }

    /// The next event, or `None` when charon is gone.
    pub async fn next(&mut self) -> Option<Notice> {
        self.inbox.recv().await
    }
}

/// Reads until the socket ends or nobody listens any more.
async fn deliver(mut socket: Socket, mut outbox: Outbox) {
    let gone = outbox.notices.clone();
    let work = async {
        while let Some(bytes) = socket.packet().await {
            if packet::of_event(&bytes, "log").is_some() {
                if let Some(line) = Line::read(&bytes) {
                    outbox.put(Notice::Line(line));
                }
                continue;
            }
            match Packet::decode(&bytes) {
                Ok(Packet::Event(name, message)) => outbox.put(Notice::Event(name, message)),
                _ => return,
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = gone.closed() => {}
    }
}

impl Outbox {
    /// Never waits. The last place in the queue is for the notice that events were dropped, so the reader gets it even
    /// if no event follows.
    fn put(&mut self, notice: Notice) {
        // A reader that is gone needs no events.
        if self.notices.capacity() > 1 {
            self.lagged = false;
            let _ = self.notices.try_send(notice);
        } else if !self.lagged {
            self.lagged = self.notices.try_send(Notice::Lagged).is_ok();
        }
    }
}
