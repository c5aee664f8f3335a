//! Requests with two lengths. A request that has both `Content-Length` and `Transfer-Encoding` may be
//! one request to us and two to a proxy before us (RFC 9112, section 6.3). The HTTP library settles it
//! in silence, so the heads are looked at here, on their way in. What was read before is wiped here too: the library keeps
//! the buffer of a connection for the next request, and the key of the last one in it.

use super::error::Failure;
use axum::{
    Extension,
    extract::Request,
    http::{
        HeaderValue,
        header::{CONNECTION, TRANSFER_ENCODING},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The library's buffer for a request; it asks for as much before each read.
const BUFFER: usize = 8192;

/// Whether a head with two lengths came by on this connection.
#[derive(Debug, Clone, Default)]
pub struct Ambiguous(Arc<AtomicBool>);

/// Whether the library's buffer on this connection grew beyond [`BUFFER`]: it may keep what was read, out of our reach.
#[derive(Debug, Clone, Default)]
pub struct Grown(Arc<AtomicBool>);

impl Ambiguous {
    /// Whether one came by.
    #[must_use]
    pub fn seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream whose incoming heads are looked at. Bodies in chunks are not followed: after one of those
/// the connection must be closed, so that nothing comes behind it.
pub struct Watched<S> {
    stream: S,
    place: Place,
    ambiguous: Ambiguous,
    grown: Grown,
}

/// Where in the incoming bytes we are.
enum Place {
    Head(Head),
    Body(u64),
    /// Nothing more is to be seen.
    End,
}

/// What was seen of a head: a crowd of half heads must not be kept twice, here and by the server.
#[derive(Default)]
struct Head {
    /// The beginning of the present line.
    line: Vec<u8>,
    /// Whether the line is longer than its beginning here.
    cut: bool,
    /// Whether a length is written so long that it was not read.
    padded: bool,
    lines: usize,
    length: Option<u64>,
    encoded: bool,
}

/// How much of a line is looked at, in bytes: more than the names and lengths that matter here have.
const LOOKED_AT: usize = 256;

impl<S> Watched<S> {
    /// Watches `stream`.
    pub fn new(stream: S) -> (Self, Ambiguous, Grown) {
        let (ambiguous, grown) = (Ambiguous::default(), Grown::default());
        let place = Place::Head(Head::default());
        (Self { stream, place, ambiguous: ambiguous.clone(), grown: grown.clone() }, ambiguous, grown)
    }

    fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::End => return,
                Place::Body(left) => {
                    let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[skipped..];
                    *left -= skipped as u64;
                    if *left == 0 {
                        self.place = Place::Head(Head::default());
                    }
                }
                Place::Head(head) => {
                    let end = bytes.iter().position(|b| *b == b'\n');
                    let (piece, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                    bytes = rest;
                    head.take(piece);
                    if end.is_some() && head.is_over() {
                        self.ambiguous.0.fetch_or(head.is_ambiguous(), Ordering::Relaxed);
                        self.place = head.next();
                    }
                }
            }
        }
    }
}

impl Head {
    /// Takes more of the present line.
    fn take(&mut self, piece: &[u8]) {
        let room = LOOKED_AT.saturating_sub(self.line.len()).min(piece.len());
        self.line.extend_from_slice(&piece[..room]);
        self.cut |= room < piece.len();
    }

    /// Whether the line that ends here is the empty one behind a head; else it is looked at.
    fn is_over(&mut self) -> bool {
        let (line, cut) = (std::mem::take(&mut self.line), std::mem::take(&mut self.cut));
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\r', '\n']);
        self.lines += 1;
        if text.is_empty() {
            // Empty lines before a request are none of it.
            return self.lines > 1;
        }
        if let Some((name, value)) = text.split_once(':').filter(|_| self.lines > 1) {
            match name.trim().to_ascii_lowercase().as_str() {
                "content-length" => self.length = Some(value.trim().parse().unwrap_or(u64::MAX)),
                "transfer-encoding" => self.encoded = true,
                _ => return false,
            }
            self.padded |= cut;
        }
        false
    }

    /// Whether it has two lengths, or may have.
    fn is_ambiguous(&self) -> bool {
        self.padded || (self.encoded && self.length.is_some())
    }

    /// What comes behind it.
    fn next(&self) -> Place {
        match self.length {
            _ if self.encoded => Place::End,
            None | Some(0) => Place::Head(Self::default()),
            Some(length) => Place::Body(length),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.grown.0.fetch_or(buffer.remaining() > BUFFER, Ordering::Relaxed);
        buffer.initialize_unfilled().fill(0);
        // A read that fills it would have the library take a larger one.
        let mut part = buffer.take(BUFFER - 1);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let length = part.filled().len();
        self.see(part.filled());
        buffer.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    /// Without it, the library would copy answers into a buffer that it keeps.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Refuses requests with two lengths, and closes the connection behind bodies in chunks, and where the buffer grew.
pub(super) async fn one_length(
    ambiguous: Option<Extension<Ambiguous>>,
    grown: Option<Extension<Grown>>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let in_chunks = request.headers().contains_key(TRANSFER_ENCODING);
    let has_grown = || grown.is_some_and(|Extension(grown)| grown.0.load(Ordering::Relaxed));
    let mut response = if ambiguous.is_some_and(|Extension(ambiguous)| ambiguous.seen()) {
        Failure::bad_request("the request has both Content-Length and Transfer-Encoding").into_response()
    } else {
        let response = next.run(request).await;
        // After the request was read: its body may have made the buffer grow.
        if !in_chunks && !has_grown() {
            return Ok(response);
        }
        response
    };
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request with two lengths.
    const TWO: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// Whether `bytes`, in pieces of each size, hold a head with two lengths.
    fn ambiguous(bytes: &[u8]) -> bool {
        let seen = (1..=bytes.len()).map(|size| {
            let (mut watched, ambiguous, _) = Watched::new(());
            bytes.chunks(size).for_each(|piece| watched.see(piece));
            ambiguous.seen()
        });
        let seen: Vec<_> = seen.collect();
        assert!(seen.iter().all(|s| *s == seen[0]), "the size of the pieces must not matter");
        seen[0]
    }

    #[test]
    fn two_lengths_are_seen_in_any_order_and_in_any_request() {
        assert!(ambiguous(b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(ambiguous(b"POST / HTTP/1.1\r\ntransfer-encoding: x\r\nCONTENT-LENGTH : 0\r\n\r\n"));
        assert!(ambiguous(b"GET / HTTP/1.1\n\nPOST / HTTP/1.1\nContent-Length:1\nTransfer-Encoding:chunked\n\n"));
        assert!(ambiguous(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabPOST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(!ambiguous(
            b"POST / HTTP/1.1\r\nContent-Length: 44\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: gzip\r\n\r\n"
        ));
        let padded = |pad: &str| format!("\r\nPOST / HTTP/1.1\r\nContent-Length:{pad}1\r\n\r\na{TWO}");
        assert!(ambiguous(padded(" ").as_bytes()), "behind an empty line, in the second request");
        for pad in ["0", " "] {
            assert!(ambiguous(padded(&pad.repeat(300)).as_bytes()), "a length that is not read whole");
        }
        let long = format!("GET /{} HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(300), "b".repeat(300));
        assert!(!ambiguous(long.as_bytes()) && ambiguous((long + TWO).as_bytes()));
        assert!(!ambiguous(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
    }
}
