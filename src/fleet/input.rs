//! What a person names on the command line: a file, a pipe, or standard input.

use super::stop::{Result, Stop};
use std::{fs::File, io::Read, path::Path};

/// The most bytes that are read.
const MOST: u64 = 64 << 20;

/// The bytes of `path`; `-` is standard input.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let wrong = |why: &dyn std::fmt::Display| Stop::failed(format!("{}: {why}", path.display()));
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| wrong(&error))?)
    };
    let mut bytes = Vec::new();
    source.take(MOST + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    if bytes.len() as u64 > MOST {
        return Err(wrong(&format!("it is longer than {MOST} bytes")));
    }
    Ok(bytes)
}
