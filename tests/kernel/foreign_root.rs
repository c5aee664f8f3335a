//! The root that the daemons of [`crate::foreign`] run in, and what is written there: the machine's own with their files
//! over it, or the root of another Debian suite that has them (`CYGNET_FOREIGN` names its directory).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

use crate::certificates::{Ca, Kind, Wanted, year};
use crate::foreign_texts::Kind as Daemon;
use crate::machine::kernel;
use crate::support::lab::tethered;
use crate::support::run;

/// Where it is mounted; it lasts as long as the machine.
pub const ROOT: &str = "/run/foreign/root";
/// libreswan's database of certificates, which it needs without any, too.
pub const NSS: &str = "/var/lib/ipsec/nss";
/// Where iked has its key.
const KEY: &str = "/etc/iked/private/local.key";

/// The names in the certificates of A and of the peer.
pub const NAMES: [&str; 2] = ["a.example", "b.example"];

/// The directory of the other suite's root, if it is to be taken.
pub fn other() -> Option<String> {
    std::env::var("CYGNET_FOREIGN").ok().filter(|path| !path.is_empty())
}

/// Mounts it, once.
pub fn mount() {
    static MOUNTED: Once = Once::new();
    MOUNTED.call_once(|| {
        mounted();
        filled();
    });
}

fn mounted() {
    let (lower, layers) = match other() {
        Some(root) => (root, "/run/foreign/lower"),
        None => (kernel().join("foreign").display().to_string(), "/run/foreign/lower:/"),
    };
    for directory in ["lower", "upper", "work", "root"] {
        fs::create_dir_all(Path::new("/run/foreign").join(directory)).expect("a directory");
    }
    // As a file system of its own: an overlay cannot have a directory and what is below it.
    mount_at(&["-t", "hostfs", "-o", &lower, "none", "/run/foreign/lower"]);
    let layers = format!("lowerdir={layers},upperdir=/run/foreign/upper,workdir=/run/foreign/work");
    mount_at(&["-t", "overlay", "-o", &layers, "none", ROOT]);
    for directory in ["proc", "sys", "dev"] {
        mount_at(&["--rbind", &format!("/{directory}"), &below(&format!("/{directory}"))]);
    }
    for directory in ["run", "tmp"] {
        mount_at(&["-t", "tmpfs", "none", &below(&format!("/{directory}"))]);
    }
}

/// What the daemons miss if nobody installs them.
fn filled() {
    let directories =
        [NSS, "/run/pluto", "/var/empty", "/var/lib/openiked", "/etc/iked/private", "/etc/iked/pubkeys/ipv4"];
    for directory in directories.into_iter().chain(["/etc/iked/ca", "/etc/iked/certs", "/etc/iked/crls"]) {
        fs::create_dir_all(below(directory)).expect("a directory");
    }
    let _ = fs::remove_file(below(&format!("{NSS}/cert9.db")));
    inside(&["certutil", "-N", "-d", &format!("sql:{NSS}"), "--empty-password"]);
    // iked gives up its rights for those of this user, and reads a key that is not always used.
    for (file, line) in [("/etc/passwd", "_iked:x:998:998::/var/empty:/bin/false\n"), ("/etc/group", "_iked:x:998:\n")]
    {
        let known = fs::read_to_string(below(file)).expect("a file of users");
        let known: Vec<_> = known.lines().filter(|line| !line.starts_with("_iked:")).collect();
        put_for_all(file, &format!("{}\n{line}", known.join("\n")));
    }
    openssl(&["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", &below(KEY)]);
    openssl(&["ec", "-in", &below(KEY), "-pubout", "-out", &below("/etc/iked/local.pub")]);
}

/// Gives the peer a certificate of a new CA, under the name of the kind of its keys: `rsa` or `ecdsa`. The bundle is A's.
/// The daemon must not run.
pub fn certify(daemon: Daemon, kind: &str) -> String {
    let keys = if kind == "rsa" { Kind::Rsa } else { Kind::Ecdsa };
    let ca = Ca::new(keys, &format!("CN=test-only CA of {kind}"));
    // libreswan's database takes neither a subject nor a number twice.
    let issue = |serial, name: &str| {
        let subject = format!("CN={kind} of {name}");
        let valid = (year(2000), year(2090));
        ca.issue_as(&Wanted { kind: keys, subject: &subject, alternatives: &[name], valid, serial })
    };
    let (a, b) = (issue(1, NAMES[0]), issue(2, NAMES[1]));
    match daemon {
        Daemon::Libreswan => {
            for (file, text) in [("ca", ca.pem()), ("pem", b.pem.as_str()), ("key", b.key.as_str())] {
                put(&format!("/etc/ipsec.{file}"), text);
            }
            let [key, pem, p12] = ["key", "pem", "p12"].map(|file| below(&format!("/etc/ipsec.{file}")));
            let export = ["pkcs12", "-export", "-name", kind, "-passout", "pass:test-only", "-inkey", &key];
            openssl(&[&export[..], &["-in", &pem, "-out", &p12]].concat());
            let database = format!("sql:{NSS}");
            let name = format!("ca-{kind}");
            inside(&["certutil", "-A", "-d", &database, "-n", &name, "-t", "CT,,", "-i", "/etc/ipsec.ca"]);
            inside(&["pk12util", "-i", "/etc/ipsec.p12", "-d", &database, "-W", "test-only", "-K", ""]);
        }
        Daemon::Openiked => {
            put(KEY, &b.key);
            for (file, text) in [("/etc/iked/ca/ca.crt", ca.pem()), ("/etc/iked/certs/b.crt", b.pem.as_str())] {
                put_for_all(file, text);
            }
        }
    }
    a.bundle(&[&ca])
}

fn openssl(arguments: &[&str]) {
    run(Command::new("openssl").args(arguments));
}

fn mount_at(arguments: &[&str]) {
    run(Command::new("mount").args(arguments));
}

/// Does something in it.
fn inside(command: &[&str]) {
    run(tethered("chroot").arg(ROOT).args(command));
}

/// A file of it.
pub fn below(path: &str) -> String {
    format!("{ROOT}{path}")
}

/// Writes a file there, for root alone.
pub fn put(path: &str, text: &str) {
    let path = below(path);
    fs::write(&path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// Writes a file there that everybody may read.
fn put_for_all(path: &str, text: &str) {
    put(path, text);
    fs::set_permissions(below(path), fs::Permissions::from_mode(0o644)).expect("a mode");
}
