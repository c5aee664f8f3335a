//! What this host and its programs say. Programs run without a shell, for a limited time, and their output is bounded.

use super::{part::Part, secrets};
use crate::cli::stop::{Result, Stop};
use cygnet::disk::open::{self, Kind};
use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most bytes of an output.
const MOST: u64 = 8 << 20;
/// The most lines of the journal.
const LINES: &str = "20000";

/// The parts that programs print: a name, and the command. None of these commands prints a key: `nokeys` leaves out those
/// of the kernel's SAs.
const COMMANDS: [(&str, &[&str]); 20] = [
    ("versions/kernel.txt", &["uname", "-a"]),
    (
        "versions/packages.txt",
        &[
            "dpkg-query",
            "-W",
            "cygnet",
            "*strongswan*",
            "charon-systemd",
            "libcharon*",
            "iproute2",
            "nftables",
            "iptables",
            "systemd",
            "linux-image-*",
        ],
    ),
    ("versions/swanctl.txt", &["swanctl", "--version"]),
    ("units.txt", &["systemctl", "status", "--no-pager", "--full", "--lines=0", "cygnet", "strongswan"]),
    ("net/address.txt", &["ip", "-d", "address"]),
    ("net/link.txt", &["ip", "-s", "-d", "link"]),
    ("net/rule.txt", &["ip", "rule"]),
    ("net/rule6.txt", &["ip", "-6", "rule"]),
    ("net/route.txt", &["ip", "route", "show", "table", "all"]),
    ("net/route6.txt", &["ip", "-6", "route", "show", "table", "all"]),
    ("net/xfrm-policy.txt", &["ip", "-s", "xfrm", "policy"]),
    ("net/xfrm-state.txt", &["ip", "-s", "xfrm", "state", "list", "nokeys"]),
    ("net/nft.txt", &["nft", "list", "ruleset"]),
    ("net/iptables.txt", &["iptables-save", "-c"]),
    ("net/ip6tables.txt", &["ip6tables-save", "-c"]),
    ("net/sockets.txt", &["ss", "-anup"]),
    ("charon/stats.txt", &["swanctl", "--stats", "--uri", VICI]),
    ("charon/sas.txt", &["swanctl", "--list-sas", "--uri", VICI]),
    ("charon/connections.txt", &["swanctl", "--list-conns", "--uri", VICI]),
    ("charon/policies.txt", &["swanctl", "--list-pols", "--uri", VICI]),
];
/// Stands for charon's socket in [`COMMANDS`].
const VICI: &str = "VICI";
/// The journal of the last hour.
const JOURNAL: [&str; 13] = [
    "journalctl",
    "-u",
    "cygnet",
    "-u",
    "strongswan",
    "-u",
    "strongswan-starter",
    "--since=-1h",
    "-o",
    "short-iso-precise",
    "--no-pager",
    "-n",
    LINES,
];
/// What journalctl prints if it finds nothing.
const NO_ENTRIES: &str = "-- No entries --";
/// The files of the system that are taken.
const FILES: [(&str, &str, Kind); 4] = [
    ("versions/os-release.txt", "/etc/os-release", Kind::Operator),
    ("net/xfrm-stat.txt", "/proc/net/xfrm_stat", Kind::Kernel),
    ("net/forward.txt", "/proc/sys/net/ipv4/ip_forward", Kind::Kernel),
    ("net/forward6.txt", "/proc/sys/net/ipv6/conf/all/forwarding", Kind::Kernel),
];

/// The name of this host.
pub fn name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "host".into(), |name| name.to_string_lossy().into_owned())
}

/// The parts that this host and its programs know.
pub fn parts(vici: &Path) -> Result<Vec<Part>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::failed(format!("cannot start: {error}")))?;
    let uri = format!("unix://{}", vici.display());
    let mut parts: Vec<_> = FILES.iter().map(|(name, path, kind)| Part::new(*name, file(path, *kind))).collect();
    for (name, command) in COMMANDS {
        let words: Vec<_> = command.iter().map(|word| if *word == VICI { uri.as_str() } else { word }).collect();
        parts.push(Part::new(name, runtime.block_on(said(&words)).map(|text| secrets::lines(&text))));
    }
    parts.push(Part::new("journal.txt", runtime.block_on(said(&JOURNAL)).map(|text| secrets::lines(&text))));
    Ok(parts)
}

fn file(path: &str, kind: Kind) -> Result<String, String> {
    open::read_to_string(Path::new(path), kind).map_err(|error| format!("{path}: {error}"))
}

/// What a program prints, or why it prints nothing.
async fn said(words: &[&str]) -> Result<String, String> {
    let [program, arguments @ ..] = words else { return Err("no program".into()) };
    let output = match timeout(PATIENCE, output(program, arguments)).await {
        Err(_) => return Err(format!("{program} did not end within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("{program} is not installed"));
        }
        Ok(Err(error)) => return Err(format!("{program}: {error}")),
        Ok(Ok(output)) => output,
    };
    let [text, complaint] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    match why(&complaint) {
        complaint if text.trim() == NO_ENTRIES => {
            Err(complaint.unwrap_or("the journal has none of the last hour").into())
        }
        Some(why) if text.trim().is_empty() => Err(format!("{program}: {why}")),
        None if text.trim().is_empty() && !output.status.success() => {
            Err(format!("{program} ended with {}", output.status))
        }
        Some(_) => Ok(format!("{text}\n(on standard error)\n{complaint}")),
        None => Ok(text),
    }
}

/// The line of an error that says most: some programs print their usage behind it.
fn why(complaint: &str) -> Option<&str> {
    let is_telling = |line: &&str| line.contains("ailed") || line.contains("rror");
    let mut lines = complaint.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.clone().find(is_telling).or_else(|| lines.next_back())
}

/// Both outputs of a program, each up to its limit: one that prints more is ended.
async fn output(program: &str, arguments: &[&str]) -> std::io::Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8").env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, err) = tokio::join!(
        async { if let Some(out) = out { out.take(MOST).read_to_end(&mut stdout).await } else { Ok(0) } },
        async { if let Some(err) = err { err.take(MOST).read_to_end(&mut stderr).await } else { Ok(0) } },
    );
    if out? as u64 == MOST {
        child.start_kill()?;
        stdout.extend(b"\n(the rest is left out)\n");
    }
    err?;
    Ok(Output { status: child.wait().await?, stdout, stderr })
}
