//! Logging in by account, sessions, and requests signed with an access key (contract 1.10).

use crate::serve::{Bench, Options, params, uuid};
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha512};
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
};

/// The password of the account `admin`.
pub const PASSWORD: &str = "test-only-password";
const QUERY: &str = "/zstack/v1/ipsec";

/// An agent with the account `admin`.
fn bench() -> Bench {
    let mut b = Bench::idle(&Options::default());
    with_accounts(&b);
    tool(&b, &["passwd", "admin"], &format!("{PASSWORD}\n"));
    b.run();
    b
}

/// Names an accounts file in the settings.
pub fn with_accounts(b: &Bench) {
    let (settings, file) = (b.path("cygnet.toml"), b.path("accounts"));
    let text = fs::read_to_string(&settings).expect("settings");
    let line = format!("[auth]\naccounts_file = \"{}\"", file.display());
    fs::write(&settings, text.replace("[auth]", &line)).expect("settings");
}

/// Runs a subcommand with the bench's settings, which must succeed.
pub fn tool(b: &Bench, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    command.args(arguments).arg("--config").arg(b.path("cygnet.toml"));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

/// One call over TCP: the status and the text.
pub fn call(b: &Bench, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, String) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = b.tcp().request(method, path, headers, body.as_bytes()).expect("an answer");
    (answer.status, answer.text())
}

/// A password as clients send it.
pub fn digest(password: &str) -> String {
    HEXLOWER.encode(&Sha512::digest(password))
}

/// What a login is answered.
pub fn login(b: &Bench, name: &str, password: &str) -> (u16, Value) {
    let body = json!({ "logInByAccount": { "accountName": name, "password": digest(password) } });
    let (status, text) = call(b, "PUT", "/zstack/v1/accounts/login", &[], &body);
    (status, serde_json::from_str(&text).expect("JSON"))
}

fn session(b: &Bench) -> String {
    let (status, answer) = login(b, "admin", PASSWORD);
    assert_eq!(status, 200, "{answer}");
    answer["inventory"]["uuid"].as_str().expect("a uuid").to_owned()
}

#[test]
fn an_account_logs_in_and_out() {
    let b = bench();
    let (_, answer) = login(&b, "admin", PASSWORD);
    let inventory = &answer["inventory"];
    let members: Vec<_> = inventory.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["uuid", "accountUuid", "userUuid", "expiredDate", "createDate"]);
    let uuid = inventory["uuid"].as_str().expect("a uuid");
    let bearer = format!("OAuth {uuid}");
    let ask = || call(&b, "GET", QUERY, &[("Authorization", &bearer)], &Value::Null);
    assert_eq!(ask().0, 200);
    let path = format!("/zstack/v1/accounts/sessions/{uuid}");
    let valid = || call(&b, "GET", &format!("{path}/valid"), &[], &Value::Null);
    assert_eq!(valid(), (200, "{\"valid\":true}".to_owned()));
    let renew = |duration: i64| {
        let body = json!({ "renewSession": { "duration": duration } });
        call(&b, "PUT", &format!("{path}/renew"), &[("Authorization", &bearer)], &body)
    };
    assert_eq!(renew(86_400).0, 200);
    assert!(renew(59).1.contains("must be in range of [60, 31536000]"));
    assert_eq!(call(&b, "DELETE", &path, &[], &Value::Null), (200, "{}".to_owned()));
    assert_eq!(valid(), (200, "{\"valid\":false}".to_owned()));
    let (status, text) = ask();
    assert!(status == 503 && text.contains("ID.1001") && text.contains("Session expired"), "{text}");
}

#[test]
fn who_cannot_log_in_learns_nothing_and_is_made_to_wait() {
    let b = bench();
    let wrong = login(&b, "admin", "test-only-wrong");
    assert_eq!((wrong.0, &wrong.1["error"]["code"]), (503, &json!("ID.1000")));
    assert_eq!(wrong.1["error"]["details"], "wrong account name or password");
    assert_eq!(login(&b, "nobody", PASSWORD), wrong, "an unknown name looks the same");
    let body = json!({ "logInByUser": { "accountName": "admin", "userName": "u", "password": digest(PASSWORD) } });
    let user = call(&b, "PUT", "/zstack/v1/accounts/users/login", &[], &body).1;
    assert!(user.contains("ID.1000") && user.contains("wrong account or username or password"), "{user}");
    for _ in 0..8 {
        login(&b, "admin", "test-only-wrong");
    }
    let (_, limited) = login(&b, "admin", PASSWORD);
    let details = limited["error"]["details"].as_str().expect("details");
    assert!(details.starts_with("too many failed logins"), "{details}");
    assert!(!b.logs().contains(&digest(PASSWORD)) && !b.logs().contains(PASSWORD));
}

