//! A machine with systemd (`machine.sh` makes it), with strongSwan and, if wanted, our package. It may panic.

use crate::skip::skipped;
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long anything may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A machine; it is removed at the end.
pub struct Machine {
    directory: TempDir,
}

/// Whether this machine can run others; says why not.
pub fn possible() -> bool {
    let output = script().arg("check").output().expect("the script runs");
    if !output.status.success() {
        skipped(&String::from_utf8_lossy(&output.stdout));
    }
    output.status.success()
}

/// The package under test.
pub fn package() -> PathBuf {
    named("CYGNET_DEB")
}

/// The package of `cygnet-fleet`.
pub fn fleet_package() -> PathBuf {
    named("CYGNET_FLEET_DEB")
}

fn named(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names a package: run `make box`"));
    fs::canonicalize(&path).unwrap_or_else(|e| panic!("{}: {e}", Path::new(&path).display()))
}

fn script() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/box/machine.sh"))
}

/// What a program said, if it succeeded.
#[track_caller]
fn said(output: &Output, what: &dyn std::fmt::Debug) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{what:?}: {}\n{stdout}{stderr}", output.status);
    stdout
}

impl Machine {
    /// A machine that runs, with charon on its own data plane, because the kernel may have none.
    pub fn boot() -> Self {
        // Not under /tmp, which may be in memory: an overlay cannot lie there.
        let directory = tempfile::Builder::new().prefix("b").tempdir_in("/var/tmp").expect("a directory");
        let machine = Self { directory };
        machine.up();
        machine.write(
            "/etc/strongswan.d/charon/kernel-libipsec.conf",
            "kernel-libipsec {\n\tload = yes\n\tallow_peer_ts = yes\n}\n",
        );
        machine
    }

    fn order(&self, order: &str) {
        said(&script().arg(order).arg(self.directory.path()).output().expect("the script runs"), &order);
    }

    pub fn up(&self) {
        self.order("up");
    }

    pub fn down(&self) {
        self.order("down");
    }

    pub fn crash(&self) {
        self.order("crash");
    }

    /// The name of its network namespace.
    pub fn network(&self) -> String {
        format!("cygnet-box-{}", self.directory.path().file_name().unwrap_or_default().to_string_lossy())
    }

    /// Runs a command of words without spaces.
    pub fn try_run(&self, line: &str) -> Output {
        self.try_words(&line.split(' ').collect::<Vec<_>>())
    }

    /// Runs a command.
    pub fn try_words<S: AsRef<OsStr>>(&self, words: &[S]) -> Output {
        script().arg("exec").arg(self.directory.path()).args(words).output().expect("the script runs")
    }

    /// Runs a command, which has to succeed; what it says.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        said(&self.try_run(line), &line)
    }

    /// Runs a line of shell, which has to succeed; what it says.
    #[track_caller]
    pub fn shell(&self, line: &str) -> String {
        said(&self.try_words(&["sh", "-c", line]), &line)
    }

    /// Writes a file, for everybody to read.
    pub fn write(&self, path: &str, text: &str) {
        let aside = self.directory.path().join("aside");
        fs::write(&aside, text).expect("written");
        self.put(&aside, path);
    }

    /// Copies a file of this machine into it.
    pub fn put(&self, from: &Path, to: &str) {
        let input = fs::File::open(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        let mut command = script();
        command.arg("exec").arg(self.directory.path()).args(["sh", "-c", &format!("umask 022; cat >{to}")]);
        said(&command.stdin(input).output().expect("the script runs"), &to);
    }

    /// Installs a package; all that was said. A question about a file of the settings would fail: nobody answers.
    #[track_caller]
    pub fn install(&self, package: &Path) -> String {
        self.put(package, "/var/tmp/cygnet.deb");
        self.shell("dpkg --install /var/tmp/cygnet.deb 2>&1")
    }

    /// Calls the agent over its Unix socket; `None` if it does not answer.
    pub fn try_call(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let text = body.to_string();
        let output = self.try_words(&[
            "curl",
            "-sS",
            "--max-time",
            "20",
            "--unix-socket",
            "/run/cygnet/cygnet.sock",
            "-X",
            method,
            "-w",
            "\n%{http_code}",
            "-d",
            &text,
            &format!("http://localhost{path}"),
        ]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n')?;
        output.status.success().then(|| (status.parse().unwrap_or(0), serde_json::from_str(body).unwrap_or_default()))
    }

    /// Calls the agent, which has to answer 200.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_call(method, path, body).expect("an answer");
        assert_eq!(status, 200, "{method} {path}: {answer:#}");
        answer
    }

    /// A property of a unit.
    pub fn show(&self, unit: &str, property: &str) -> String {
        self.run(&format!("systemctl show --value --property={property} {unit}")).trim().to_owned()
    }

    /// Whether the agent answers and holds charon.
    pub fn is_ready(&self) -> bool {
        self.try_call("GET", "/readyz", &Value::Null).is_some_and(|(status, _)| status == 200)
    }

    /// Waits until `condition` holds.
    #[track_caller]
    pub fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !condition() {
            let journal = || self.shell("journalctl --no-pager -n 40 -u cygnet -u strongswan");
            assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}\n{}", journal());
            thread::yield_now();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let removed = script().arg("rm").arg(self.directory.path()).status();
        if !removed.is_ok_and(|status| status.success()) {
            eprintln!("{} could not be removed", self.directory.path().display());
        }
    }
}

