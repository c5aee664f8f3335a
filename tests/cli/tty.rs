//! Runs a program with a terminal on all three streams.

use super::run::{command, keyless};
use crate::serve::{Bench, PATIENCE};
use nix::{
    pty::openpty,
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, tcgetattr},
    },
    unistd::Pid,
};
use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

/// A program in a terminal.
pub struct Terminal {
    child: Child,
    /// The program's side.
    slave: File,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    /// Starts a subcommand in a terminal of its own.
    pub fn start(b: &Bench, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::run(command(b, arguments).envs(environment.iter().copied()))
    }

    /// Starts a program in a terminal of its own.
    pub fn run(command: &mut Command) -> Self {
        let pair = openpty(None, None).expect("a terminal");
        let end = || Stdio::from(pair.slave.try_clone().expect("another handle"));
        // Whoever runs the tests in the background has them ignore what a terminal's keys send.
        let mut fresh = Command::new("/usr/bin/env");
        fresh.arg("--default-signal=INT,QUIT").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => fresh.env(name, value),
                None => fresh.env_remove(name),
            };
        }
        fresh.current_dir(command.get_current_dir().unwrap_or(std::path::Path::new(".")));
        let child = fresh.stdin(end()).stdout(end()).stderr(end()).spawn().expect("started");
        let slave = File::from(pair.slave.try_clone().expect("another handle"));
        let keyboard = File::from(pair.master);
        let mut output = keyboard.try_clone().expect("another handle");
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut part = [0; 4096];
            // The end is an error: nobody holds the other side any more.
            while let Ok(length @ 1..) = output.read(&mut part) {
                if sender.send(part[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, slave, keyboard, screen, shown: String::new() }
    }

    /// Waits until this was shown.
    #[track_caller]
    pub fn until(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.shown.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            let part = self.screen.recv_timeout(left);
            let part = part.unwrap_or_else(|error| panic!("{error}: not shown: {text}\n{}", self.shown));
            self.shown += &String::from_utf8_lossy(&part);
        }
    }

    /// Forgets what was shown.
    pub fn forget(&mut self) {
        self.shown.clear();
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).expect("typed");
    }

    /// Types keys, without the end of a line.
    pub fn types_alone(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().expect("a pid")), signal).expect("it runs");
    }

    /// Whether it shows what is typed.
    pub fn echoes(&self) -> bool {
        let now = tcgetattr(&self.slave).expect("a terminal");
        now.local_flags.contains(LocalFlags::ECHO)
    }

    /// Waits for the end by a signal.
    #[track_caller]
    pub fn ended_by(mut self) -> Option<i32> {
        std::os::unix::process::ExitStatusExt::signal(&self.child.wait().expect("a child"))
    }

    /// Waits for the end of the program, looks, and ends as [`Terminal::end`].
    #[track_caller]
    pub fn until_ended(mut self, look: impl FnOnce(&Self)) -> (i32, String) {
        self.child.wait().expect("a child");
        look(&self);
        self.end()
    }

    /// Waits for the end: the exit code and all that was shown.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let code = self.child.wait().expect("a child").code().expect("no signal");
        // Nobody holds the other side any more: what was shown comes to its end.
        self.slave = File::open("/dev/null").expect("opened");
        while let Ok(part) = self.screen.recv_timeout(PATIENCE) {
            self.shown += &String::from_utf8_lossy(&part);
        }
        keyless(&self.shown);
        (code, std::mem::take(&mut self.shown))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
