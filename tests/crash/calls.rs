//! The calls that are killed, and what must be there afterwards.

use crate::{
    certificates::{Ca, Kind},
    client::Client,
    serve::{Bench, Options, TOKEN, change, files, params, uuid, wait_until},
};
use cygnet::{
    ipsec::{Auth, Certs},
    store::format,
    strongswan::{conf, credentials, requests},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf, sync::LazyLock};

/// The connection.
pub const N: u8 = 7;
const PATH: &str = "/zstack/v1/ipsec";
/// The lifetimes by which the old and the new connection are told apart.
const OLD: u32 = 1000;
const NEW: u32 = 2000;

/// A write call. A change is of the lifetime and of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Create,
    Change,
    Delete,
    /// On trial, and the tunnel comes up.
    Confirmed,
    /// On trial, and the tunnel does not come up before the kill.
    Trial,
    /// From a key to certificates.
    Certified,
    /// From certificates to others.
    Renewed,
}

impl Call {
    pub const ALL: [Self; 7] =
        [Self::Create, Self::Change, Self::Delete, Self::Confirmed, Self::Trial, Self::Certified, Self::Renewed];

    /// The lifetime before and after: that of the old connection and that of the new, where there is one.
    pub fn states(self) -> (Option<u32>, Option<u32>) {
        match self {
            Self::Create => (None, Some(OLD)),
            Self::Change | Self::Confirmed | Self::Certified | Self::Renewed => (Some(OLD), Some(NEW)),
            Self::Delete => (Some(OLD), None),
            // Nobody has confirmed it.
            Self::Trial => (Some(OLD), Some(OLD)),
        }
    }

    /// Makes what the call needs, whatever is there.
    pub fn prepare(self, b: &Bench) {
        b.charon.establish(self == Self::Confirmed);
        if self == Self::Create {
            ask(b, "DELETE", &format!("{PATH}/{}", uuid(N)), &Value::Null);
        } else {
            // It may exist.
            ask(b, "POST", PATH, &json!({ "params": params(N, &json!({ "lifeTime": OLD })) }));
            let change = change(N, &if self == Self::Renewed { certified(0, OLD) } else { json!({ "lifeTime": OLD }) });
            assert_eq!(ask(b, "PUT", &format!("{PATH}/config/{}", uuid(N)), &json!({ "params": change })), Some(200));
        }
        assert_eq!(lifetime(b), self.states().0, "{self:?} is prepared");
    }

    /// Makes the call; nothing if the agent died of it, or was not waited for.
    pub fn make(self, b: &Bench) -> Option<u16> {
        let new = change(N, &json!({ "lifeTime": NEW, "authKey": "test-only-new-key" }));
        let path = format!("{PATH}/config/{}", uuid(N));
        match self {
            Self::Create => ask(b, "POST", PATH, &json!({ "params": params(N, &json!({ "lifeTime": OLD })) })),
            Self::Change => ask(b, "PUT", &path, &json!({ "params": new })),
            Self::Certified | Self::Renewed => {
                ask(b, "PUT", &path, &json!({ "params": change(N, &certified(1, NEW)) }))
            }
            Self::Delete => ask(b, "DELETE", &format!("{PATH}/{}", uuid(N)), &Value::Null),
            Self::Confirmed => ask(b, "PUT", &(path + "?confirm=10s"), &json!({ "params": new })),
            Self::Trial => on_trial(b, path + "?confirm=10s", json!({ "params": new })),
        }
    }
}

/// A Change to one of two bundles of certificates.
fn certified(n: usize, lifetime: u32) -> Value {
    static BUNDLES: LazyLock<[String; 2]> = LazyLock::new(|| {
        let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
        [(); 2].map(|()| ca.issue(Kind::Ecdsa, "CN=gw", &["gw.example"]).bundle(&[&ca]))
    });
    json!({ "lifeTime": lifetime, "authMode": "certs", "authKey": BUNDLES[n], "idType": "fqdn", "remoteId": "peer" })
}

/// One call over TCP: who comes over the Unix socket is looked up in files, which are no targets here.
fn ask(b: &Bench, method: &str, path: &str, body: &Value) -> Option<u16> {
    send(b.tcp(), method, path, body)
}

fn send(mut client: Client, method: &str, path: &str, body: &Value) -> Option<u16> {
    let token = format!("OAuth {TOKEN}");
    client
        .request(method, path, &[("Authorization", &token)], body.to_string().as_bytes())
        .ok()
        .map(|answer| answer.status)
}

