//! A machine with a kernel of its own: User-Mode Linux on this machine's root, which it sees read-only. It boots, does
//! one piece of work and turns itself off, or loses its power. It may not know what the work is.
//!
//! `make kernel` fetches the kernel into `CYGNET_UML`. Each machine is a process namespace, so it ends as a whole, also
//! with the test that started it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::lab::{Process, tethered};
use crate::support::{output, poll, run};

/// Where `make kernel` puts the kernel unless `CYGNET_UML` says otherwise.
const KERNEL: &str = "/var/cache/cygnet/uml";

/// What is run beside and inside, each with its Debian package.
const PROGRAMS: [(&str, &str); 8] = [
    ("/usr/sbin/charon-systemd", "charon-systemd"),
    ("/usr/sbin/swanctl", "strongswan-swanctl"),
    ("/usr/bin/tcpdump", "tcpdump"),
    ("/usr/bin/ping", "iputils-ping"),
    ("/usr/bin/unshare", "util-linux"),
    ("/usr/sbin/mke2fs", "e2fsprogs"),
    ("/usr/bin/gcc", "gcc"),
    ("/usr/bin/openssl", "openssl"),
];

/// How long the smallest boot may take before the machine counts as one that cannot hold User-Mode Linux.
const BOOT: Duration = Duration::from_mins(1);

/// A running machine; dropping it takes its power away.
pub struct Machine {
    share: TempDir,
    process: Arc<Process>,
}

/// How the work of a machine ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` if the machine ended without one.
    pub code: Option<i32>,
    /// What it wrote to both its outputs.
    pub output: String,
}

impl Machine {
    /// Why no machine can run here, for a line that begins with SKIPPED. It is tried: one boots and does nothing.
    pub fn available() -> Result<(), String> {
        static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
        TRIED.get_or_init(tried).clone()
    }

    /// Boots, with a file as its disk, and starts the work: lines for a shell.
    #[track_caller]
    pub fn boot(work: &str, disk: Option<&Path>) -> Self {
        let share = tempfile::tempdir().unwrap_or_else(|error| panic!("a directory to share: {error}"));
        write(&share.path().join("work"), work);
        let kernel = kernel();
        let mut command = tethered("unshare");
        // A shell is the namespace's first process: as that itself, the kernel would be spared most signals, its own too.
        command.args([
            "--pid",
            "--mount",
            "--mount-proc",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            "\"$@\"; exit $?",
            "sh",
        ]);
        command.arg("env").arg(format!("LD_PRELOAD={}", preloaded("xstate.c", share.path()).display()));
        command.arg(kernel.join("usr/bin/linux.uml"));
        command.arg("mem=512M").arg(format!("uml_dir={}/", share.path().display()));
        command.args(["rootfstype=hostfs", "rootflags=/", "ro", "con=null", "con0=null,fd:1", "ssl=null", "quiet"]);
        command.args(["random.trust_cpu=on", "panic=-1"]);
        command.arg(format!("init={}/tests/kernel/init.sh", env!("CARGO_MANIFEST_DIR")));
        command.arg(format!("CYGNET_UML={}", kernel.display()));
        command.arg(format!("CYGNET_SHARE={}", share.path().display()));
        command.arg(format!("CYGNET_FOREIGN={}", std::env::var("CYGNET_FOREIGN").unwrap_or_default()));
        if let Some(disk) = disk {
            command.arg(format!("ubd0={}", disk.display()));
        }
        let console = fs::File::create(share.path().join("console")).unwrap_or_else(|error| panic!("console: {error}"));
        command.stderr(console.try_clone().expect("a descriptor can be doubled")).stdout(console);
        Self { process: Arc::new(Process::start("User-Mode Linux", command)), share }
    }

    /// The directory that the machine sees as /run/share: what is written there survives the power cut.
    pub fn share(&self) -> &Path {
        self.share.path()
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        self.process.status().is_none()
    }

    /// Waits until it has turned itself off; panics with all that it said if that takes longer than `timeout`.
    #[track_caller]
    pub fn wait(&self, timeout: Duration) -> Ended {
        let off = poll(timeout, || (!self.runs()).then_some(()));
        let ended = self.ended();
        assert!(off.is_some(), "still running after {timeout:?}: {ended:?}");
        ended
    }

    /// Takes its power away: the kernel is gone between two instructions, and with it what it had not written.
    pub fn cut(&self) {
        self.process.kill();
    }

    /// What the work has said so far, and its exit code; without a word of it, what the kernel said.
    pub fn ended(&self) -> Ended {
        let read = |name| fs::read(self.share.path().join(name)).unwrap_or_default();
        let text = |name| String::from_utf8_lossy(&read(name)).into_owned();
        let output = Some(text("output")).filter(|said| !said.is_empty()).unwrap_or_else(|| text("console"));
        Ended { code: text("status").trim().parse().ok(), output }
    }
}

/// Makes an empty disk in `directory`.
#[track_caller]
pub fn disk(directory: &Path) -> PathBuf {
    let disk = directory.join("disk");
    let file = fs::File::create(&disk).unwrap_or_else(|error| panic!("{}: {error}", disk.display()));
    file.set_len(64 << 20).unwrap_or_else(|error| panic!("{}: {error}", disk.display()));
    run(Command::new("/usr/sbin/mke2fs").args(["-q", "-t", "ext4", "-F"]).arg(&disk));
    disk
}

/// Compiles a file of tests/kernel to be preloaded into a program; the result lies in `directory`.
#[track_caller]
pub fn preloaded(source: &str, directory: &Path) -> PathBuf {
    let library = directory.join(source).with_extension("so");
    let mut compiler = Command::new("/usr/bin/gcc");
    compiler.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library);
    run(compiler.arg(format!("{}/tests/kernel/{source}", env!("CARGO_MANIFEST_DIR"))));
    library
}

/// The directory of the kernel.
pub fn kernel() -> PathBuf {
    std::env::var_os("CYGNET_UML").map_or_else(|| KERNEL.into(), PathBuf::from)
}

fn tried() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root".to_owned());
    }
    if !["usr/bin/linux.uml", "foreign"].iter().all(|made| kernel().join(made).exists()) {
        return Err(format!("needs User-Mode Linux and peers in {} (make kernel)", kernel().display()));
    }
    if let Some((program, package)) = PROGRAMS.iter().find(|(program, _)| !Path::new(program).exists()) {
        return Err(format!("needs {program} (package {package})"));
    }
    let unshared = output(Command::new("unshare").args(["--pid", "--mount", "--fork", "true"]).stderr(Stdio::null()));
    if !unshared.status.success() {
        return Err("needs namespaces of its own".to_owned());
    }
    let machine = Machine::boot("true", None);
    let off = poll(BOOT, || (!machine.runs()).then_some(()));
    match (off, machine.ended()) {
        (Some(()), Ended { code: Some(0), .. }) => Ok(()),
        (_, ended) => Err(format!("User-Mode Linux does not run here: {}", ended.output.trim())),
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
