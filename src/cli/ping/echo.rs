//! The system's `ping`: run for a few packets, and what it said.

use super::ends::Ends;
use crate::cli::stop::{Result, Stop};
use std::{
    io::{BufRead, BufReader, ErrorKind, Read},
    process::{Command, Stdio},
};

/// How long the last answer may take, in seconds.
const LAST: &str = "2";
/// The pause between packets, in seconds.
const PACE: &str = "0.3";

/// What became of the packets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Echo {
    /// How many were sent.
    pub sent: u64,
    /// How many were answered.
    pub received: u64,
    /// Shortest, mean and longest time of an answer, and how they vary, as ping says it.
    pub times: Option<String>,
    /// What ping complained about.
    pub complaint: Option<String>,
}

/// Sends `count` packets; `each` gets the lines of ping as they come.
pub fn run(ends: Ends, count: u16, mut each: impl FnMut(&str) -> Result<()>) -> Result<Echo> {
    let family = if ends.to.is_ipv4() { "-4" } else { "-6" };
    let mut command = Command::new("ping");
    command.args([family, "-n", "-i", PACE, "-W", LAST, "-c"]).arg(count.to_string());
    command.arg("-I").arg(ends.from.to_string()).arg(ends.to.to_string());
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        let stop = Stop::failed(format!("ping cannot be run: {error}"));
        if error.kind() == ErrorKind::NotFound { stop.hint("install it: apt install iputils-ping") } else { stop }
    })?;
    let mut echo = Echo::default();
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines().map_while(Result::ok)) {
        echo.hear(&line);
        each(&line)?;
    }
    let mut complaint = String::new();
    let complained = child.stderr.take().map(|mut err| err.read_to_string(&mut complaint)).transpose();
    let ended = complained.and_then(|_| child.wait());
    ended.map_err(|error| Stop::failed(format!("ping cannot be read: {error}")))?;
    echo.complaint = complaint.lines().next().map(|line| line.trim_start_matches("ping: ").to_owned());
    Ok(echo)
}

impl Echo {
    /// Takes in a line of ping.
    fn hear(&mut self, line: &str) {
        if let Some((sent, rest)) = line.split_once(" packets transmitted, ") {
            self.sent = sent.parse().unwrap_or(0);
            self.received = rest.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        } else if let Some(times) = line.strip_prefix("rtt ") {
            self.times = Some(times.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Echo;

    #[test]
    fn ping_is_understood() {
        let mut echo = Echo::default();
        for line in [
            "64 bytes from 10.2.0.1: icmp_seq=1 ttl=64 time=0.5 ms",
            "3 packets transmitted, 2 received, +1 errors, 33% packet loss, time 604ms",
            "rtt min/avg/max/mdev = 0.4/0.5/0.6/0.1 ms",
        ] {
            echo.hear(line);
        }
        let times = Some("min/avg/max/mdev = 0.4/0.5/0.6/0.1 ms".to_owned());
        assert_eq!(echo, Echo { sent: 3, received: 2, times, complaint: None });
    }
}
