//! The fake charon's socket: one thread accepts, one thread per client reads frames and answers them in their order.
//! What is answered stands in `state.rs`; here are the frames and the ways to get them wrong.

use super::{Behaviour, Recorded, state::State};
use cygnet::strongswan::{
    packet::{MAX_PACKET, Packet},
    section::Section,
};
use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What all threads share.
#[derive(Default)]
pub struct Shared {
    inner: Mutex<Inner>,
    pub changed: Condvar,
}

/// The state with what the test wants of it.
#[derive(Default)]
pub struct Inner {
    pub state: State,
    pub requests: Vec<Recorded>,
    /// Key, behaviour, and whether it is for one time only.
    pub behaviours: Vec<(String, Behaviour, bool)>,
    pub peers: Vec<Arc<Peer>>,
    pub released: bool,
    /// How many held events or answers may go.
    pub tickets: usize,
    stopped: bool,
    sockets: u64,
}

/// A client.
pub struct Peer {
    number: u64,
    stream: UnixStream,
    /// Bytes that go before the next ones; the lock also keeps frames whole.
    pending: Mutex<Vec<u8>>,
    registered: Mutex<Vec<String>>,
    /// It was left without an answer: charon works in order, so whatever comes behind waits too.
    stuck: AtomicBool,
}

impl Peer {
    /// Writes whole frames. That the client is gone is no error: charon would not mind.
    fn write(&self, bytes: &[u8]) {
        let mut pending = self.pending.lock().expect("no thread panics here");
        pending.extend_from_slice(bytes);
        let _ = (&self.stream).write_all(&std::mem::take(&mut *pending));
    }

    /// Writes each byte by itself.
    fn write_split(&self, bytes: &[u8]) {
        for byte in bytes {
            self.write(std::slice::from_ref(byte));
            thread::yield_now();
        }
    }

    /// Writes `first` now and `rest` before whatever comes next.
    pub fn write_half(&self, first: &[u8], rest: &[u8]) {
        self.write(first);
        self.pending.lock().expect("no thread panics here").extend_from_slice(rest);
    }

    /// Ends the socket. The client may have done it already.
    fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Says and hears no more, but stays until the client has seen the end and is gone.
    fn end(&self) {
        self.stuck.store(true, Ordering::Relaxed);
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// How often `event` is registered.
    fn registrations(&self, event: &str) -> usize {
        self.registered.lock().expect("no thread panics here").iter().filter(|name| *name == event).count()
    }
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics with the state")
    }

    /// Waits until `seen`, at most for `patience`.
    pub fn wait(&self, patience: Duration, seen: impl Fn(&Inner) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), patience, |inner| !seen(inner));
        !waited.expect("no thread panics with the state").1.timed_out()
    }

    /// An empty charon that listens again.
    pub fn reset(&self) {
        let mut inner = self.lock();
        inner.state.restart();
        inner.stopped = false;
    }

    /// Ends the listener and all sockets.
    pub fn stop(&self, path: &Path) {
        let already = std::mem::replace(&mut self.lock().stopped, true);
        self.lock().peers.iter().for_each(|peer| peer.end());
        self.changed.notify_all();
        if !already {
            // Wakes the acceptor, which then sees that it is over.
            let _ = UnixStream::connect(path);
        }
    }

    pub fn hang_up(&self) {
        self.lock().peers.iter().for_each(|peer| peer.close());
    }

    /// The clients that registered `event`, each as often as it did.
    pub fn peers_of(&self, event: &str) -> Vec<Arc<Peer>> {
        let often = |peer: &Arc<Peer>| std::iter::repeat_n(Arc::clone(peer), peer.registrations(event));
        self.lock().peers.iter().flat_map(often).collect()
    }

    pub fn send_event(&self, name: &str, body: &Section) -> usize {
        let bytes = frame(&Packet::Event(name.into(), body.clone()));
        let peers = self.peers_of(name);
        for peer in &peers {
            peer.write(&bytes);
        }
        peers.len()
    }

    /// What is to happen with `key` in place of the right answer.
    fn behaviour(&self, key: &str) -> Option<Behaviour> {
        let mut inner = self.lock();
        let index = inner.behaviours.iter().position(|(of, ..)| of == key)?;
        let (_, behaviour, once) = inner.behaviours[index].clone();
        if once {
            inner.behaviours.remove(index);
        }
        Some(behaviour)
    }

    /// Waits until one more held event or answer may go.
    fn take_ticket(&self) {
        let held = |inner: &mut Inner| inner.tickets == 0 && !inner.stopped;
        let mut inner = self.changed.wait_while(self.lock(), held).expect("no thread panics with the state");
        inner.tickets = inner.tickets.saturating_sub(1);
    }

    fn record(&self, recorded: Recorded) {
        self.lock().requests.push(recorded);
        self.changed.notify_all();
    }
}

/// The bytes of `packet` on the wire.
pub fn frame(packet: &Packet) -> Vec<u8> {
    let body = packet.encode().expect("the fake charon's packets have an encoding");
    let length = u32::try_from(body.len()).expect("short");
    [&length.to_be_bytes(), body.as_slice()].concat()
}

