//! Of a key, memory holds few copies while its connection is stored, and none a moment after it is gone: whatever was
//! done with it, and also while the callers keep their connections to the agent.

use super::memory::{Secret, is_readable};
use crate::{
    certificates::{Ca, Kind},
    client::{Client, Response},
    fake_charon::Behaviour,
    serve::{Bench, Options, TOKEN, change, hex, params, uuid, wait_until},
};
use data_encoding::BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    thread,
};

const PATH: &str = "/zstack/v1/ipsec";
/// The most copies of a key while its connection is stored.
const MOST: usize = 4;

/// An agent whose tunnels come up, with callers that keep their connections.
struct Agent {
    bench: Bench,
    callers: Vec<Client>,
}

impl Agent {
    fn start(top: &'static str) -> Self {
        let bench = Bench::with(&Options { wait: "1s", timeout: "400ms", top, ..Options::default() });
        bench.charon.establish(true);
        let callers = vec![bench.tcp(), bench.unix()];
        Self { bench, callers }
    }

    /// The same after a restart.
    fn again(mut self) -> Self {
        assert!(self.bench.stop().success());
        self.bench.run();
        let callers = vec![self.bench.tcp(), self.bench.unix()];
        Self { callers, ..self }
    }

    /// One call by each caller in turn; the last answer.
    fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Response {
        let bearer = format!("OAuth {TOKEN}");
        let headers = [&[("Authorization", bearer.as_str())], headers].concat();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut last = None;
        for caller in &mut self.callers {
            last = Some(caller.request(method, path, &headers, body.as_bytes()).expect("an answer"));
        }
        last.expect("a caller")
    }

    /// The same, by the first caller alone: for writes.
    #[track_caller]
    fn write(&mut self, method: &str, path: &str, body: &Value) -> Response {
        let rest = self.callers.split_off(1);
        let answer = self.ask(method, path, &[], body);
        self.callers.extend(rest);
        answer
    }

    fn create(&mut self, n: u8, more: &Value) -> Response {
        self.write("POST", PATH, &json!({ "params": params(n, more) }))
    }

    fn change(&mut self, n: u8, more: &Value, query: &str) -> Response {
        let path = format!("{PATH}/config/{}{query}", uuid(n));
        self.write("PUT", &path, &json!({ "changeIPsecConnection": change(n, more) }))
    }

    /// A Change to `key` that is rolled back.
    fn failed_trial(&mut self, key: &str) {
        let loads = || self.bench.charon.requests_of("load-conn").len();
        let before = loads();
        self.bench.charon.establish(false);
        thread::scope(|scope| {
            let mut caller = self.bench.unix();
            let body = json!({ "changeIPsecConnection": change(7, &json!({ "authKey": key })) }).to_string();
            let path = format!("{PATH}/config/{}?confirm=1s", uuid(7));
            let trial = scope.spawn(move || caller.request("PUT", &path, &[], body.as_bytes()));
            wait_until("the rollback", || (loads() >= before + 2).then_some(()));
            self.bench.charon.establish(true);
            trial.join().expect("no panic there").expect("an answer").expect(503);
        });
    }

    fn delete(&mut self, n: u8) {
        self.write("DELETE", &format!("{PATH}/{}", uuid(n)), &Value::Null).expect(200);
    }

    /// Everything that shows a connection, several times, by all callers.
    fn read(&mut self, key: &str) {
        let (one, native) = (format!("{PATH}/{}", uuid(7)), format!("/cygnet/v1/connections/{}", uuid(7)));
        let wanted = [format!("{PATH}?q=authKey={key}"), format!("{PATH}?q=authKey~=%25{key}%25&sort=authKey")];
        // The last answer shows the key.
        let paths = ["/cygnet/v1/connections", &one, &native, "/metrics", &wanted[0], &wanted[1], PATH];
        for path in (0..3).flat_map(|_| paths) {
            self.ask("GET", path, &[], &Value::Null).expect(200);
        }
    }
}

/// A key that nothing else looks like.
fn key(n: u32) -> String {
    let word = |seed: u32| format!("{:08x}", (seed + 1).wrapping_mul(2_654_435_761) ^ 0x5a17_93c6);
    format!("{}Zq{}Wv{}Kp{}", word(n * 4), word(n * 4 + 1), word(n * 4 + 2), word(n * 4 + 3))
}

#[test]
fn a_key_has_few_copies_and_none_when_its_connection_is_gone() {
    if !is_readable() {
        return;
    }
    let mut agent = Agent::start("");
    let key = key(0);
    let secret = Secret::new(key.as_bytes());
    agent.create(7, &json!({ "authKey": key })).expect(200);
    secret.settles(&agent.bench, MOST, "after a Create");
    agent.read(&key);
    secret.settles(&agent.bench, MOST, "after reads");
    assert!(
        secret.copies(&agent.bench).iter().any(|(form, _)| *form == "bytes"),
        "the search finds it where it must be"
    );
    for lifetime in [1000, 2000, 3000] {
        agent.change(7, &json!({ "authKey": key, "lifeTime": lifetime }), "?rehearse=true").expect(200);
    }
    secret.settles(&agent.bench, MOST, "after Changes of something else");
    agent = agent.again();
    secret.settles(&agent.bench, MOST, "after a restart");
    agent.read(&key);
    secret.settles(&agent.bench, MOST, "after a restart and reads");
    agent.delete(7);
    secret.settles(&agent.bench, 0, "after the deletion");
}

