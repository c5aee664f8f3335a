//! `cygnet backup`: one file with all that this gateway cannot be made again from elsewhere. It reads the agent's files
//! itself, so it works while the agent is away.

use super::{
    own_files, passphrase,
    stop::{Result, Stop, note, print},
    write_args::BackupArgs,
};
use cygnet::{
    disk, rights, seal,
    settings::Settings,
    store::{Backup, survey_for_backup},
    visible::visible,
};
use jiff::Timestamp;
use std::{io::ErrorKind, path::Path};

/// `cygnet backup`.
pub fn run(config: &Path, args: &BackupArgs) -> Result<()> {
    // Before anybody types a passphrase.
    if args.file.symlink_metadata().is_ok() {
        return Err(exists(&args.file));
    }
    let settings = Settings::read(config).map_err(Stop::failed)?;
    let (records, damaged, is_still) = survey_for_backup(&settings.state_dir).map_err(Stop::failed)?;
    if let Some(denied) = damaged.iter().find(|file| file.is_denied) {
        return Err(Stop::failed(&denied.why).denied());
    }
    let (files, strange) = own_files::gather(config);
    let host = nix::unistd::gethostname().map_or_else(|_| "host".into(), |name| name.to_string_lossy().into_owned());
    let (connections, own) = (records.len(), files.len());
    let backup = Backup { host, made: Timestamp::now(), program: env!("CARGO_PKG_VERSION").into(), records, files };
    let plain = backup.to_bytes().map_err(Stop::failed)?;
    if args.plain {
        note("the backup is not sealed: whoever reads it has all keys of this gateway");
        write(&args.file, &plain)?;
    } else {
        let passphrase = passphrase::for_sealing(args.passphrase_file.as_deref())?;
        write(&args.file, &seal::seal(&passphrase, &plain).map_err(Stop::failed)?)?;
    }
    let file = visible(&args.file.to_string_lossy());
    print(&format!("wrote {file}: {connections} connections, {own} files of settings and credentials\n"))?;
    if !is_still {
        note("the connections were being changed: of changes meanwhile, some may be in it");
    }
    let damaged = damaged.iter().map(|file| format!("{}: {}", file.path.display(), file.why));
    let missing: Vec<_> = damaged.chain(strange).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for why in &missing {
        note(&format!("not in it: {why}"));
    }
    Err(Stop::failed(format!("the backup was written without {} files that cannot be read", missing.len())))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    disk::create_whole(path, bytes, 0o600).map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            return exists(path);
        }
        Stop::failed(format!("cannot write {}: {}", path.display(), rights::explained(&error)))
    })
}

fn exists(path: &Path) -> Stop {
    Stop::failed(format!("{} exists; nothing was written", path.display()))
        .hint("give another name: nothing is overwritten")
}
