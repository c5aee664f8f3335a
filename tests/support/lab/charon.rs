//! charon on a gateway of the lab: its settings, its life, and swanctl beside it. It may not know what the
//! connections mean, and never logs above level 1: higher levels print keys.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::process::{Process, tethered};
use super::programs::{CHARON, SWANCTL};
use super::vici::Vici;
use super::{Inner, Lab, Side, guard};
use crate::support::{output, wait_until};

/// How long charon may take to answer after its start, and to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(10);

/// Directories that swanctl looks into; it complains about each one that is missing.
const SWANCTL_DIRECTORIES: [&str; 14] = [
    "conf.d", "x509", "x509ca", "x509ocsp", "x509aa", "x509ac", "x509crl", "pubkey", "private", "rsa", "ecdsa",
    "bliss", "pkcs8", "pkcs12",
];

/// What a test wants of its charon; the default gives up on a dead peer after 4 s.
#[derive(Clone, Debug)]
pub struct CharonOptions {
    /// The plugins, in the order of loading.
    pub plugins: String,
    /// Worker threads.
    pub threads: u32,
    /// `charon.retransmit_timeout`, in seconds.
    pub retransmit_timeout: f64,
    /// `charon.retransmit_base`: the factor between two retransmissions.
    pub retransmit_base: f64,
    /// `charon.retransmit_tries`.
    pub retransmit_tries: u32,
    /// More lines for the section `charon-systemd` of strongswan.conf.
    pub extra: String,
}

impl Default for CharonOptions {
    fn default() -> Self {
        Self {
            plugins: "random nonce aes sha1 sha2 md5 gmp xcbc cmac ctr ccm chapoly hmac kdf gcm openssl curve25519 pem \
                      pkcs1 pkcs8 x509 pubkey constraints revocation kernel-libipsec kernel-netlink socket-default vici \
                      updown counters"
                .to_owned(),
            threads: 32,
            retransmit_timeout: 1.0,
            retransmit_base: 1.0,
            retransmit_tries: 3,
            extra: String::new(),
        }
    }
}

/// A gateway's charon: the options of its next start, and the process of the last one.
#[derive(Default)]
pub struct Charon {
    options: CharonOptions,
    process: Option<Arc<Process>>,
}

impl Lab {
    /// Makes the gateway's directory, with the programs in it.
    pub(super) fn prepare(&self, side: Side) {
        let swanctl = self.swanctl_dir(side);
        for directory in SWANCTL_DIRECTORIES {
            make(&swanctl.join(directory));
        }
        write(&swanctl.join("swanctl.conf"), "include conf.d/*.conf\n");
        make(&self.side_directory(side).join("bin"));
        self.prepare_programs(side);
    }

    /// Starts charon with the options of its last start, the default ones at first, and waits until vici answers.
    #[track_caller]
    pub fn start_charon(&self, side: Side) {
        let options = guard(&self.inner.charons)[side as usize].options.clone();
        self.start_charon_with(side, options);
    }

