//! Runs a subcommand with the settings of a bench. Whatever it prints is looked through for keys.

use crate::serve::{Bench, KEY, Options, params, uuid, wait_until};
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// The key that tests bring by a file or standard input.
pub const OTHER_KEY: &str = "test-only-other-key-4712";

/// How a subcommand ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// Itself, if it ended with this exit code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// The JSON on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// The command, without what the environment of the tests might say.
pub fn command(b: &Bench, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    command.args(arguments).arg("--config").arg(b.path("cygnet.toml"));
    command.env_remove("CYGNET_CONFIG").env_remove("NO_COLOR").env("TERM", "xterm").env("TZ", "UTC");
    command
}

/// Runs it without input.
#[track_caller]
pub fn run(b: &Bench, arguments: &[&str]) -> Run {
    fed(b, arguments, "")
}

/// Runs it with this input.
#[track_caller]
pub fn fed(b: &Bench, arguments: &[&str], input: &str) -> Run {
    let mut command = command(b, arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    // It may end without reading.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("ended");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let run =
        Run { code: output.status.code().expect("no signal"), out: text(output.stdout), err: text(output.stderr) };
    keyless(&run.out);
    keyless(&run.err);
    run
}

/// Fails if a key of the tests is in `text`.
#[track_caller]
pub fn keyless(text: &str) {
    assert!(!text.contains(KEY) && !text.contains(OTHER_KEY), "a key is shown: {text}");
}

/// An agent with the connection 7, which is up.
pub fn up() -> Bench {
    up_with(&Options::default())
}

/// As [`up`], with other options.
pub fn up_with(options: &Options) -> Bench {
    let b = Bench::with(options);
    b.charon.establish(true);
    b.create(&params(7, &json!({})));
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    b
}

/// `text` with the times in it replaced.
pub fn timeless(text: &str) -> String {
    let line = |line: &str| {
        if line.starts_with("  changed ") {
            return "  changed      <dates>".to_owned();
        }
        let (mut words, mut shown) = (line.split(' '), Vec::new());
        while let Some(word) = words.next() {
            let is_moment = word.parse::<jiff::civil::Date>().is_ok();
            // The time of day and the zone.
            let rest = if is_moment { words.by_ref().take(2).count() } else { 0 };
            shown.push(if rest == 2 { "<time>" } else { word });
        }
        shown.join(" ")
    };
    text.lines().map(|text| line(text) + "\n").collect()
}
