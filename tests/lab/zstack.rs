//! cygnet and routers of ZStack, which get the same options: every pair of values of the contract's options that both have
//! is in some row, for both kinds of a router's files. All are up at once between one pair of charons; each router has an
//! address, networks and a connection of its own. No router was tested: the peer is a charon with what a router writes.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::{Agent, AgentOptions, vip};
use crate::support::lab::{Lab, Side};
use crate::support::poll;
use crate::zstack_router::{Files, GROUPS, Router};
use crate::{lab, say};

/// How long all rows may take, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
const KEY: &str = "test-only:zstack=router/4711";

const VERSIONS: [&str; 3] = ["ikev2", "ikev1", "ike"];
const HASHES: [&str; 5] = ["sha256", "md5", "sha1", "sha384", "sha512"];
const CIPHERS: [&str; 4] = ["aes-256", "3des", "aes-128", "aes-192"];
/// `idType`, `localId` and `remoteId`; `<n>` is the number of the row.
const IDENTITIES: [(&str, Option<&str>, Option<&str>); 9] = [
    ("ip", None, None),
    ("ip", Some("198.51.100.1"), Some("203.0.113.<n>")),
    ("ip", Some("hub.example"), Some("branch-<n>.example")),
    ("name", Some("l@left.example"), Some("r<n>@right.example")),
    ("name", Some("left/gw"), Some("right/gw:<n>")),
    ("name", Some("C=CN, CN=left"), Some("right=<n>")),
    ("name", Some("door 7, left:gw"), None),
    ("fqdn", Some("hub.example"), Some("Branch-<n>.Example")),
    ("fqdn", Some("l@left.example"), Some("right_<n>/gw")),
];
/// How many values each option has: version, hash and cipher of IKE, hash and cipher of packets, identities, pairs of
/// networks.
const SIZES: [usize; 7] = [3, 5, 4, 5, 4, 9, 2];

/// Rows in which each two options have each pair of their values.
fn rows() -> Vec<[usize; 7]> {
    let mut missing: Vec<_> = (0..SIZES.len())
        .flat_map(|a| (a + 1..SIZES.len()).map(move |b| (a, b)))
        .flat_map(|(a, b)| (0..SIZES[a]).flat_map(move |x| (0..SIZES[b]).map(move |y| (a, x, b, y))))
        .collect();
    let mut rows = Vec::new();
    while let Some(&(a, x, b, y)) = missing.first() {
        let mut row = [None; 7];
        (row[a], row[b]) = (Some(x), Some(y));
        for place in 0..SIZES.len() {
            let gain = |value: &usize| {
                let news = |(a, x, b, y): &&(usize, usize, usize, usize)| {
                    (*a == place && x == value && row[*b].is_none_or(|other| other == *y))
                        || (*b == place && y == value && row[*a].is_none_or(|other| other == *x))
                };
                missing.iter().filter(news).count()
            };
            let best = (0..SIZES[place]).max_by_key(gain);
            row[place] = row[place].or(best);
        }
        let row = row.map(Option::unwrap_or_default);
        missing.retain(|(a, x, b, y)| row[*a] != *x || row[*b] != *y);
        rows.push(row);
    }
    rows
}

/// A router and what cygnet is asked for.
struct Case {
    number: usize,
    files: Files,
    options: Value,
    networks: Vec<String>,
    ours: Vec<String>,
    key: String,
    uuid: String,
}

impl Case {
    fn new(number: usize, files: Files, [version, ike, cipher, esp, esp_cipher, ids, networks]: [usize; 7]) -> Self {
        // In ipsec.conf, `=` in an identity is a syntax error.
        let is_unreadable = files == Files::Ipsec && IDENTITIES[ids].1.is_some_and(|text| text.contains('='));
        let (kind, local, remote) = IDENTITIES[if is_unreadable { 0 } else { ids }];
        let filled = |text: Option<&str>| text.map(|text| text.replace("<n>", &number.to_string()));
        let (group, pfs) = (GROUPS[number % GROUPS.len()].0, number * 7 % (GROUPS.len() + 1));
        let pfs = GROUPS.get(pfs).map_or("none".to_owned(), |(number, _)| format!("dh-group{number}"));
        let options = json!({
            "ikeVersion": VERSIONS[version], "ikeAuthAlgorithm": HASHES[ike], "ikeEncryptionAlgorithm": CIPHERS[cipher],
            "ikeDhGroup": group, "policyAuthAlgorithm": HASHES[esp], "policyEncryptionAlgorithm": CIPHERS[esp_cipher],
            "pfs": pfs, "idType": kind, "localId": filled(local), "remoteId": filled(remote),
        });
        // With swanctl.conf, such a router puts all networks into one child, of which IKEv1 takes the first.
        let is_first_only = files == Files::Swanctl && version == 1;
        let count = if is_first_only { 1 } else { networks + 1 };
        let network = |part| format!("10.{}.{part}.0/24", 100 + number);
        let ours = ["10.1.0.0/24", "10.3.0.0/24"][..count].iter().map(ToString::to_string).collect();
        let (networks, key, uuid) = ((0..count).map(network).collect(), KEY.to_owned(), String::new());
        Self { number, files, options, networks, ours, key, uuid }
    }

