//! The message API, by a client that does as the vendor's do: it posts one message, reads the result out of a text, and
//! asks for the results of writes until they are there.

use super::{
    accounts::{PASSWORD, digest, tool, with_accounts},
    jobs::outcome,
    transcript::{Transcript, is_date},
};
use crate::{
    client::Response,
    fake_charon::Behaviour,
    serve::{Bench, KEY, NETWORK, Options, TOKEN, VIP, change, params, uuid, wait_until},
};
use serde_json::{Value, json};
use std::{fs, io::Write, net::TcpStream, thread};

const DOOR: &str = "/zstack/api";
const IPSEC: &str = "org.zstack.ipsec.API";
const IDENTITY: &str = "org.zstack.header.identity.API";

/// A client of one agent.
struct Client<'a> {
    bench: &'a Bench,
    session: Option<String>,
}

/// What a message comes to: the members of the result, or the error's code and details.
type Outcome = Result<Value, (String, String)>;

impl<'a> Client<'a> {
    /// With the token of the tests, which is as good as a session.
    fn new(bench: &'a Bench) -> Self {
        Self { bench, session: Some(TOKEN.into()) }
    }

    fn post(&self, class: &str, mut params: Value) -> Response {
        if let Some(session) = &self.session {
            params["session"] = json!({ "uuid": session });
        }
        let body = json!({ format!("{class}Msg"): params }).to_string();
        self.bench
            .tcp()
            .request("POST", DOOR, &[("Content-Type", "application/json")], body.as_bytes())
            .expect("an answer")
    }

    /// A message that is answered at once.
    #[track_caller]
    fn read(&self, class: &str, params: Value) -> Outcome {
        let answer = self.post(class, params).expect(200).json();
        assert!(answer.get("uuid").is_none(), "{answer}");
        unpacked(&answer, &format!("{class}Reply"))
    }

    /// A message that writes: first a uuid, then the result.
    #[track_caller]
    fn write(&self, class: &str, params: Value) -> Outcome {
        let answer = self.post(class, params).expect(200).json();
        assert_eq!(answer["state"], "Processing", "{answer}");
        let id = answer["uuid"].as_str().expect("a uuid");
        assert!(id.len() == 32 && answer["createdDate"].as_str().is_some_and(is_date), "{answer}");
        unpacked(&self.poll(id), &format!("{class}Event"))
    }

    /// The envelope of a write that has ended.
    #[track_caller]
    fn poll(&self, id: &str) -> Value {
        wait_until("it is done", || {
            let answer = self.bench.tcp().request("GET", &format!("{DOOR}/result/{id}"), &[], b"").expect("an answer");
            let answer = answer.expect(200).json();
            assert_eq!(answer["uuid"], id);
            match answer["state"].as_str() {
                Some("Processing") => None,
                Some("Done") => Some(answer),
                _ => panic!("{answer}"),
            }
        })
    }
}

/// The result in an envelope, which must be of this class.
#[track_caller]
fn unpacked(envelope: &Value, class: &str) -> Outcome {
    assert_eq!(envelope["state"], "Done", "{envelope}");
    for date in ["createdDate", "finishedDate"] {
        assert!(envelope[date].as_str().is_some_and(is_date), "{envelope}");
    }
    let result: Value = serde_json::from_str(envelope["result"].as_str().expect("a text")).expect("JSON");
    let members = result.as_object().expect("an object");
    assert_eq!(members.keys().collect::<Vec<_>>(), [class]);
    let result = members[class].clone();
    if result["success"] == true {
        return Ok(result);
    }
    assert_eq!(result["success"], false, "{result}");
    let text = |name: &str| result["error"][name].as_str().unwrap_or_default().to_owned();
    Err((text("code"), text("details")))
}

/// An agent with the accounts `admin` and `other`.
fn with_logins() -> Bench {
    let mut b = Bench::idle(&Options::default());
    with_accounts(&b);
    for account in ["admin", "other"] {
        tool(&b, &["passwd", account], &format!("{PASSWORD}\n"));
    }
    b.run();
    b
}

