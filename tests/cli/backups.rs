//! `cygnet backup` and `cygnet restore`: what is in a backup, who can read it, what comes back, and what is refused.

use super::{
    run::{OTHER_KEY, Run, command, fed, run, up},
    tty::Terminal,
};
use crate::{
    certificates::{Ca, Kind},
    fake_charon::Behaviour,
    serve::{Bench, KEY, NETWORK, Options, VIP, files, hex, params, uuid, wait_until},
};
use cygnet::seal;
use nix::{sys::signal::Signal, unistd::Uid};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Stdio};

pub const PASSPHRASE: &str = "test-only passphrase of backups";

/// A file with the passphrase; its name.
fn passphrase(b: &Bench) -> String {
    let path = b.path("passphrase");
    fs::write(&path, format!("{PASSPHRASE}\n")).expect("written");
    path.display().to_string()
}

/// Makes a backup of `b`.
pub fn backup(b: &Bench, name: &str) -> PathBuf {
    let path = b.path(name);
    let text = path.display().to_string();
    let out = run(b, &["backup", &text, "--passphrase-file", &passphrase(b)]).ends(0).out;
    assert!(out.starts_with(&format!("wrote {text}: ")), "{out}");
    path
}

/// Restores a backup at `b`.
pub fn restore(b: &Bench, file: &std::path::Path, more: &[&str]) -> Run {
    let (file, passphrase) = (file.display().to_string(), passphrase(b));
    run(b, &[&["restore", &file, "--passphrase-file", &passphrase, "--yes"], more].concat())
}

/// An agent with three connections: the 7 with a history, the 8 disabled and with another key, the 9 with certificates.
fn gateway() -> Bench {
    let b = up();
    run(&b, &["change", "site-7", "--set", "lifeTime=2000", "--yes", "--wait"]).ends(0);
    b.create(&params(8, &json!({ "authKey": OTHER_KEY }))).expect(200);
    run(&b, &["disable", "site-8", "--yes"]).ends(0);
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let gateway = ca.issue(Kind::Ecdsa, "CN=gw", &[]);
    let key = gateway.bundle(&[&ca]);
    b.create(&params(9, &json!({ "authMode": "certs", "authKey": key, "remoteId": "CN=peer", "idType": "name" })))
        .expect(200);
    b
}

/// Another gateway, with nothing.
fn empty() -> Bench {
    Bench::start()
}

/// What is stored, without what is seen of it.
fn said(b: &Bench) -> Vec<Value> {
    let one = |n: u8| {
        let id = uuid(n);
        let text = fs::read_to_string(b.record(&id)).unwrap_or_else(|e| panic!("{n}: {e}"));
        let mut record: Value = serde_json::from_str(&text).expect("JSON");
        record.as_object_mut().expect("members").remove("unproven");
        record
    };
    (7..=9).map(one).collect()
}

#[test]
fn a_backup_is_sealed_and_makes_an_empty_gateway_the_same() {
    let b = gateway();
    fs::create_dir(b.path("conf.d")).expect("a directory");
    fs::write(b.path("conf.d/20-more.toml"), "# nothing more\n").expect("settings");
    fs::create_dir(b.path("credentials")).expect("a directory");
    fs::write(b.path("credentials/tokens"), "plane:test-only-token-of-the-plane\n").expect("tokens");
    let file = backup(&b, "b.sealed");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o7777, 0o600);
    let bytes = fs::read(&file).expect("there");
    let plain = seal::open(PASSPHRASE, &bytes).expect("opened");
    for needle in [KEY, OTHER_KEY, &hex(KEY.as_bytes()), "site-7", "PRIVATE KEY", "test-only-token-of-the-plane"] {
        let holds = |bytes: &[u8]| memchr::memmem::find(bytes, needle.as_bytes()).is_some();
        assert!(!holds(&bytes), "{needle} is not hidden");
        // A pre-shared key is there as in a record.
        assert!(holds(&plain) || [KEY, OTHER_KEY].contains(&needle), "the control: {needle} is in it");
    }
    let other = empty();
    let ended = restore(&other, &file, &[]).ends(0);
    assert!(
        ended.out.starts_with("restored 3 connections and 2 files; 0 connections were as in the backup"),
        "{}",
        ended.out
    );
    assert!(ended.err.contains("systemctl restart cygnet"), "{}", ended.err);
    assert_eq!(said(&other), said(&b), "records, with keys and revisions");
    for n in [7, 9] {
        assert_eq!(fs::read(other.conf(&uuid(n))).expect("written"), fs::read(b.conf(&uuid(n))).expect("written"));
    }
    assert!(!other.conf(&uuid(8)).exists(), "it is disabled");
    let token = other.path("credentials/tokens");
    assert_eq!(fs::read(&token).expect("there"), fs::read(b.path("credentials/tokens")).expect("there"));
    assert_eq!(fs::metadata(&token).expect("there").permissions().mode() & 0o7777, 0o600);
    assert!(
        fs::read_to_string(other.path("cygnet.toml"))
            .expect("there")
            .contains(&other.path("state").display().to_string()),
        "its own settings stay"
    );
    // Whoever has all is not touched: charon hears of nothing but reads.
    other.charon.forget_requests();
    let before = said(&other);
    let ended = restore(&other, &file, &["--replace"]).ends(0);
    assert!(
        ended.out.starts_with("restored 0 connections and 0 files; 3 connections were as in the backup"),
        "{}",
        ended.out
    );
    let writes = |command: &String| {
        command.starts_with("load") || command.starts_with("unload") || command.starts_with("terminate")
    };
    assert!(!other.charon.commands().iter().any(writes), "{:?}", other.charon.commands());
    assert_eq!(said(&other), before);
}

