//! Bodies that are not valid requests: each gets an answer, and the agent goes on.

use super::transcript::Transcript;
use crate::serve::{Bench, TOKEN, files, params, uuid};
use serde_json::json;

const PATH: &str = "/zstack/v1/ipsec";

#[test]
fn bodies_that_are_no_requests() {
    let b = Bench::start();
    let mut t = Transcript::default();
    let nested = |depth: usize| format!("{{\"params\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    for (note, body) in [
        ("empty: an empty object, in which all is missing", String::new()),
        ("blank", "  \r\n\t".into()),
        ("null", "null".into()),
        ("a list", "[]".into()),
        ("a text", "\"params\"".into()),
        ("cut off", "{\"params\":{".into()),
        ("two values", "{} {}".into()),
        ("a comma too much", "{\"params\":{},}".into()),
        ("a number that JSON does not have", "{\"params\":{\"lifeTime\":NaN}}".into()),
        ("a control character in a text", "{\"params\":{\"name\":\"a\nb\"}}".into()),
        ("half a surrogate pair", "{\"params\":{\"name\":\"\\ud800\"}}".into()),
        ("a byte order mark", "\u{feff}{}".into()),
        ("nested too deep", nested(130)),
        ("nested much too deep", nested(100_000)),
        ("parameters that are a text", "{\"params\":\"x\"}".into()),
        ("tags that are a text", "{\"params\":{},\"systemTags\":\"x\"}".into()),
        ("a member twice", "{\"params\":{\"name\":\"a\",\"name\":\"b\"}}".into()),
        ("a member twice, once escaped", "{\"params\":{\"name\":\"a\",\"n\\u0061me\":\"b\"}}".into()),
        ("the parameters twice", "{\"params\":{},\"params\":{}}".into()),
    ] {
        t.note(note);
        t.ask(&b, "POST", PATH, &body);
    }
    t.note("not UTF-8");
    t.ask_bytes(&b, "POST", PATH, b"{\"params\":{\"name\":\"\xff\xfe\"}}");
    t.check("bodies");
    assert!(files(&b.connections_dir()).is_empty());
    b.create(&params(7, &json!({}))).expect(200);
}

#[test]
fn a_body_of_a_mebibyte_is_read_and_a_longer_one_is_not() {
    let b = Bench::start();
    let padded = |length: usize| {
        let body = json!({ "params": params(7, &json!({})) }).to_string();
        body.clone() + &" ".repeat(length - body.len())
    };
    b.ask("POST", PATH, padded(1024 * 1024).as_bytes()).expect(200);
    let mut t = Transcript::default();
    t.ask(&b, "POST", PATH, &padded(1024 * 1024 + 1)).expect(413);
    t.note("a length that is only claimed");
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {TOKEN}\r\nContent-Length: 99999999999\r\n\r\n"
    );
    let claimed = b.tcp().raw(head.as_bytes()).expect("answered before the body comes");
    t.add("POST", PATH, b"", &claimed);
    t.check("bodies_too_long");
}

#[test]
fn a_body_in_chunks_is_read_and_bounded_too() {
    let b = Bench::start();
    let body = json!({ "params": params(7, &json!({})) }).to_string();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let chunk = |bytes: &[u8]| format!("{:x}\r\n{}\r\n", bytes.len(), String::from_utf8_lossy(bytes));
    let chunks: Vec<_> = body.as_bytes().chunks(7).map(chunk).collect();
    let chunks = chunks.concat();
    b.tcp().raw(format!("{head}{chunks}0\r\n\r\n").as_bytes()).expect("answered").expect(200);
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    b.tcp().raw(format!("{head}{}0\r\n\r\n", chunk.repeat(17)).as_bytes()).expect("answered").expect(413);
    assert_eq!(b.inventory(&uuid(7))["name"], "site-7");
}

#[test]
fn garbage_instead_of_http_is_answered_or_cut_and_hurts_nobody() {
    let b = Bench::start();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"POST /zstack/v1/ipsec HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        // An answer, if there is one, is a refusal.
        let mut client = b.tcp();
        if let Ok(answer) = client.raw(garbage) {
            assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(garbage));
        }
    }
    let huge = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(200_000));
    let answer = b.tcp().raw(huge.as_bytes());
    assert!(answer.is_err() || answer.is_ok_and(|a| a.status == 431), "a head that is too long");
    b.ask("GET", PATH, b"").expect(200);
}
