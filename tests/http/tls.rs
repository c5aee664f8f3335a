//! TLS: what is served by it, to whom, and certificates that are replaced while connections go on.

use crate::serve::{Bench, Options, TOKEN, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};

type Issuer = CertifiedIssuer<'static, KeyPair>;
type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A certificate authority of the test.
fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

/// A certificate for `name`, and its key.
fn issue(ca: &Issuer, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    (params.signed_by(&key, ca).expect("a certificate"), key)
}

/// Writes a server's certificate for `name` into the bench's directory.
fn put(b: &Bench, ca: &Issuer, name: &str) {
    let (certificate, key) = issue(ca, name);
    fs::write(b.path("cert.pem"), certificate.pem()).expect("written");
    fs::write(b.path("key.pem"), key.serialize_pem()).expect("written");
}

/// A bench that serves by TLS with a certificate for `gw.test`; with `clients`, to theirs only.
fn bench(ca: &Issuer, clients: Option<&Issuer>) -> Bench {
    let mut b = Bench::idle(&Options::default());
    put(&b, ca, "gw.test");
    let at = |name: &str| b.path(name).display().to_string();
    let mut table = format!("\n[tls]\ncert = \"{}\"\nkey = \"{}\"\n", at("cert.pem"), at("key.pem"));
    if let Some(clients) = clients {
        fs::write(b.path("clients.pem"), clients.pem()).expect("written");
        table.extend(["client_ca = \"", &at("clients.pem"), "\"\n"]);
    }
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("settings");
    fs::write(b.path("cygnet.toml"), settings + &table).expect("settings");
    b.run();
    b
}

/// A connection that trusts `ca` and calls the server `name`; maybe with a certificate of its own.
fn connect(b: &Bench, ca: &Issuer, name: &'static str, own: Option<(rcgen::Certificate, KeyPair)>) -> Stream {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca.der().to_vec())).expect("a CA");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).expect("a certificate")
        }
    };
    let name = ServerName::try_from(name).expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    StreamOwned::new(connection, TcpStream::connect(b.address()).expect("connected"))
}

/// One query on a kept connection: the status line.
fn ask(stream: &mut Stream) -> std::io::Result<String> {
    // In one piece: behind a head that came in pieces the server closes the connection, and says so, since its buffer grew.
    let head = format!("GET /zstack/v1/ipsec HTTP/1.1\r\nHost: gw.test\r\nAuthorization: OAuth {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    while !text.ends_with("\"schema\":{}}") {
        match stream.read(&mut bytes)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => text += &String::from_utf8_lossy(&bytes[..count]),
        }
    }
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

const OK: &str = "HTTP/1.1 200 OK";

#[test]
fn who_trusts_the_authority_is_served() {
    let (ours, other) = (authority("ours"), authority("other"));
    let b = bench(&ours, None);
    assert_eq!(ask(&mut connect(&b, &ours, "gw.test", None)).expect("an answer"), OK);
    assert!(ask(&mut connect(&b, &other, "gw.test", None)).is_err(), "an unknown authority");
    assert!(ask(&mut connect(&b, &ours, "elsewhere.test", None)).is_err(), "another name");
    let mut plain = TcpStream::connect(b.address()).expect("connected");
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("written");
    let mut bytes = Vec::new();
    // Cut off without an answer in HTTP, one way or another.
    let _ = plain.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP"), "{:?}", String::from_utf8_lossy(&bytes));
}

#[test]
fn clients_need_a_certificate_where_the_settings_name_their_authority() {
    let (ours, clients, others) = (authority("ours"), authority("clients"), authority("others"));
    let b = bench(&ours, Some(&clients));
    assert_eq!(ask(&mut connect(&b, &ours, "gw.test", Some(issue(&clients, "plane.test")))).expect("an answer"), OK);
    assert!(ask(&mut connect(&b, &ours, "gw.test", None)).is_err(), "without a certificate");
    assert!(
        ask(&mut connect(&b, &ours, "gw.test", Some(issue(&others, "plane.test")))).is_err(),
        "another authority's"
    );
}

#[test]
fn a_certificate_is_replaced_without_cutting_anybody_off() {
    let ca = authority("ours");
    let b = bench(&ca, None);
    let mut old = connect(&b, &ca, "gw.test", None);
    assert_eq!(ask(&mut old).expect("an answer"), OK);
    put(&b, &ca, "new.test");
    b.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("the new certificate", || ask(&mut connect(&b, &ca, "new.test", None)).ok());
    assert_eq!(ask(&mut old).expect("an answer"), OK, "the old connection goes on");
    // A file that is wrong changes nothing.
    fs::write(b.path("key.pem"), "no key").expect("written");
    b.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("the complaint", || b.logs().contains("the settings stay as they were").then_some(()));
    assert_eq!(ask(&mut connect(&b, &ca, "new.test", None)).expect("an answer"), OK);
}

#[test]
fn a_slow_handshake_holds_up_nobody() {
    let ca = authority("ours");
    let b = bench(&ca, None);
    let idle: Vec<_> = (0..100).map(|_| TcpStream::connect(b.address()).expect("connected")).collect();
    assert_eq!(ask(&mut connect(&b, &ca, "gw.test", None)).expect("an answer"), OK);
    drop(idle);
}

#[test]
fn failed_handshakes_are_summed_up() {
    let mut b = bench(&authority("ca.test"), None);
    for _ in 0..50 {
        let mut stream = TcpStream::connect(b.address()).expect("connected");
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
        // Until it is closed: an alert, and no more.
        let mut bytes = Vec::new();
        assert!(stream.read_to_end(&mut bytes).is_err() || bytes.len() < 64, "{bytes:?}");
    }
    assert_eq!(b.logs().matches("a TLS handshake failed").count(), 1);
    b.stop();
    assert!(b.logs().contains("49 more TLS handshakes with 127.0.0.1 failed"), "{}", b.logs());
}

#[test]
fn a_crowd_of_handshakes_makes_room() {
    let ca = authority("ours");
    let b = bench(&ca, None);
    let mut crowd: Vec<_> = (0..450).map(|_| TcpStream::connect(b.address()).expect("connected")).collect();
    assert_eq!(ask(&mut connect(&b, &ca, "gw.test", None)).expect("an answer"), OK);
    let mut is_closed = |number: usize| {
        crowd[number].set_nonblocking(true).expect("set");
        crowd[number].read(&mut [0]).is_ok_and(|length| length == 0)
    };
    assert!(is_closed(0) && !is_closed(449), "the first goes, the last stays");
}