#[test]
fn a_plain_backup_says_so_and_nothing_is_overwritten() {
    let b = up();
    let path = b.path("b.json");
    let name = path.display().to_string();
    let ended = run(&b, &["backup", &name, "--plain"]).ends(0);
    assert!(ended.err.contains("not sealed: whoever reads it has all keys"), "{}", ended.err);
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o600);
    let whole: Value = serde_json::from_slice(&fs::read(&path).expect("there")).expect("JSON");
    assert_eq!((&whole["format"], &whole["version"]), (&json!("cygnet-backup"), &json!(1)));
    assert_eq!(whole["connections"][0]["psk_hex"], hex(KEY.as_bytes()));
    let before = fs::read(&path).expect("there");
    std::os::unix::fs::symlink(b.path("nowhere"), b.path("link")).expect("a link");
    for there in [name.clone(), b.path("link").display().to_string()] {
        let ended = run(&b, &["backup", &there, "--plain"]).ends(1);
        assert!(ended.err.contains("exists; nothing was written"), "{}", ended.err);
    }
    assert!(fs::read(&path).expect("there") == before && !b.path("nowhere").exists());
    let ended = run(&b, &["backup", &b.path("no/where").display().to_string(), "--plain"]).ends(1);
    assert!(ended.err.contains("cannot write"), "{}", ended.err);
    let other = empty();
    run(&other, &["restore", &name, "--yes"]).ends(0);
    assert_eq!(other.inventory(&uuid(7))["authKey"], KEY);
}

#[test]
fn the_passphrase_is_never_on_the_command_line() {
    let b = up();
    let name = |n: u8| b.path(&format!("b{n}")).display().to_string();
    let ended = run(&b, &["backup", &name(1)]).ends(2);
    assert!(ended.err.contains("nobody can be asked") && ended.err.contains("CYGNET_PASSPHRASE"), "{}", ended.err);
    let ended = fed(&b, &["backup", &name(1), "--passphrase-file", "-"], "\n").ends(1);
    assert!(ended.err.contains("the passphrase is empty"), "{}", ended.err);
    let ended = fed(&b, &["backup", &name(1), "--passphrase-file", "-"], "test-only\n").ends(0);
    assert!(ended.err.contains("the passphrase is short"), "{}", ended.err);
    let credentials = b.path("run");
    fs::create_dir(&credentials).expect("a directory");
    fs::write(credentials.join("backup-passphrase"), PASSPHRASE).expect("written");
    for (n, variable, value) in [
        (2, "CYGNET_PASSPHRASE", PASSPHRASE.to_owned()),
        (3, "CREDENTIALS_DIRECTORY", credentials.display().to_string()),
    ] {
        let output =
            command(&b, &["backup", &name(n)]).env(variable, value).stdin(Stdio::null()).output().expect("ran");
        assert!(output.status.success(), "{output:?}");
        assert!(seal::open(PASSPHRASE, &fs::read(name(n)).expect("there")).is_ok());
    }
    let mut terminal = Terminal::start(&b, &["backup", &name(4)], &[]);
    terminal.until("New passphrase: ");
    terminal.types(PASSPHRASE);
    terminal.until("Retype new passphrase: ");
    terminal.types(PASSPHRASE);
    let (code, shown) = terminal.end();
    assert!(code == 0 && !shown.contains("test-only"), "{shown}");
    let other = empty();
    let mut terminal = Terminal::start(&other, &["restore", &name(4)], &[]);
    terminal.until("(not shown): ");
    terminal.types(PASSPHRASE);
    terminal.until("Restore 1 connections and 0 files? [y/N] ");
    terminal.types("y");
    let (code, shown) = terminal.end();
    assert!(code == 0 && shown.contains("restored 1 connections") && !shown.contains("test-only"), "{shown}");
}