    fn name(&self) -> String {
        format!("router-{}", self.number)
    }

    fn address(&self) -> String {
        format!("192.0.2.{}", 10 + self.number)
    }

    /// The connection and the secrets of its router.
    fn router(&self) -> (String, String) {
        let (name, own) = (self.name(), self.address());
        let router = Router {
            files: self.files,
            name: &name,
            own: &own,
            peer: Side::A.wan(),
            options: &self.options,
            networks: [&self.networks, &self.ours],
            key: &self.key,
        };
        (router.connection(), router.secrets())
    }

    /// Asks cygnet for it; the answer.
    fn create(&mut self, agent: &Agent) -> Value {
        let mut params = json!({
            "name": self.name(), "vipUuid": vip(Side::A), "peerAddress": self.address(), "authKey": self.key,
            "l3NetworkUuid": if self.ours.len() == 1 { "one" } else { "both" }, "peerCidrs": self.networks,
            "systemTags": ["cygnet::peer::zstack"],
        });
        for (name, value) in self.options.as_object().expect("an object") {
            params[name] = value.clone();
        }
        let answer = agent.create(&params).expect(200).json();
        answer["inventory"]["uuid"].as_str().expect("a uuid").clone_into(&mut self.uuid);
        answer
    }

    /// Pings from each of our networks to each of its, and one back; the pair that does not answer.
    fn silent(&self, lab: &Lab) -> Option<String> {
        let host = |network: &String| network.replace(".0/24", ".1");
        let pairs =
            self.ours.iter().flat_map(|own| self.networks.iter().map(move |other| (Side::A, host(own), host(other))));
        let back = (Side::B, host(self.networks.first()?), host(self.ours.first()?));
        pairs.chain([back]).find_map(|(side, from, to)| {
            let answered = || (lab.ping(side, &from, &to, 2, Duration::from_millis(20)).lost() == 0).then_some(());
            poll(Duration::from_secs(10), answered).is_none().then(|| format!("{from} does not reach {to}"))
        })
    }
}

fn has(answer: &Value, code: &str) -> bool {
    answer["warnings"].as_array().into_iter().flatten().any(|warning| warning["code"] == code)
}

/// Both gateways with their addresses, and the routers.
fn bed(cases: &[Case]) -> Option<(Lab, Agent)> {
    let lab = lab()?;
    lab.add_lan(Side::A, "10.3.0.1/24");
    for case in cases {
        lab.add_address(Side::B, &format!("{}/24", case.address()));
        case.networks.iter().for_each(|network| lab.add_lan(Side::B, &network.replace(".0/24", ".1/32")));
    }
    lab.start_charon(Side::A);
    lab.start_charon(Side::B);
    let (connections, secrets): (String, String) = cases.iter().map(Case::router).unzip();
    lab.load_conf(Side::B, "zstack", &format!("connections {{\n{connections}}}\nsecrets {{\n{secrets}}}\n"));
    let tables = "[[gateway.l3_networks]]\nuuid = \"one\"\ncidrs = [\"10.1.0.0/24\"]\n[[gateway.l3_networks]]\n\
                  uuid = \"both\"\ncidrs = [\"10.1.0.0/24\", \"10.3.0.0/24\"]\n";
    let options = AgentOptions { wait: "0s".into(), tables: tables.into(), ..Default::default() };
    let agent = Agent::start(&lab, Side::A, options);
    Some((lab, agent))
}

fn view(agent: &Agent, case: &Case) -> Value {
    agent.request("GET", &format!("/cygnet/v1/connections/{}", case.uuid), None).expect(200).json()
}

/// The cases that are not Ready, with the reason.
fn not_ready(agent: &Agent, cases: &[Case]) -> Vec<String> {
    let mut waiting: Vec<_> = cases.iter().collect();
    let _ = poll(PATIENCE, || {
        waiting.retain(|case| view(agent, case)["inventory"]["status"] != "Ready");
        waiting.is_empty().then_some(())
    });
    let why =
        |case: &&Case| format!("{} {:?} {}: {}", case.name(), case.files, case.options, view(agent, case)["reason"]);
    waiting.iter().map(why).collect()
}