/// Begins a change, and goes on when it is in force on trial, or the agent died.
fn on_trial(b: &Bench, path: String, body: Value) -> Option<u16> {
    let client = b.tcp();
    let call = move || send(client, "PUT", &path, &body);
    let asked = std::thread::spawn(call);
    let is_placed = || fs::read_to_string(b.conf(&uuid(N))).is_ok_and(|text| text.contains("life_time = 2000s"));
    // The file is in its place before it is durable; when the agent shows the change, all of that is over.
    let is_shown = || {
        let token = format!("OAuth {TOKEN}");
        let view = b.tcp().request("GET", &format!("{PATH}/{}", uuid(N)), &[("Authorization", &token)], b"");
        view.is_ok_and(|view| view.json()["inventories"][0]["lifeTime"] == NEW)
    };
    wait_until("the change is on trial", || (asked.is_finished() || is_placed() && is_shown()).then_some(()));
    None
}

/// The files by whose paths a kill is aimed at the calls that concern them.
pub fn targets(b: &Bench) -> Vec<PathBuf> {
    let private = swanctl_dir(b).join(credentials::PRIVATE);
    vec![b.record(&uuid(N)), b.conf(&uuid(N)), b.connections_dir(), b.conf_dir(), private]
}

fn swanctl_dir(b: &Bench) -> PathBuf {
    b.conf_dir().parent().expect("a directory").to_owned()
}

/// What lies in swanctl's directories of certificates and keys.
fn placed(b: &Bench) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for directory in credentials::DIRECTORIES {
        let path = swanctl_dir(b).join(directory);
        for name in if path.exists() { files(&path) } else { Vec::new() } {
            found.insert(format!("{directory}/{name}"), fs::read(path.join(&name)).expect("readable"));
        }
    }
    found
}

/// An agent that is not started yet.
pub fn idle() -> Bench {
    Bench::idle(&Options { log: "error", ..Options::default() })
}

/// Store, conf.d and charon say the same, and nothing else lies about. Returns the lifetime that they say.
#[track_caller]
pub fn lifetime(b: &Bench) -> Option<u32> {
    let (name, secret) = (format!("cygnet-{}", uuid(N)), format!("ike-cygnet-{}", uuid(N)));
    // The agent that runs may be writing down what it has seen.
    let (stored, written) = wait_until("no file is half written", || {
        let names = (files(&b.connections_dir()), files(&b.conf_dir()));
        names.0.iter().chain(&names.1).all(|name| !name.starts_with(".cygnet-")).then_some(names)
    });
    if stored.is_empty() {
        let loaded = (b.charon.connections(), [b.charon.secrets(), b.charon.keys()].concat());
        assert_eq!((written, loaded), (vec![], (vec![], vec![])), "nothing is left of it");
        assert_eq!(placed(b), BTreeMap::new());
        return None;
    }
    assert_eq!((stored, written), (vec![format!("{}.json", uuid(N))], vec![format!("{name}.conf")]), "nothing else");
    let record = format::from_bytes(&fs::read(b.record(&uuid(N))).expect("the record")).expect("it is whole");
    let text = fs::read_to_string(b.conf(&uuid(N))).expect("the file in conf.d");
    let certs = record.connection.auth.certs();
    let credentials = certs.map_or_else(Vec::new, |certs| credentials::files(record.id, certs));
    let requests = requests::load(&conf::parse(&text).expect("it parses"), &credentials).expect("it means something");
    let last = requests.last().expect("it loads the connection");
    assert_eq!(b.charon.connection(&name).as_ref(), last.body.section(&name), "charon and conf.d");
    let key = b.charon.secret(&secret).and_then(|secret| secret.bytes("data").map(<[u8]>::to_vec));
    let wanted = credentials.iter().map(|file| (format!("{}/{}", file.directory, file.name), file.expose().to_vec()));
    assert_eq!(placed(b), wanted.collect(), "the files of certificates");
    assert_eq!(b.charon.keys(), certs.map(Certs::key_id).into_iter().collect::<Vec<_>>(), "private keys in charon");
    match &record.connection.auth {
        Auth::Psk(psk) => {
            assert_eq!(key.as_deref(), requests[0].body.bytes("data"), "the key in charon and conf.d");
            assert_eq!(key.as_deref(), Some(psk.expose()), "the key in charon and the store");
        }
        Auth::Certs(_) => assert_eq!(key, None, "the key from before"),
    }
    let lifetime = record.connection.lifetime.hard();
    assert!(text.contains(&format!("life_time = {lifetime}s\n")), "the store and conf.d");
    Some(lifetime)
}