/// Listens at `path` and serves all who connect.
pub fn spawn(path: &Path, shared: Arc<Shared>) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).expect("the fake charon's socket is free");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut inner = shared.lock();
            if inner.stopped {
                break;
            }
            inner.sockets += 1;
            let stream = stream.expect("a client");
            let number = inner.sockets;
            let (pending, registered, stuck) = (Mutex::default(), Mutex::default(), AtomicBool::default());
            let peer = Arc::new(Peer { number, stream, pending, registered, stuck });
            inner.peers.push(Arc::clone(&peer));
            let shared = Arc::clone(&shared);
            thread::spawn(move || serve(&peer, &shared));
        }
    })
}

/// Answers one client until it is gone.
fn serve(peer: &Arc<Peer>, shared: &Shared) {
    while let Some(bytes) = read_frame(&peer.stream) {
        match Packet::decode(&bytes) {
            Ok(_) if peer.stuck.load(Ordering::Relaxed) => {}
            Ok(Packet::Request(command, body)) => request(peer, shared, &command, &body, bytes),
            Ok(Packet::Register(event)) => subscribe(peer, shared, event, true, bytes),
            Ok(Packet::Unregister(event)) => subscribe(peer, shared, event, false, bytes),
            // charon does not answer what it cannot read (facts 2.2).
            Ok(_) | Err(_) => {}
        }
    }
    peer.close();
    shared.lock().peers.retain(|other| other.number != peer.number);
    shared.changed.notify_all();
}

fn read_frame(mut stream: &UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    // charon resets the connection above its limit.
    let length = usize::try_from(u32::from_be_bytes(length)).ok().filter(|length| *length <= MAX_PACKET)?;
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// What a request is about.
fn object(body: &Section) -> &str {
    let named = ["ike", "id", "name"].iter().find_map(|key| body.text(key));
    named.or_else(|| body.sections().next().map(|(name, _)| name)).unwrap_or("*")
}

/// What a request is recorded as: what only guards a connection while it is replaced is told from what loads it.
fn kind(command: &str, object: &str) -> String {
    match command {
        "load-conn" | "unload-conn" if object.ends_with("-guard") => format!("{command} (guard)"),
        _ => command.into(),
    }
}

fn request(peer: &Peer, shared: &Shared, command: &str, body: &Section, bytes: Vec<u8>) {
    let kind = kind(command, object(body));
    let behaviour = shared.behaviour(&kind).or_else(|| shared.behaviour(&format!("{command} {}", object(body))));
    shared.record(Recorded { command: kind, body: body.clone(), bytes, socket: peer.number });
    if let Some(Behaviour::Refuse(words)) = behaviour {
        let no = Section::new().with("success", "no").with("errmsg", words);
        return peer.write(&frame(&Packet::Response(no)));
    }
    let Some(answer) = shared.lock().state.answer(command, body) else {
        return respond(peer, shared, behaviour, &frame(&Packet::UnknownCommand));
    };
    for (event, message) in answer.streamed {
        if matches!(behaviour, Some(Behaviour::Trickle)) {
            shared.take_ticket();
        }
        for _ in 0..peer.registrations(event) {
            peer.write(&frame(&Packet::Event(event.into(), message.clone())));
        }
    }
    respond(peer, shared, behaviour, &frame(&Packet::Response(answer.response)));
    for (event, message) in answer.announced {
        shared.send_event(event, &message);
    }
}

fn subscribe(peer: &Peer, shared: &Shared, event: String, register: bool, bytes: Vec<u8>) {
    let behaviour = shared.behaviour(&event);
    let command = if register { "register" } else { "unregister" };
    let body = Section::new().with("event", event.as_str());
    shared.record(Recorded { command: command.into(), body, bytes, socket: peer.number });
    let mut registered = peer.registered.lock().expect("no thread panics here");
    let place = registered.iter().position(|name| *name == event);
    let answer = match (State::knows_event(&event), register, place) {
        (true, true, _) => {
            registered.push(event);
            Packet::Confirm
        }
        (true, false, Some(place)) => {
            registered.remove(place);
            Packet::Confirm
        }
        _ => Packet::UnknownEvent,
    };
    drop(registered);
    respond(peer, shared, behaviour, &frame(&answer));
}

/// Sends the right answer `bytes`, or what is to come in its place.
fn respond(peer: &Peer, shared: &Shared, behaviour: Option<Behaviour>, bytes: &[u8]) {
    match behaviour {
        None | Some(Behaviour::Refuse(_)) => peer.write(bytes),
        Some(Behaviour::Silence) => peer.stuck.store(true, Ordering::Relaxed),
        Some(Behaviour::Late) => {
            let over = |inner: &mut Inner| !(inner.released || inner.stopped);
            drop(shared.changed.wait_while(shared.lock(), over));
            peer.write(bytes);
        }
        Some(Behaviour::Trickle) => {
            shared.take_ticket();
            peer.write(bytes);
        }
        Some(Behaviour::Split) => peer.write_split(bytes),
        Some(Behaviour::CloseMidAnswer) => {
            peer.write(&bytes[..bytes.len() / 2]);
            peer.close();
        }
        Some(Behaviour::Garbage) => peer.write(&[0, 0, 0, 4, 0xff, 0xfe, 0xfd, 0xfc]),
        Some(Behaviour::HugeLength) => peer.write(&[0xff; 4]),
        Some(Behaviour::Unknown) => peer.write(&frame(&Packet::UnknownCommand)),
        Some(Behaviour::EventsFirst(events)) => {
            let events = events.into_iter().map(|(name, body)| frame(&Packet::Event(name, body)));
            peer.write(&events.chain([bytes.to_vec()]).collect::<Vec<_>>().concat());
        }
    }
}
