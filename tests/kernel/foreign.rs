//! IKE daemons that are not strongSwan, on gateway B: Debian's libreswan and openiked, which tests/kernel/fetch.sh has
//! unpacked. They are configured and asked by their own programs, as their operators do it. This file may not know the
//! agent, nor what is right.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::foreign_root::{NSS, ROOT, below, mount, other, put};
use crate::foreign_texts::text;
pub use crate::foreign_texts::{Configuration, Kind, Proposal};
use crate::support::lab::{Lab, Process, Side};
use crate::support::{output, run, wait_until};

/// How long a daemon may take to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where ikectl reaches iked, and whack pluto.
const SOCKET: &str = "/run/iked.sock";
const CONTROL: &str = "/run/pluto/pluto.ctl";
const WHACK: &str = "/usr/libexec/ipsec/whack";

/// A daemon on B.
pub struct Peer {
    lab: Lab,
    pub kind: Kind,
    process: Option<Arc<Process>>,
}

impl Peer {
    /// Starts it with this configuration; it begins nothing.
    #[track_caller]
    pub fn start(lab: &Lab, kind: Kind, configuration: &Configuration<'_>) -> Self {
        mount();
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
        let (socket, arguments): (_, &[&str]) = match self.kind {
            Kind::Libreswan => (
                CONTROL,
                &[
                    "/usr/libexec/ipsec/pluto",
                    "--config",
                    "/etc/ipsec.conf",
                    "--nofork",
                    "--stderrlog",
                    "--nssdir",
                    NSS,
                ],
            ),
            Kind::Openiked => (SOCKET, &["/usr/sbin/iked", "-d", "-v", "-f", "/etc/iked.conf", "-s", SOCKET]),
        };
        for left in [socket, "/run/pluto/pluto.pid"] {
            let _ = fs::remove_file(below(left));
        }
        let mut command = self.lab.command_in(Side::B, "chroot");
        command.arg(ROOT).args(arguments).stdout(log.try_clone().expect("a descriptor can be doubled")).stderr(log);
        let process = self.lab.spawn("the peer", command);
        wait_until(PATIENCE, "the peer listens", || {
            assert!(process.status().is_none(), "the peer ended: {}", self.log());
            let asked: &[&str] = match self.kind {
                Kind::Libreswan => &[WHACK, "--listen"],
                Kind::Openiked => &["/usr/sbin/ikectl", "-s", SOCKET, "show", "sa"],
            };
            (Path::new(&below(socket)).exists() && self.call(asked).status.success()).then_some(())
        });
        self.process = Some(process);
    }

    /// Takes its configuration over, as an operator does it: libreswan closes what runs, openiked keeps it.
    #[track_caller]
    pub fn load(&self, configuration: &Configuration<'_>) {
        self.write(configuration, false);
        match self.kind {
            // What `ipsec auto --replace` and `--rereadsecrets` do. The secrets come last: what comes up with a new key
            // would be closed again, maybe before A has heard that it is up.
            Kind::Libreswan => self.tell(&[
                "sh",
                "-c",
                "cd /usr/libexec/ipsec; ./whack --name net --delete; ./addconn net && ./whack --rereadsecrets",
            ]),
            Kind::Openiked => self.reload(),
        }
    }

    /// Begins; nobody waits until it is up.
    #[track_caller]
    pub fn up(&self, configuration: &Configuration<'_>) {
        match self.kind {
            Kind::Libreswan => {
                // What it exits with tells how far it is.
                let _ = self.call(&[WHACK, "--asynchronous", "--name", "net", "--initiate"]);
            }
            Kind::Openiked => {
                self.write(configuration, true);
                self.reload();
            }
        }
    }

    /// Starts once more and begins at once, whoever has called it before.
    #[track_caller]
    pub fn restart_and_begin(&mut self, configuration: &Configuration<'_>) {
        self.lose_power();
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
            Kind::Libreswan => self.tell(&[WHACK, "--name", "net", "--terminate"]),
            Kind::Openiked => self.tell(&["/usr/sbin/ikectl", "-s", SOCKET, "reset", "sa"]),
        }
    }

    /// SIGKILL: what the kernel has of it stays.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// As a machine that loses its power: SIGKILL, and what the kernel has of it goes too.
    #[track_caller]
    pub fn lose_power(&mut self) {
        self.kill();
        for what in ["state", "policy"] {
            run(self.lab.command_in(Side::B, "ip").args(["xfrm", what, "flush"]));
        }
    }

    /// Negotiates the IKE SA anew, or the CHILD_SA; libreswan only.
    #[track_caller]
    pub fn rekey(&self, what: &str) {
        let what = if other().is_some() { what.replace("ipsec", "child") } else { what.to_owned() };
        let _ = self.call(&[WHACK, &what, "--name", "net"]);
    }

    /// How many CHILD_SAs it lists.
    pub fn children(&self) -> usize {
        let asked: (&[&str], &str) = match self.kind {
            Kind::Libreswan => (&[WHACK, "--trafficstatus"], "type=ESP"),
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
        let text = text(self.kind, configuration, begins);
        match self.kind {
            Kind::Libreswan => {
                // Version 5 has other words for the same.
                let newer = [
                    ("ikev2=insist", "keyexchange=ikev2"),
                    ("ikev2=no", "keyexchange=ikev1"),
                    ("salife", "ipsec-life"),
                ];
                let newer = if other().is_some() { &newer[..] } else { &[] };
                let text = newer.iter().fold(text, |text, (old, new)| text.replace(old, new));
                put("/etc/ipsec.conf", &format!("config setup\n\tikev1-policy=accept\n{text}"));
                put("/etc/ipsec.secrets", &configuration.secrets());
            }
            Kind::Openiked => put("/etc/iked.conf", &text),
        }
    }

    /// iked answers before it has read the file, and prints each policy that it reads. Then it is asked once more, so that
    /// its other processes have it too.
    #[track_caller]
    fn reload(&self) {
        let read = || self.log().matches("ikev2 \"net\" ").count();
        let before = read();
        self.tell(&["/usr/sbin/ikectl", "-s", SOCKET, "reload"]);
        wait_until(PATIENCE, "iked reads its file", || (read() > before).then_some(()));
        self.tell(&["/usr/sbin/ikectl", "-s", SOCKET, "show", "sa"]);
    }

    /// Runs a program of it. The namespace comes from the thread, which is spared two programs on the way.
    fn call(&self, command: &[&str]) -> Output {
        let mut chroot = Command::new("/usr/sbin/chroot");
        chroot.arg(ROOT).args(command).stdin(Stdio::null());
        self.lab.inside(Side::B, move || output(&mut chroot))
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
