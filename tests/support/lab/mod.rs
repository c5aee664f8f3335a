//! Two VPN gateways and the wire between them, in network namespaces, with a real charon on each when asked for:
//!
//! ```text
//! LAN 10.1.0.1/24, fd00:1::1/64 (lo) - gateway A - 192.0.2.1, 2001:db8::1 -+
//!                                                                          bridge (capture, cut)
//! LAN 10.2.0.1/24, fd00:2::1/64 (lo) - gateway B - 192.0.2.2, 2001:db8::2 -+
//! ```
//!
//! This file owns the names and the cleaning up. It may not know the agent. Everything is named after this process
//! and a counter, so labs and test processes run side by side; what a killed one leaves behind, [`Lab::sweep`] removes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};

use tempfile::TempDir;

mod charon;
mod net;
mod process;
mod programs;
mod sas;
mod traffic;
mod vici;

pub use charon::CharonOptions;
pub use process::{Process, tethered};
pub use traffic::{Capture, CaptureCounts, Ping, PingResult};

/// Programs that a lab runs beside strongSwan's, each with the Debian package that brings it.
const PROGRAMS: [(&str, &str); 8] = [
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("ip", "iproute2"),
    ("bridge", "iproute2"),
    ("tcpdump", "tcpdump"),
    ("ping", "iputils-ping"),
    ("setpriv", "util-linux"),
    ("timeout", "coreutils"),
];

/// One of the two gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// 192.0.2.1 with 10.1.0.0/24 behind it.
    A,
    /// 192.0.2.2 with 10.2.0.0/24 behind it.
    B,
}

impl Side {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The gateway at the other end of the wire.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// `a` or `b`: its part of names.
    pub fn letter(self) -> &'static str {
        ["a", "b"][self as usize]
    }

    /// 1 or 2: its part of addresses.
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// Its WAN address.
    pub fn wan(self) -> &'static str {
        ["192.0.2.1", "192.0.2.2"][self as usize]
    }

    /// Its IPv6 WAN address.
    pub fn wan6(self) -> &'static str {
        ["2001:db8::1", "2001:db8::2"][self as usize]
    }

    /// The network behind it.
    pub fn lan(self) -> &'static str {
        ["10.1.0.0/24", "10.2.0.0/24"][self as usize]
    }

    /// The IPv6 network behind it.
    pub fn lan6(self) -> &'static str {
        ["fd00:1::/64", "fd00:2::/64"][self as usize]
    }

    /// The host in the network behind it: what pings come from and go to.
    pub fn host(self) -> &'static str {
        ["10.1.0.1", "10.2.0.1"][self as usize]
    }

    /// The host in the IPv6 network behind it.
    pub fn host6(self) -> &'static str {
        ["fd00:1::1", "fd00:2::1"][self as usize]
    }

    /// Its port of the bridge in the middle.
    fn port(self) -> &'static str {
        ["toa", "tob"][self as usize]
    }
}

/// The lab. Clones share it; with the last one every process ends, and the namespaces and the directory go.
#[derive(Clone)]
pub struct Lab {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    directory: TempDir,
    /// Whose strongSwan each gateway runs.
    roots: [Option<PathBuf>; 2],
    processes: Mutex<Vec<Weak<Process>>>,
    charons: Mutex<[charon::Charon; 2]>,
}

