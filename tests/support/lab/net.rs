//! The lab's network: three namespaces, a bridge, addresses, and a wire that can be cut. Only iproute2 is used. It may
//! not touch the machine's own network: every command names a namespace of this lab.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::{Lab, Side};
use crate::support::run;

/// Makes the namespaces of the lab named `lab` and everything in them.
///
/// Each gateway's default route leads to the bridge, which answers to `.254` and forwards nothing: what a gateway
/// sends in the clear shows up in a capture and is lost, as on a real WAN.
pub fn build(lab: &str) {
    let middle = format!("{lab}-m");
    for end in ["a", "b", "m"] {
        run(Command::new("ip").args(["netns", "add", &format!("{lab}-{end}")]));
    }
    batch(
        &middle,
        "link set lo up\n\
         link add br0 address 02:00:00:00:00:fe type bridge forward_delay 0 mcast_snooping 0\n\
         addr add 192.0.2.254/24 dev br0\n\
         addr add 2001:db8::ffff/64 dev br0 nodad\n\
         link set br0 up\n",
    );
    inside(&middle, || {
        set("net/ipv4/ip_forward", "0");
        set("net/ipv6/conf/all/forwarding", "0");
    });
    for side in Side::BOTH {
        gateway(lab, &middle, side);
    }
}

fn gateway(lab: &str, middle: &str, side: Side) {
    let namespace = format!("{lab}-{}", side.letter());
    let (own, peer, port) = (side.number(), side.other().number(), side.port());
    batch(
        &namespace,
        &format!(
            "link set lo up\nlink add wan address 02:00:00:00:00:0{own} type veth peer name {port} netns {middle}\n"
        ),
    );
    // No duplicate address detection, also for the link-local address: the lab is ready when this returns.
    inside(&namespace, || set("net/ipv6/conf/wan/accept_dad", "0"));
    batch(middle, &format!("link set {port} master br0 up\n"));
    // The neighbours are fixed, so that a cut wire loses packets silently instead of failing address resolution.
    batch(
        &namespace,
        &format!(
            "addr add 192.0.2.{own}/24 dev wan\n\
             addr add 2001:db8::{own}/64 dev wan nodad\n\
             addr add 10.{own}.0.1/24 dev lo\n\
             addr add fd00:{own}::1/64 dev lo nodad\n\
             link set wan up\n\
             neigh add 192.0.2.{peer} lladdr 02:00:00:00:00:0{peer} dev wan nud permanent\n\
             neigh add 2001:db8::{peer} lladdr 02:00:00:00:00:0{peer} dev wan nud permanent\n\
             route add default via 192.0.2.254\n\
             route add default via 2001:db8::ffff\n"
        ),
    );
}

