//! Debian's real swanctl and our own client send the same bytes: the text that we render is loaded by both into a fake
//! charon, and the requests are compared byte for byte. It needs `/usr/sbin/swanctl` and no privileges.

use crate::{
    certificates::{Ca, Kind},
    connections::{address, connection, group, nets, parts, psk},
    executables,
    fake_charon::{FakeCharon, Recorded},
    skip::skipped,
};
use cygnet::{
    http::options::OPTIONS,
    ipsec::{
        AhProposal, Auth, Certs, Connection, Encryption, EspProposal, Identity, IdentityKind, IkeProposal, IkeVersion,
        Integrity, Lifetime, MlKem, Mode, Parts, Protocol, Psk,
        algorithm::{DH_GROUP, ENCRYPTION, INTEGRITY},
        passes,
    },
    strongswan::{
        conf::{self, Traps},
        credentials::{self, File},
        requests,
        vici::Vici,
    },
};
use ipnet::IpNet;
use std::{collections::BTreeMap, fs, path::Path, process::Command, sync::Arc, time::Duration};

const SWANCTL: &str = "/usr/sbin/swanctl";

/// The directories that Debian's package makes and swanctl looks into.
const DIRECTORIES: [&str; 14] = [
    "conf.d", "x509", "x509ca", "x509ocsp", "x509aa", "x509ac", "x509crl", "pubkey", "private", "rsa", "ecdsa",
    "bliss", "pkcs8", "pkcs12",
];

/// A change of [`parts`] that makes another connection.
type Change = Box<dyn FnOnce(&mut Parts)>;

/// Every encryption, integrity and group, as ESP and as AH, with PFS and without.
fn algorithms() -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for row in &ENCRYPTION {
        for pfs in [None, Some(group(19))] {
            changes.push(Box::new(move |p| {
                p.ike.encryption = row.value;
                p.protocol = Protocol::Esp(EspProposal { encryption: row.value, integrity: Integrity::Sha384, pfs });
            }));
        }
    }
    for row in &INTEGRITY {
        for pfs in [None, Some(group(31))] {
            changes.push(Box::new(move |p| {
                p.ike.integrity = Some(row.value).filter(|hash| !hash.is_cut()).unwrap_or(Integrity::Sha256);
                p.protocol = Protocol::Ah(AhProposal { integrity: row.value, pfs });
            }));
        }
    }
    for row in &DH_GROUP {
        changes.push(Box::new(move |p| {
            let (encryption, integrity, group) = (Encryption::Aes128Gcm, Integrity::Sha512, group(row.number.into()));
            p.ike = IkeProposal { encryption, integrity, group };
            p.protocol = Protocol::Esp(EspProposal { encryption, integrity, pfs: Some(group) });
        }));
    }
    changes
}

/// Each option of our own, with its example.
fn native_options() -> Vec<Change> {
    let options = OPTIONS.iter().filter_map(|row| Some((row.native()?, row.json(row.example))));
    options
        .map(|(option, value)| -> Change {
            Box::new(move |p| {
                p.native.next_layer.protocol = if option.name.ends_with("Port") { 17 } else { 0 };
                // What needs more than itself.
                p.version = if option.name.starts_with('p') { IkeVersion::V2 } else { p.version };
                p.native.ppk_id = option.name.starts_with("ppk").then(|| "gw.example".into());
                p.native.ppk =
                    option.name.starts_with("ppk").then(|| Psk::new(b"test-only\0\xff\"ppk").expect("a key"));
                p.native.post_quantum = (option.name == "postQuantumMode").then_some(MlKem::MlKem1024);
                option.put(&mut p.native, &value).expect("it takes its example");
            })
        })
        .collect()
}

/// Versions, modes, addresses, networks and lifetimes.
fn shapes() -> Vec<Change> {
    vec![
        Box::new(|p| p.version = IkeVersion::V1),
        Box::new(|p| p.version = IkeVersion::Any),
        Box::new(|p| {
            p.mode = Mode::Transport;
            p.local_nets.clear();
            p.remote_nets.clear();
        }),
        Box::new(|p| {
            p.local_addr = address("2001:db8::1");
            p.remote_addr = address("2001:db8:ffff::2").into();
            p.local_nets = nets("fd00:1::/64 fd00:2::/48");
            p.remote_nets = nets("fd00:3::/64 2001:db8:9::9/128 ::/0").into_iter().take(2).collect();
        }),
        Box::new(|p| {
            p.local_nets = nets("10.1.0.0/24 10.3.0.0/16 fd00:1::/64");
            p.remote_nets = nets("10.2.0.0/24 172.16.0.0/12 203.0.113.7/32 fd00:3::/64");
        }),
        Box::new(|p| {
            p.version = IkeVersion::V1;
            p.local_nets = nets("10.1.0.0/24 10.3.0.0/16 10.5.0.1/32");
            p.remote_nets = nets("10.2.0.0/24 172.16.0.0/12 203.0.113.7/32");
        }),
        Box::new(|p| p.remote_nets = nets("0.0.0.0/0")),
        Box::new(|p| p.local_nets.clear()),
        Box::new(|p| p.remote_nets = (0..200).flat_map(|n| nets(&format!("172.20.{n}.0/24"))).collect()),
        Box::new(|p| p.ike_lifetime = Lifetime::ike(60).expect("in range")),
        Box::new(|p| p.lifetime = Lifetime::child(604_800).expect("in range")),
        Box::new(|p| p.ike_generation = 1),
    ]
}