fn ipsec(action: &str) -> String {
    format!("{IPSEC}{action}")
}

#[test]
fn a_client_of_messages_does_a_whole_days_work() {
    let b = with_logins();
    let mut c = Client { bench: &b, session: None };
    let version = c.read("org.zstack.header.managementnode.APIGetVersion", json!({})).expect("a version");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    let login = json!({ "accountName": "admin", "password": digest(PASSWORD) });
    let login = c.read(&format!("{IDENTITY}LogInByAccount"), login).expect("a session");
    c.session = login["inventory"]["uuid"].as_str().map(Into::into);
    let sessions = json!({ "sessionUuid": c.session });
    for (class, path) in [
        ("org.zstack.network.service.vip.APIQueryVip", "uuid"),
        ("org.zstack.header.network.l3.APIQueryL3Network", "uuid"),
        ("org.zstack.vpc.APIQueryVpcRouter", "name"),
        ("org.zstack.network.service.virtualrouter.APIQueryVirtualRouterVm", "name"),
    ] {
        let all = c.read(class, json!({ "conditions": [] })).expect("a list");
        let value = all["inventories"][0][path].clone();
        let one = json!({ "conditions": [{ "name": path, "op": "=", "value": value }], "replyWithCount": "True" });
        assert_eq!(c.read(class, one).expect("a list")["total"], 1, "{class}");
    }
    for n in [1, 2] {
        let made = c.write(&ipsec("CreateIPsecConnection"), params(n, &json!({ "userTags": ["by::messages"] })));
        assert_eq!(made.expect("made")["inventory"]["authKey"], "******", "anybody may poll");
    }
    let query = |more: Value| c.read(&ipsec("QueryIPSecConnection"), more).expect("a list");
    let names = |found: &Value| {
        found["inventories"].as_array().expect("a list").iter().map(|i| i["name"].clone()).collect::<Vec<_>>()
    };
    let condition =
        |name: &str, op: &str, value: Value| json!({ "conditions": [{ "name": name, "op": op, "value": value }] });
    assert_eq!(query(condition("uuid", "=", json!(uuid(1))))["inventories"][0]["authKey"], KEY, "as at the other door");
    assert_eq!(names(&query(condition("name", "like", json!("site-%")))).len(), 2);
    assert_eq!(names(&query(condition("name", "not in", json!("site-1,x")))), ["site-2"]);
    assert_eq!(names(&query(condition("peerCidrs.cidr", "in", json!(["10.1.2.0/24", "10.9.9.0/24"])))), ["site-1"]);
    assert_eq!(names(&query(condition("__userTag__", "=", json!("by::messages")))).len(), 2);
    assert_eq!(query(json!({ "count": true }))["total"], 2);
    let last = query(json!({ "sortBy": "name", "sortDirection": "desc", "limit": 1, "fields": ["uuid"], "start": 0 }));
    assert_eq!(last["inventories"], json!([{ "uuid": uuid(2) }]));
    let one = |more: Value| {
        let mut all = json!({ "uuid": uuid(1) });
        more.as_object().expect("an object").iter().for_each(|(name, value)| all[name] = value.clone());
        all
    };
    let changed =
        c.write(&ipsec("ChangeIPsecConnection"), one(change(1, &json!({ "pfs": "dh-group19" })))).expect("changed");
    assert_eq!(changed["inventory"]["pfs"], "dh-group19");
    let renamed = c.write(&ipsec("UpdateIPsecConnection"), one(json!({ "name": "branch" }))).expect("renamed");
    assert_eq!(renamed["inventory"]["name"], "branch");
    let cidrs = one(json!({ "peerCidrs": ["10.7.0.0/16", "10.8.0.0/16"] }));
    let added = c.write(&ipsec("AddRemoteCidrsToIPsecConnection"), cidrs.clone()).expect("added");
    assert_eq!(added["inventory"]["peerCidrs"].as_array().map(Vec::len), Some(3));
    let removed = c.write(&ipsec("RemoveRemoteCidrsFromIPsecConnection"), cidrs).expect("removed");
    assert_eq!(removed["inventory"]["peerCidrs"].as_array().map(Vec::len), Some(1));
    let networks = one(json!({ "l3NetworkUuids": [NETWORK] }));
    c.write(&ipsec("DetachL3NetworksFromIPsecConnection"), networks.clone()).expect("detached");
    let candidates =
        c.read(&ipsec("GetCandidateL3NetworksForIpSecConnection"), one(json!({ "vipUuid": VIP }))).expect("a list");
    assert_eq!(candidates["inventories"][0]["uuid"], NETWORK);
    c.write(&ipsec("AttachL3NetworksToIPsecConnection"), networks).expect("attached");
    let off = c.write(&ipsec("ChangeIPSecConnectionState"), one(json!({ "stateEvent": "disable" }))).expect("off");
    assert_eq!(off["inventory"]["state"], "Disabled");
    c.write(&ipsec("ChangeIPSecConnectionState"), one(json!({ "stateEvent": "enable" }))).expect("on");
    c.write(&ipsec("ReconnectIPsecConnection"), one(json!({}))).expect("anew");
    assert!(c.read(&ipsec("GetVpcIPsecLog"), one(json!({ "lines": 5 }))).expect("a log")["ipsecLog"].is_string());
    for package in ["org.zstack.vpc.API", IPSEC] {
        let attached = c.read(&format!("{package}GetVpcAttachedIpsec"), json!({ "uuid": uuid(9), "limit": 1 }));
        assert_eq!(attached.expect("a list")["inventories"].as_array().map(Vec::len), Some(1));
    }
    let gone = c.write(&ipsec("DeleteIPsecConnection"), one(json!({ "deleteMode": "Permissive" }))).expect("gone");
    assert_eq!(gone, json!({ "success": true }));
    let valid = |c: &Client| c.read(&format!("{IDENTITY}ValidateSession"), sessions.clone()).expect("an answer");
    assert_eq!((&valid(&c)["valid"], &valid(&c)["validSession"]), (&json!(true), &json!(true)));
    let longer = json!({ "sessionUuid": c.session, "duration": 7200 });
    assert_eq!(
        c.write(&format!("{IDENTITY}RenewSession"), longer).expect("renewed")["inventory"]["uuid"],
        login["inventory"]["uuid"]
    );
    c.read(&format!("{IDENTITY}LogOut"), sessions.clone()).expect("out");
    assert_eq!(valid(&c)["validSession"], false);
    assert_eq!(c.read(&ipsec("QueryIPSecConnection"), json!({})).expect_err("no session").0, "ID.1001");
}