impl Lab {
    /// Why no lab can be made on this machine, for a line that begins with SKIPPED; `Ok` when it can.
    pub fn available() -> Result<(), String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("needs root (network namespaces)".to_owned());
        }
        if !Path::new("/dev/net/tun").exists() {
            return Err("needs /dev/net/tun (kernel-libipsec)".to_owned());
        }
        let found = |program: &str| {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&paths).any(|directory| directory.join(program).exists())
        };
        match PROGRAMS.iter().find(|(program, _)| !found(program)) {
            Some((program, package)) => Err(format!("needs {program} (package {package})")),
            None => programs::available(),
        }
    }

    /// Makes the namespaces and the directory; no charon yet. The first lab of a process sweeps up after dead ones.
    #[track_caller]
    pub fn new() -> Self {
        Self::with_roots([programs::root(), programs::root()])
    }

    /// A lab whose gateways run the strongSwan of these suites, each empty for this machine's own; or what is missing.
    #[track_caller]
    pub fn of_suites(suites: [&str; 2]) -> Result<Self, String> {
        Self::available()?;
        let [a, b] = suites.map(programs::root_of);
        Ok(Self::with_roots([a?, b?]))
    }

    #[track_caller]
    fn with_roots(roots: [Option<PathBuf>; 2]) -> Self {
        static SWEPT: Once = Once::new();
        static LABS: AtomicU64 = AtomicU64::new(0);
        SWEPT.call_once(Self::sweep);
        let name = format!("cyg-{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir();
        let directory = directory.unwrap_or_else(|error| panic!("cannot make the lab's directory: {error}"));
        // From here on Drop cleans up, also after a half-made network.
        let inner = Inner { name, directory, roots, processes: Mutex::default(), charons: Mutex::default() };
        let lab = Self { inner: Arc::new(inner) };
        net::build(&lab.inner.name);
        for side in Side::BOTH {
            lab.prepare(side);
        }
        lab
    }

    /// The numbers of the version of the strongSwan that labs run, such as `[5, 9, 8]`.
    pub fn strongswan() -> [u32; 3] {
        programs::version()
    }

    /// The values of `ikeVersion` that this strongSwan speaks: Debian builds it without IKEv1 from 6.1.0 on.
    pub fn ike_versions() -> &'static [&'static str] {
        let all = &["ikev2", "ikev1"];
        if Self::strongswan() < [6, 1, 0] { all } else { &all[..1] }
    }

    /// Removes the namespaces and directories of labs whose process no longer lives, and kills what runs in them.
    pub fn sweep() {
        for (_, namespace) in net::orphans() {
            net::remove(&namespace);
        }
        let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_str().and_then(owner).is_some_and(|pid| !lives(pid)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// The lab's directory, removed with it.
    pub fn directory(&self) -> &Path {
        self.inner.directory.path()
    }

    /// The gateway's part of the directory.
    pub fn side_directory(&self, side: Side) -> PathBuf {
        self.directory().join(side.letter())
    }

    /// The name of the gateway's network namespace.
    pub fn namespace(&self, side: Side) -> String {
        format!("{}-{}", self.inner.name, side.letter())
    }

    /// The name of the namespace that holds the bridge.
    pub fn middle(&self) -> String {
        format!("{}-m", self.inner.name)
    }

    /// A command that runs `program` in the gateway's namespace. Killed when the thread that starts it ends; for
    /// longer lives give it to [`Lab::spawn`].
    pub fn command_in(&self, side: Side, program: impl AsRef<std::ffi::OsStr>) -> Command {
        in_namespace(&self.namespace(side), program)
    }

    /// A command that runs `program` in the namespace of the bridge, between the gateways.
    pub fn command_in_middle(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        in_namespace(&self.middle(), program)
    }

    /// Starts a command that lives as long as its handle and the lab.
    #[track_caller]
    pub fn spawn(&self, what: &str, command: Command) -> Arc<Process> {
        let process = Arc::new(Process::start(what, command));
        let mut processes = guard(&self.inner.processes);
        processes.retain(|known| known.strong_count() > 0);
        processes.push(Arc::downgrade(&process));
        process
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        let running: Vec<_> = guard(&self.processes).iter().filter_map(Weak::upgrade).collect();
        for process in &running {
            process.ask_to_end();
        }
        for process in &running {
            process.end();
        }
        for end in ["a", "b", "m"] {
            net::remove(&format!("{}-{end}", self.name));
        }
    }
}

/// A command that runs in a namespace; `ip netns exec` replaces itself, so the child's pid is the program's.
fn in_namespace(namespace: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = process::tethered("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// The process that a name like `cyg-PID-N...` belongs to; `None` for names that are not ours.
fn owner(name: &str) -> Option<u32> {
    let (pid, number) = name.strip_prefix("cyg-")?.split_once('-')?;
    number.starts_with(|first: char| first.is_ascii_digit()).then(|| pid.parse().ok()).flatten()
}

/// Whether a process still runs; a zombie does not (nobody may be there to reap it).
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
