//! A reader of server-sent events over a Unix socket: a thread collects them until the server or the test ends.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

/// An event as it was sent.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its cursor, if it has one.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Value,
}

/// What has come so far.
pub struct Events {
    stream: UnixStream,
    seen: Arc<Mutex<(Vec<Event>, bool)>>,
}

impl Events {
    /// Asks for the stream at `path`.
    pub fn open(socket: &Path, path: &str, cursor: Option<&str>) -> Self {
        let mut stream = UnixStream::connect(socket).expect("the agent's socket");
        let cursor = cursor.map(|cursor| format!("Last-Event-ID: {cursor}\r\n")).unwrap_or_default();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{cursor}\r\n").expect("sent");
        let seen = Arc::new(Mutex::new((Vec::new(), false)));
        let (reader, sink) = (BufReader::new(stream.try_clone().expect("a second handle")), Arc::clone(&seen));
        thread::spawn(move || {
            collect(reader, &sink);
            sink.lock().expect("no panic").1 = true;
        });
        Self { stream, seen }
    }

    /// All that came.
    pub fn all(&self) -> Vec<Event> {
        self.seen.lock().expect("no panic").0.clone()
    }

    /// The names of all that came.
    pub fn names(&self) -> Vec<String> {
        self.all().into_iter().map(|event| event.name).collect()
    }

    /// Whether the server has ended the stream.
    pub fn is_over(&self) -> bool {
        self.seen.lock().expect("no panic").1
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // The thread ends with the socket; that it is closed already is no error.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Lines that are none of an event's are the framing of the chunks, and comments.
fn collect(reader: impl BufRead, sink: &Mutex<(Vec<Event>, bool)>) {
    let (mut id, mut name, mut data) = (None, None::<String>, None::<Value>);
    for line in reader.lines().map_while(Result::ok) {
        if let Some(text) = line.strip_prefix("id: ") {
            id = Some(text.to_owned());
        } else if let Some(text) = line.strip_prefix("event: ") {
            name = Some(text.to_owned());
        } else if let Some(text) = line.strip_prefix("data: ") {
            data = serde_json::from_str(text).ok();
        }
        if let (Some(_), Some(_)) = (&name, &data) {
            // The cursor may stand behind the data.
            if line.is_empty() {
                let event = Event {
                    id: id.take(),
                    name: name.take().unwrap_or_default(),
                    data: data.take().unwrap_or_default(),
                };
                sink.lock().expect("no panic").0.push(event);
            }
        }
    }
}
