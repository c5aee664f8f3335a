//! IKE daemons that are not strongSwan, on gateway B: Debian's libreswan and openiked, which tests/kernel/fetch.sh has
//! unpacked. They run in a root of their own, the machine's with their files over it, and are configured and asked by
//! their own programs, as their operators do it. This file may not know the agent, nor what is right.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Once};
use std::time::Duration;

use crate::machine::kernel;
use crate::pair::KEY;
use crate::support::lab::{Lab, Process, Side, tethered};
use crate::support::{output, run, wait_until};

/// Where their root is mounted; it lasts as long as the machine.
const ROOT: &str = "/run/foreign/root";
/// How long a daemon may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// libreswan: pluto, told by `ipsec auto` and `whack`.
    Libreswan,
    /// openiked: iked, told by `ikectl`. It speaks IKEv2 only.
    Openiked,
}

/// A cipher, a hash and a group in the API's words. An AEAD cipher has no use for the hash in ESP; without a group there
/// is no PFS.
#[derive(Clone, Copy, Debug)]
pub struct Proposal(pub &'static str, pub &'static str, pub Option<u16>);

/// What the operator of the peer has configured, under the name `net`.
#[derive(Clone)]
pub struct Configuration<'a> {
    /// `ikev1` or `ikev2`.
    pub version: &'a str,
    pub key: &'a str,
    /// For the IKE SA, and for ESP.
    pub ike: Proposal,
    pub esp: Proposal,
    /// Its own networks, and those of A. Of several, libreswan has a connection for each pair, openiked one for all.
    pub local: &'a [&'a str],
    pub remote: &'a [&'a str],
    /// What it takes A to be: an address or a name.
    pub id_of_a: &'a str,
}

impl Configuration<'_> {
    /// What mirrors the options of the connection on A.
    pub const RIGHT: Self = Self {
        version: "ikev2",
        key: KEY,
        ike: Proposal("aes-256", "sha256", Some(14)),
        esp: Proposal("aes-256", "sha512", None),
        local: &["10.2.0.0/24"],
        remote: &["10.1.0.0/24"],
        id_of_a: "192.0.2.1",
    };
}

/// A daemon on B.
pub struct Peer {
    lab: Lab,
    kind: Kind,
    process: Option<Arc<Process>>,
}

impl Peer {
    /// Starts it with this configuration; it begins nothing.
    #[track_caller]
    pub fn start(lab: &Lab, kind: Kind, configuration: &Configuration<'_>) -> Self {
        static MOUNTED: Once = Once::new();
        MOUNTED.call_once(mount);
        let mut peer = Self { lab: lab.clone(), kind, process: None };
        peer.write(configuration, false);
        peer.run();
        peer.load(configuration);
        peer
    }

    /// Starts the program, with what was written last.
    #[track_caller]
    pub fn run(&mut self) {
        let log = fs::File::create(self.lab.directory().join("foreign.log")).expect("a log file");
        let arguments: &[&str] = match self.kind {
            Kind::Libreswan => {
                let _ = fs::remove_dir_all(below("/run/pluto"));
                fs::create_dir_all(below("/run/pluto")).expect("a directory");
                &["/usr/libexec/ipsec/pluto", "--config", "/etc/ipsec.conf", "--nofork", "--stderrlog", "--nssdir", NSS]
            }
            Kind::Openiked => {
                let _ = fs::remove_file(below(SOCKET));
                &["/usr/sbin/iked", "-d", "-v", "-f", "/etc/iked.conf", "-s", SOCKET]
            }
        };
        let mut command = self.lab.command_in(Side::B, "chroot");
        command.arg(ROOT).args(arguments).stdout(log.try_clone().expect("a descriptor can be doubled")).stderr(log);
        let process = self.lab.spawn("the peer", command);
        wait_until(PATIENCE, "the peer listens", || {
            assert!(process.status().is_none(), "the peer ended: {}", self.log());
            let asked: &[&str] = match self.kind {
                Kind::Libreswan => &["/usr/libexec/ipsec/whack", "--listen"],
                Kind::Openiked => &["/usr/sbin/ikectl", "-s", SOCKET, "show", "sa"],
            };
            self.call(asked).status.success().then_some(())
        });
        self.process = Some(process);
    }

