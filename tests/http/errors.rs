//! Every text of the contract's errors that this agent gives, as whole answers. [`TEXTS`] is the list; what the
//! real server says and this one cannot is in the last table of docs/api/zstack.md.

use super::{
    accounts::{digest, now, signature, tool, with_accounts},
    transcript::Transcript,
};
use crate::serve::{Bench, NETWORK, Options, TOKEN, params, uuid};
use serde_json::{Value, json};

const PATH: &str = "/zstack/v1/ipsec";
const JOB: &str = "e0000000000040008000000000000001";
const UNKNOWN: &str = "f0000000000040008000000000000001";

/// The texts, each as the contract has it, section by section, with the values of the requests below.
const TEXTS: [&str; 59] = [
    // 1.1, 1.2
    "no api mapping to /v1/nothing",
    "the body is not JSON",
    "No creational API found for the path[/v1/ipsec/c0000000000040008000000000000007]",
    "No query API found for the path[/v1/ipsec/c0000000000040008000000000000007/actions]",
    "No delete API found for the path[/v1/ipsec]",
    "the body doesn't contain action mapping to the URL[/v1/ipsec/c0000000000040008000000000000007/actions]",
    "The method[PATCH] is not allowed for the path[/v1/ipsec]",
    // 1.3
    "Invalid query parameter[deleteMode], only one value is allowed for the parameter but multiple values found",
    "Invalid query parameter[lines], only one value is allowed for the parameter but multiple values found",
    "[lifeTime] field is excepted an int or long, but was [1.2].",
    "[ikeDhGroup] field is excepted an int or long, but was [4294967310].",
    "[lines] field is excepted an int or long, but was [many].",
    // 1.4, 1.5
    "Invalid header[X-Job-UUID], it must be a UUID with '-' stripped",
    "Duplicate job uuid[e0000000000040008000000000000001]",
    "the job has been expired",
    "only GET method is allowed for querying job status",
    // 1.8
    "field[name] of message[org.zstack.header.message.ApiMessageParamValidator] is mandatory, can not be null",
    "field[description] of message[org.zstack.header.message.ApiMessageParamValidator] exceeds max length of string. expected was <= 2048, actual was 2049",
    "valid value for field[ikeVersion] of message[org.zstack.header.message.ApiMessageParamValidator] are [ike, ikev1, ikev2], but IKEv2 found",
    "valid value for field[stateEvent] of message[org.zstack.header.message.ApiMessageParamValidator] are [enable, disable], but stop found",
    "valid value for field[deleteMode] of message[org.zstack.header.message.ApiMessageParamValidator] are [Permissive, Enforcing], but Hard found",
    "field[ikeLifeTime] must be in range of [60, 604800]",
    "field[lifeTime] must be in range of [30, 604800]",
    "field[duration] must be in range of [60, 31536000]",
    "field[peerCidrs] must be a nonempty list",
    "field[peerCidrs] cannot contain a NULL element",
    "field[authKey] cannot be an empty string",
    "invalid field[uuid], resource[uuid:f0000000000040008000000000000001, type:IPsecConnectionVO] not found",
    "invalid field[vipUuid], resource[uuid:f0000000000040008000000000000001, type:VipVO] not found",
    "invalid field[l3NetworkUuid], resource[uuid:f0000000000040008000000000000001, type:L3NetworkVO] not found",
    "invalid field[l3NetworkUuids], resource[uuids:[f0000000000040008000000000000001, nowhere], type:L3NetworkVO] not found",
    // 1.9
    "resourceUuid[C0000000000040008000000000000007] is not a valid uuid",
    // 1.10
    "missing header 'Authorization'",
    "Authorization type must be 'OAuth'",
    "Session expired",
    "wrong account name or password",
    "wrong account or username or password",
    "'Date' must be incuded in request header",
    "'Date' format error, correct format is 'EEE, dd MMM yyyy HH:mm:ss z'",
    "requestTimeTooSkewed",
    "accessKey format is 'ZStack AccessKeyId:Signature'",
    "access key id: nosuchkey does not existed or disabled",
    "wrong accessKey signature",
    // 1.11
    "Invalid query parameter. 'limit' must be an integer",
    "Invalid query parameter. 'start' must be an integer",
    "Invalid query parameter. The 'name' in the parameter[q] doesn't contain any query operator. Valid query operators are [",
    "inventory class[org.zstack.ipsec.IPsecConnectionInventory] has no field[nosuch]",
    // 1.13
    "the peerAddress[peer] is not an IPv4 address",
    "the peerAddress[192.0.2.1] cannot be the same to the VIP address",
    "the authKey cannot contain white space and special characters of '\\\"`\\\\",
    "there already have ipsec connection[uuid:c0000000000040008000000000000007, name:site-7] with the same vrouter and peerAddress",
    "the remote CIDR[10.9.0.0/24] is same to existed cidrs",
    "the remote CIDR[10.9.0.0/16] and remote CIDR[10.9.1.0/24] are overlaped",
    "the CIDR[10.1.0.0/24] of local router and remote CIDR[10.1.0.0/16] are overlaped",
    "10.9.0.0 is not a cidr",
    "Cidr [10.7.2.0/24] is already in the Cidrs of ipsec [uuid :c0000000000040008000000000000007]",
    "Cidr [10.99.0.0/16] is not in Cidrs of ipsec [uuid :c0000000000040008000000000000007]",
    "must include l3 networks in APIAttachL3NetworksToIPsecConnectionMsg",
    "L3 network [b0000000000040008000000000000001] can not be attached to ipsec [uuid :c0000000000040008000000000000007]twice",
];