#[test]
fn what_is_no_message_is_refused_with_what_is_wrong() {
    let b = Bench::start();
    let create = format!("{IPSEC}CreateIPsecConnectionMsg");
    let long = format!("{{\"{create}\":{{\"name\":\"{}\"}}}}", "x".repeat(1024 * 1024));
    let cases = [
        ("", 400, "must have one member, named as the class of the message, and has 0"),
        ("{}", 400, "has 0"),
        ("[]", 400, "not a JSON object"),
        ("\"x\"", 400, "not a JSON object"),
        ("{\"a\":{},\"b\":{}}", 400, "has 2"),
        ("{\"org.zstack.ipsec.APICreateIPsecConnectionMsg\":{},\"session\":{\"uuid\":\"x\"}}", 400, "has 2"),
        (
            "{\"org.zstack.ipsec.APICreateIPsecConnectionMsg\":{},\"org.zstack.ipsec.APICreateIPsecConnectionMsg\":{}}",
            400,
            "a member stands twice",
        ),
        ("{\"org.zstack.ipsec.APICreateIPsecConnectionMsg\":null}", 400, "is not an object"),
        ("{\"org.zstack.ipsec.APICreateIPsecConnectionMsg\":[]}", 400, "is not an object"),
        ("{\"org.zstack.ipsec.APICreateIPsecConnectionMsg\":\"x\"}", 400, "is not an object"),
        (
            "{\"org.zstack.ipsec.APIChangeIPsecConectionMsg\":{}}",
            400,
            "did you mean org.zstack.ipsec.APIChangeIPsecConnectionMsg?",
        ),
        ("{\"createIPsecConnection\":{}}", 400, "did you mean org.zstack.ipsec.APICreateIPsecConnectionMsg?"),
        (
            "{\"org.zstack.header.vm.APICreateVmInstanceMsg\":{}}",
            400,
            "there is no message \"org.zstack.header.vm.APICreateVmInstanceMsg\" here",
        ),
        ("{\"\\u0000\\u202e\":{}}", 400, "there is no message"),
        (
            "{\"org.zstack.ipsec.APIDeleteIPsecConnectionMsg\":{\"session\":\"x\",\"uuid\":\"y\"}}",
            400,
            "the session is not an object",
        ),
        (
            "{\"org.zstack.ipsec.APIDeleteIPsecConnectionMsg\":{\"session\":{\"uuid\":7},\"uuid\":\"y\"}}",
            400,
            "the uuid of the session is not a string",
        ),
        ("{", 400, "the body is not JSON"),
        (long.as_str(), 413, "longer than"),
    ];
    for method in ["POST", "PUT"] {
        for path in [DOOR, "/zstack/api/"] {
            for (body, status, text) in &cases {
                let answer = b.tcp().request(method, path, &[], body.as_bytes()).expect("an answer");
                let said = answer.expect(*status).text();
                assert!(said.contains(text), "{}: {said}", body.chars().take(200).collect::<String>());
            }
        }
    }
    for method in ["GET", "DELETE", "PATCH"] {
        b.tcp().request(method, DOOR, &[], b"").expect("an answer").expect(405);
    }
    assert!(b.charon.connections().is_empty());
}