    /// Takes its configuration over, as an operator does it: libreswan closes what runs, openiked keeps it.
    #[track_caller]
    pub fn load(&self, configuration: &Configuration<'_>) {
        self.write(configuration, false);
        match self.kind {
            Kind::Libreswan => {
                self.tell(&["/usr/sbin/ipsec", "auto", "--replace", "net"]);
                // Last: what comes up with a new key would be closed again, maybe before A has heard that it is up.
                self.tell(&["/usr/libexec/ipsec/whack", "--rereadsecrets"]);
            }
            Kind::Openiked => self.tell(&["/usr/sbin/ikectl", "-s", SOCKET, "reload"]),
        }
    }

    /// Begins; nobody waits until it is up.
    #[track_caller]
    pub fn up(&self, configuration: &Configuration<'_>) {
        match self.kind {
            Kind::Libreswan => {
                // What it exits with tells how far it is.
                let _ = self.call(&["/usr/sbin/ipsec", "auto", "--asynchronous", "--up", "net"]);
            }
            Kind::Openiked => {
                self.write(configuration, true);
                self.tell(&["/usr/sbin/ikectl", "-s", SOCKET, "reload"]);
            }
        }
    }

    /// Starts once more and begins at once, whoever has called it before.
    #[track_caller]
    pub fn restart_and_begin(&mut self, configuration: &Configuration<'_>) {
        self.kill();
        self.write(configuration, true);
        self.run();
        if self.kind == Kind::Libreswan {
            self.load(configuration);
            self.up(configuration);
        }
    }

    /// Closes what runs.
    #[track_caller]
    pub fn down(&self) {
        match self.kind {
            Kind::Libreswan => self.tell(&["/usr/sbin/ipsec", "auto", "--down", "net"]),
            Kind::Openiked => self.tell(&["/usr/sbin/ikectl", "-s", SOCKET, "reset", "sa"]),
        }
    }

    /// SIGKILL. What the kernel has of it goes too, as with a machine that lost its power.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
        for what in ["state", "policy"] {
            run(self.lab.command_in(Side::B, "ip").args(["xfrm", what, "flush"]));
        }
    }

    /// Negotiates the IKE SA anew, or the CHILD_SA; libreswan only.
    #[track_caller]
    pub fn rekey(&self, what: &str) {
        let _ = self.call(&["/usr/libexec/ipsec/whack", what, "--name", "net"]);
    }

    /// How many CHILD_SAs it lists.
    pub fn children(&self) -> usize {
        let asked: (&[&str], &str) = match self.kind {
            Kind::Libreswan => (&["/usr/libexec/ipsec/whack", "--trafficstatus"], "type=ESP"),
            Kind::Openiked => (&["/usr/sbin/ikectl", "-s", SOCKET, "show", "sa"], "sa_childsas: "),
        };
        let said = self.call(asked.0).stdout;
        let lines = String::from_utf8_lossy(&said).lines().filter(|line| line.contains(asked.1)).count();
        // iked lists each direction.
        if self.kind == Kind::Openiked { lines / 2 } else { lines }
    }

    /// What it logged since its start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.lab.directory().join("foreign.log")).unwrap_or_default()
    }

    fn write(&self, configuration: &Configuration<'_>, begins: bool) {
        match self.kind {
            Kind::Libreswan => {
                put("/etc/ipsec.conf", &format!("config setup\n\tikev1-policy=accept\n{}", libreswan(configuration)));
                let (id, key) = (id_of_a(configuration), configuration.key);
                put("/etc/ipsec.secrets", &format!("{} {id} : PSK \"{key}\"\n", Side::B.wan()));
            }
            Kind::Openiked => put("/etc/iked.conf", &openiked(configuration, begins)),
        }
    }

    fn call(&self, command: &[&str]) -> Output {
        output(self.lab.command_in(Side::B, "chroot").arg(ROOT).args(command).stdin(Stdio::null()))
    }

    #[track_caller]
    fn tell(&self, command: &[&str]) {
        let done = self.call(command);
        let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(done.status.success(), "{command:?}: {}\n{}\n{}", done.status, said.concat(), self.log());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}:\n{}", self.kind, self.log());
        }
        if let Some(process) = self.process.take() {
            process.end();
        }
    }
}