/// Identities of all kinds, with what a hostile caller would write in them.
fn identities() -> Vec<Change> {
    let texts = [
        (IdentityKind::Ip, "203.0.113.9"),
        (IdentityKind::Ip, "2001:db8::9"),
        (IdentityKind::Fqdn, "gw-1.example"),
        (IdentityKind::Fqdn, "192.0.2.1"),
        (IdentityKind::Name, "ops+a@site.example"),
        (IdentityKind::Name, "C=CH, O=x, CN=gw"),
        (IdentityKind::Name, "caf\u{e9} \u{1f512}"),
        (IdentityKind::Name, "a\" }\n}\ninclude /etc/passwd\n# $HOME \\ 0xzz"),
        (IdentityKind::Name, "fqdn:^.$, b"),
        (IdentityKind::Name, "0x6162"),
        (IdentityKind::Name, "@#00ff"),
        (IdentityKind::Name, " lead and trail\t"),
    ];
    texts
        .into_iter()
        .map(|(kind, text)| {
            let id = Identity::new(kind, text).expect("an identity");
            Box::new(move |p: &mut Parts| {
                p.local_id = Some(id.clone());
                p.remote_id = Some(id);
            }) as Change
        })
        .collect()
}

/// Keys that a quoted or prefixed spelling would bend.
fn keys() -> Vec<Change> {
    let mut keys = [
        "test-only-0x6162",
        "0xzz-test-only",
        "0Stest-only",
        "test-only # \" } \\ $HOME ${x} , = : .",
        "test-only\n}\nconnections { evil { } }",
        " test-only ",
        "test-only caf\u{e9}",
    ]
    .map(|key| key.as_bytes().to_vec())
    .to_vec();
    keys.push((0..=255).collect());
    keys.push(vec![0]);
    keys.push(vec![0xff; 65_535]);
    keys.into_iter().map(|key| Box::new(move |p: &mut Parts| p.auth = psk(&key)) as Change).collect()
}

/// Certificates of all kinds, with what may stand beside them.
fn certificates() -> Vec<Change> {
    let mut bundles: Vec<_> = Kind::ALL
        .map(|kind| {
            let ca = Ca::new(kind, "C=CH, CN=test-only CA");
            ca.issue(kind, "CN=gw", &["gw.example", "192.0.2.1"]).bundle(&[&ca])
        })
        .to_vec();
    let (root, other) = (Ca::new(Kind::Ecdsa, "CN=root"), Ca::new(Kind::Ecdsa, "CN=other"));
    let between = root.intermediate("CN=between");
    let own = between.issue(Kind::Ecdsa, "CN=gw", &["gw.example"]);
    bundles.push(own.bundle(&[&between, &root, &other]) + &root.crl(&[7]));
    let with = |text: &String| {
        let certs = Certs::new(text).unwrap_or_else(|e| panic!("{e}"));
        Box::new(move |p: &mut Parts| p.auth = Auth::Certs(Arc::new(certs))) as Change
    };
    bundles.iter().map(with).collect()
}

/// All connections to compare, with ids of their own.
fn cases() -> Vec<Connection> {
    let changes =
        [algorithms(), native_options(), shapes(), identities(), keys(), certificates()].into_iter().flatten();
    let made = (0_u32..).zip(changes).map(|(n, change)| {
        let mut parts = parts(n);
        change(&mut parts);
        connection(parts)
    });
    made.collect()
}

/// The networks of a host, which some of the cases cover.
fn connected() -> [IpNet; 2] {
    ["192.0.2.0/24", "203.0.113.0/24"].map(|net| net.parse().expect("a network"))
}

