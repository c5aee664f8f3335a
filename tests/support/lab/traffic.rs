//! Pings through the lab, and captures of the wire. The tests decide which loss is acceptable.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use super::process::{Process, tethered};
use super::{Lab, Side, in_namespace};
use crate::support::{output, poll, run, wait_until};

/// How long ping and tcpdump may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The payload of every ping, in ping's hexadecimal notation and in bytes: what must not be seen on the wire.
const PATTERN: (&str, &[u8]) = ("5ec2e75ec2e7", &[0x5e, 0xc2, 0xe7, 0x5e, 0xc2, 0xe7, 0x5e, 0xc2]);

/// What became of a row of pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingResult {
    /// Echo requests sent, also those the gateway had no route for.
    pub sent: u64,
    /// Requests answered.
    pub received: u64,
    /// The longest row of unanswered requests, in packets: times the interval it is the longest gap.
    pub longest_gap: u64,
}

impl PingResult {
    /// Requests without an answer.
    pub fn lost(self) -> u64 {
        self.sent - self.received
    }
}

/// What passed on the wire, each frame counted once, where it came from a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounts {
    /// ESP in UDP.
    pub esp_in_udp: usize,
    /// ESP directly on IP.
    pub esp: usize,
    /// AH, whatever stands behind its header, where it can be read.
    pub ah: usize,
    /// IKE messages.
    pub ike: usize,
    /// Echo requests and replies in the clear, IPv4 and IPv6.
    pub bare_icmp: usize,
    /// Places where the payload of a ping can be read.
    pub plaintext: usize,
}

/// A ping that runs until it is stopped or its count is reached.
pub struct Ping {
    process: Arc<Process>,
    file: PathBuf,
}

impl Ping {
    /// How many answers were seen so far.
    pub fn received(&self) -> u64 {
        sequence_numbers(&self.text()).len() as u64
    }

    /// Waits until `count` more answers have come; panics if they do not come within ten seconds.
    #[track_caller]
    pub fn wait_for_replies(&self, count: u64) {
        let goal = self.received() + count;
        wait_until(PATIENCE, "pings are answered", || (self.received() >= goal).then_some(()));
    }

    /// Ends the ping. A last request that had no time to be answered does not count.
    #[track_caller]
    pub fn stop(self) -> PingResult {
        self.process.signal(Signal::SIGINT);
        self.process.wait(PATIENCE);
        let text = self.text();
        let result = result(&text, true);
        result.unwrap_or_else(|| panic!("ping has no summary:\n{text}"))
    }

    /// Waits until the count was sent, for at most `timeout`.
    #[track_caller]
    pub fn wait(self, timeout: Duration) -> PingResult {
        self.process.wait(timeout);
        let text = self.text();
        result(&text, false).unwrap_or_else(|| panic!("ping has no summary:\n{text}"))
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap_or_default()
    }
}

/// A running capture of both gateways' wires.
pub struct Capture {
    ports: [(Arc<Process>, PathBuf); 2],
}

impl Capture {
    /// Ends the capture and counts.
    #[track_caller]
    pub fn finish(self) -> CaptureCounts {
        let [a, b] = self.finish_each();
        CaptureCounts {
            esp_in_udp: a.esp_in_udp + b.esp_in_udp,
            esp: a.esp + b.esp,
            ah: a.ah + b.ah,
            ike: a.ike + b.ike,
            bare_icmp: a.bare_icmp + b.bare_icmp,
            plaintext: a.plaintext + b.plaintext,
        }
    }

    /// The same, of A and of B.
    #[track_caller]
    pub fn finish_each(self) -> [CaptureCounts; 2] {
        self.settle();
        self.ports.map(|(process, file)| {
            process.signal(Signal::SIGINT);
            process.wait(PATIENCE);
            counted(&file)
        })
    }

    /// Ends the capture and counts the IKE packets of A and of B that were on the wire from `start` on: what was sent just
    /// before, by an end that still had the right to, does not count.
    #[track_caller]
    pub fn ike_since(self, start: SystemTime) -> [usize; 2] {
        self.settle();
        self.ports.map(|(process, file)| {
            process.signal(Signal::SIGINT);
            process.wait(PATIENCE);
            let output = run(tethered("tcpdump").args(["-tt", "-nr"]).arg(&file));
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().filter(|line| line.contains("isakmp") && seen_at(line) >= start).count()
        })
    }

    /// Lets tcpdump write what was already on the wire: until the files stop growing, at most a fifth of a second.
    fn settle(&self) {
        let mut last = None;
        let _ = poll(Duration::from_millis(200), || {
            let sizes: Vec<_> =
                self.ports.iter().map(|(_, file)| fs::metadata(file).ok().map(|file| file.len())).collect();
            let same = last.as_ref() == Some(&sizes);
            last = Some(sizes);
            same.then_some(())
        });
    }
}

impl Lab {
    /// Sends `count` pings from an address of the gateway and waits for the answers, the last for a second at most.
    #[track_caller]
    pub fn ping(&self, side: Side, from: &str, to: &str, count: u32, interval: Duration) -> PingResult {
        let mut command = self.ping_command(side, from, to, interval);
        let output = output(command.args(["-W", "1", "-c", &count.to_string()]));
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        result(&text, false).unwrap_or_else(|| panic!("{command:?}: {}\n{text}", output.status))
    }

    /// Pings the other gateway's host through the tunnel ten times in a tenth of a second.
    #[track_caller]
    pub fn ping_tunnel(&self, side: Side) -> PingResult {
        self.ping(side, side.host(), side.other().host(), 10, Duration::from_millis(10))
    }