/// Whatever is wrong with a backup, it is said before anything is done.
#[test]
fn what_is_no_backup_is_refused_and_nothing_is_done() {
    let b = up();
    let file = backup(&b, "b.sealed");
    let sealed = fs::read(&file).expect("there");
    let plain = seal::open(PASSPHRASE, &sealed).expect("opened");
    let whole: Value = serde_json::from_slice(&plain).expect("JSON");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut other = whole.clone();
        change(&mut other);
        other.to_string().into_bytes()
    };
    let named = |name: &'static str| with(&move |whole| whole["files"] = json!([{ "name": name, "text": "x" }]));
    let mut flipped = sealed.clone();
    *flipped.last_mut().expect("bytes") ^= 1;
    let mut newer = sealed.clone();
    newer[14] = 9;
    let none = "none of the settings";
    let cases: [(Vec<u8>, &str); 21] = [
        (sealed[..sealed.len() - 1].to_vec(), "damaged: it was cut off or changed"),
        (sealed[..40].to_vec(), "it is cut off"),
        (flipped, "damaged: it was cut off or changed"),
        (newer, "layout 9"),
        (Vec::new(), "cut off"),
        (b"\x1f\x8b\x08 something else".to_vec(), "not a backup of cygnet"),
        (b"{}".to_vec(), "members of a backup"),
        (plain[..plain.len() / 2].to_vec(), "it is cut off"),
        ("[".repeat(100_000).into_bytes(), "members of a backup"),
        (format!("{{\"format\":{}", "[".repeat(100_000)).into_bytes(), "members of a backup"),
        (with(&|whole| whole["version"] = 2.into()), "it has version 2"),
        (with(&|whole| whole["format"] = "other".into()), "not a backup of cygnet"),
        (with(&|whole| whole["more"] = 1.into()), "members of a backup"),
        (with(&|whole| whole["connections"][0]["psk_hex"] = "zz".into()), "connection 1 cannot be read: psk_hex"),
        (with(&|whole| whole["connections"][0]["uuid"] = "../../x".into()), "connection 1 cannot be read: uuid"),
        (
            with(&|whole| {
                let one = whole["connections"][0].clone();
                whole["connections"].as_array_mut().expect("a list").push(one);
            }),
            "another one has its uuid",
        ),
        (named("../tokens"), none),
        (named("conf.d/../../x.toml"), none),
        (named("/etc/passwd"), none),
        (named("conf.d/x\n.toml"), none),
        (named("credentials/.hidden"), none),
    ];
    let other = empty();
    let before = (files(&other.connections_dir()), files(&other.path("")));
    for (bytes, why) in cases {
        let path = b.path("wrong");
        fs::write(&path, bytes).expect("written");
        let ended = restore(&other, &path, &[]).ends(1);
        assert!(ended.err.contains(why), "{why}: {}", ended.err);
        assert!(!ended.err.contains(&hex(KEY.as_bytes())), "{}", ended.err);
    }
    let ended =
        fed(&other, &["restore", &file.display().to_string(), "--yes", "--passphrase-file", "-"], "test-only wrong\n");
    assert!(ended.ends(1).err.contains("the passphrase is wrong"));
    let ended = run(&other, &["restore", "/nowhere", "--yes"]).ends(1);
    assert!(ended.err.contains("/nowhere"), "{}", ended.err);
    let mut after = (files(&other.connections_dir()), files(&other.path("")));
    after.1.retain(|name| name != "passphrase");
    assert_eq!(after, before);
    assert!(other.charon.connections().is_empty());
}

