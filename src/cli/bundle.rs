//! `cygnet bundle`: one text for `authKey` of the files that other programs write. It asks no agent, but checks as one
//! does. The text has the private key, so it goes where only its owner can read it.

use super::{
    file_args::BundleArgs,
    input,
    look::safe,
    stop::{self, Result, Stop, print},
};
use cygnet::ipsec::certs::{Certs, Gathered, Passphrase, Shut, Unread};
use jiff::Timestamp;
use std::{
    fmt::Write as _,
    fs::{File, Permissions},
    io::{self, IsTerminal, Write},
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
    process::ExitCode,
};
use zeroize::Zeroizing;

/// The longest file: many certificates, as text.
const LONGEST: u64 = 4 * Certs::MAX as u64;
/// The longest file with a passphrase.
const LONGEST_PASSPHRASE: u64 = 4096;

pub fn run(args: &BundleArgs) -> ExitCode {
    stop::end(bundle(args), false)
}

fn bundle(args: &BundleArgs) -> Result<()> {
    let inputs = args.files.iter().chain(&args.passphrase_file);
    if inputs.filter(|input| input.as_path() == Path::new("-")).count() > 1 {
        return Err(Stop::usage("standard input can be one of the files, or the passphrase"));
    }
    let output = args.output.as_path();
    let is_stdout = output == Path::new("-");
    // Before anybody types a passphrase.
    if is_stdout {
        check_stdout()?;
    } else {
        check_output(output, args.force)?;
    }
    let given = args.passphrase_file.as_deref().map(passphrase_in).transpose()?;
    let mut gathered = Gathered::default();
    for file in &args.files {
        add(&mut gathered, file, given.as_ref())?;
    }
    let now = Timestamp::now();
    let certs = gathered.bundle(now).map_err(|why| {
        let hint = "give all parts: the private key, the gateway's certificate, its intermediates, and the CAs or the \
                    peer's own certificate";
        Stop::failed(format!("the bundle {why}; nothing was written")).hint(hint)
    })?;
    let text = certs.expose_pem();
    if is_stdout {
        return print(&text).map(drop);
    }
    write(output, text.as_bytes(), args.force)?;
    print(&summary(output, &certs)).map(drop)
}

/// Standard output may be a file of the shell's making, which others may read.
fn check_stdout() -> Result<()> {
    let failed = |e: io::Error| Stop::failed(format!("cannot look at standard output: {e}"));
    let file = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(failed)?);
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        return Err(Stop::failed("standard output is a file that others may use, and the bundle has a private key")
            .hint("give --output FILE: only its owner may read it"));
    }
    Ok(())
}

fn check_output(path: &Path, force: bool) -> Result<()> {
    match path.symlink_metadata() {
        Ok(there) if !there.is_file() => Err(Stop::failed(format!("{} is no regular file", path.display()))),
        Ok(_) if !force => Err(exists(path)),
        _ => Ok(()),
    }
}

fn exists(path: &Path) -> Stop {
    Stop::failed(format!("{} exists; nothing was written", path.display()))
        .hint("give another name, or --force to replace it")
}

fn write(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let failed = |e: io::Error| Stop::failed(format!("cannot write {}: {e}", path.display()));
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(".cygnet-bundle-").permissions(Permissions::from_mode(0o600));
    let mut file = builder.tempfile_in(directory).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let placed = if force { file.persist(path) } else { file.persist_noclobber(path) };
    match placed {
        Ok(_) => Ok(()),
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
        Err(e) => Err(failed(e.error)),
    }
}

fn passphrase_in(path: &Path) -> Result<Passphrase> {
    let text = input::text(path, LONGEST_PASSPHRASE);
    let text = text.map_err(|e| Stop::failed(format!("cannot read the passphrase from {}: {e}", path.display())))?;
    Ok(Passphrase::new(text.lines().next().unwrap_or_default()))
}

/// Adds the parts of a file. The passphrase is asked for if an empty one does not open it.
fn add(gathered: &mut Gathered, path: &Path, given: Option<&Passphrase>) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Stop::failed(format!("cannot read {}: {e}", path.display()));
    let bytes: Zeroizing<_> = input::bytes(path, LONGEST).map_err(|e| failed(&e))?;
    let mut outcome = gathered.add(&bytes, &Passphrase::new(""));
    if outcome == Err(Unread::Shut(Shut::Passphrase)) {
        outcome = match given {
            Some(passphrase) => gathered.add(&bytes, passphrase),
            None if io::stdin().is_terminal() => {
                let text = input::passphrase(path).map_err(|e| Stop::failed(format!("{e:#}")))?;
                gathered.add(&bytes, &Passphrase::new(&text))
            }
            None => {
                return Err(Stop::usage(format!("{} is under a passphrase", path.display()))
                    .hint("give --passphrase-file FILE, or run it on a terminal, which asks"));
            }
        };
    }
    outcome.map_err(|e| failed(&e))
}

/// What was written, for people.
fn summary(output: &Path, certs: &Certs) -> String {
    let mut text = format!("{}, for authKey with authMode certs:\n", output.display());
    for (role, certificate) in certs.by_role() {
        let _ =
            writeln!(text, "  {:<13} {}, until {}", role.name(), safe(&certificate.subject.text), certificate.end());
    }
    for crl in &certs.crls {
        let _ = writeln!(text, "  {:<13} of {}", "crl", safe(&crl.issuer_text));
    }
    for other in &certs.left_out {
        let _ = writeln!(text, "left out, as of no use: {}", safe(&other.subject.text));
    }
    text
}