/// Feeds lines to `ip -batch` in a namespace; panics with the message of the line that failed.
#[track_caller]
fn batch(namespace: &str, lines: &str) {
    let mut command = Command::new("ip");
    command.args(["-n", namespace, "-batch", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut ip = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    // A write error means that ip has ended early; its stderr says why, below.
    let _ = ip.stdin.take().map(|mut stdin| stdin.write_all(lines.as_bytes()));
    let output = ip.wait_with_output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}input:\n{lines}", output.status);
}

/// Does `work` on a thread that has joined the namespace and ends afterwards; sockets made there stay in it.
#[track_caller]
pub fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let path = format!("/run/netns/{namespace}");
    let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let joined = move || {
        setns(&file, CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| panic!("setns {path}: {error}"));
        work()
    };
    thread::scope(|scope| scope.spawn(joined).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn set(key: &str, value: &str) {
    let path = format!("/proc/sys/{key}");
    fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Lab namespaces of processes that no longer live, as `(lab, namespace)`.
pub fn orphans() -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir("/run/netns") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let lab = |name: String| Some((name.rsplit_once('-')?.0.to_owned(), name));
    names.filter_map(lab).filter(|(lab, _)| super::owner(lab).is_some_and(|pid| !super::lives(pid))).collect()
}

/// Kills what still runs in a namespace of ours and removes it. Never panics: it runs in `Drop`, and several at once.
pub fn remove(namespace: &str) {
    let listed = Command::new("ip").args(["netns", "pids", namespace]).output();
    let pids = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let own = std::process::id().to_string();
    for pid in pids.split_whitespace().filter(|pid| **pid != own).filter_map(|pid| pid.parse().ok()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    let _ = Command::new("ip").args(["netns", "del", namespace]).output();
    let _ = fs::remove_dir_all(files(namespace));
}

/// What `ip netns exec` puts over /etc in a namespace.
fn files(namespace: &str) -> PathBuf {
    Path::new("/etc/netns").join(namespace)
}

impl Lab {
    /// Gives the gateway's WAN interface one more address, for example `192.0.2.11/24`.
    #[track_caller]
    pub fn add_address(&self, side: Side, cidr: &str) {
        let nodad = if cidr.contains(':') { " nodad" } else { "" };
        batch(&self.namespace(side), &format!("addr add {cidr} dev wan{nodad}\n"));
    }

    /// Makes all addresses of `network` those of the gateway, and leads the other one's packets to them here.
    #[track_caller]
    pub fn answer_for(&self, side: Side, network: &str) {
        let (via, other) = (side.wan(), side.other());
        batch(&self.namespace(side), &format!("route replace local {network} dev lo\n"));
        batch(&self.namespace(other), &format!("route replace {network} via {via}\n"));
    }

    /// Undoes [`Lab::answer_for`].
    #[track_caller]
    pub fn answer_no_longer(&self, side: Side, network: &str) {
        let (via, other) = (side.wan(), side.other());
        batch(&self.namespace(side), &format!("route del local {network} dev lo\n"));
        batch(&self.namespace(other), &format!("route del {network} via {via}\n"));
    }

    /// Takes an address of the gateway's WAN interface away.
    #[track_caller]
    pub fn remove_address(&self, side: Side, cidr: &str) {
        batch(&self.namespace(side), &format!("addr del {cidr} dev wan\n"));
    }

    /// What the gateway's programs resolve names by, if it was said before they start: lines as in /etc/hosts. There is no
    /// name server, which is known at once.
    #[track_caller]
    pub fn set_names(&self, side: Side, hosts: &str) {
        let directory = files(&self.namespace(side));
        let all = [
            ("hosts", hosts),
            ("nsswitch.conf", "hosts: files dns\n"),
            ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"),
        ];
        let write = |(name, text)| fs::write(directory.join(name), text);
        // Written in place: what runs has these very files.
        let written = fs::create_dir_all(&directory).and_then(|()| all.into_iter().try_for_each(write));
        written.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    }

    /// Has the gateway's programs ask a name server at `address` for what [`Lab::set_names`] does not say.
    #[track_caller]
    pub fn set_name_server(&self, side: Side, address: &str) {
        let path = files(&self.namespace(side)).join("resolv.conf");
        let written = fs::write(&path, format!("nameserver {address}\n"));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Gives the gateway one more LAN host, on lo, for example `10.1.5.1/24`.
    #[track_caller]
    pub fn add_lan(&self, side: Side, cidr: &str) {
        let nodad = if cidr.contains(':') { " nodad" } else { "" };
        batch(&self.namespace(side), &format!("addr add {cidr} dev lo{nodad}\n"));
    }

    /// Gives the gateway many addresses at once: those of its interface `wan`, and LAN hosts.
    #[track_caller]
    pub fn add_many(&self, side: Side, wan: &[String], hosts: &[String]) {
        let line = |interface: &str, cidr: &String| {
            let nodad = if cidr.contains(':') { " nodad" } else { "" };
            format!("addr add {cidr} dev {interface}{nodad}\n")
        };
        let lines = wan.iter().map(|cidr| line("wan", cidr)).chain(hosts.iter().map(|cidr| line("lo", cidr)));
        batch(&self.namespace(side), &lines.collect::<String>());
    }

    /// Cuts the gateway's wire in the middle, or mends it. Everything is lost silently, IKE as well as ESP, in both
    /// directions, and the gateway's interface stays up: its bridge port is disabled, which needs no extra package.
    #[track_caller]
    pub fn drop_udp(&self, side: Side, cut: bool) {
        let state = if cut { "0" } else { "3" };
        let middle = self.middle();
        run(Command::new("bridge").args(["-n", &middle, "link", "set", "dev", side.port(), "state", state]));
    }

    /// A TCP connection made inside the gateway's namespace, usable from any thread.
    pub fn connect_tcp(&self, side: Side, address: SocketAddr) -> io::Result<TcpStream> {
        inside(&self.namespace(side), || TcpStream::connect_timeout(&address, Duration::from_secs(5)))
    }

    /// Does `work` on a thread in the namespace of the bridge.
    pub fn inside_middle<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.middle(), work)
    }

    /// Does `work` on a thread in the gateway's namespace: for sockets and for `/proc/sys/net`.
    pub fn inside<T: Send>(&self, side: Side, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.namespace(side), work)
    }
}
