//! A whole life of connections through `cygnet serve`, with every log on.

use super::needles::Needles;
use crate::{
    client::Response,
    fake_charon::Behaviour,
    serve::{Bench, Options, change, hex, params, uuid, wait_until},
};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

const PATH: &str = "/zstack/v1/ipsec";
/// The keys that are used: of a Create, of a Change, of refused requests, of the second connection.
const KEYS: [&str; 4] = [
    "test-only-Qx7Zr2-created-4Tm8Yc1Lw0Ae",
    "test-only-Wv5Kp9-changed-6Nf3Gd7Xb2Qo",
    "test-only-Ju3Mn8-refused-9Rs5Hv4Zk1Pi",
    "test-only-Ht6Bs4-another-2Ec0Dw8Um7Jy",
];

/// What a test finds out while the agent lives.
struct CharonLink {
    bench: Bench,
    needles: Needles,
}

impl CharonLink {
    fn begin(mask: bool) -> Self {
        let top = if mask { "mask_auth_key = true" } else { "" };
        let bench = Bench::with(&Options { top, log: "trace", timeout: "400ms", ..Options::default() });
        Self { bench, needles: Needles::new(&KEYS) }
    }

    /// Asserts that no form of a key is in `answer`.
    #[track_caller]
    fn clean(&self, answer: &Response) {
        for bytes in [format!("{:?}", answer.headers).as_bytes(), &answer.body] {
            assert_eq!(self.needles.found_in(bytes), [""; 0], "{}", answer.text());
        }
    }

    /// A request that is refused, and whose answer is clean.
    #[track_caller]
    fn refused(&self, method: &str, path: &str, body: &[u8]) {
        let answer = self.bench.ask(method, path, body);
        assert_ne!(answer.status, 200, "{}", answer.text());
        self.clean(&answer);
    }

    /// Asserts that neither the process nor what it wrote shows a key.
    #[track_caller]
    fn outputs_are_clean(&self) {
        let process = |file: &str| fs::read(format!("/proc/{}/{file}", self.bench.pid())).expect("it lives");
        let seen = [
            ("standard output", self.bench.stdout().into_bytes()),
            ("the log", self.bench.logs().into_bytes()),
            ("its arguments", process("cmdline")),
            ("its environment", process("environ")),
            ("its name", process("comm")),
        ];
        for (what, bytes) in seen {
            assert_eq!(self.needles.found_in(&bytes), [""; 0], "{what}");
        }
        self.clean(&self.bench.ask("GET", "/readyz", b""));
    }

    /// The files in which a key may be, of these connections.
    fn allowed(&self, numbers: &[u8]) -> Vec<String> {
        let files = |n: &u8| [self.bench.record(&uuid(*n)), self.bench.conf(&uuid(*n))];
        let mut files: Vec<_> =
            numbers.iter().flat_map(files).map(|path: PathBuf| path.display().to_string()).collect();
        files.sort_unstable();
        files
    }

    /// Asserts that keys are in the two files of each of these connections, in no others, and that nobody else may
    /// read those.
    #[track_caller]
    fn only_in_files_of(&self, numbers: &[u8]) {
        let found = self.needles.files_below(&self.bench.path(""));
        assert_eq!(found, self.allowed(numbers));
        for file in found {
            let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{file}");
        }
        let mode = fs::metadata(self.bench.connections_dir()).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
    }
}

fn body(params: &Value) -> Vec<u8> {
    json!({ "params": params }).to_string().into_bytes()
}

/// Changes with the third key whose parameters are refused, each for another reason.
fn refused_changes(life: &CharonLink) {
    let key = KEYS[2];
    for more in [
        json!({ "lifeTime": 1 }),
        json!({ "lifeTime": 3600.5 }),
        json!({ "pfs": "dh-group3" }),
        json!({ "authKey": format!("{key} {key}") }),
        json!({ "authKey": [key] }),
        json!({ "authKey": { "authKey": key } }),
        json!({ "authKey": key.repeat(2000) }),
        json!({ "peerAddress": null }),
        json!({ "policyMode": "transport" }),
        json!({ "authMode": "certs" }),
    ] {
        let mut parameters = change(7, &json!({ "authKey": key }));
        parameters.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        life.refused("PUT", &format!("{PATH}/config/{}", uuid(7)), &body(&parameters));
    }
}