#[test]
fn a_message_without_a_good_session_does_nothing() {
    let b = with_logins();
    Client::new(&b).write(&ipsec("CreateIPsecConnection"), params(1, &json!({}))).expect("made");
    for session in [None, Some(""), Some("nosession"), Some("\u{0}\n"), Some("é"), Some("a b")] {
        let c = Client { bench: &b, session: session.map(Into::into) };
        for (action, params) in [
            ("CreateIPsecConnection", params(2, &json!({}))),
            ("ChangeIPsecConnection", json!({ "uuid": uuid(1) })),
            ("DeleteIPsecConnection", json!({ "uuid": uuid(1) })),
        ] {
            let answer = c.post(&ipsec(action), params).expect(200).json();
            let id = answer["uuid"].as_str().expect("a uuid");
            let error = unpacked(&c.poll(id), "org.zstack.header.message.APIEvent").expect_err("nobody");
            assert_eq!(error.0, "ID.1001", "{session:?} {action}");
        }
        for action in ["QueryIPSecConnection", "GetVpcIPsecLog", "GetCandidateL3NetworksForIpSecConnection"] {
            assert_eq!(
                c.read(&ipsec(action), json!({ "uuid": uuid(1) })).expect_err("nobody").0,
                "ID.1001",
                "{action}"
            );
        }
    }
    // What came of the writes of callers is in the journal, by whom, as at the other door.
    assert!(b.logs().contains("CreateIPsecConnection by token test from 127.0.0.1: done"), "{}", b.logs());
    // Over the Unix socket the user counts, as at the other door.
    let body = json!({ format!("{IPSEC}QueryIPSecConnectionMsg"): { "count": "TRUE" } }).to_string();
    let answer = b.unix().request("POST", DOOR, &[], body.as_bytes()).expect("an answer").expect(200).json();
    assert_eq!(unpacked(&answer, &ipsec("QueryIPSecConnectionReply")).expect("a count")["total"], 1);
    // Of a stranger's writes nothing is kept, and a wrong password is the login's matter.
    assert_eq!(fs::read_dir(b.path("state/jobs")).map(Iterator::count).expect("a directory"), 1);
    let wrong = json!({ "accountName": "admin", "password": digest("test-only-wrong") });
    let c = Client { bench: &b, session: None };
    assert_eq!(c.read(&format!("{IDENTITY}LogInByAccount"), wrong).expect_err("wrong").0, "ID.1000");
    assert_eq!(c.read(&format!("{IDENTITY}LogInByUser"), json!({ "userName": "x" })).expect_err("none").0, "ID.1000");
}

