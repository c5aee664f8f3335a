//! Request by request what the vendor's and other clients send, with whole answers: bodies as their libraries write
//! them, the headers that decide how they are answered, and polling as they poll.

use super::transcript::Transcript;
use crate::serve::{Bench, NETWORK, Options, TOKEN, VIP, uuid, wait_until};
use serde_json::{Value, json};

/// The start of a job's place, as the answer names it.
const PLACE: &str = "http://cygnet.test";

/// One client's exchanges with an agent.
struct Client<'a> {
    bench: &'a Bench,
    said: Transcript,
    /// Sent with each request beside the token.
    headers: Vec<(&'static str, &'static str)>,
}

impl<'a> Client<'a> {
    fn new(bench: &'a Bench, headers: &[(&'static str, &'static str)]) -> Self {
        Self { bench, said: Transcript::default(), headers: headers.to_vec() }
    }

    /// Asks, and follows a job to its end; what came of it.
    #[track_caller]
    fn ask(&mut self, note: &str, method: &str, path: &str, more: &[(&str, &str)], body: &Value) -> u16 {
        self.said.note(note);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let bearer = format!("OAuth {TOKEN}");
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend(self.headers.iter().chain(more));
        let path = format!("/zstack/v1/{path}");
        let answer = self.bench.tcp().request(method, &path, &headers, body.as_bytes()).expect("an answer");
        if answer.status != 202 {
            self.said.add(method, &path, body.as_bytes(), &answer);
            return answer.status;
        }
        let place =
            answer.json()["location"].as_str().and_then(|place| place.strip_prefix(PLACE)).expect("a place").to_owned();
        let ended = wait_until("the job ends", || {
            let polled = self.bench.tcp().request("GET", &place, &[("Authorization", "OAuth null")], b"");
            Some(polled.expect("an answer")).filter(|polled| polled.status != 202)
        });
        self.said.note("answered 202; what polling its location comes to");
        self.said.add(method, &path, body.as_bytes(), &ended);
        ended.status
    }
}

/// The parameters of a Create with the defaults that the Java SDK sends with every call.
fn creation(n: u8) -> Value {
    json!({
        "name": format!("site-{n}"), "l3NetworkUuid": NETWORK, "peerAddress": format!("198.51.100.{n}"),
        "peerCidrs": [format!("10.{n}.2.0/24")], "vipUuid": VIP, "authMode": "psk", "authKey": "test-only-key-4711",
        "ikeAuthAlgorithm": "sha256", "ikeEncryptionAlgorithm": "aes-256", "ikeDhGroup": 2, "idType": "ip",
        "resourceUuid": uuid(n),
    })
}

#[test]
fn the_java_sdk() {
    let b = Bench::start();
    let mut c = Client::new(&b, &[("Content-Type", "application/json; charset=utf-8"), ("X-JSON-Schema", "true")]);
    let job = |n: u8| format!("{n:032}");
    let mut create = creation(1);
    (create["systemTags"], create["userTags"], create["requestIp"]) =
        (json!([]), json!(["by::java"]), json!("203.0.113.5"));
    let made = c.ask(
        "tags and more among the parameters",
        "POST",
        "ipsec",
        &[("X-Job-UUID", &job(1))],
        &json!({ "params": create }),
    );
    let query = "ipsec?q=name=site-1&q=state?=Enabled,Disabled&limit=100&start=0&count=false&replyWithCount=true";
    let found = c.ask("a query is direct, with a job's id too", "GET", query, &[("X-Job-UUID", &job(2))], &Value::Null);
    let one = uuid(1);
    let change = json!({ "changeIPsecConnection": { "peerAddress": "198.51.100.1", "authKey": "test-only-key-4712", "idType": "ip", "systemTags": [] } });
    let changed = c.ask("a new key", "PUT", &format!("ipsec/config/{one}"), &[("X-Job-UUID", &job(3))], &change);
    let candidates = format!("ipsec/candidatesL3Networks?vipUuid={VIP}");
    let listed = c.ask("candidates, with their classes", "GET", &candidates, &[("X-Job-UUID", &job(4))], &Value::Null);
    let gone = c.ask(
        "a deletion",
        "DELETE",
        &format!("ipsec/{one}?deleteMode=Permissive"),
        &[("X-Job-UUID", &job(5))],
        &Value::Null,
    );
    assert_eq!([made, found, changed, listed, gone], [200; 5]);
    c.said.check("clients_java");
}

