//! The only way to open a file for reading. A path may have something else than the expected file: a named pipe would
//! block, a symbolic link lead elsewhere, a huge file fill the memory. So a file is opened without blocking, checked after
//! it is open, and read up to the limit of its kind.

use crate::rights;
use nix::{fcntl::OFlag, unistd::Uid};
use std::{
    fs::{File, FileType, Metadata, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
};
use zeroize::Zeroizing;

/// A mebibyte.
const MIB: u64 = 1 << 20;

/// The kind of a file, which decides whom it may belong to and how large it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file of the agent: records, jobs, the connections' files.
    State,
    /// A certificate, list or key that the agent writes.
    Pem,
    /// Tokens and accounts.
    Secret,
    /// A file of the operator: settings, TLS files, swanctl's files. Links of any owner are followed.
    Operator,
    /// A file in `/proc`.
    Kernel,
    /// A log, of which only the end is read.
    Log,
    /// A backup, which its caller names. Links of any owner are followed.
    Backup,
}

impl Kind {
    /// The most bytes of a file of this kind.
    #[must_use]
    pub const fn limit(self) -> u64 {
        match self {
            Self::State => 32 * MIB,
            Self::Pem | Self::Secret => MIB,
            Self::Operator => 4 * MIB,
            Self::Kernel => 64 * MIB,
            Self::Log => u64::MAX,
            Self::Backup => 256 * MIB,
        }
    }

    /// Whether it must be a regular file of a trusted user, not a link.
    const fn is_own(self) -> bool {
        matches!(self, Self::State | Self::Pem | Self::Secret)
    }
}

/// Opens the file at `path`; also tells its length. A thing that is not a file of this kind is [`ErrorKind::InvalidData`].
///
/// # Errors
/// When it cannot be opened, is no regular file, belongs to somebody else, or is too large; the text says what to do.
pub fn open(path: &Path, kind: Kind) -> io::Result<(File, u64)> {
    let mut flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    if kind.is_own() {
        flags |= OFlag::O_NOFOLLOW;
    }
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(|error| {
        // To an ordinary user it says nothing about the file that it is closed to them.
        if rights::is_denied(&error) {
            return error;
        }
        // A link, a socket or another user's file fails here; the operating system's message does not say so.
        let look = if kind.is_own() { path.symlink_metadata() } else { path.metadata() };
        look.ok().and_then(|found| complaint(kind, &found)).map_or(error, wrong)
    })?;
    let found = file.metadata()?;
    complaint(kind, &found).map_or(Ok((file, found.len())), |why| Err(wrong(why)))
}

/// The bytes of the file at `path`.
///
/// # Errors
/// As [`open`], and when it cannot be read or grows past its limit.
pub fn read(path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
    let (file, length) = open(path, kind)?;
    // In one piece: a buffer that grows leaves copies of a key behind. One byte more finds the end.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    file.take(kind.limit().saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > kind.limit() {
        return Err(wrong(too_large(kind, bytes.len() as u64)));
    }
    Ok(bytes)
}

/// The text of the file at `path`.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_to_string(path: &Path, kind: Kind) -> io::Result<String> {
    String::from_utf8(read(path, kind)?).map_err(|error| {
        // The bytes may be a secret.
        drop(Zeroizing::new(error.into_bytes()));
        wrong("it is not UTF-8; remove it, or put the right file in its place".into())
    })
}

/// What is wrong with such a file, and what to do.
fn complaint(kind: Kind, found: &Metadata) -> Option<String> {
    if !found.is_file() {
        let is = name(found.file_type());
        return Some(format!("it is {is}, not a regular file; remove it, or put the file itself in its place"));
    }
    if kind.is_own() && !is_trusted(found.uid()) {
        let (theirs, own) = (found.uid(), Uid::effective());
        return Some(format!(
            "it belongs to the user {theirs}, neither to root nor to this process (user {own}); remove it, or chown it"
        ));
    }
    (found.len() > kind.limit()).then(|| too_large(kind, found.len()))
}

fn too_large(kind: Kind, length: u64) -> String {
    let limit = kind.limit();
    format!("it is {length} bytes or more, and at most {limit} are read; remove it, or put the right file in its place")
}

fn name(what: FileType) -> &'static str {
    match what {
        _ if what.is_symlink() => "a symbolic link",
        _ if what.is_fifo() => "a named pipe",
        _ if what.is_dir() => "a directory",
        _ if what.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Whether files of this user count as ours: root's, our own, and for root those of the packaged unit's user
/// (`cygnet doctor`, `cygnet passwd`).
pub(super) fn is_trusted(uid: u32) -> bool {
    let own = Uid::effective();
    uid == 0 || uid == own.as_raw() || (own.is_root() && rights::service() == Some(uid))
}

fn wrong(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}