#[test]
fn a_key_that_was_replaced_has_no_copy() {
    if !is_readable() {
        return;
    }
    let mut agent = Agent::start("");
    let keys: Vec<_> = (0..4).map(key).collect();
    let secrets: Vec<_> = keys.iter().map(|key| Secret::new(key.as_bytes())).collect();
    agent.create(7, &json!({ "authKey": keys[0] })).expect(200);
    agent.change(7, &json!({ "authKey": keys[0], "lifeTime": 1000 }), "?rehearse=true").expect(200);
    agent.change(7, &json!({ "authKey": keys[1] }), "").expect(200);
    secrets[0].settles(&agent.bench, 0, "a key after the Change to another");
    secrets[1].settles(&agent.bench, MOST, "a key after the Change to it");
    agent.change(7, &json!({ "authKey": keys[2] }), "?confirm=10s").expect(200);
    secrets[1].settles(&agent.bench, 0, "a key after a confirmed Change");
    secrets[2].settles(&agent.bench, MOST, "the key that was confirmed");
    agent.failed_trial(&keys[3]);
    secrets[3].settles(&agent.bench, 0, "a key whose trial failed");
    secrets[2].settles(&agent.bench, MOST, "the key that was put back");
}

#[test]
fn a_ppk_has_few_copies_and_none_when_it_is_gone() {
    if !is_readable() {
        return;
    }
    let mut agent = Agent::start("");
    let keys: Vec<_> = (10..12).map(key).collect();
    let secrets: Vec<_> = keys.iter().map(|key| Secret::new(key.as_bytes())).collect();
    let with = |key: &str| json!({ "ikeVersion": "ikev2", "ppkId": "site-a", "ppk": key });
    agent.create(7, &with(&keys[0])).expect(200);
    secrets[0].settles(&agent.bench, MOST, "after a Create");
    agent.read("x");
    agent = agent.again();
    secrets[0].settles(&agent.bench, MOST, "after reads and a restart");
    agent.change(7, &with(&keys[1]), "").expect(200);
    secrets[0].settles(&agent.bench, 0, "a PPK after the Change to another");
    secrets[1].settles(&agent.bench, MOST, "a PPK after the Change to it");
    agent.change(7, &json!({ "ikeVersion": "ikev2", "ppkId": "" }), "").expect(200);
    secrets[1].settles(&agent.bench, 0, "a PPK that was taken away");
}

#[test]
fn a_key_that_was_only_tried_has_no_copy() {
    if !is_readable() {
        return;
    }
    let mut agent = Agent::start("");
    agent.create(7, &json!({})).expect(200);
    let key = key(5);
    let secret = Secret::new(key.as_bytes());
    let plan = format!("/cygnet/v1/connections/{}/plan", uuid(7));
    let wanted = json!({ "changeIPsecConnection": change(7, &json!({ "authKey": key })) });
    agent.write("POST", &plan, &wanted).expect(200);
    secret.settles(&agent.bench, 0, "after a plan");
    for wrong in [json!({ "lifeTime": 1 }), json!({ "authKey": format!("{key} {key}") }), json!({ "authKey": [key] })] {
        let mut parameters = json!({ "authKey": key });
        parameters.as_object_mut().expect("an object").extend(wrong.as_object().expect("an object").clone());
        agent.change(7, &parameters, "").expect(503);
    }
    agent.write("PUT", &format!("{PATH}/config/{}", uuid(7)), &json!([key])).expect(400);
    secret.settles(&agent.bench, 0, "after requests that were refused");
    for behaviour in [Behaviour::Refuse("no".into()), Behaviour::Silence, Behaviour::Garbage] {
        agent.bench.charon.on("load-shared", behaviour);
        agent.change(7, &json!({ "authKey": key }), "").expect(503);
        agent.bench.charon.behave();
        wait_until("charon is used again", || {
            (agent.ask("GET", "/readyz", &[], &Value::Null).status == 200).then_some(())
        });
    }
    secret.settles(&agent.bench, 0, "after Changes that charon spoiled");
}

#[test]
fn a_job_leaves_no_copy() {
    if !is_readable() {
        return;
    }
    let mut agent = Agent::start("");
    agent.callers.truncate(1);
    let key = key(6);
    let secret = Secret::new(key.as_bytes());
    let job = "0123456789abcdef0123456789abcdef";
    let body = json!({ "params": params(7, &json!({ "authKey": key })) });
    agent.ask("POST", PATH, &[("X-Job-UUID", job)], &body).expect(202);
    let path = format!("/zstack/v1/api-jobs/{job}");
    wait_until("the job ends", || (agent.ask("GET", &path, &[], &Value::Null).status == 200).then_some(()));
    secret.settles(&agent.bench, MOST, "after a job");
    agent.delete(7);
    secret.settles(&agent.bench, 0, "after the deletion of what a job made");
}