/// No rule stands twice: what one door refuses, the other refuses in the same words.
#[test]
fn both_doors_say_the_same() {
    let b = Bench::start();
    let c = Client::new(&b);
    b.create(&params(1, &json!({}))).expect(200);
    let rest = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = b.ask(method, &format!("/zstack/v1/{path}"), body.as_bytes());
        if answer.status == 400 {
            return ("SYS.1007".to_owned(), answer.text());
        }
        let error = answer.expect(503).json()["error"].clone();
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (text("code"), text("details"))
    };
    for more in [
        json!({ "peerAddress": "198.51.100.1" }),
        json!({ "vipUuid": uuid(9) }),
        json!({ "name": null }),
        json!({ "authKey": 7 }),
        json!({ "lifeTime": 3600.5 }),
        json!({ "lifeTime": 5 }),
        json!({ "ikeVersion": "aggressive" }),
        json!({ "peerCidrs": "10.0.0.0/8" }),
        json!({ "peerCidrs": [null] }),
        json!({ "split": "x" }),
        json!({ "resourceUuid": "x" }),
        json!({ "userTags": "x" }),
        json!({ "systemTags": ["cygnet::nosuch::1"] }),
    ] {
        let params = params(2, &more);
        let answer = c.post(&ipsec("CreateIPsecConnection"), params.clone()).expect(200).json();
        let answer = answer["uuid"].as_str().map_or(answer.clone(), |id| c.poll(id));
        let error = unpacked(&answer, &ipsec("CreateIPsecConnectionEvent")).expect_err("refused");
        assert_eq!(error, rest("POST", "ipsec", &json!({ "params": params })), "{more}");
    }
    let id = uuid(1);
    for (action, params, method, path, body) in [
        (
            "ChangeIPsecConnection",
            json!({}),
            "PUT",
            format!("ipsec/config/{id}"),
            json!({ "changeIPsecConnection": {} }),
        ),
        (
            "ChangeIPSecConnectionState",
            json!({ "stateEvent": "x" }),
            "PUT",
            format!("ipsec/{id}/actions"),
            json!({ "changeIPSecConnectionState": { "stateEvent": "x" } }),
        ),
        (
            "DeleteIPsecConnection",
            json!({ "deleteMode": "x" }),
            "DELETE",
            format!("ipsec/{id}?deleteMode=x"),
            Value::Null,
        ),
        (
            "RemoveRemoteCidrsFromIPsecConnection",
            json!({ "peerCidrs": ["10.99.0.0/16"] }),
            "DELETE",
            format!("ipsec/{id}/remote-cidrs?peerCidrs=10.99.0.0/16"),
            Value::Null,
        ),
        (
            "RemoveRemoteCidrsFromIPsecConnection",
            json!({ "peerCidrs": [] }),
            "DELETE",
            format!("ipsec/{id}/remote-cidrs"),
            Value::Null,
        ),
        (
            "AttachL3NetworksToIPsecConnection",
            json!({ "l3NetworkUuids": [NETWORK] }),
            "POST",
            format!("ipsec/{id}/l3networks"),
            json!({ "params": { "l3NetworkUuids": [NETWORK] } }),
        ),
    ] {
        let mut all = params.clone();
        all["uuid"] = json!(id);
        let error = c.write(&ipsec(action), all).expect_err("refused");
        assert_eq!(error, rest(method, &path, &body), "{action} {params}");
    }
    for (params, query) in [
        (json!({ "conditions": [{ "name": "nosuch", "op": "=", "value": 1 }] }), "q=nosuch=1"),
        (json!({ "limit": "x" }), "limit=x"),
        (json!({ "start": -1 }), "start=-1"),
        (json!({ "sortBy": "nosuch" }), "sort=nosuch"),
        (json!({ "fields": ["nosuch"] }), "fields=nosuch"),
        (json!({ "filterName": "x" }), "filterName=x"),
        (json!({ "conditions": [{ "name": "createDate", "op": ">", "value": "x" }] }), "q=createDate%3Ex"),
    ] {
        let error = c.read(&ipsec("QueryIPSecConnection"), params.clone()).expect_err("refused");
        assert_eq!(error, rest("GET", &format!("ipsec?{query}"), &Value::Null), "{params}");
    }
}

