//! Input of subcommands: a file that its caller names, standard input, or a password. Input that is too long is refused,
//! never cut. A file may also be a pipe, such as `<(...)` of a shell.

use anyhow::{Context, Result, bail};
use cygnet::visible::visible;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::Path,
};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

/// The longest password, or key that is typed, in bytes.
const LONGEST_PASSWORD: u64 = 1024;

/// The bytes of a file, or of standard input if it is named `-`; at most `limit`.
///
/// # Errors
/// When they cannot be read, or are more.
pub fn bytes(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    if path == Path::new("-") { whole(io::stdin().lock(), limit) } else { whole(File::open(path)?, limit) }
}

/// The same as text.
///
/// # Errors
/// As [`bytes`], and when they are not UTF-8.
pub fn text(path: &Path, limit: u64) -> io::Result<Zeroizing<String>> {
    let bytes = bytes(path, limit)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| io::Error::other("it is not UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn whole(input: impl Read, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // In one piece: a buffer that grows leaves copies of a key behind. One byte more tells what is too long.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(limit).unwrap_or(0) + 1));
    input.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is longer than {limit} bytes; check that it is the right file")));
    }
    Ok(bytes)
}

/// A password: asked for twice on a terminal, without echo; else the first line of standard input. The end of the line
/// does not belong to it.
///
/// # Errors
/// When there is none, it is too long or not UTF-8, or the two differ.
pub fn password() -> Result<Zeroizing<String>> {
    let password = if io::stdin().is_terminal() { asked(|| twice("password"))? } else { line()? };
    if password.is_empty() {
        bail!("the password is empty: type it, or pipe it in");
    }
    Ok(password)
}

/// A passphrase for what is sealed, asked for twice on a terminal, without echo.
///
/// # Errors
/// When it is empty or too long, or the two differ.
pub fn new_passphrase() -> Result<Zeroizing<String>> {
    let passphrase = asked(|| twice("passphrase"))?;
    if passphrase.is_empty() {
        bail!("the passphrase is empty");
    }
    Ok(passphrase)
}

/// A pre-shared key, asked for once on a terminal, without echo; empty if only the line was ended.
///
/// # Errors
/// When it cannot be read, or is too long.
pub fn key() -> Result<Zeroizing<String>> {
    asked(|| {
        let mut out = io::stderr();
        write!(out, "Pre-shared key (not shown; empty: one is made): ")
            .and_then(|()| out.flush())
            .context("cannot ask")?;
        line()
    })
}

/// The passphrase of the file `path`, asked for on a terminal, without echo.
///
/// # Errors
/// When it cannot be read, or is too long.
pub fn passphrase(path: &Path) -> Result<Zeroizing<String>> {
    let question = format!("Passphrase of {} (not shown): ", visible(&path.to_string_lossy()));
    asked(move || {
        let mut out = io::stderr();
        write!(out, "{question}").and_then(|()| out.flush()).context("cannot ask")?;
        line()
    })
}

/// A line of standard input without its end.
fn line() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST_PASSWORD)? + 3));
    // Two bytes more for the end of the line.
    let read = io::stdin().lock().take(LONGEST_PASSWORD + 3).read_until(b'\n', &mut bytes);
    read.context("cannot read the password")?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() as u64 > LONGEST_PASSWORD {
        bail!("what was typed is longer than {LONGEST_PASSWORD} bytes");
    }
    let text = std::str::from_utf8(line).context("what was typed is not UTF-8")?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Asks without echo. Whatever ends it, also a signal, the terminal echoes again.
fn asked(question: impl FnOnce() -> Result<Zeroizing<String>> + Send + 'static) -> Result<Zeroizing<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let outcome = runtime.block_on(async {
        let wait = |kind| signal(kind).context("cannot handle signals");
        let (mut interrupt, mut quit) = (wait(SignalKind::interrupt())?, wait(SignalKind::quit())?);
        let (mut terminate, mut hangup) = (wait(SignalKind::terminate())?, wait(SignalKind::hangup())?);
        let _silence = Silence::begin().context("cannot switch off the terminal's echo")?;
        tokio::select! {
            typed = tokio::task::spawn_blocking(question) => typed?,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = quit.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("interrupted"),
            _ = hangup.recv() => bail!("interrupted"),
        }
    });
    // After a signal a thread still reads the terminal; it is not waited for.
    runtime.shutdown_background();
    outcome
}

fn twice(what: &str) -> Result<Zeroizing<String>> {
    let ask = |question: &str| {
        let mut out = io::stderr();
        write!(out, "{question} {what}: ").and_then(|()| out.flush()).context("cannot ask")?;
        line()
    };
    let password = ask("New")?;
    if !password.is_empty() && ask("Retype new")? != password {
        bail!("the two {what}s differ; nothing was changed");
    }
    Ok(password)
}

/// A terminal on standard input that shows nothing of what is typed but the ends of lines, as long as this lives.
struct Silence(Termios);

impl Silence {
    fn begin() -> nix::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHOE | LocalFlags::ECHOK);
        silent.local_flags.insert(LocalFlags::ECHONL);
        // What was typed before the question is no answer to it.
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}
