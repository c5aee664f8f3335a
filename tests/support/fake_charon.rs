//! A charon that is not there: it speaks vici on a real Unix socket, keeps a small believable state, records every
//! request, and misbehaves on demand. Threads only, so that it serves async tests, other processes (`cygnet serve`,
//! Debian's `swanctl`) and plain tests alike. It may panic; it may not sleep, and it negotiates nothing.
//!
//! It stands alone: `#[path = "support/fake_charon.rs"] mod fake_charon;` is all that a test needs.
#![allow(dead_code, reason = "each test binary uses a part of it")]

#[path = "fake_charon/answers.rs"]
mod answers;
#[path = "fake_charon/sa.rs"]
mod sa;
#[path = "fake_charon/server.rs"]
mod server;
#[path = "fake_charon/state.rs"]
mod state;

pub use server::frame;

use cygnet::strongswan::{packet::Packet, section::Section};
use server::Shared;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

/// How long [`FakeCharon::wait_for`] waits before the test has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the next answers are instead of the right ones.
#[derive(Clone)]
pub enum Behaviour {
    /// `success=no` with these words; nothing is done.
    Refuse(String),
    /// It is done, and never answered, nor is anything that comes behind it on the same socket.
    Silence,
    /// It is done and answered when the test calls [`FakeCharon::release`], not before.
    Late,
    /// Each streamed event, and the answer, go when the test calls [`FakeCharon::let_one_go`] for it, not before.
    Trickle,
    /// The right answer, each byte of the frame in a write of its own.
    Split,
    /// Half of the right answer, then the end of the socket.
    CloseMidAnswer,
    /// A frame that holds no packet.
    Garbage,
    /// A frame that claims 4 GiB, and nothing behind it.
    HugeLength,
    /// That charon does not know the command or event.
    Unknown,
    /// These events first, registered or not, then the right answer.
    EventsFirst(Vec<(String, Section)>),
}

/// A request as it came.
#[derive(Clone)]
pub struct Recorded {
    /// The command; `register` and `unregister` for subscriptions, whose body then holds `event`.
    pub command: String,
    /// Its arguments.
    pub body: Section,
    /// The packet without its length.
    pub bytes: Vec<u8>,
    /// Which of the sockets it came on, counted from 1 in the order in which they were connected.
    pub socket: u64,
}