/// A uuid of a message becomes a part of a path, and nothing else.
#[test]
fn no_uuid_reaches_another_call() {
    let b = Bench::start();
    let c = Client::new(&b);
    b.create(&params(1, &json!({}))).expect(200);
    let one = uuid(1);
    let hostile =
        ["candidatesL3Networks", "config", "", " ", ".", "..", "a/b", "%2e%2e", "?x=1", "#", "\u{0}", "é", "{uuid}"];
    let mut all: Vec<_> = hostile.iter().map(ToString::to_string).collect();
    all.extend([
        format!("../ipsec/{one}"),
        format!("{one}/actions"),
        format!("{one}?deleteMode=Enforcing"),
        format!("{one}#"),
        "x".repeat(300),
    ]);
    for wrong in &all {
        for (action, params) in [
            ("DeleteIPsecConnection", json!({})),
            ("UpdateIPsecConnection", json!({ "name": "x" })),
            ("ChangeIPSecConnectionState", json!({ "stateEvent": "disable" })),
            ("ChangeIPsecConnection", change(1, &json!({}))),
            ("AddRemoteCidrsToIPsecConnection", json!({ "peerCidrs": ["10.77.0.0/16"] })),
        ] {
            let mut params = params.clone();
            params["uuid"] = json!(wrong);
            let answer = c.post(&ipsec(action), params).expect(200).json();
            let answer = answer["uuid"].as_str().map_or(answer.clone(), |id| c.poll(id));
            let error = unpacked(&answer, &ipsec(&format!("{action}Event"))).expect_err("refused");
            assert_eq!(error.0, "SYS.1003", "{action} {wrong:?}: {}", error.1);
        }
    }
    for (wrong, text) in [(json!(null), "mandatory"), (json!(5), "must be a string"), (json!({}), "must be a string")] {
        let answer = c.post(&ipsec("DeleteIPsecConnection"), json!({ "uuid": wrong })).expect(200).json();
        let error = unpacked(&answer, &ipsec("DeleteIPsecConnectionEvent")).expect_err("refused");
        assert!(error.0 == "SYS.1007" && error.1.contains(text), "{error:?}");
    }
    assert_eq!((&b.inventory(&one)["name"], &b.inventory(&one)["state"]), (&json!("site-1"), &json!("Enabled")));
}

#[test]
fn a_write_is_processing_until_charon_has_answered() {
    let b = Bench::with(&Options { timeout: "20s", ..Options::default() });
    b.charon.on("load-conn", Behaviour::Late);
    let c = Client::new(&b);
    let answer = c.post(&ipsec("CreateIPsecConnection"), params(1, &json!({}))).expect(200).json();
    let id = answer["uuid"].as_str().expect("a uuid");
    for method in ["GET", "PUT"] {
        let polled = b.tcp().request(method, &format!("{DOOR}/result/{id}"), &[], b"").expect("an answer").expect(200);
        let polled = polled.json();
        let members: Vec<_> = polled.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!((members, &polled["state"]), (vec!["state", "createdDate", "uuid"], &json!("Processing")));
    }
    b.ask("GET", &format!("/zstack/v1/api-jobs/{id}"), b"").expect(202);
    // Reads do not wait for it.
    let count = c.read(&ipsec("QueryIPSecConnection"), json!({ "count": true })).expect("a count");
    assert_eq!(count["total"], 0);
    b.charon.release();
    let made = unpacked(&c.poll(id), &ipsec("CreateIPsecConnectionEvent")).expect("made");
    assert_eq!(made["inventory"]["uuid"], uuid(1));
}