/// Requests with the third key that are refused for what they are, and not for their parameters.
fn refused_requests(life: &CharonLink) {
    let (key, config) = (KEYS[2], format!("{PATH}/config/{}", uuid(7)));
    let sound = body(&change(7, &json!({ "authKey": key })));
    let text = String::from_utf8_lossy(&sound);
    let cut = &text[..text.len() - 1];
    for broken in [cut, &text.replace("peerAddress", "authKey"), &format!("[{text}]"), &format!("\u{feff}{text}")] {
        life.refused("PUT", &config, broken.as_bytes());
    }
    life.refused("PUT", &config, &[&sound[..], b"\xff"].concat());
    life.refused("PUT", &format!("{PATH}/config/{}", uuid(99)), &sound);
    life.refused("POST", PATH, &body(&params(7, &json!({ "authKey": key }))));
    life.refused("POST", PATH, &body(&params(8, &json!({ "authKey": key, "remoteId": "198.51.100.7" }))));
    life.refused("POST", PATH, &body(&params(8, &json!({ "authKey": key, "vipUuid": uuid(1) }))));
    life.refused("PATCH", &config, &sound);
    life.refused("PUT", "/zstack/v1/nothing", &sound);
    let unauthorised = life.bench.tcp().request("PUT", &config, &[], &sound).expect("answered");
    life.clean(&unauthorised.expect(400));
}

/// Changes with the third key that a misbehaving charon makes fail.
fn failing_changes(life: &CharonLink) {
    let config = format!("{PATH}/config/{}", uuid(7));
    let wanted = body(&change(7, &json!({ "authKey": KEYS[2] })));
    for command in ["load-shared", "load-conn"] {
        for behaviour in [
            Behaviour::Refuse("invalid value for: proposals, config discarded".into()),
            Behaviour::Silence,
            Behaviour::CloseMidAnswer,
            Behaviour::Garbage,
            Behaviour::Unknown,
        ] {
            life.bench.charon.on(command, behaviour);
            life.refused("PUT", &config, &wanted);
            life.bench.charon.behave();
        }
    }
}

#[test]
fn keys_are_where_they_must_be_and_nowhere_else() {
    let mut life = CharonLink::begin(true);
    let b = &life.bench;
    life.clean(&b.create(&params(7, &json!({ "authKey": KEYS[0] }))).expect(200));
    life.only_in_files_of(&[7]);
    let again = b.change(&uuid(7), &change(7, &json!({ "authKey": KEYS[1] }))).expect(200);
    life.clean(&again);
    life.clean(&b.create(&params(9, &json!({ "authKey": KEYS[3] }))).expect(200));
    refused_changes(&life);
    refused_requests(&life);
    failing_changes(&life);
    for path in [PATH, &format!("{PATH}/{}", uuid(7)), &format!("/cygnet/v1/connections/{}", uuid(7))] {
        life.clean(&b.ask("GET", path, b"").expect(200));
    }
    life.outputs_are_clean();
    life.only_in_files_of(&[7, 9]);

    assert!(life.bench.stop().success());
    life.only_in_files_of(&[7, 9]);
    life.bench.run();
    life.outputs_are_clean();
    life.bench.ask("DELETE", &format!("{PATH}/{}", uuid(9)), b"").expect(200);
    life.only_in_files_of(&[7]);
    life.bench.ask("DELETE", &format!("{PATH}/{}", uuid(7)), b"").expect(200);
    life.only_in_files_of(&[]);
    life.outputs_are_clean();
    assert!(life.bench.charon.secrets().is_empty());
}