    /// Starts a ping that goes on until [`Ping::stop`]: for the loss during a change.
    #[track_caller]
    pub fn ping_background(&self, side: Side, from: &str, to: &str, interval: Duration) -> Ping {
        let file = self.file("ping");
        let out = fs::File::create(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut command = self.ping_command(side, from, to, interval);
        command.stderr(out.try_clone().expect("a descriptor can be doubled")).stdout(out);
        Ping { process: self.spawn("ping", command), file }
    }

    /// Sends datagrams from an address of the gateway as fast as it can while `work` is done; returns how many. The payload
    /// is that of pings, so captures count those in the clear as plaintext.
    #[track_caller]
    pub fn send_while(&self, side: Side, from: &str, to: &str, work: impl FnOnce()) -> usize {
        let (is_done, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
        let flood = || {
            let socket = UdpSocket::bind((from, 0)).expect("a socket");
            socket.set_nonblocking(true).expect("a socket that does not wait");
            while !is_done.load(Ordering::Relaxed) {
                // A trap says that there is no SA yet, and a policy that drops says that it is not permitted.
                let _ = socket.send_to(PATTERN.1, (to, 9));
                sent.fetch_add(1, Ordering::Relaxed);
                thread::yield_now();
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| self.inside(side, flood));
            wait_until(PATIENCE, "packets are sent", || (sent.load(Ordering::Relaxed) > 100).then_some(()));
            let outcome = catch_unwind(AssertUnwindSafe(work));
            is_done.store(true, Ordering::Relaxed);
            outcome.unwrap_or_else(|panic| resume_unwind(panic));
        });
        sent.into_inner()
    }

    /// Captures what the two gateways send into the wire, from now on.
    #[track_caller]
    pub fn capture(&self) -> Capture {
        let start = |side: Side| {
            let (file, notes) = (self.file("pcap"), self.file("tcpdump"));
            let out = fs::File::create(&notes).unwrap_or_else(|error| panic!("{}: {error}", notes.display()));
            let mut command = in_namespace(&self.middle(), "tcpdump");
            command
                .args(["-U", "--immediate-mode", "-n", "-Z", "root", "-Q", "in", "-i", side.port(), "-w"])
                .arg(&file);
            command.stderr(out);
            let process = self.spawn("tcpdump", command);
            wait_until(PATIENCE, "tcpdump listens", || {
                let said = fs::read_to_string(&notes).unwrap_or_default();
                assert!(process.status().is_none(), "tcpdump ended: {said}");
                said.contains("listening on").then_some(())
            });
            (process, file)
        };
        Capture { ports: Side::BOTH.map(start) }
    }

    fn ping_command(&self, side: Side, from: &str, to: &str, interval: Duration) -> Command {
        let mut command = self.command_in(side, "ping");
        command.args(["-n", "-p", PATTERN.0, "-i", &interval.as_secs_f64().to_string(), "-I", from]).arg(to);
        command
    }

    /// A new file name in the lab's directory.
    fn file(&self, extension: &str) -> PathBuf {
        static FILES: AtomicU64 = AtomicU64::new(0);
        self.directory().join(format!("{}.{extension}", FILES.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Reads ping's output. `stopped`: a last request without an answer was on its way and does not count.
fn result(text: &str, stopped: bool) -> Option<PingResult> {
    let summary = text.lines().find(|line| line.contains(" packets transmitted"))?;
    let mut sent: u64 = summary.split_whitespace().next()?.parse().ok()?;
    let answered = sequence_numbers(text);
    if stopped && sent > 0 && !answered.contains(&sent) {
        sent -= 1;
    }
    let mut longest_gap = 0;
    let mut expected = 1;
    for number in answered.iter().copied().chain([sent + 1]) {
        longest_gap = longest_gap.max(number.saturating_sub(expected));
        expected = number + 1;
    }
    Some(PingResult { sent, received: answered.len() as u64, longest_gap })
}

/// The sequence numbers of the answers, each once.
fn sequence_numbers(text: &str) -> BTreeSet<u64> {
    let answers = text.lines().filter(|line| line.contains(" bytes from "));
    answers.filter_map(|line| line.split_once("icmp_seq=")?.1.split(' ').next()?.parse().ok()).collect()
}

/// When a line of `tcpdump -tt` was seen: it begins with the seconds since the epoch.
#[track_caller]
fn seen_at(line: &str) -> SystemTime {
    let seconds = line.split(' ').next().and_then(|first| first.parse().ok());
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds.unwrap_or_else(|| panic!("no time: {line}")))
}

fn counted(file: &PathBuf) -> CaptureCounts {
    let mut counts = CaptureCounts::default();
    let output = run(tethered("tcpdump").arg("-nr").arg(file));
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let kind = if line.contains("UDP-encap: ESP(") {
            &mut counts.esp_in_udp
        } else if line.contains(" ESP(") {
            &mut counts.esp
        } else if line.contains(" AH(") {
            &mut counts.ah
        } else if line.contains("isakmp") {
            &mut counts.ike
        } else if line.contains("ICMP echo") || line.contains("ICMP6, echo") {
            &mut counts.bare_icmp
        } else {
            continue;
        };
        *kind += 1;
    }
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    // The pattern repeats within a ping: each frame holds it several times, and in one of its rotations only.
    counts.plaintext += bytes.windows(PATTERN.1.len()).filter(|window| *window == PATTERN.1).count();
    counts
}