#[test]
fn results_are_there_for_both_doors_and_after_a_restart() {
    let mut b = with_logins();
    let c = Client::new(&b);
    let answer = c.post(&ipsec("CreateIPsecConnection"), params(1, &json!({}))).expect(200).json();
    let id = answer["uuid"].as_str().expect("a uuid").to_owned();
    let done = c.poll(&id);
    // Without credentials, or with those of another account, nobody sees a key.
    let again = b.tcp().request("PUT", &format!("{DOOR}/result/{id}"), &[("Authorization", "OAuth x")], b"");
    let again = again.expect("an answer").expect(200).json();
    assert!(again == done && !done.to_string().contains(KEY), "{done}");
    let (status, same) = outcome(&b, &id);
    assert_eq!((status, &same["inventory"]["uuid"]), (200, &json!(uuid(1))));
    let body = json!({ "updateIPsecConnection": { "name": "x" } }).to_string();
    let bearer = format!("OAuth {TOKEN}");
    let job = "fedcba9876543210fedcba9876543210";
    let headers = [("Authorization", bearer.as_str()), ("X-Job-UUID", job)];
    let path = format!("/zstack/v1/ipsec/{}", uuid(9));
    b.tcp().request("PUT", &path, &headers, body.as_bytes()).expect("an answer").expect(202);
    assert_eq!(unpacked(&c.poll(job), &ipsec("UpdateIPsecConnectionEvent")).expect_err("none").0, "SYS.1003");
    b.stop();
    // One of an agent that noted no message, and one that was interrupted.
    let file = |id: &str| b.path(&format!("state/jobs/{id}.json"));
    let mut old: Value = serde_json::from_slice(&fs::read(file(job)).expect("a file")).expect("JSON");
    old.as_object_mut().expect("an object").remove("action").expect("it is noted");
    fs::write(file("0".repeat(32).as_str()), old.to_string()).expect("a file");
    let mut cut: Value = serde_json::from_slice(&fs::read(file(&id)).expect("a file")).expect("JSON");
    (cut["outcome"], cut["ended"]) = (Value::Null, Value::Null);
    fs::write(file("1".repeat(32).as_str()), cut.to_string()).expect("a file");
    b.run();
    let c = Client::new(&b);
    assert_eq!(c.poll(&id), done, "the dates are the same too");
    assert_eq!(
        unpacked(&c.poll(&"0".repeat(32)), "org.zstack.header.message.APIEvent").expect_err("none").0,
        "SYS.1003"
    );
    let cut = unpacked(&c.poll(&"1".repeat(32)), &ipsec("CreateIPsecConnectionEvent")).expect_err("interrupted");
    assert!(cut.1.contains("restarted"), "{cut:?}");
    for unknown in ["f".repeat(32), "x".into(), "..%2f..".into(), "%00".into()] {
        b.tcp().request("GET", &format!("{DOOR}/result/{unknown}"), &[], b"").expect("an answer").expect(404);
    }
    b.tcp().request("POST", &format!("{DOOR}/result/{id}"), &[], b"").expect("an answer").expect(405);
}

#[test]
fn many_messages_at_once_each_get_their_own_result() {
    let b = Bench::start();
    thread::scope(|scope| {
        for n in 1..=24 {
            let b = &b;
            scope.spawn(move || {
                let c = Client::new(b);
                let made = c.write(&ipsec("CreateIPsecConnection"), params(n, &json!({}))).expect("made");
                assert_eq!(made["inventory"]["uuid"], uuid(n));
                let query = json!({ "conditions": [{ "name": "uuid", "op": "=", "value": uuid(n) }] });
                assert_eq!(
                    c.read(&ipsec("QueryIPSecConnection"), query).expect("a list")["inventories"][0]["name"],
                    format!("site-{n}")
                );
            });
        }
    });
}

#[test]
fn writes_are_done_at_once_where_the_settings_want_no_jobs() {
    let b = Bench::with(&Options { top: "jobs.async = \"never\"", ..Options::default() });
    let answer = Client::new(&b).post(&ipsec("CreateIPsecConnection"), params(1, &json!({}))).expect(200).json();
    let made = unpacked(&answer, &ipsec("CreateIPsecConnectionEvent")).expect("made");
    assert_eq!(made["inventory"]["uuid"], uuid(1));
}

