//! Replaces files atomically and durably, and reads them only if they belong to this program.

pub mod open;

use crate::{
    disk::open::Kind,
    error::{Error, Result},
};
use nix::fcntl::OFlag;
use std::{
    fs::{File, Metadata, OpenOptions, Permissions},
    io::{BufWriter, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Temporary files begin like this and never end in `.conf`, so that no include of swanctl matches one.
const PREFIX: &str = ".cygnet-";
const SUFFIX: &str = ".tmp";
/// How much of a file that is made while it is written is in memory, in bytes.
const PIECE: usize = 64 << 10;

/// New contents, durable beside the file that they will replace. Dropping them without [`Staged::commit`] removes them.
pub struct Staged {
    file: NamedTempFile,
    target: PathBuf,
}

/// Writes `bytes` beside `target` and makes them durable; `target` itself does not change.
/// Most failures of a replacement (no space, no rights, a broken disk) show here.
///
/// # Errors
/// When the directory cannot be written or the data not be made durable.
pub fn stage(target: &Path, bytes: &[u8], mode: u32) -> Result<Staged> {
    if bytes.len() as u64 > Kind::State.limit() {
        // A larger file could not be read again.
        let why = format!("{} bytes are more than a file of the agent may have", bytes.len());
        return Err(Error::storage("write", target, std::io::Error::other(why)));
    }
    stage_with(target, mode, |file| file.write_all(bytes))
}

/// The same with what `write` writes.
fn stage_with(target: &Path, mode: u32, write: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<Staged> {
    let fail = |doing, e| Error::storage(doing, target, e);
    let directory = parent(target)?;
    let mut file = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)
        .map_err(|e| fail("create a file beside", e))?;
    write(file.as_file_mut()).map_err(|e| fail("write", e))?;
    file.as_file().sync_all().map_err(|e| fail("make durable", e))?;
    Ok(Staged { file, target: target.into() })
}

impl Staged {
    /// Gives the contents the owner, group and mode of `other` before they are in place.
    ///
    /// # Errors
    /// When this process may not.
    pub fn belong_as(&mut self, other: &Metadata) -> Result<()> {
        let file = self.file.as_file();
        fchown(file, Some(other.uid()), Some(other.gid()))
            .and_then(|()| file.set_permissions(Permissions::from_mode(other.mode() & 0o7777)))
            .and_then(|()| file.sync_all())
            .map_err(|e| Error::storage("give its owner to", &self.target, e))
    }

    /// Renames the contents into place and makes the rename durable.
    ///
    /// # Errors
    /// When the file cannot be renamed or the directory not be made durable.
    pub fn commit(self) -> Result<()> {
        self.place()?.sync()
    }

    /// Renames the contents into place; after a power cut, the old file may be there.
    ///
    /// # Errors
    /// When the file cannot be renamed.
    pub fn place(self) -> Result<Placed> {
        let Self { file, target } = self;
        file.persist(&target).map_err(|e| Error::storage("replace", &target, e.error))?;
        Ok(Placed { target })
    }
}

impl Staged {
    /// The name under which the contents lie beside the file that they will replace.
    #[must_use]
    pub fn name(&self) -> String {
        self.file.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// As [`Staged::commit`], but contents that cannot be renamed stay.
    ///
    /// # Errors
    /// As [`rename`].
    pub fn commit_or_leave(self) -> Result<()> {
        let Self { file, target } = self;
        let (_, path) = file.keep().map_err(|e| Error::storage("keep", &target, e.error))?;
        rename(&path, &target)
    }
}

/// Contents in place, but perhaps not after a power cut.
pub struct Placed {
    target: PathBuf,
}

impl Placed {
    /// Makes the rename durable.
    ///
    /// # Errors
    /// When the directory cannot be made durable.
    pub fn sync(&self) -> Result<()> {
        sync_directory(&self.target)
    }
}

/// Puts the file `from` in the place of `target`, in the same directory, durably.
///
/// # Errors
/// When it cannot be renamed or the directory not be made durable.
pub fn rename(from: &Path, target: &Path) -> Result<()> {
    std::fs::rename(from, target).map_err(|e| Error::storage("replace", target, e))?;
    sync_directory(target)
}

/// Replaces `target` with `bytes`: afterwards, also after a power cut, it is the old or the new file.
///
/// # Errors
/// As [`stage`] and [`Staged::commit`].
pub fn replace(target: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    stage(target, bytes, mode)?.commit()
}

/// Replaces `target` in the same way with pieces that are made while they are written, of which there may be many; returns
/// its length.
///
/// # Errors
/// As [`replace`].
pub fn replace_by(target: &Path, pieces: impl Iterator<Item = Vec<u8>>, mode: u32) -> Result<u64> {
    let mut length = 0;
    let write = |file: &mut File| {
        let mut file = BufWriter::with_capacity(PIECE, file);
        for piece in pieces {
            length += piece.len() as u64;
            file.write_all(&piece)?;
        }
        file.flush()
    };
    stage_with(target, mode, write)?.commit()?;
    Ok(length)
}

/// Writes `bytes` to `target`, where nothing may be, not even a link: afterwards, also after a power cut, all of them are
/// there, or nothing.
///
/// # Errors
/// When something is there, or it cannot be written.
pub fn create_whole(target: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let directory = target.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(PREFIX).suffix(SUFFIX).permissions(Permissions::from_mode(mode));
    let mut file = builder.tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(target).map_err(|e| e.error)?;
    File::open(directory)?.sync_all()
}

/// An empty file at `target`, where nothing may be, not even a link.
///
/// # Errors
/// When it cannot be created.
pub fn create(target: &Path, mode: u32) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(target)
}

/// Appends `bytes` to `target`, and returns its new length. Nothing is made durable: a power cut may take them.
///
/// # Errors
/// When it cannot be opened or written; a part may have been written.
pub fn append(target: &Path, bytes: &[u8], mode: u32) -> Result<u64> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let fail = |e| Error::storage("append to", target, e);
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(mode).custom_flags(flags).open(target).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.metadata()).map(|now| now.len()).map_err(fail)
}