/// Writes swanctl's directory: a file for each connection, a swanctl.conf as Debian has it, and a strongswan.conf.
fn write_files(directory: &Path, cases: &[Connection], traps: Traps) {
    for name in DIRECTORIES {
        fs::create_dir(directory.join(name)).expect("a directory");
    }
    fs::write(directory.join("swanctl.conf"), "include conf.d/*.conf\n").expect("written");
    fs::write(directory.join("strongswan.conf"), "swanctl {\n}\n").expect("written");
    for case in cases {
        let text = conf::render_passing(case, traps, &passes(case, &connected())).expect("renders");
        fs::write(directory.join(format!("conf.d/cygnet-{}.conf", case.id())), text.expose()).expect("written");
        for file in files(case) {
            fs::write(directory.join(file.directory).join(&file.name), file.expose()).expect("written");
        }
    }
    // Where AppArmor confines swanctl it does so by its path.
    executables::copy(SWANCTL, directory.join("swanctl"));
}

/// The files of a connection with certificates.
fn files(case: &Connection) -> Vec<File> {
    case.auth.certs().map_or_else(Vec::new, |certs| credentials::files(case.id(), certs))
}

/// Runs swanctl, which must load everything.
fn swanctl(directory: &Path, uri: &str, arguments: &[&str]) {
    let mut command = Command::new(directory.join("swanctl"));
    command.args(arguments).args(["--uri", uri]);
    command.env("SWANCTL_DIR", directory).env("STRONGSWAN_CONF", directory.join("strongswan.conf"));
    let output = command.output().expect("swanctl starts");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {words}");
    for wrong in ["invalid", "failed", "missing", "ignored"] {
        assert!(!words.contains(wrong), "{arguments:?}: {words}");
    }
}

/// The packets that load something, by command and object, in the order in which they came.
fn loads(requests: Vec<Recorded>) -> (Vec<String>, BTreeMap<String, Vec<u8>>) {
    let (mut order, mut packets) = (Vec::new(), BTreeMap::new());
    for request in requests.into_iter().filter(|r| r.command.starts_with("load-")) {
        let name = request.body.text("id").or(request.body.0.keys().next().map(String::as_str));
        // Certificates and keys have no name but their contents.
        let name = request.body.text("data").filter(|data| data.starts_with("-----")).or(name);
        let object = format!("{} {}", request.command, name.expect("a load has an object"));
        order.push(object.clone());
        assert!(packets.insert(object, request.bytes).is_none(), "loaded twice");
    }
    (order, packets)
}

/// What swanctl sends for the files of `cases`.
fn sent_by_swanctl(cases: &[Connection], traps: Traps) -> (Vec<String>, BTreeMap<String, Vec<u8>>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write_files(directory.path(), cases, traps);
    let charon = FakeCharon::start(&directory.path().join("charon.vici"));
    swanctl(directory.path(), &charon.uri(), &["--load-creds", "--noprompt"]);
    swanctl(directory.path(), &charon.uri(), &["--load-conns"]);
    loads(charon.requests())
}

/// What our client sends for them.
async fn sent_by_us(cases: &[Connection], traps: Traps) -> (Vec<String>, BTreeMap<String, Vec<u8>>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let charon = FakeCharon::start(&directory.path().join("charon.vici"));
    let vici = Vici::new(charon.path(), Duration::from_secs(20));
    for case in cases {
        let text = conf::render_passing(case, traps, &passes(case, &connected())).expect("renders");
        for request in requests::load(&conf::parse(text.expose()).expect("parses"), &files(case)).expect("a plan") {
            vici.load(&request).await.expect("loaded");
        }
    }
    loads(charon.requests())
}

#[tokio::test]
async fn swanctl_and_our_client_send_the_same_bytes() {
    if !Path::new(SWANCTL).exists() {
        return skipped("swanctl is not installed");
    }
    let cases = cases();
    for traps in [Traps::Supported, Traps::Unsupported] {
        let (order, theirs) = sent_by_swanctl(&cases, traps);
        let (_, ours) = sent_by_us(&cases, traps).await;
        let certified = cases.iter().filter(|case| case.auth.certs().is_some()).count();
        let credentials = cases.iter().map(|case| files(case).len()).sum::<usize>();
        let ppks = cases.iter().filter(|case| case.native.ppk.is_some()).count();
        let count = 2 * cases.len() - certified + credentials + ppks;
        assert_eq!(theirs.len(), count, "swanctl loads every certificate, key, secret and connection");
        assert_eq!(theirs.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
        for (object, bytes) in &theirs {
            let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
            assert!(ours[object] == *bytes, "{object}:\nswanctl {}\nwe      {}", show(bytes), show(&ours[object]));
        }
        let is_credential = |object: &&String| object.starts_with("load-cert") || object.starts_with("load-key");
        assert_eq!(order.iter().take_while(is_credential).count(), credentials, "certificates and keys come first");
        let rest = order.iter().skip(credentials);
        let secrets = rest.take_while(|object| object.starts_with("load-shared")).count();
        assert_eq!(secrets, cases.len() - certified + ppks, "secrets come before connections");
    }
}