/// What does not carry.
fn silent(lab: &Lab, cases: &[Case]) -> Vec<String> {
    let chunks: Vec<_> = cases.chunks(cases.len().div_ceil(6).max(1)).collect();
    let silent = |case: &Case| case.silent(lab).map(|why| format!("{} {}: {why}", case.name(), case.options));
    thread::scope(|scope| {
        let all: Vec<_> = chunks
            .into_iter()
            .map(|chunk| scope.spawn(move || chunk.iter().filter_map(silent).collect::<Vec<_>>()))
            .collect();
        all.into_iter().flat_map(|chunk| chunk.join().expect("pings")).collect()
    })
}

#[test]
fn every_pair_of_options_is_met() {
    let both = [Files::Ipsec, Files::Swanctl];
    let rows = both.into_iter().flat_map(|files| rows().into_iter().map(move |row| (files, row)));
    let rows = rows.filter(|(_, row)| Lab::ike_versions().len() > 1 || row[0] != 1);
    let mut cases: Vec<_> = rows.enumerate().map(|(number, (files, row))| Case::new(number, files, row)).collect();
    assert!(cases.len() > 60 && cases.len() < 150, "{} cases have an address each", cases.len());
    let Some((lab, agent)) = bed(&cases) else { return };
    for case in &mut cases {
        let answer = case.create(&agent);
        let is_guessed = case.options["idType"] == "ip" && case.options["localId"] == "hub.example";
        assert_eq!(has(&answer, "ID_TYPE_GUESSED"), is_guessed, "{}: {answer}", case.options);
        assert!(!has(&answer, "PEER_KEY_UNSAFE"), "{answer}");
    }
    let wrong = not_ready(&agent, &cases);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let wrong = silent(&lab, &cases);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    say(format!("{} routers", cases.len()));
}

/// Keys, and whether a router with `swanctl.conf` has them as they are.
const KEYS: [(&str, bool); 12] = [
    ("test-only-key-of-letters-4711", true),
    ("test:only=key/!$%()*,-.;?@[]^_|~", true),
    ("=test-only-key", true),
    ("%test-only-k\u{e9}y", true),
    ("test-only&key-4711", false),
    ("test-only<key-4711", false),
    ("test-only>key-4711", false),
    ("test-only+key-4711", false),
    ("test-only#key-4711", false),
    ("0x746573742d6f6e6c79", false),
    ("0Xtest-only", false),
    ("0sdGVzdC1vbmx5", false),
];

#[test]
fn a_key_is_read_as_it_is_or_warned_of() {
    let case = |(number, (key, _)): (usize, &(&str, bool))| {
        let mut case = Case { key: (*key).to_owned(), ..Case::new(number, Files::Swanctl, [0; 7]) };
        // One charon stands for all routers, and must tell their keys apart.
        for (name, kind) in
            [("idType", "fqdn".to_owned()), ("localId", format!("hub-{number}")), ("remoteId", format!("r-{number}"))]
        {
            case.options[name] = kind.into();
        }
        case
    };
    let mut cases: Vec<_> = KEYS.iter().enumerate().map(case).collect();
    let Some((lab, agent)) = bed(&cases) else { return };
    for (case, (key, is_read)) in cases.iter_mut().zip(KEYS) {
        assert_eq!(has(&case.create(&agent), "PEER_KEY_UNSAFE"), !is_read, "{key}");
    }
    let refused = cases.split_off(KEYS.iter().filter(|(_, is_read)| *is_read).count());
    let wrong = not_ready(&agent, &cases);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for case in &refused {
        let known = ["AUTH_FAILED", "PEER_REFUSED_AUTH"];
        let is_refused = || known.iter().any(|code| view(&agent, case)["reason"]["code"] == *code).then_some(());
        assert!(poll(PATIENCE, is_refused).is_some(), "{}: {}", case.key, view(&agent, case));
    }
    // A brace breaks the file: nothing of it is loaded.
    let broken = Case { key: "test-only-{key}".into(), ..Case::new(KEYS.len(), Files::Swanctl, [0; 7]) };
    let (_, secrets) = broken.router();
    let file = lab.side_directory(Side::B).join("broken.conf");
    std::fs::write(&file, format!("secrets {{\n{secrets}}}\n")).expect("written");
    let said = lab.swanctl(Side::B, &["--load-creds", "--noprompt", "--file", &file.display().to_string()]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("syntax error"), "{said}");
}