    /// Starts charon with these options and waits until vici answers. Its log goes on from an earlier run's.
    #[track_caller]
    pub fn start_charon_with(&self, side: Side, options: CharonOptions) {
        assert!(self.charon_pid(side).is_none(), "charon {} runs already", side.letter());
        let directory = self.side_directory(side);
        write(&directory.join("strongswan.conf"), &self.strongswan_conf(side, &options));
        let mut command = self.command_in(side, self.program(side, CHARON));
        let log = directory.join("charon.out");
        let log = fs::File::create(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        command.current_dir(&directory).env("STRONGSWAN_CONF", directory.join("strongswan.conf"));
        command.stderr(log.try_clone().expect("a descriptor can be doubled")).stdout(log);
        let process = self.spawn(&format!("charon {}", side.letter()), command);
        let socket = self.vici_socket(side);
        wait_until(PATIENCE, "charon answers on its vici socket", || {
            let ended = process.status();
            assert!(ended.is_none(), "charon {} ended: {ended:?}\n{}", side.letter(), self.charon_log(side));
            answers(&socket).then_some(())
        });
        guard(&self.inner.charons)[side as usize] = Charon { options, process: Some(process) };
    }

    /// SIGKILL: no DELETE is sent, the socket file stays.
    #[track_caller]
    pub fn kill_charon(&self, side: Side) {
        self.take_charon(side).kill();
    }

    /// SIGTERM, and waits for the end: the peer gets a DELETE for each SA.
    #[track_caller]
    pub fn stop_charon(&self, side: Side) -> ExitStatus {
        let charon = self.take_charon(side);
        charon.signal(Signal::SIGTERM);
        charon.wait(PATIENCE)
    }

    /// SIGSTOP: connects succeed, nothing answers.
    pub fn pause_charon(&self, side: Side) {
        self.signal_charon(side, Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn resume_charon(&self, side: Side) {
        self.signal_charon(side, Signal::SIGCONT);
    }

    /// The pid of the gateway's charon, `None` when none runs.
    pub fn charon_pid(&self, side: Side) -> Option<i32> {
        let charons = guard(&self.inner.charons);
        let process = charons[side as usize].process.as_ref()?;
        process.status().is_none().then(|| process.pid())
    }

    /// What charon has logged, of all its runs in this lab (level 1: ids and algorithms, no keys).
    pub fn charon_log(&self, side: Side) -> String {
        self.inner.charon_log(side)
    }

    /// charon's vici socket.
    pub fn vici_socket(&self, side: Side) -> PathBuf {
        self.side_directory(side).join("charon.vici")
    }

    /// What is /etc/swanctl elsewhere: a swanctl.conf that includes `conf.d/*.conf`, and nothing in conf.d.
    pub fn swanctl_dir(&self, side: Side) -> PathBuf {
        self.side_directory(side).join("swanctl")
    }

    /// Runs swanctl for the gateway, for at most 20 s (exit code 124: a paused charon never answers).
    #[track_caller]
    pub fn swanctl(&self, side: Side, arguments: &[&str]) -> Output {
        let mut command = tethered("timeout");
        command.args(["--foreground", "--kill-after=1", "20"]).arg(self.program(side, SWANCTL));
        output(self.complete(side, &mut command, arguments))
    }

    /// The same command without a limit, for who measures it. swanctl does not end with charon: it must be tethered.
    pub fn swanctl_command(&self, side: Side, arguments: &[&str]) -> Command {
        let mut command = tethered(self.program(side, SWANCTL));
        self.complete(side, &mut command, arguments);
        command
    }

    fn complete<'a>(&self, side: Side, command: &'a mut Command, arguments: &[&str]) -> &'a mut Command {
        command.args(arguments).arg("--uri").arg(format!("unix://{}", self.vici_socket(side).display()));
        command.env("STRONGSWAN_CONF", self.side_directory(side).join("strongswan.conf"));
        command.env("SWANCTL_DIR", self.swanctl_dir(side))
    }

    /// Writes `conf.d/NAME.conf` and loads everything, as an operator does; panics unless swanctl took it all.
    #[track_caller]
    pub fn load_conf(&self, side: Side, name: &str, text: &str) {
        write(&self.swanctl_dir(side).join(format!("conf.d/{name}.conf")), text);
        let output = self.swanctl(side, &["--load-all", "--noprompt"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        // swanctl exits with 0 after a syntax error too, having unloaded everything.
        let bad = ["invalid config file", "failed", "ignored"].iter().any(|word| said.contains(word));
        assert!(output.status.success() && !bad, "swanctl --load-all on {}: {}\n{said}", side.letter(), output.status);
    }

    fn take_charon(&self, side: Side) -> Arc<Process> {
        let process = guard(&self.inner.charons)[side as usize].process.take();
        process.unwrap_or_else(|| panic!("charon {} was not started", side.letter()))
    }

    fn signal_charon(&self, side: Side, signal: Signal) {
        let charons = guard(&self.inner.charons);
        charons[side as usize].process.iter().for_each(|process| process.signal(signal));
    }

    fn strongswan_conf(&self, side: Side, options: &CharonOptions) -> String {
        let CharonOptions { plugins, threads, retransmit_timeout, retransmit_base, retransmit_tries, extra } = options;
        let directory = self.side_directory(side);
        let mut text = format!(
            "charon-systemd {{\n\
             load_modular = no\n\
             load = {plugins}\n\
             threads = {threads}\n\
             make_before_break = yes\n\
             retransmit_timeout = {retransmit_timeout}\n\
             retransmit_base = {retransmit_base}\n\
             retransmit_tries = {retransmit_tries}\n"
        );
        let (socket, log) = (self.vici_socket(side), directory.join("charon.log"));
        let _ = write!(
            text,
            "plugins {{\n\
             vici {{\nsocket = unix://{}\n}}\n\
             kernel-libipsec {{\nallow_peer_ts = yes\n}}\n\
             }}\n\
             journal {{\ndefault = -1\n}}\n\
             filelog {{\nlab {{\npath = {}\ndefault = 1\nflush_line = yes\nike_name = yes\n}}\n}}\n\
             {extra}\n}}\n\
             swanctl {{\nload = pem pkcs1 pkcs8 x509 openssl random\n}}\n",
            socket.display(),
            log.display()
        );
        text
    }
}

impl Inner {
    fn charon_log(&self, side: Side) -> String {
        let directory = self.directory.path().join(side.letter());
        let read = |file| fs::read(directory.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&[read("charon.log"), read("charon.out")].concat()).into_owned()
    }

    /// The ends of both logs to stderr, for a test that failed.
    pub(super) fn show_logs(&self) {
        for side in Side::BOTH {
            let log = self.charon_log(side);
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("--- charon {}, the last lines of {}:\n{tail}", side.letter(), lines.len());
        }
    }
}

/// Whether a vici request gets an answer within a second; an open socket alone proves nothing.
fn answers(socket: &Path) -> bool {
    Vici::connect(socket, Duration::from_secs(1)).and_then(|mut vici| vici.ask("version", &[])).is_ok()
}

fn make(directory: &Path) {
    fs::create_dir_all(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