/// A PPK is shown to nobody, masks or not: in no answer, plan, revision, export or log, and in no tag.
#[test]
fn a_ppk_is_where_it_must_be_and_nowhere_else() {
    let mut life = CharonLink::begin(false);
    let b = &life.bench;
    let ppk =
        |ppk: &str| json!({ "ikeVersion": "ikev2", "ppkId": "site-a", "ppk": ppk, "authKey": "test-only-authkey" });
    life.clean(&b.create(&params(7, &ppk(KEYS[0]))).expect(200));
    life.only_in_files_of(&[7]);
    let digits = format!("0x{}", hex(KEYS[1].as_bytes()));
    let plan = format!("/cygnet/v1/connections/{}/plan", uuid(7));
    let planned = b.ask("POST", &plan, &body(&change(7, &ppk(&digits)))).expect(200);
    life.clean(&planned);
    let fields = planned.json()["fields"].clone();
    assert!(
        fields.as_array().is_some_and(|all| all.contains(&json!({ "field": "ppk", "changed": "yes" }))),
        "{fields}"
    );
    life.clean(&b.change(&uuid(7), &change(7, &ppk(&digits))).expect(200));
    let loaded = b.charon.requests_of("load-shared").pop().expect("loaded");
    assert!(!life.needles.found_in(&loaded.bytes).is_empty(), "charon has the bytes that the digits mean");
    let config = format!("{PATH}/config/{}", uuid(7));
    for (name, value) in [
        ("ppk", json!([KEYS[2]])),
        ("ppk", json!(format!("{} x", KEYS[2]))),
        ("ppk", json!(format!("0x{}", KEYS[2]))),
        ("ppk", json!(KEYS[2].repeat(200))),
        ("ppkId", json!(KEYS[2].repeat(3))),
        ("ppkId", json!("")),
        ("ikeVersion", json!("ikev1")),
        ("systemTags", json!([format!("cygnet::ppk::{}", KEYS[2])])),
    ] {
        let mut parameters = change(7, &ppk(KEYS[2]));
        parameters[name] = value;
        life.refused("PUT", &config, &body(&parameters));
    }
    let mut other = params(8, &ppk(KEYS[2]));
    other["ppkId"] = json!("SITE-A");
    let clash = b.create(&other);
    assert!(clash.status != 200 && clash.text().contains("KEY_AMBIGUOUS"), "one name has one PPK: {}", clash.text());
    life.clean(&clash);
    for command in ["load-shared", "load-conn"] {
        b.charon.on(command, Behaviour::Refuse("no".into()));
        life.refused("PUT", &config, &body(&change(7, &ppk(KEYS[2]))));
        b.charon.behave();
    }
    let own = format!("/cygnet/v1/connections/{}", uuid(7));
    for path in [PATH, &own, "/cygnet/v1/connections", &format!("{own}/history"), "/cygnet/v1/export", "/metrics"] {
        life.clean(&b.ask("GET", path, b""));
    }
    let history = b.ask("GET", &format!("{own}/history"), b"").expect(200);
    assert_eq!(history.json()["revisions"][0]["fields"], json!([{ "field": "ppk", "changed": "yes" }]));
    life.clean(&b.ask("POST", &format!("{own}/revert?revision=1"), b"").expect(200));
    life.outputs_are_clean();
    life.only_in_files_of(&[7]);
    assert!(life.bench.stop().success());
    life.bench.run();
    life.outputs_are_clean();
    life.only_in_files_of(&[7]);
    let none = change(7, &json!({ "ikeVersion": "ikev2", "ppkId": "", "authKey": "test-only-authkey" }));
    life.clean(&life.bench.change(&uuid(7), &none).expect(200));
    life.only_in_files_of(&[]);
    assert_eq!(life.bench.charon.secrets().len(), 1, "the PPK has left charon");
}

#[test]
fn the_search_finds_keys_where_they_must_be() {
    let life = CharonLink::begin(false);
    let b = &life.bench;
    let created = b.create(&params(7, &json!({ "authKey": KEYS[0] }))).expect(200);
    let found = |bytes: &[u8]| life.needles.found_in(bytes).into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(found(&created.body), ["the text", "the text"], "the API gives keys back, unless they are masked");
    let loaded = b.charon.requests_of("load-shared").pop().expect("loaded");
    assert_eq!(found(&loaded.bytes), ["the text", "the text"], "vici has the bytes");
    for file in [b.record(&uuid(7)), b.conf(&uuid(7))] {
        assert!(found(&fs::read(&file).expect("there")).contains(&"hexadecimal".to_owned()), "{}", file.display());
    }
    let masked = b.path("leak");
    fs::write(&masked, format!("2026 DEBUG {:?}", KEYS[0].as_bytes())).expect("written");
    assert!(life.needles.files_below(&b.path("")).contains(&masked.display().to_string()));
    // And the log is one: it says what happened.
    assert!(b.logs().contains(&uuid(7)), "{}", b.logs());
}

#[test]
fn a_damaged_record_does_not_show_its_key() {
    let mut life = CharonLink::begin(true);
    life.bench.create(&params(7, &json!({ "authKey": KEYS[0] }))).expect(200);
    life.bench.stop();
    let text = fs::read_to_string(life.bench.record(&uuid(7))).expect("there");
    let hex = hex(KEYS[0].as_bytes());
    for damaged in [
        text.replace(&format!("\"{hex}\""), &hex),
        text.replace(&format!("\"{hex}\""), &format!("[\"{hex}\"]")),
        text.replace(&hex, &format!("{hex}0")),
        text.replace("\"psk_hex\"", "\"psk\""),
        text.replace("\"name\"", &format!("\"{hex}\"")),
    ] {
        fs::write(life.bench.record(&uuid(7)), damaged).expect("written");
        life.bench.run();
        let ready = life.bench.ask("GET", "/readyz", b"").json();
        assert!(ready["damaged"][0]["why"].is_string(), "{ready}");
        life.outputs_are_clean();
        life.bench.stop();
    }
}

#[test]
fn a_charon_that_comes_and_goes_makes_no_key_show() {
    let mut life = CharonLink::begin(true);
    life.bench.create(&params(7, &json!({ "authKey": KEYS[0] }))).expect(200);
    life.bench.charon.kill();
    wait_until("its end is seen", || (life.bench.ask("GET", "/readyz", b"").status == 503).then_some(()));
    life.refused("PUT", &format!("{PATH}/config/{}", uuid(7)), &body(&change(7, &json!({ "authKey": KEYS[2] }))));
    life.bench.charon.revive();
    wait_until("it is used again", || (life.bench.ask("GET", "/readyz", b"").status == 200).then_some(()));
    life.outputs_are_clean();
    life.only_in_files_of(&[7]);
}