#[test]
fn passwords_and_keys_are_kept_as_they_should_be() {
    let b = bench();
    let file = fs::read_to_string(b.path("accounts")).expect("the file");
    assert!(file.contains("$argon2id$") && !file.contains(PASSWORD) && !file.contains(&digest(PASSWORD)), "{file}");
    let mode = || fs::metadata(b.path("accounts")).expect("the file").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(b.path("accounts"), fs::Permissions::from_mode(0o640)).expect("set");
    tool(&b, &["passwd", "admin"], "test-only-second\n");
    assert_eq!(mode(), 0o640, "the file keeps its mode");
    let old = session(&b);
    b.signal(nix::sys::signal::Signal::SIGHUP);
    crate::serve::wait_until("the new password counts", || {
        (login(&b, "admin", "test-only-second").0 == 200).then_some(())
    });
    assert_eq!(login(&b, "admin", PASSWORD).0, 503);
    let bearer = format!("OAuth {old}");
    assert_eq!(call(&b, "GET", QUERY, &[("Authorization", &bearer)], &Value::Null).0, 200, "sessions go on");
}

/// The signature of a request, as the SDKs make it.
pub fn signature(secret: &str, method: &str, date: &str, path: &str) -> String {
    let mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any length");
    BASE64.encode(&mac.chain_update(format!("{method}\n{date}\n{path}")).finalize().into_bytes())
}

/// The present time as a `Date` header with this zone.
pub fn now(zone: &str) -> String {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    format!("{} {zone}", now.strftime("%a, %d %b %Y %H:%M:%S"))
}

#[test]
fn requests_are_signed_with_access_keys() {
    let mut b = Bench::idle(&Options::default());
    with_accounts(&b);
    let made = String::from_utf8(tool(&b, &["accesskey", "ops"], "").stdout).expect("text");
    let word = |name: &str| made.lines().find_map(|line| line.strip_prefix(name)).expect("printed").trim().to_owned();
    let (id, secret) = (word("id "), word("secret "));
    b.run();
    b.create(&params(7, &json!({}))).expect(200);
    let path = format!("/v1/ipsec/{}", uuid(7));
    let ask = |date: &str, value: &str| {
        let headers = [("Authorization", value), ("Date", date)];
        call(&b, "GET", &format!("/zstack{path}"), if date.is_empty() { &headers[..1] } else { &headers }, &Value::Null)
    };
    for zone in ["UTC", "Etc/UTC", "CST"] {
        let date = now(zone);
        let value = format!("ZStack {id}:{}", signature(&secret, "GET", &date, &path));
        assert_eq!(ask(&date, &value).0, 200, "{zone}");
        let wrong = format!("ZStack {id}:{}", signature(&secret, "PUT", &date, &path));
        assert_eq!(ask(&date, &wrong), (403, "wrong accessKey signature".to_owned()));
        let unknown = format!("ZStack nosuchkey:{}", signature(&secret, "GET", &date, &path));
        assert_eq!(ask(&date, &unknown), (403, "access key id: nosuchkey does not existed or disabled".to_owned()));
        assert_eq!(
            ask(&date, "ZStack nocolon"),
            (400, "accessKey format is 'ZStack AccessKeyId:Signature'".to_owned())
        );
    }
    let format = "'Date' format error, correct format is 'EEE, dd MMM yyyy HH:mm:ss z'";
    assert_eq!(ask("2017-11-14", "ZStack a:b"), (400, format.to_owned()));
    assert_eq!(ask("", "ZStack a:b"), (400, "'Date' must be incuded in request header".to_owned()));
    assert_eq!(ask("Tue, 14 Nov 2017 22:20:57 UTC", "ZStack a:b"), (403, "requestTimeTooSkewed".to_owned()));
    assert!(!b.logs().contains(&secret));
}
