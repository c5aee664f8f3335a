//! What a connection of a caller keeps of the requests on it: nothing of a key, by TLS too, and in whatever pieces the
//! request came. The connections stay open, so that no buffer is freed by their end.

use super::memory::{Secret, is_readable};
use crate::serve::{Bench, Options, TOKEN, params, uuid};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring, pki_types::ServerName,
};

/// A key of `length` bytes that nothing else looks like.
fn key(length: usize) -> String {
    let words = (1..).map(|n: u32| format!("{:08x}Rt", n.wrapping_mul(2_246_822_519) ^ 0x3c6e_f372));
    words.flat_map(String::into_bytes).take(length).map(char::from).collect()
}

/// A Create of the connection 7 with this key, or another request.
fn request(method: &str, path: &str, body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    format!(
        "{method} /zstack/v1/ipsec{path} HTTP/1.1\r\nHost: gw.test\r\nAuthorization: OAuth {TOKEN}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn creation(key: &str) -> String {
    request("POST", "", &json!({ "params": params(7, &json!({ "authKey": key })) }))
}

fn deletion() -> String {
    request("DELETE", &format!("/{}", uuid(7)), &Value::Null)
}

/// Sends `request` in pieces of `size` bytes and reads the whole answer; its head.
fn ask(stream: &mut (impl Read + Write), request: &str, size: usize) -> String {
    for piece in request.as_bytes().chunks(size) {
        stream.write_all(piece).expect("written");
        stream.flush().expect("written");
    }
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                assert!(head.starts_with("HTTP/1.1 200"), "{text}");
                return head.to_lowercase();
            }
        }
        let count = stream.read(&mut part).expect("an answer");
        assert_ne!(count, 0, "the answer ends: {text}");
        bytes.extend_from_slice(&part[..count]);
    }
}

/// What is asked of a connection, in pieces: nothing stays, whether it is kept or closed.
fn leaves_nothing(
    b: &Bench,
    stream: &mut (impl Read + Write),
    connect: impl Fn() -> TcpStream,
    size: usize,
    length: usize,
) {
    let key = key(length);
    let secret = Secret::new(key.as_bytes());
    let head = ask(stream, &creation(&key), size);
    let closes = head.contains("connection: close");
    let mut other = connect();
    ask(&mut other, &deletion(), usize::MAX);
    secret.settles(b, 0, &format!("a key of {length} bytes in pieces of {size}, kept: {}", !closes));
}

#[test]
fn a_connection_keeps_no_key() {
    if !is_readable() {
        return;
    }
    let b = Bench::start();
    let connect = || TcpStream::connect(b.address()).expect("connected");
    let mut kept = connect();
    for length in [40, 3000, 60] {
        leaves_nothing(&b, &mut kept, connect, usize::MAX, length);
    }
    for size in [1000, 7, 100] {
        leaves_nothing(&b, &mut connect(), connect, size, 40);
    }
    // A long head first, so that the buffer has grown.
    let mut stream = connect();
    stream.set_nodelay(true).expect("a socket");
    let long = request("GET", &format!("?q=name={}", "x".repeat(20_000)), &Value::Null);
    assert!(ask(&mut stream, &long, usize::MAX).contains("connection: close"), "what has grown is given up");
}

/// A bench that serves by TLS, and connects to it.
fn with_tls() -> (Bench, StreamOwned<ClientConnection, TcpStream>) {
    let mut b = Bench::idle(&Options::default());
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec!["gw.test".into()]).expect("a name").self_signed(&key).expect("a certificate");
    fs::write(b.path("cert.pem"), own.pem()).expect("written");
    fs::write(b.path("key.pem"), key.serialize_pem()).expect("written");
    let at = |name: &str| b.path(name).display().to_string();
    let table = format!("\n[tls]\ncert = \"{}\"\nkey = \"{}\"\n", at("cert.pem"), at("key.pem"));
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("settings");
    fs::write(b.path("cygnet.toml"), settings + &table).expect("settings");
    b.run();
    let mut roots = RootCertStore::empty();
    roots.add(own.der().clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
    let name = ServerName::try_from("gw.test").expect("a name");
    let client = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).expect("a client");
    let stream = StreamOwned::new(client, TcpStream::connect(b.address()).expect("connected"));
    (b, stream)
}

#[test]
fn a_connection_by_tls_keeps_no_key() {
    if !is_readable() {
        return;
    }
    let (b, mut stream) = with_tls();
    for length in [40, 3000, 60] {
        let key = key(length);
        let secret = Secret::new(key.as_bytes());
        let head = ask(&mut stream, &creation(&key), usize::MAX);
        assert!(!head.contains("connection: close"), "{head}");
        secret.settles(&b, 4, &format!("a key of {length} bytes by TLS"));
        let bearer = format!("OAuth {TOKEN}");
        let path = format!("/zstack/v1/ipsec/{}", uuid(7));
        b.unix().request("DELETE", &path, &[("Authorization", &bearer)], b"").expect("an answer").expect(200);
        secret.settles(&b, 0, "after the deletion");
    }
}