/// A message is read, written as another request and read again.
#[test]
fn a_message_leaves_no_copy() {
    if !is_readable() {
        return;
    }
    let mut agent = Agent::start("");
    let (key, door) = (key(7), "/zstack/api");
    let secret = Secret::new(key.as_bytes());
    let message = |action: &str, mut params: Value| {
        params["session"] = json!({ "uuid": TOKEN });
        json!({ format!("org.zstack.ipsec.API{action}Msg"): params })
    };
    let create = message("CreateIPsecConnection", params(7, &json!({ "authKey": key })));
    let id = agent.write("POST", door, &create).expect(200).json()["uuid"].as_str().expect("a uuid").to_owned();
    let path = format!("{door}/result/{id}");
    wait_until("it is done", || (agent.write("GET", &path, &Value::Null).json()["state"] == "Done").then_some(()));
    let query =
        message("QueryIPSecConnection", json!({ "conditions": [{ "name": "authKey", "op": "=", "value": key }] }));
    for _ in 0..3 {
        let answer = agent.ask("PUT", door, &[], &query).expect(200);
        assert!(answer.text().contains(&key), "{}", answer.text());
    }
    secret.settles(&agent.bench, MOST, "after messages");
    for wrong in [json!({ "a": { "authKey": key } }), json!({ "a": key, "b": key }), json!({ "a": key })] {
        agent.write("POST", door, &wrong).expect(400);
    }
    agent.delete(7);
    secret.settles(&agent.bench, 0, "after the deletion of what a message made");
}

#[test]
fn a_private_key_has_few_copies_and_none_when_its_connection_is_gone() {
    if !is_readable() {
        return;
    }
    let mut agent = Agent::start("");
    for (n, kind) in [(7, Kind::Ecdsa), (8, Kind::Ed25519), (9, Kind::Ecdsa384)] {
        let ca = Ca::new(kind, "CN=test-only CA");
        let issued = ca.issue(kind, "CN=gw", &["gw.example"]);
        let digits: String = issued.key.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = BASE64.decode(digits.as_bytes()).expect("base64");
        // In PKCS #8, the number that is the key begins here.
        let (place, length) = match kind {
            Kind::Ecdsa => (36, 32),
            Kind::Ecdsa384 => (35, 48),
            _ => (16, 32),
        };
        let secret = Secret::new(&der[place..place + length]);
        let members =
            json!({ "authMode": "certs", "authKey": issued.bundle(&[&ca]), "idType": "name", "remoteId": "CN=peer" });
        agent.create(n, &members).expect(200);
        secret.settles(&agent.bench, MOST, &format!("{kind:?}: after a Create"));
        for path in [PATH.to_owned(), format!("/cygnet/v1/connections/{}", uuid(n))] {
            agent.ask("GET", &path, &[], &Value::Null).expect(200);
        }
        agent.change(n, &members, "").expect(200);
        secret.settles(&agent.bench, MOST, &format!("{kind:?}: after reads and a Change"));
        agent.delete(n);
        secret.settles(&agent.bench, 0, &format!("{kind:?}: after the deletion"));
    }
}

#[test]
fn what_callers_prove_themselves_with_has_no_copy() {
    if !is_readable() {
        return;
    }
    let mut b = Bench::idle(&Options::default());
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("settings");
    let line = format!("[auth]\naccounts_file = \"{}\"", b.path("accounts").display());
    fs::write(b.path("cygnet.toml"), settings.replace("[auth]", &line)).expect("settings");
    let mut passwd = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    passwd.args(["passwd", "admin", "--config"]).arg(b.path("cygnet.toml")).stdin(Stdio::piped());
    let mut passwd = passwd.spawn().expect("it starts");
    passwd.stdin.take().expect("piped").write_all(b"test-only-password\n").expect("written");
    assert!(passwd.wait().expect("it ends").success());
    b.run();
    let digest = hex(&Sha512::digest("test-only-password"));
    let login = json!({ "logInByAccount": { "accountName": "admin", "password": digest } }).to_string();
    let mut caller = b.tcp();
    let answer = caller.request("PUT", "/zstack/v1/accounts/login", &[], login.as_bytes()).expect("an answer");
    let session = answer.expect(200).json()["inventory"]["uuid"].as_str().expect("a uuid").to_owned();
    for bearer in [format!("OAuth {session}"), format!("OAuth {TOKEN}")] {
        caller.request("GET", PATH, &[("Authorization", &bearer)], b"").expect("an answer").expect(200);
    }
    Secret::new(digest.as_bytes()).settles(&b, 0, "a password after the login");
    Secret::new(session.as_bytes()).settles(&b, 0, "a session");
    Secret::new(TOKEN.as_bytes()).settles(&b, 0, "a token");
}
