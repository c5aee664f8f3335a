//! A small blocking HTTP/1.1 client over a Unix or a TCP socket. It is strict: a response that is not well framed is an
//! error, a request is never sent twice, and nothing is followed or retried.

use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest head, and the longest line of it, that is read.
const HEAD_LIMIT: usize = 64 * 1024;

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields as sent, in order.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with the response when it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text()))
    }

    /// The first header field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The response, if its status is this one; panics with the body otherwise.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "status; the body is: {}", self.text());
        self
    }
}

/// A connected socket of either kind.
pub enum Stream {
    /// A Unix socket.
    Unix(UnixStream),
    /// A TCP socket, of whichever network namespace it was made in.
    Tcp(TcpStream),
}

impl Stream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Some(timeout.max(Duration::from_millis(1)));
        match self {
            Self::Unix(stream) => stream.set_read_timeout(timeout).and(stream.set_write_timeout(timeout)),
            Self::Tcp(stream) => stream.set_read_timeout(timeout).and(stream.set_write_timeout(timeout)),
        }
    }

    fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_nonblocking(on),
            Self::Tcp(stream) => stream.set_nonblocking(on),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Unix(stream) => stream.read(buffer),
                Self::Tcp(stream) => stream.read(buffer),
            };
            // A read with a timeout is not restarted by the kernel where the machine was frozen for a moment.
            if !matches!(&read, Err(error) if error.kind() == io::ErrorKind::Interrupted) {
                return read;
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tcp(stream) => stream.write_all(bytes),
        }
    }

    /// Whether the server has neither closed it nor sent anything unasked.
    fn is_idle(&mut self) -> bool {
        let idle = self.set_nonblocking(true).and_then(|()| self.read(&mut [0]));
        let idle = idle.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        self.set_nonblocking(false).is_ok() && idle
    }
}

type Dial = Box<dyn Fn() -> io::Result<Stream> + Send>;

/// A client of one server. It keeps the connection while the server does.
pub struct Client {
    dial: Dial,
    stream: Option<Stream>,
    timeout: Duration,
    dialled: usize,
}

impl Client {
    /// A client whose connections are made by `dial`; a whole exchange may take 30 s.
    pub fn new(dial: impl Fn() -> io::Result<Stream> + Send + 'static) -> Self {
        Self { dial: Box::new(dial), stream: None, timeout: Duration::from_secs(30), dialled: 0 }
    }

    /// A client of a Unix socket.
    pub fn unix(path: &Path) -> Self {
        let path = PathBuf::from(path);
        Self::new(move || UnixStream::connect(&path).map(Stream::Unix))
    }

    /// The same client with another limit for a whole exchange.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many connections were made so far: 1 as long as the first one is kept.
    pub fn connections(&self) -> usize {
        self.dialled
    }

    /// One exchange. `Host`, and `Content-Length` where there is a body or the method has one, are added.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Response> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: cygnet.test\r\n");
        let fields = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        head.extend(fields);
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        let bytes = [head.as_bytes(), body].concat();
        self.exchange(&bytes, method == "HEAD").map_err(|error| explain(&error, &format!("{method} {path}")))
    }

    /// Sends these bytes as they are and reads one response: for requests that are wrong on purpose.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<Response> {
        self.exchange(bytes, false).map_err(|error| explain(&error, "raw request"))
    }

    fn exchange(&mut self, bytes: &[u8], headless: bool) -> io::Result<Response> {
        let deadline = Instant::now() + self.timeout;
        let kept = self.stream.take().and_then(|mut stream| stream.is_idle().then_some(stream));
        let mut stream = if let Some(stream) = kept {
            stream
        } else {
            self.dialled += 1;
            (self.dial)()?
        };
        stream.set_timeout(self.timeout)?;
        // A server that refuses early closes before it has read everything; its answer is still to be read.
        let sent = stream.write_all(bytes);
        let mut reader = Reader { stream, buffer: Vec::new(), deadline };
        let (response, keep) = match (reader.response(headless), sent) {
            (Err(_), Err(error)) => return Err(error),
            (answer, _) => answer?,
        };
        if keep && reader.buffer.is_empty() {
            self.stream = Some(reader.stream);
        } else if keep {
            return Err(wrong("bytes after the end of the response"));
        }
        Ok(response)
    }
}

struct Reader {
    stream: Stream,
    buffer: Vec<u8>,
    deadline: Instant,
}

impl Reader {
    /// The next final response, and whether the connection may be used again.
    fn response(&mut self, headless: bool) -> io::Result<(Response, bool)> {
        let (status, headers) = loop {
            let head = self.head()?;
            if head.0 >= 200 {
                break head;
            }
        };
        let mut response = Response { status, headers, body: Vec::new() };
        let close = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let lengths: Vec<_> =
            response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).collect();
        let chunked = match response.header("transfer-encoding") {
            None => false,
            Some(coding) if coding.eq_ignore_ascii_case("chunked") && lengths.is_empty() => true,
            Some(_) => return Err(wrong("odd Transfer-Encoding, or one beside Content-Length")),
        };
        let length = match lengths.as_slice() {
            [] => None,
            [(_, length)] => Some(length.parse().map_err(|_| wrong("Content-Length is not a number"))?),
            _ => return Err(wrong("Content-Length twice")),
        };
        let (body, framed) = match length {
            _ if headless || matches!(status, 204 | 304) => (Vec::new(), true),
            _ if chunked => (self.chunks()?, true),
            Some(length) => (self.exactly(length)?, true),
            None => (self.rest()?, false),
        };
        response.body = body;
        Ok((response, framed && !close))
    }

    fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let line = self.line()?;
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| wrong(&format!("status line {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let field = line.split_once(':').filter(|(name, _)| !name.is_empty() && !name.contains([' ', '\t']));
            let (name, value) = field.ok_or_else(|| wrong(&format!("header line {line:?}")))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(&line, 16).map_err(|_| wrong(&format!("chunk size {line:?}")))?;
            body.extend(self.exactly(size)?);
            if !self.line()?.is_empty() {
                return Err(wrong("a chunk without its end, or trailers"));
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// A line without its CRLF; a bare LF is refused.
    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = line.strip_suffix(b"\r\n").ok_or_else(|| wrong("a line that ends without CR"))?;
                return String::from_utf8(line.to_vec()).map_err(|_| wrong("a head that is not UTF-8"));
            }
            if self.buffer.len() > HEAD_LIMIT || self.fill()? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the response ends in its head"));
            }
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill()? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the response ends in its body"));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    fn fill(&mut self) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_timeout(left)?;
        let mut part = [0; 8192];
        let length = self.stream.read(&mut part)?;
        self.buffer.extend_from_slice(&part[..length]);
        Ok(length)
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {what}"))
}

fn explain(error: &io::Error, what: &str) -> io::Error {
    match error.kind() {
        // What a socket's own timeout is called.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, format!("{what}: no complete answer in time"))
        }
        kind => io::Error::new(kind, format!("{what}: {error}")),
    }
}