/// A package like `package` with a higher version.
pub fn newer(package: &Path, directory: &Path) -> PathBuf {
    repacked(package, &directory.join("newer.deb"), |tree, version| {
        edit(&tree.join("DEBIAN/control"), &[(&format!("Version: {version}"), &format!("Version: {version}.1"))]);
    })
}

/// A package like `package` as version 0.1.0-1 was: the group of the socket may write where swanctl looks,
/// and the settings are its conffile.
pub fn released(package: &Path, directory: &Path) -> PathBuf {
    repacked(package, &directory.join("released.deb"), |tree, version| {
        edit(&tree.join("DEBIAN/control"), &[(&format!("Version: {version}"), "Version: 0.1.0-0")]);
        edit(&tree.join("usr/lib/tmpfiles.d/cygnet.conf"), &[("root cygnet-certs", "root cygnet")]);
        edit(&tree.join("usr/lib/sysusers.d/cygnet.conf"), &[("g cygnet-certs -", "")]);
        edit(&tree.join("usr/lib/systemd/system/cygnet.service"), &[("cygnet-vici cygnet-certs ", "cygnet-vici ")]);
        // Its settings were a file of the package, which every gateway had to edit.
        fs::create_dir_all(tree.join("etc/cygnet")).expect("made");
        fs::write(tree.join("etc/cygnet/cygnet.toml"), "conf_dir = \"/var/lib/cygnet/swanctl\"\n").expect("written");
        let list = tree.join("DEBIAN/conffiles");
        let files = fs::read_to_string(&list).expect("read") + "/etc/cygnet/cygnet.toml\n";
        fs::write(list, files).expect("written");
    })
}

/// Replaces texts in a file, which must be there.
#[track_caller]
fn edit(path: &Path, texts: &[(&str, &str)]) {
    let mut text = fs::read_to_string(path).expect("read");
    for (old, new) in texts {
        assert!(text.contains(old), "{old} is not in {}", path.display());
        text = text.replace(old, new);
    }
    fs::write(path, text).expect("written");
}

/// The package `new`: `package` with its tree changed, which is told the version.
fn repacked(package: &Path, new: &Path, change: impl FnOnce(&Path, &str)) -> PathBuf {
    let tree = new.with_extension("tree");
    let run = |arguments: &[&OsStr]| {
        said(&Command::new("dpkg-deb").args(arguments).output().expect("dpkg-deb runs"), &arguments);
    };
    run(&["-R".as_ref(), package.as_ref(), tree.as_ref()]);
    let text = fs::read_to_string(tree.join("DEBIAN/control")).expect("read");
    change(&tree, text.lines().find_map(|line| line.strip_prefix("Version: ")).expect("a version"));
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o755)).expect("a mode");
    run(&["--root-owner-group".as_ref(), "-Zgzip".as_ref(), "-b".as_ref(), tree.as_ref(), new.as_ref()]);
    new.into()
}