#[test]
fn the_go_sdks_and_terraform() {
    let b = Bench::start();
    let mut c = Client::new(&b, &[("Content-Type", "application/json")]);
    let one = uuid(1);
    let body = json!({ "params": creation(1), "systemTags": [], "userTags": [] });
    let made = c.ask("no job is asked for", "POST", "ipsec", &[], &body);
    let read = c.ask("read by uuid", "GET", &format!("ipsec/{one}"), &[], &Value::Null);
    let rename =
        json!({ "updateIPsecConnection": { "name": "renamed", "description": "" }, "systemTags": [], "userTags": [] });
    let renamed =
        c.ask("Terraform's update goes to the path of actions", "PUT", &format!("ipsec/{one}/actions"), &[], &rename);
    let early = json!({ "params": { "peerAddress": "198.51.100.1", "authKey": "test-only-key-4712" } });
    let changed = c.ask("an early one changes so", "PUT", &format!("ipsec/config/{one}/actions"), &[], &early);
    let state = json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } });
    let off = c.ask("the state", "PUT", &format!("ipsec/{one}/actions"), &[], &state);
    let around = c.ask("what a console asks before", "GET", "l3-networks?q=name~=%25&limit=1000", &[], &Value::Null);
    let gone = c.ask("a deletion", "DELETE", &format!("ipsec/{one}?deleteMode=Permissive"), &[], &Value::Null);
    assert_eq!([made, read, renamed, changed, off, around, gone], [200; 7]);
    c.said.check("clients_go");
}

/// It asks for no job, and takes nothing but 202 for success of a POST.
#[test]
fn the_community_go_sdk() {
    let answers = "[policy]\ndefault = \"off\"\n[[auth.callers]]\ntoken = \"test\"\nanswers = \"async\"";
    let b = Bench::with(&Options { policy: answers, ..Options::default() });
    let mut c = Client::new(&b, &[("Content-Type", "application/json")]);
    let one = uuid(1);
    let made = c.ask("a creation", "POST", "ipsec", &[], &json!({ "params": creation(1) }));
    let cidrs = json!({ "params": { "peerCidrs": ["10.77.0.0/16"] } });
    let added = c.ask("more networks", "POST", &format!("ipsec/{one}/remote-cidrs"), &[], &cidrs);
    let again = c.ask("its retry is refused by the job", "POST", &format!("ipsec/{one}/remote-cidrs"), &[], &cidrs);
    assert_eq!([made, added, again], [200, 200, 503]);
    c.said.check("clients_community_go");
}

#[test]
fn the_python_sdk() {
    let b = Bench::start();
    let mut c = Client::new(&b, &[("Content-Type", "application/json")]);
    let job = |n: u8| format!("{n:032}");
    let body = json!({ "params": creation(1), "systemTags": [], "userTags": ["by::python"] });
    let made = c.ask("tags beside the parameters", "POST", "ipsec", &[("X-Job-UUID", &job(1))], &body);
    let counted = c.ask("booleans with a capital", "GET", "ipsec?count=True", &[], &Value::Null);
    let both = c.ask("the same beside the list", "GET", "ipsec?replyWithCount=True&fields=name", &[], &Value::Null);
    assert_eq!([made, counted, both], [200; 3]);
    // A list in a query is Python's own text, which no server reads.
    let path = format!("ipsec/{}/remote-cidrs?peerCidrs=%5B%2710.1.2.0%2F24%27%5D", uuid(1));
    assert_eq!(c.ask("a list as Python prints it", "DELETE", &path, &[("X-Job-UUID", &job(2))], &Value::Null), 503);
    c.said.check("clients_python");
}
