//! The metrics of one second, as texts: in the format of `OpenMetrics`, and in Prometheus' older one for who does not ask
//! for it. Of thousands of connections they are large: they are kept once, in pieces, and the older format is made while
//! it is sent.

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, header::ACCEPT},
};
use hyper::body::{Frame, SizeHint};
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    registry::Registry,
};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// The media type of `OpenMetrics`.
const OPEN_METRICS: &str = "application/openmetrics-text";
/// The least bytes of a piece that is not the last.
const PIECE: usize = 64 << 10;
/// What the older format has in the lines about a counter.
const TOTAL: &str = "_total";

/// A text that is written in pieces of whole lines.
#[derive(Default)]
pub struct Pieces {
    done: Vec<Bytes>,
    text: String,
}

impl Pieces {
    /// Where the next line is written.
    pub fn text(&mut self) -> &mut String {
        if self.text.capacity() == 0 {
            self.text.reserve_exact(PIECE + PIECE / 8);
        }
        &mut self.text
    }

    /// A line has ended.
    pub fn end_line(&mut self) {
        if self.text.len() >= PIECE {
            self.done.push(std::mem::take(&mut self.text).into());
        }
    }

    /// Adds the series of a registry.
    ///
    /// # Errors
    /// When they cannot be encoded, which is a fault of this program.
    pub fn add(&mut self, registry: &Registry) -> fmt::Result {
        encode_registry(self.text(), registry)?;
        self.end_line();
        Ok(())
    }

    fn ended(mut self) -> Vec<Bytes> {
        self.text.shrink_to_fit();
        self.done.push(self.text.into());
        self.done
    }
}

/// The metrics of one second.
#[derive(Clone)]
pub struct Texts(Arc<Kept>);

struct Kept {
    /// Without names and addresses.
    open: Vec<Bytes>,
    /// The series that have them.
    named: Vec<Bytes>,
    end: Bytes,
    /// The names of counters.
    counters: BTreeSet<String>,
    /// How many bytes more the older format has, in those without names and in those that have them.
    longer: [usize; 2],
}

impl Kept {
    /// Whether the line is about a counter, to which the older format gives the name of its series.
    fn is_renamed(&self, line: &str) -> bool {
        about(line).is_some_and(|(_, name, _)| self.counters.contains(name))
    }

    /// The piece in the text format 0.0.4. The last line is a comment there, and shows that nothing was cut off.
    fn in_plain(&self, piece: &Bytes) -> Bytes {
        if !lines(piece).any(|line| self.is_renamed(line)) {
            return piece.clone();
        }
        let renamed = |line: &str| {
            let (kind, name, rest) = about(line).filter(|_| self.is_renamed(line))?;
            Some(format!("{kind}{name}{TOTAL} {rest}"))
        };
        let text = lines(piece).fold(String::with_capacity(piece.len() + 1024), |all, line| {
            all + renamed(line).as_deref().unwrap_or(line) + "\n"
        });
        text.into()
    }
}

impl Texts {
    /// The series without names and addresses, and those that have them.
    ///
    /// # Errors
    /// When they cannot be encoded, which is a fault of this program.
    pub fn new(open: Pieces, named: Pieces) -> Result<Self, fmt::Error> {
        let mut end = String::new();
        encode_eof(&mut end)?;
        let (open, named) = (open.ended(), named.ended());
        let is_counter = |line: &str| Some(line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?.to_owned());
        let counters = open.iter().chain(&named).flat_map(|piece| lines(piece).filter_map(is_counter)).collect();
        let mut kept = Kept { open, named, end: end.into(), counters, longer: [0; 2] };
        let renamed = |piece: &Bytes| lines(piece).filter(|line| kept.is_renamed(line)).count() * TOTAL.len();
        kept.longer = [&kept.open, &kept.named].map(|pieces| pieces.iter().map(renamed).sum());
        Ok(Self(Arc::new(kept)))
    }

    /// The text that these headers ask for, all or without names, and its content type.
    pub fn asked(self, headers: &HeaderMap, all: bool) -> (&'static str, Body) {
        let accepts = |value: &axum::http::HeaderValue| value.to_str().is_ok_and(|value| value.contains(OPEN_METRICS));
        let (format, plain) = if headers.get_all(ACCEPT).iter().any(accepts) {
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", false)
        } else {
            ("text/plain; version=0.0.4; charset=utf-8", true)
        };
        let mut sending = Sending { texts: self.0, plain, all, next: 0, left: 0 };
        sending.left = sending.length();
        (format, Body::new(sending))
    }
}

/// A text on its way to a caller.
struct Sending {
    texts: Arc<Kept>,
    plain: bool,
    all: bool,
    /// The next piece, and how many bytes are left.
    next: usize,
    left: u64,
}

impl Sending {
    fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        let named = self.texts.named.iter().filter(|_| self.all);
        self.texts.open.iter().chain(named).chain([&self.texts.end])
    }

    /// Its length is known before it is made: memory for answers is counted by it.
    fn length(&self) -> u64 {
        let longer = self.texts.longer[0] + if self.all { self.texts.longer[1] } else { 0 };
        let length: usize = self.pieces().map(Bytes::len).sum();
        (length + if self.plain { longer } else { 0 }) as u64
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let shown = |piece: &Bytes| if self.plain { self.texts.in_plain(piece) } else { piece.clone() };
        let piece = self.pieces().nth(self.next).map(shown);
        self.next += 1;
        self.left = self.left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The lines of a piece.
fn lines(piece: &Bytes) -> impl Iterator<Item = &str> {
    std::str::from_utf8(piece).unwrap_or_default().lines()
}

/// Of a line about all series of a name: its kind, that name, and the rest.
fn about(line: &str) -> Option<(&'static str, &str, &str)> {
    let (kind, rest) = ["# HELP ", "# TYPE "].iter().find_map(|kind| Some((*kind, line.strip_prefix(kind)?)))?;
    let (name, rest) = rest.split_once(' ')?;
    Some((kind, name, rest))
}