/// libreswan's database of certificates, which it needs without any, too.
const NSS: &str = "/var/lib/ipsec/nss";
/// Where ikectl reaches iked.
const SOCKET: &str = "/run/iked.sock";

/// What the program is given for a connection that does not begin.
pub fn text(kind: Kind, configuration: &Configuration<'_>) -> String {
    match kind {
        Kind::Libreswan => libreswan(configuration),
        Kind::Openiked => openiked(configuration, false),
    }
}

fn libreswan(it: &Configuration<'_>) -> String {
    let (a, b) = (Side::A.wan(), Side::B.wan());
    let list = |networks: &[&str]| match networks {
        [one] => format!("subnet={one}"),
        all => format!("subnets={}", all.join(",")),
    };
    let version = if it.version == "ikev1" { "no" } else { "insist" };
    format!(
        "conn net\n\tleft={b}\n\tright={a}\n\tleftid={b}\n\trightid={}\n\tikev2={version}\n\tauthby=secret\n\
         \tleft{}\n\tright{}\n\tike={};{}\n\tesp={}\n\tpfs={}\n\tikelifetime=4h\n\
         \tsalifetime=1h\n\tsha2-truncbug={}\n\tauto=ignore\n",
        id_of_a(it),
        list(it.local),
        list(it.remote),
        libreswan_names(it.ike, true),
        libreswan_group(it.ike.2),
        // Its version 4.10 takes IKE's group for PFS, whatever stands here.
        libreswan_names(it.esp, false),
        if it.esp.2.is_some() { "yes" } else { "no" },
        if it.esp.1 == "sha256-96" { "yes" } else { "no" }
    )
}

/// libreswan would look a name up without its sign.
fn id_of_a(it: &Configuration<'_>) -> String {
    let sign = if it.id_of_a.parse::<std::net::IpAddr>().is_ok() { "" } else { "@" };
    format!("{sign}{}", it.id_of_a)
}

fn openiked(it: &Configuration<'_>, begins: bool) -> String {
    let (a, b) = (Side::A.wan(), Side::B.wan());
    let pairs =
        it.local.iter().flat_map(|local| it.remote.iter().map(move |remote| format!("from {local} to {remote}")));
    let pairs = pairs.collect::<Vec<_>>().join(" ");
    let mode = if begins { "active" } else { "passive" };
    let hash = |proposal: Proposal| format!("hmac-{}", hash_named(proposal.1, "sha2-"));
    let group = |proposal: Proposal| match proposal.2 {
        None => "none",
        Some(14) => "modp2048",
        Some(15) => "modp3072",
        Some(19) => "ecp256",
        Some(31) => "curve25519",
        other => panic!("no name for {other:?}"),
    };
    let (ike, esp) = (it.ike, it.esp);
    format!(
        "set {mode}\nset nomobike\nikev2 \"net\" {mode} tunnel esp {pairs} local {b} peer {a} \
         ikesa auth {} enc {} prf {} group {} childsa auth {} enc {} group {} \
         srcid {b} dstid {} ikelifetime 14400 lifetime 3600 psk \"{}\"\n",
        hash(ike),
        ike.0,
        hash(ike),
        group(ike),
        hash(esp),
        esp.0,
        group(esp),
        it.id_of_a,
        it.key
    )
}

