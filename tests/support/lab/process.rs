//! Child processes that end with their handle, with their lab, and with this process, whatever happens first.
//! It may not decide what runs; it only starts, signals and reaps.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{poll, wait_until};

/// How long a process may take to end after SIGTERM before SIGKILL follows.
const GRACE: Duration = Duration::from_secs(2);

/// A running child. Dropping it ends it (SIGTERM, then SIGKILL) and reaps it.
pub struct Process {
    what: String,
    pid: Pid,
    child: Mutex<Child>,
}

impl Process {
    /// Starts `command` (made by [`tethered`]) from the spawner thread, with its stdin closed.
    #[track_caller]
    pub fn start(what: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).process_group(0);
        let shown = format!("{command:?}");
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start {what}: {shown}: {error}"));
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid fits an i32"));
        Self { what: what.to_owned(), pid, child: Mutex::new(child) }
    }

    /// Its process id; it stays this process's until it was reaped by one of the methods here.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How it ended, `None` while it runs.
    pub fn status(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Sends a signal; a process that has already ended gets none.
    pub fn signal(&self, signal: Signal) {
        let mut child = self.child();
        if matches!(child.try_wait(), Ok(None)) {
            // Not reaped yet, and the lock is held: the pid cannot have been given to another process.
            let _ = kill(self.pid, signal);
        }
    }

    /// Waits for its end; panics with its name after `timeout`.
    #[track_caller]
    pub fn wait(&self, timeout: Duration) -> ExitStatus {
        wait_until(timeout, &format!("{} ends", self.what), || self.status())
    }

    /// Ends it now: SIGKILL, and reaps it.
    pub fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Asks it to end, also when it is stopped, without waiting for that.
    pub fn ask_to_end(&self) {
        self.signal(Signal::SIGTERM);
        self.signal(Signal::SIGCONT);
    }

    /// Ends it: SIGTERM, and SIGKILL if that did not help in two seconds.
    pub fn end(&self) {
        self.ask_to_end();
        if poll(GRACE, || self.status()).is_none() {
            self.kill();
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A command whose process is killed by the kernel when the thread that started it is gone: nothing outlives a test
/// that was killed itself.
pub fn tethered(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command.env("LC_ALL", "C").env_remove("NOTIFY_SOCKET");
    command
}

/// Starts the command from a thread that lives as long as this process. The kernel's parent-death signal follows the
/// starting *thread*: a charon started by a test's helper thread would die with that thread.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        let work = move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        };
        thread::Builder::new().name("lab-spawner".to_owned()).spawn(work).expect("a thread can be started");
        Mutex::new(orders)
    });
    let (reply, child) = mpsc::channel();
    let gone = || io::Error::other("the spawner thread is gone");
    spawner.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}