#[test]
fn what_is_here_and_differs_stays_unless_the_caller_says_otherwise() {
    let b = gateway();
    let file = backup(&b, "b.sealed");
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(8)), b"").expect(200);
    let body = json!({ "changeIPsecConnection": { "authKey": "test-only-newer", "lifeTime": 3000 } }).to_string();
    b.ask("PUT", &format!("/zstack/v1/ipsec/config/{}?keep=true", uuid(7)), body.as_bytes()).expect(200);
    b.create(&params(10, &json!({}))).expect(200);
    let ended = restore(&b, &file, &["--plan"]).ends(0);
    assert!(ended.out.contains("differs: lifeTime 3000 -> 2000, authKey changed"), "{}", ended.out);
    assert!(ended.out.contains("missing") && ended.out.contains("the same here: 1 of 3"), "{}", ended.out);
    let told = restore(&b, &file, &["--plan", "--json"]).ends(0).json();
    let what: Vec<_> = told["connections"].as_array().expect("a list").iter().map(|one| one["what"].clone()).collect();
    assert_eq!(what, ["differs", "missing", "same"]);
    let ended = restore(&b, &file, &[]).ends(1);
    assert!(ended.err.contains("1 connections here differ from the backup; nothing was done"), "{}", ended.err);
    assert!(!b.record(&uuid(8)).exists());
    restore(&b, &file, &["--only-missing"]).ends(0);
    assert_eq!(
        (&b.inventory(&uuid(7))["lifeTime"], &b.inventory(&uuid(8))["state"]),
        (&json!(3000), &json!("Disabled"))
    );
    restore(&b, &file, &["--replace"]).ends(0);
    let back = b.inventory(&uuid(7));
    assert_eq!((&back["lifeTime"], &back["authKey"]), (&json!(2000), &json!(KEY)));
    let seen = run(&b, &["history", "site-7", "--json"]).ends(0).json();
    assert_eq!(
        (&seen["revisions"][0]["revision"], &seen["revisions"][0]["caller"]),
        (&json!(4), &json!(format!("uid {}", Uid::current())))
    );
    assert_eq!(b.inventory(&uuid(10))["name"], "site-10", "what the backup does not have is left alone");
    run(&b, &["restore", "x", "--replace", "--only-missing"]).ends(2);
}

/// Two that take each other's place, and one that never can.
#[test]
fn one_waits_for_another_and_what_is_refused_is_named() {
    let b = up();
    b.create(&params(8, &json!({}))).expect(200);
    let file = backup(&b, "b.sealed");
    let to = |n: u8, peer: &str| {
        let body = json!({ "changeIPsecConnection": { "peerAddress": peer } }).to_string();
        b.ask("PUT", &format!("/zstack/v1/ipsec/config/{}?keep=true", uuid(n)), body.as_bytes()).expect(200);
    };
    to(7, "198.51.100.70");
    to(8, "198.51.100.7");
    let ended = restore(&b, &file, &["--replace"]).ends(0);
    assert!(ended.out.starts_with("restored 2 connections"), "{}", ended.out);
    assert_eq!(b.inventory(&uuid(7))["peerAddress"], "198.51.100.7");
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(7)), b"").expect(200);
    b.create(&params(11, &json!({ "peerAddress": "198.51.100.7" }))).expect(200);
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(8)), b"").expect(200);
    let ended = restore(&b, &file, &[]).ends(1);
    assert!(
        ended.err.contains("site-11") && ended.err.contains("1 of 2 connections were not restored"),
        "{}",
        ended.err
    );
    assert_eq!(b.inventory(&uuid(8))["name"], "site-8", "the other one is back");
}