/// Cipher and hash: `aes256-sha2_512`, `aes_gcm256`, and `aes_gcm256-sha2_256` for the IKE SA, where the PRF needs it.
fn libreswan_names(Proposal(cipher, hash, _): Proposal, ike: bool) -> String {
    let (name, aead) = match cipher {
        "aes-128-gcm" => ("aes_gcm128".to_owned(), true),
        "aes-192-gcm" => ("aes_gcm192".to_owned(), true),
        "aes-256-gcm" => ("aes_gcm256".to_owned(), true),
        other => (other.replace('-', ""), false),
    };
    let hash = hash_named(hash, "sha2_");
    if aead && !ike { name } else { format!("{name}-{hash}") }
}

/// `sha1` alone is called alike everywhere; the others have the name of their family before their bits. One that is cut is
/// negotiated as what it is cut from.
fn hash_named(hash: &str, family: &str) -> String {
    let hash = hash.strip_suffix("-96").unwrap_or(hash);
    if hash == "sha1" { hash.to_owned() } else { hash.replacen("sha", family, 1) }
}

fn libreswan_group(group: Option<u16>) -> String {
    match group.expect("IKE has a group") {
        14 => "modp2048".to_owned(),
        15 => "modp3072".to_owned(),
        other => format!("dh{other}"),
    }
}

/// Mounts their root: the machine's, under what is written there, with their files over it.
fn mount() {
    let foreign = kernel().join("foreign");
    let made = Path::new("/run/foreign");
    for directory in ["lower", "upper", "work", "root"] {
        fs::create_dir_all(made.join(directory)).expect("a directory");
    }
    // As a file system of its own: an overlay cannot have a directory and what is below it.
    mount_at(&["-t", "hostfs", "-o", &foreign.display().to_string(), "none", "/run/foreign/lower"]);
    let layers = "lowerdir=/run/foreign/lower:/,upperdir=/run/foreign/upper,workdir=/run/foreign/work";
    mount_at(&["-t", "overlay", "-o", layers, "none", ROOT]);
    for directory in ["proc", "sys", "dev"] {
        mount_at(&["--rbind", &format!("/{directory}"), &below(&format!("/{directory}"))]);
    }
    for directory in ["run", "tmp"] {
        mount_at(&["-t", "tmpfs", "none", &below(&format!("/{directory}"))]);
    }
    inside(&["mkdir", "-p", NSS, "/var/empty", "/var/lib/openiked", "/etc/iked/private", "/etc/iked/pubkeys/ipv4"]);
    inside(&["certutil", "-N", "-d", &format!("sql:{NSS}"), "--empty-password"]);
    // iked gives up its rights for those of this user, and reads a key that is not used here.
    for (file, line) in [("/etc/passwd", "_iked:x:998:998::/var/empty:/bin/false\n"), ("/etc/group", "_iked:x:998:\n")]
    {
        let known = fs::read_to_string(below(file)).expect("a file of users");
        put(file, &(known + line));
        fs::set_permissions(below(file), fs::Permissions::from_mode(0o644)).expect("a mode");
    }
    let key = "/etc/iked/private/local.key";
    inside(&["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key]);
    inside(&["openssl", "ec", "-in", key, "-pubout", "-out", "/etc/iked/local.pub"]);
}

fn mount_at(arguments: &[&str]) {
    run(Command::new("mount").args(arguments));
}

/// Does something in their root.
fn inside(command: &[&str]) {
    run(tethered("chroot").arg(ROOT).args(command));
}

/// A file of their root.
fn below(path: &str) -> String {
    format!("{ROOT}{path}")
}

/// Writes a file of theirs, for root alone.
fn put(path: &str, text: &str) {
    let path = below(path);
    fs::write(&path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
}