/// A fake charon. Dropping it closes everything.
pub struct FakeCharon {
    path: PathBuf,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakeCharon {
    /// A charon at the socket `path`, which must not exist.
    pub fn start(path: &Path) -> Self {
        let mut charon = Self { path: path.into(), shared: Arc::default(), acceptor: None };
        charon.listen();
        charon
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The argument of swanctl's `--uri`.
    pub fn uri(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Ends as a killed charon does: the sockets end, all that was loaded is lost, and the socket's file stays behind.
    pub fn kill(&mut self) {
        self.shared.stop(&self.path);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().expect("the acceptor does not panic");
        }
    }

    /// Starts after [`FakeCharon::kill`]: an empty charon. What was recorded is kept.
    pub fn revive(&mut self) {
        // The file of a killed charon is stale; charon unlinks it in the same way.
        std::fs::remove_file(&self.path).expect("a killed charon leaves its socket behind");
        self.listen();
    }

    fn listen(&mut self) {
        self.shared.reset();
        self.acceptor = Some(server::spawn(&self.path, Arc::clone(&self.shared)));
    }

    /// From now on `key`, a command or the name of an event to subscribe to, is answered so. Behind a command may stand
    /// the name of the one connection or secret that it is about, or `*` for a list of all.
    pub fn on(&self, key: &str, behaviour: Behaviour) {
        self.shared.lock().behaviours.push((key.into(), behaviour, false));
    }

    /// As [`FakeCharon::on`], for the next time only.
    pub fn once(&self, key: &str, behaviour: Behaviour) {
        self.shared.lock().behaviours.push((key.into(), behaviour, true));
    }

    /// charon behaves again.
    pub fn behave(&self) {
        self.shared.lock().behaviours.clear();
    }

    /// Lets the answers go that [`Behaviour::Late`] holds, and those to come.
    pub fn release(&self) {
        self.shared.lock().released = true;
        self.shared.changed.notify_all();
    }

    /// Lets one event or answer go that [`Behaviour::Trickle`] holds.
    pub fn let_one_go(&self) {
        self.shared.lock().tickets += 1;
        self.shared.changed.notify_all();
    }

    /// How many sockets are open.
    pub fn sockets(&self) -> usize {
        self.shared.lock().peers.len()
    }

    /// Whether `initiate` brings a loaded child up at once, with the events of it. At first it does not.
    pub fn establish(&self, yes: bool) {
        self.shared.lock().state.establish = yes;
    }

    /// Whether what is initiated stays half open, as with a peer that does not answer. At first it does not.
    pub fn hold(&self, yes: bool) {
        self.shared.lock().state.hold = yes;
    }

    /// Whether the peer refuses to rekey. At first it does not.
    pub fn refuse_rekeys(&self, yes: bool) {
        self.shared.lock().state.refuse_rekeys = yes;
    }

    /// Changes what `list-sas` says of each CHILD_SA.
    pub fn alter_children(&self, change: impl Fn(&mut Section)) {
        self.shared.lock().state.alter_children(&change);
    }

    /// Changes what `list-sas` says of each IKE SA.
    pub fn alter_ikes(&self, change: impl Fn(&mut Section)) {
        self.shared.lock().state.alter_ikes(&change);
    }

    /// Makes a second SA of each CHILD_SA.
    pub fn double_children(&self) {
        self.shared.lock().state.double_children();
    }

    /// How many IKE SAs it has.
    pub fn sas(&self) -> usize {
        self.shared.lock().state.sas()
    }

    /// The `list-sa` messages that `list-sas` streams, in place of those before.
    pub fn set_sas(&self, messages: impl IntoIterator<Item = Section>) {
        self.shared.lock().state.set_sas(messages);
    }

    /// The algorithms that `get-algorithms` and `stats` no longer name: charon's names, or names of plugins.
    pub fn lacks(&self, names: &[&str]) {
        self.shared.lock().state.lacks.extend(names.iter().map(ToString::to_string));
    }

    /// It is a 6.1.0 from now on, with IKEv1 or, as Debian has it, without.
    pub fn becomes_6_1_0(&self, ikev1: bool) {
        self.shared.lock().state.ikev1 = Some(ikev1);
    }

    /// Adds `names` to the plugins that `stats` reports.
    pub fn has_plugins(&self, names: &[&str]) {
        self.shared.lock().state.plugins.extend(names.iter().map(ToString::to_string));
    }

    /// Sends an event to all who registered it, as often as each did; returns how often it was sent.
    pub fn send_event(&self, name: &str, body: &Section) -> usize {
        self.shared.send_event(name, body)
    }

    /// Sends the first half of an event's frame; the other half goes before the next bytes on the same socket.
    pub fn send_half_event(&self, name: &str, body: Section) {
        let bytes = frame(&Packet::Event(name.into(), body));
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        for peer in self.shared.peers_of(name) {
            peer.write_half(first, rest);
        }
    }

    /// Ends all sockets; the listener goes on.
    pub fn hang_up(&self) {
        self.shared.hang_up();
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.lock().requests.clone()
    }

    /// What was asked so far with this command.
    pub fn requests_of(&self, command: &str) -> Vec<Recorded> {
        self.shared.lock().requests.iter().filter(|r| r.command == command).cloned().collect()
    }

    /// The commands so far, in their order.
    pub fn commands(&self) -> Vec<String> {
        self.requests().into_iter().map(|r| r.command).collect()
    }

    /// Forgets what was asked so far.
    pub fn forget_requests(&self) {
        self.shared.lock().requests.clear();
    }

    /// The loaded connection `name`.
    pub fn connection(&self, name: &str) -> Option<Section> {
        self.shared.lock().state.connections.get(name).cloned()
    }

    /// The names of all loaded connections.
    pub fn connections(&self) -> Vec<String> {
        self.shared.lock().state.connections.keys().cloned().collect()
    }

    /// The loaded secret `id`, as `load-shared` brought it.
    pub fn secret(&self, id: &str) -> Option<Section> {
        self.shared.lock().state.secrets.get(id).cloned()
    }

    /// The ids of all loaded secrets.
    pub fn secrets(&self) -> Vec<String> {
        self.shared.lock().state.secrets.keys().cloned().collect()
    }

    /// The ids of the private keys.
    pub fn keys(&self) -> Vec<String> {
        self.shared.lock().state.keys.keys().cloned().collect()
    }

    /// Loads what an operator would load: a connection or a secret behind the agent's back. Nothing is recorded.
    pub fn load(&self, connection: Option<(&str, Section)>, secret: Option<(&str, Section)>) {
        let state = &mut self.shared.lock().state;
        state.connections.extend(connection.map(|(name, section)| (name.to_owned(), section)));
        state.secrets.extend(secret.map(|(id, section)| (id.to_owned(), section)));
    }

    /// Forgets a connection or a secret behind the agent's back; whether it was there. Nothing is recorded.
    pub fn unload(&self, name: &str) -> bool {
        let state = &mut self.shared.lock().state;
        state.connections.shift_remove(name).is_some() | state.secrets.shift_remove(name).is_some()
    }

    /// Waits until `command` was asked `count` times in all. Call it from where the client can go on meanwhile.
    #[track_caller]
    pub fn wait_for(&self, command: &str, count: usize) {
        let seen = |inner: &server::Inner| inner.requests.iter().filter(|r| r.command == command).count() >= count;
        assert!(self.shared.wait(PATIENCE, seen), "{command} was not asked {count} times: {:?}", self.commands());
    }

    /// Waits until no socket is open any more: the clients have seen the end of theirs.
    #[track_caller]
    pub fn wait_for_goodbye(&self) {
        assert!(self.shared.wait(PATIENCE, |inner| inner.peers.is_empty()), "a client keeps its socket open");
    }
}

impl Drop for FakeCharon {
    fn drop(&mut self) {
        self.kill();
        self.hang_up();
    }
}