fn item(tail: &str) -> String {
    format!("{PATH}/{}{tail}", uuid(7))
}

/// Requests whose method, path or query is wrong.
fn paths(b: &Bench, t: &mut Transcript) {
    for (method, path) in [
        ("GET", "/zstack/v1/nothing"),
        ("POST", &item("")),
        ("GET", &item("/actions")),
        ("PUT", &item("/actions")),
        ("DELETE", PATH),
        ("PATCH", PATH),
        ("DELETE", &item("?deleteMode=Permissive&deleteMode=Enforcing")),
        ("DELETE", &item("?deleteMode=Hard")),
        ("GET", "/zstack/v1/vpc/virtual-routers/ipseclog?uuid=a&lines=1&lines=2"),
        ("GET", "/zstack/v1/vpc/virtual-routers/ipseclog?uuid=a&lines=many"),
        ("GET", &format!("{PATH}?limit=x")),
        ("GET", &format!("{PATH}?start=x")),
        ("GET", &format!("{PATH}?q=name")),
        ("GET", &item("?q=nosuch%3D1")),
        ("PUT", &format!("/zstack/v1/api-jobs/{UNKNOWN}")),
        ("GET", &format!("/zstack/v1/api-jobs/{UNKNOWN}")),
        ("DELETE", &format!("{PATH}/{UNKNOWN}")),
        ("DELETE", &item("/remote-cidrs?peerCidrs=10.99.0.0%2F16")),
    ] {
        t.ask(b, method, path, "");
    }
}

/// Bodies of a Create that are wrong.
fn creations(b: &Bench, t: &mut Transcript) {
    t.ask(b, "POST", PATH, "{\"params\":");
    for more in [
        json!({ "lifeTime": 1.2 }),
        json!({ "ikeDhGroup": 4_294_967_310_i64 }),
        json!({ "name": null }),
        json!({ "description": "d".repeat(2049) }),
        json!({ "ikeVersion": "IKEv2" }),
        json!({ "ikeLifeTime": 59 }),
        json!({ "lifeTime": 604_801 }),
        json!({ "peerCidrs": [] }),
        json!({ "peerCidrs": [null] }),
        json!({ "peerCidrs": ["10.9.0.0/24", "10.9.0.0/24"] }),
        json!({ "peerCidrs": ["10.9.0.0/16", "10.9.1.0/24"] }),
        json!({ "peerCidrs": ["10.1.0.0/16"] }),
        json!({ "peerCidrs": ["10.9.0.0"] }),
        json!({ "authKey": "" }),
        json!({ "authKey": "test only" }),
        json!({ "vipUuid": UNKNOWN }),
        json!({ "l3NetworkUuid": UNKNOWN }),
        json!({ "resourceUuid": "C0000000000040008000000000000007" }),
        json!({ "peerAddress": "peer" }),
        json!({ "peerAddress": "192.0.2.1" }),
        json!({ "peerAddress": "198.51.100.7" }),
    ] {
        t.ask(b, "POST", PATH, &json!({ "params": params(8, &more) }).to_string());
    }
}