/// Removes `target` durably; a missing file is no error.
///
/// # Errors
/// When it cannot be removed or the directory not be made durable.
pub fn remove(target: &Path) -> Result<()> {
    if unlink(target)? { sync_directory(target) } else { Ok(()) }
}

/// Removes `target`, and returns whether it existed. After a power cut it may exist again.
///
/// # Errors
/// When it cannot be removed.
pub fn unlink(target: &Path) -> Result<bool> {
    match std::fs::remove_file(target) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::storage("remove", target, e)),
        Ok(()) => Ok(true),
    }
}

/// The bytes of `target`, a file that the agent writes, or `None` if it does not exist.
///
/// # Errors
/// When it cannot be read; [`is_foreign`] tells whether there is something else in its place.
pub fn read(target: &Path) -> Result<Option<Vec<u8>>> {
    read_as(target, Kind::State)
}

/// The bytes of `target`, or `None` if it does not exist.
///
/// # Errors
/// As [`open::read`].
pub fn read_as(target: &Path, kind: Kind) -> Result<Option<Vec<u8>>> {
    match open::read(target, kind) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::storage("read", target, e)),
        Ok(bytes) => Ok(Some(bytes)),
    }
}

/// Whether `error` means that the file is foreign: a link, a pipe, another user's, or too large.
#[must_use]
pub fn is_foreign(error: &Error) -> bool {
    matches!(error, Error::Storage { source, .. } if source.kind() == std::io::ErrorKind::InvalidData)
}

/// Removes the temporary files that a crash left behind in `directory`. To be called before anything
/// is staged there: those of a living process look the same.
///
/// # Errors
/// When the directory cannot be read or a file not be removed.
pub fn clean(directory: &Path) -> Result<()> {
    list(directory)?.iter().filter(|name| is_temporary(name)).try_for_each(|name| remove(&directory.join(name)))
}

/// Whether a file of this name is one that waits to replace another.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// The names of the files in `directory`, sorted.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(directory: &Path) -> Result<Vec<String>> {
    let fail = |e| Error::storage("list", directory, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        names.push(entry.map_err(fail)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// Creates `directory` with mode 0700 if it does not exist. An existing directory, and a link to it, must belong to this
/// user: where others may write, they may have created it first.
///
/// # Errors
/// When it cannot be created, or belongs to another user.
pub fn private_directory(directory: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let fail = |e| Error::storage("create", directory, e);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(fail)?;
    for found in [directory.symlink_metadata(), directory.metadata()] {
        let uid = found.map_err(fail)?.uid();
        if !open::is_trusted(uid) {
            let why = format!("it exists and belongs to the user {uid}; remove it, or chown it");
            return Err(fail(std::io::Error::other(why)));
        }
    }
    Ok(())
}

/// Runs both concurrently: one commit of the file system's journal serves both.
///
/// # Errors
/// When no thread can be started, or one ends in a panic.
pub fn side_by_side<A: Send, B>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B) -> Result<(A, B)> {
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().name("disk".into()).spawn_scoped(scope, a);
        let other = other.map_err(|e| Error::Internal(format!("cannot start a thread: {e}")))?;
        let b = b();
        let a = other.join().map_err(|_| Error::Internal("writing a file ended in a panic".into()))?;
        Ok((a, b))
    })
}

fn parent(target: &Path) -> Result<&Path> {
    target.parent().ok_or_else(|| Error::Internal(format!("{} has no directory", target.display())))
}

fn sync_directory(target: &Path) -> Result<()> {
    let directory = parent(target)?;
    File::open(directory).and_then(|d| d.sync_all()).map_err(|e| Error::storage("make durable", directory, e))
}
