//! An archive: a tar file (POSIX ustar) that gzip compresses. Nobody but its owner may read it, and nothing is overwritten.

use crate::cli::stop::{Result, Stop};
use cygnet::disk;
use jiff::Timestamp;
use std::{
    fs::File,
    io::{ErrorKind, Seek, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The size of a block of tar.
const BLOCK: usize = 512;
/// The directory in the archive.
const TOP: &str = "cygnet-support";

/// An archive that is being made.
pub struct Archive {
    path: PathBuf,
    target: File,
    /// The tar file, which has no name.
    plain: File,
    made: Timestamp,
    count: usize,
}

impl Archive {
    /// An empty one at `path`, where nothing may be.
    pub fn create(path: &Path, made: Timestamp) -> Result<Self> {
        let place = path.display();
        let target = disk::create(path, 0o600).map_err(|error| {
            let stop = Stop::failed(format!("{place} cannot be written: {error}"));
            if error.kind() == ErrorKind::AlreadyExists {
                stop.hint("name another file: nothing is overwritten")
            } else {
                stop
            }
        })?;
        Ok(Self { path: path.into(), target, plain: tempfile::tempfile()?, made, count: 0 })
    }

    /// How many files are in it.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Adds a file.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.plain.write_all(&self.header(name, bytes.len())?)?;
        self.plain.write_all(bytes)?;
        self.plain.write_all(&vec![0; bytes.len().next_multiple_of(BLOCK) - bytes.len()])?;
        self.count += 1;
        Ok(())
    }

    /// Writes the archive to its end.
    pub fn finish(&mut self) -> Result<()> {
        self.plain.write_all(&[0; 2 * BLOCK])?;
        self.plain.rewind()?;
        let (input, output) = (self.plain.try_clone()?, self.target.try_clone()?);
        let ended = Command::new("gzip").arg("-c").stdin(input).stdout(output).stderr(Stdio::inherit()).status();
        match ended {
            Ok(status) if status.success() => Ok(self.target.sync_all()?),
            Ok(status) => Err(Stop::failed(format!("the archive cannot be compressed: gzip ended with {status}"))),
            Err(error) => Err(Stop::failed(format!("the archive cannot be compressed: gzip cannot be run: {error}"))),
        }
    }

    /// Removes what was written.
    pub fn discard(&self) {
        // The failure that led here is what the caller is told.
        let _ = std::fs::remove_file(&self.path);
    }

    /// The header of a regular file: fixed fields, numbers in octal digits.
    fn header(&self, name: &str, size: usize) -> Result<[u8; BLOCK]> {
        let name = format!("{TOP}/{name}");
        if name.len() >= 100 {
            return Err(Stop::failed(format!("{name} is too long a name for the archive")));
        }
        let time = self.made.as_second().max(0);
        let mut header = [0; BLOCK];
        let fields = [
            (0, name),
            (100, "0000600\0".into()),
            (108, "0000000\0".into()),
            (116, "0000000\0".into()),
            (124, format!("{size:011o}\0")),
            (136, format!("{time:011o}\0")),
            // The checksum counts as blanks for itself.
            (148, "        ".into()),
            (156, "0".into()),
            (257, "ustar\0".into()),
            (263, "00".into()),
            (265, "root".into()),
            (297, "root".into()),
        ];
        for (at, text) in fields {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        Ok(header)
    }
}