/// Actions on a connection that are wrong.
fn actions(b: &Bench, t: &mut Transcript) {
    let mut post = |tail: &str, params: Value| {
        t.ask(b, "POST", &item(tail), &json!({ "params": params }).to_string()).expect(503);
    };
    post("/remote-cidrs", json!({ "peerCidrs": ["10.7.2.0/24"] }));
    post("/l3networks", json!({ "l3NetworkUuids": [] }));
    post("/l3networks", json!({ "l3NetworkUuids": [UNKNOWN, NETWORK, "nowhere"] }));
    post("/l3networks", json!({ "l3NetworkUuids": [NETWORK] }));
    t.ask(b, "PUT", &item("/actions"), "{\"changeIPSecConnectionState\":{\"stateEvent\":\"stop\"}}").expect(503);
    let renew = format!("/zstack/v1/accounts/sessions/{UNKNOWN}/renew");
    t.ask(b, "PUT", &renew, "{\"renewSession\":{\"duration\":59}}").expect(503);
    t.ask(b, "DELETE", &item(&format!("/l3networks?l3NetworkUuids={NETWORK}")), "").expect(200);
    t.note("once more");
    t.ask(b, "DELETE", &item(&format!("/l3networks?l3NetworkUuids={NETWORK}")), "").expect(503);
}

/// Jobs that cannot be, also where no job would be begun.
fn jobs(b: &Bench, t: &mut Transcript) {
    let bearer = format!("OAuth {TOKEN}");
    let body = "{\"reconnectIPsecConnection\":{}}";
    for (note, method, path, job, body) in [
        ("a job", "PUT", item("/actions"), JOB, body),
        ("its id again", "PUT", item("/actions"), JOB, body),
        ("a short id", "PUT", item("/actions"), "short", body),
        ("a short id of a read", "GET", PATH.to_owned(), "short", ""),
        ("no action: no job", "PUT", item("/actions"), UNKNOWN, "{}"),
        ("no number: no job", "POST", PATH.to_owned(), UNKNOWN, "{\"params\":{\"lifeTime\":\"long\"}}"),
        ("no JSON: no job", "POST", PATH.to_owned(), UNKNOWN, "{"),
        ("twice: no job", "DELETE", item("?confirm=1s&confirm=2s"), UNKNOWN, ""),
        ("the id is still free", "GET", format!("/zstack/v1/api-jobs/{UNKNOWN}"), UNKNOWN, ""),
    ] {
        t.note(note);
        t.ask_with(b, method, &path, &[("Authorization", &bearer), ("X-Job-UUID", job)], body);
    }
    t.note("no number of seconds");
    t.ask_with(b, "PUT", &item("/actions"), &[("Authorization", &bearer), ("X-API-Timeout", "soon")], body).expect(400);
}

/// Callers who are not let in. `key` is the id of an access key.
fn strangers(b: &Bench, t: &mut Transcript, key: &str) {
    let date = now("UTC");
    let signed = |id: &str| format!("ZStack {id}:{}", signature("test-only-secret", "GET", &date, "/v1/ipsec"));
    let (wrong, unknown) = (signed(key), signed("nosuchkey"));
    for (note, headers) in [
        ("nothing", vec![]),
        ("another scheme", vec![("Authorization", "Basic x")]),
        ("no session", vec![("Authorization", "OAuth 5700953056a03c589a264faa51db6a8f")]),
        ("no date", vec![("Authorization", "ZStack a:b")]),
        ("no such date", vec![("Authorization", "ZStack a:b"), ("Date", "2017-11-14")]),
        ("long ago", vec![("Authorization", "ZStack a:b"), ("Date", "Tue, 14 Nov 2017 22:20:57 UTC")]),
        ("no colon", vec![("Authorization", "ZStack a"), ("Date", date.as_str())]),
        ("no such key", vec![("Authorization", unknown.as_str()), ("Date", date.as_str())]),
        ("another secret", vec![("Authorization", wrong.as_str()), ("Date", date.as_str())]),
    ] {
        t.note(note);
        t.ask_with(b, "GET", PATH, &headers, "");
    }
    let password = digest("test-only-wrong");
    let login = json!({ "logInByAccount": { "accountName": "ops", "password": password } });
    t.ask_with(b, "PUT", "/zstack/v1/accounts/login", &[], &login.to_string()).expect(503);
    let login = json!({ "logInByUser": { "accountName": "ops", "userName": "u", "password": password } });
    t.ask_with(b, "PUT", "/zstack/v1/accounts/users/login", &[], &login.to_string()).expect(503);
}

#[test]
fn every_text_of_the_contract_is_given() {
    let mut b = Bench::idle(&Options::default());
    with_accounts(&b);
    let made = String::from_utf8(tool(&b, &["accesskey", "ops"], "").stdout).expect("text");
    let key = made.lines().find_map(|line| line.strip_prefix("id ")).expect("printed").trim();
    b.run();
    b.create(&params(7, &json!({}))).expect(200);
    let mut t = Transcript::default();
    paths(&b, &mut t);
    creations(&b, &mut t);
    actions(&b, &mut t);
    jobs(&b, &mut t);
    strangers(&b, &mut t, key);
    let missing: Vec<_> = TEXTS.iter().filter(|text| !t.contains(text)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    t.check("errors");
}
