//! Slow and many clients: whoever behaves goes on being served.

use crate::serve::{Bench, TOKEN, params, wait_until};
use serde_json::json;
use std::{io::Write, net::TcpStream, os::unix::net::UnixStream, time::Duration};

const PATH: &str = "/zstack/v1/ipsec";
/// Connections that are served at once.
const CAP: usize = 512;

#[test]
fn slow_clients_stop_nobody() {
    let b = Bench::start();
    let mut slow = Vec::new();
    let half_head = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthoriz");
    let half_body = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {TOKEN}\r\nContent-Length: 9000\r\n\r\n{{\"par"
    );
    for text in ["", "G", &half_head, &half_body].iter().cycle().take(100) {
        let mut stream = TcpStream::connect(b.address()).expect("connected");
        stream.write_all(text.as_bytes()).expect("sent");
        slow.push(stream);
    }
    b.create(&params(7, &json!({}))).expect(200);
    b.unix().request("GET", PATH, &[], b"").expect("answered").expect(200);
    drop(slow);
}

#[test]
fn more_connections_than_are_served_do_not_stop_the_unix_socket_for_ever() {
    let b = Bench::start();
    let crowd: Vec<_> = (0..CAP + 88).map(|_| TcpStream::connect(b.address()).expect("connected")).collect();
    // All places are taken. This one waits for its turn, which comes when some of the others leave.
    let mut client = b.unix().with_timeout(Duration::from_secs(20));
    let waiting = std::thread::spawn(move || client.request("GET", PATH, &[], b"").map(|answer| answer.status));
    drop(crowd);
    assert_eq!(waiting.join().expect("no panic").expect("answered"), 200);
    b.ask("GET", PATH, b"").expect(200);
}

#[test]
fn clients_who_leave_without_a_word_leave_no_trace() {
    let b = Bench::start();
    let half =
        format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {TOKEN}\r\nContent-Length: 99\r\n\r\n{{");
    for n in 0..2 * CAP {
        if n % 2 == 0 {
            TcpStream::connect(b.address()).expect("connected").write_all(half.as_bytes()).expect("sent");
        } else {
            UnixStream::connect(b.path("cygnet.sock")).expect("connected").write_all(b"GET / HT").expect("sent");
        }
    }
    b.ask("GET", PATH, b"").expect(200);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", b.pid())).expect("it lives").count();
    wait_until("their sockets are closed", || (open() < 64).then_some(()));
}

#[test]
fn a_client_who_hangs_up_does_not_stop_its_change_half_way() {
    let b = Bench::start();
    b.charon.once("load-conn", crate::fake_charon::Behaviour::Late);
    let body = json!({ "params": params(7, &json!({})) }).to_string();
    let mut stream = UnixStream::connect(b.path("cygnet.sock")).expect("connected");
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).expect("sent");
    b.charon.wait_for("load-conn", 1);
    drop(stream);
    b.charon.release();
    let id = crate::serve::uuid(7);
    wait_until("the connection is stored", || b.record(&id).exists().then_some(()));
    wait_until("its file is there", || b.conf(&id).exists().then_some(()));
    // The files lie in their places a moment before they count.
    wait_until("it is told", || (b.inventory(&id)["name"] == "site-7").then_some(()));
}