/// The session stands in the body, so that strangers' bodies are read: they fill a room of their own.
#[test]
fn large_bodies_of_strangers_take_no_room_of_callers() {
    let b = Bench::start();
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(b.address()).expect("connected");
        write!(stream, "POST {DOOR} HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n{{").expect("sent");
        held.push(stream);
    }
    let c = Client::new(&b);
    c.write(&ipsec("CreateIPsecConnection"), params(1, &json!({}))).expect("a small one needs no room");
    let tags: Vec<_> = (0..100).map(|n| format!("{n:0250}")).collect();
    b.create(&params(2, &json!({ "userTags": tags, "systemTags": tags }))).expect(200);
    drop(held);
    let large = params(3, &json!({ "userTags": tags, "systemTags": tags }));
    c.write(&ipsec("CreateIPsecConnection"), large).expect("there is room for a large one");
}

/// How a write is done is said in the query, and with which headers, as at the other door.
#[test]
fn the_query_and_headers_of_a_message_count() {
    let b = Bench::start();
    let c = Client::new(&b);
    c.write(&ipsec("CreateIPsecConnection"), params(1, &json!({ "pfs": "dh-group19" }))).expect("made");
    let body = json!({ format!("{IPSEC}ChangeIPsecConnectionMsg"): { "uuid": uuid(1), "lifeTime": 1800, "nosuch": 1, "session": { "uuid": TOKEN } } });
    let path = format!("{DOOR}?keep=true");
    let answer =
        b.tcp().request("POST", &path, &[("X-JSON-Schema", "true")], body.to_string().as_bytes()).expect("an answer");
    let id = answer.expect(200).json()["uuid"].as_str().expect("a uuid").to_owned();
    let changed = unpacked(&c.poll(&id), &ipsec("ChangeIPsecConnectionEvent")).expect("changed");
    assert_eq!((&changed["inventory"]["pfs"], &changed["inventory"]["lifeTime"]), (&json!("dh-group19"), &json!(1800)));
    assert_eq!(changed["schema"]["inventory"], "org.zstack.ipsec.IPsecConnectionInventory");
    assert_eq!(changed["warnings"][0]["code"], "UNKNOWN_MEMBER");
}

/// Whole answers, as the vendor's Python clients ask for them.
#[test]
fn exchanges_of_messages() {
    let b = Bench::with(&Options { top: "jobs.async = \"never\"", ..Options::default() });
    let mut t = Transcript::default();
    let session = json!({ "uuid": TOKEN });
    t.note("a read, with what the clients send beside the parameters");
    let query = json!({ "org.zstack.ipsec.APIQueryIPSecConnectionMsg": {
        "conditions": [{ "name": "state", "op": "=", "value": "Enabled" }], "limit": 1000, "start": 0, "count": false,
        "replyWithCount": true, "fields": null, "sortBy": null, "sortDirection": null, "session": session.clone(),
        "timeout": null, "systemTags": null, "userTags": null } });
    t.ask_with(&b, "POST", DOOR, &[], &query.to_string());
    t.note("a write that fails");
    let delete = json!({ "org.zstack.ipsec.APIDeleteIPsecConnectionMsg": { "uuid": uuid(1), "deleteMode": "Permissive", "session": session } });
    t.ask_with(&b, "PUT", "/zstack/api/", &[], &delete.to_string());
    t.note("no session");
    t.ask_with(&b, "POST", DOOR, &[], "{\"org.zstack.network.service.vip.APIQueryVipMsg\": {\"conditions\": []}}");
    t.note("an unknown message");
    t.ask_with(&b, "POST", DOOR, &[], "{\"org.zstack.ipsec.APIReconectIPsecConnectionMsg\": {}}");
    t.note("an unknown result");
    t.ask_with(&b, "GET", &format!("{DOOR}/result/{}", uuid(1)), &[], "");
    t.check("messages");
}