#[test]
fn a_restore_that_a_crash_ends_is_finished_by_the_next_one() {
    let b = gateway();
    let file = backup(&b, "b.sealed");
    // The first two come back, the third one hangs in charon. It hangs for longer than a busy machine may stall, else the
    // agent gives up on charon before it is killed, and has an answer.
    let mut other = Bench::with(&Options { timeout: "60s", ..Options::default() });
    other.charon.establish(true);
    other.charon.once(&format!("load-conn cygnet-{}", uuid(9)), Behaviour::Silence);
    let restoring =
        command(&other, &["restore", &file.display().to_string(), "--yes", "--passphrase-file", &passphrase(&other)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
    wait_until("the first ones are back", || {
        (other.record(&uuid(7)).exists() && other.record(&uuid(8)).exists()).then_some(())
    });
    other.charon.wait_for("load-conn", 2);
    other.signal(Signal::SIGKILL);
    other.reap();
    let output = restoring.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("run the restore again"), "{output:?}");
    assert!(!other.record(&uuid(9)).exists());
    other.charon.behave();
    other.run();
    let ended = restore(&other, &file, &[]).ends(0);
    assert!(
        ended.out.starts_with("restored 1 connections and 0 files; 2 connections were as in the backup"),
        "{}",
        ended.out
    );
    assert_eq!(said(&other), said(&b));
}

/// What is on trial is not confirmed: the backup has what it would put back.
#[test]
fn a_change_on_trial_is_not_in_a_backup() {
    let bench = up();
    let b = &bench;
    b.charon.establish(false);
    let path = std::thread::scope(|scope| {
        let arguments = ["change", "site-7", "--set", "ikeDhGroup=14", "--yes", "--confirm", "3s"];
        let on_trial = scope.spawn(move || run(b, &arguments));
        let is_on_trial = || fs::read_to_string(b.record(&uuid(7))).is_ok_and(|text| text.contains("\"trial\""));
        wait_until("it is on trial", || is_on_trial().then_some(()));
        let path = backup(b, "b.sealed");
        wait_until("it is taken back", || (!is_on_trial()).then_some(()));
        b.charon.establish(true);
        on_trial.join().expect("no panic").ends(1);
        path
    });
    let plain = seal::open(PASSPHRASE, &fs::read(path).expect("there")).expect("opened");
    let whole: Value = serde_json::from_slice(&plain).expect("JSON");
    assert_eq!((&whole["connections"][0]["ike"]["group"], &whole["connections"][0]["version"]), (&json!(2), &json!(1)));
}

#[test]
fn a_backup_without_an_agent_and_of_what_is_damaged() {
    let mut b = gateway();
    b.stop();
    let file = backup(&b, "b.sealed");
    fs::write(b.record(&uuid(8)), "torn").expect("written");
    let name = b.path("second").display().to_string();
    let ended = run(&b, &["backup", &name, "--passphrase-file", &passphrase(&b)]).ends(1);
    assert!(ended.err.contains("not in it: ") && ended.err.contains(&uuid(8)), "{}", ended.err);
    let ended = restore(&b, &file, &[]).ends(3);
    assert!(ended.err.contains("cannot reach the agent"), "{}", ended.err);
    b.run();
    let ended = restore(&b, &file, &["--replace"]).ends(1);
    assert!(ended.err.contains("1 of 3 connections were not restored"), "{}", ended.err);
    assert_eq!(
        fs::read_to_string(b.record(&uuid(8))).expect("there"),
        "torn",
        "what cannot be read is left to a human"
    );
}

/// Addresses that this host lacks are no error: the doctor and the reason of the connection name them.
#[test]
fn a_host_without_the_addresses_takes_the_connections() {
    let b = up();
    let file = backup(&b, "b.sealed");
    let other = Bench::idle(&Options::default());
    let text = fs::read_to_string(other.path("cygnet.toml")).expect("settings");
    let foreign =
        text.replace(VIP, &"d".repeat(32)).replace(NETWORK, &"e".repeat(32)).replace("192.0.2.1", "192.0.2.77");
    fs::write(other.path("cygnet.toml"), foreign).expect("settings");
    let mut other = other;
    other.run();
    restore(&other, &file, &[]).ends(0);
    let view = other.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json();
    assert_eq!(view["inventory"]["vipUuid"], VIP);
    assert_eq!(view["settings_drift"].as_array().map(Vec::len), Some(2), "{view}");
}

#[test]
fn only_root_of_this_host_may_restore() {
    let b = up();
    let record = fs::read(b.record(&uuid(7))).expect("stored");
    for path in ["/cygnet/v1/restore", "/cygnet/v1/restore/plan"] {
        let answer = b.ask("POST", path, &record);
        assert_eq!(answer.status, 403);
        let answer = b.unix().request("POST", path, &[], b"{\"psk_hex\": \"6b6579\"}").expect("sent").expect(503);
        let why = answer.json()["error"]["details"].as_str().expect("details").to_owned();
        assert!(why.contains("cannot be read") && !why.contains("6b6579"), "{why}");
    }
    let answer = b.unix().request("POST", "/cygnet/v1/restore?replace=maybe", &[], &record).expect("sent").expect(503);
    assert!(answer.json()["error"]["details"].as_str().is_some_and(|why| why.contains("replace")));
}
