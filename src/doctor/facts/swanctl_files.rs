//! What swanctl would load: the includes of swanctl.conf, and the result of a dry run of swanctl. The dry run
//! connects to a socket of this process, never to charon.

use super::{
    places::{Places, reading},
    probe::{PATIENCE, Probe, Unchecked},
    tools::Said,
};
use crate::{
    disk::open::{self, Kind},
    strongswan::dry_run::RecordingVici,
};
use std::path::{Component, Path, PathBuf};
use tokio::time::timeout;

/// How deep files may include each other.
const MAX_DEPTH: usize = 8;

/// What swanctl reads in its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conf {
    /// swanctl.conf.
    pub main: PathBuf,
    /// The files that `include` reached, as patterns; an error when swanctl.conf cannot be read.
    pub includes: Probe<Vec<PathBuf>>,
    /// What swanctl would load.
    pub dry_run: Probe<DryRun>,
}

/// What swanctl would load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DryRun {
    /// The names of the connections.
    pub connections: Vec<String>,
    /// Where swanctl finds a file broken: then it loads nothing. Never a file's text, which may hold a key.
    pub broken: Vec<String>,
}

/// Reads the includes and makes the dry run.
pub async fn gather(places: &Places) -> Conf {
    let main = places.swanctl_dir.join("swanctl.conf");
    let path = main.clone();
    let includes = reading(places, move |_| includes(&path)).await;
    let dry_run = match &includes {
        // swanctl could not read it either, and would call it broken.
        Err(why @ Unchecked::Denied(_)) => Err(why.clone()),
        _ => dry_run(places).await,
    };
    Conf { main, includes, dry_run }
}

/// The patterns that `main` and what it includes include.
fn includes(main: &Path) -> Probe<Vec<PathBuf>> {
    let text = read_text(main)?;
    let (mut found, mut next) = (patterns(main, &text), Vec::new());
    let mut new = found.clone();
    for _ in 0..MAX_DEPTH {
        for pattern in &new {
            // The dry run reports included files that cannot be read.
            for file in matching(pattern) {
                next.extend(read_text(&file).map(|text| patterns(&file, &text)).unwrap_or_default());
            }
        }
        next.retain(|pattern| !found.contains(pattern));
        next.dedup();
        found.extend(next.iter().cloned());
        new = std::mem::take(&mut next);
    }
    Ok(found)
}

fn read_text(path: &Path) -> Probe<String> {
    let bytes = open::read(path, Kind::Operator).map_err(|e| Unchecked::io(&path.display().to_string(), &e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The patterns of the `include` lines in the text of `file`; relative ones start from its directory.
fn patterns(file: &Path, text: &str) -> Vec<PathBuf> {
    let base = file.parent().unwrap_or(Path::new("/"));
    let pattern = |line: &str| {
        let rest = line.trim_start().strip_prefix("include")?;
        let quoted = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
        let plain = || rest.split('#').next().unwrap_or_default().trim();
        let is_word = rest.starts_with([' ', '\t', '"']);
        is_word.then(|| base.join(quoted.unwrap_or_else(plain)))
    };
    text.lines().filter_map(pattern).map(|path| tidy(&path)).collect()
}

/// The path without `.` and `..`.
fn tidy(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut tidied, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(tidied.pop()),
            part => tidied.push(part),
        }
        tidied
    })
}

/// The files that a pattern matches, if only its last part is one.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let directory = pattern.parent().unwrap_or(Path::new("/"));
    let names = crate::disk::list(directory).unwrap_or_default();
    names.into_iter().map(|name| directory.join(name)).filter(|path| covers(pattern, path)).collect()
}

/// Whether the pattern (of glob(7), without character classes) matches the path.
#[must_use]
pub fn covers(pattern: &Path, path: &Path) -> bool {
    let (pattern, path) = (tidy(pattern), tidy(path));
    let parts = |path: &Path| path.components().map(|part| part.as_os_str().as_encoded_bytes().to_vec()).collect();
    let (pattern, path): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (parts(&pattern), parts(&path));
    pattern.len() == path.len() && pattern.iter().zip(&path).all(|(pattern, part)| matches(pattern, part))
}

/// Whether `pattern`, with `*` and `?`, matches `text`; neither matches a leading dot.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let is_hidden = text.first() == Some(&b'.') && pattern.first() != Some(&b'.');
    !is_hidden && matches_rest(pattern, text)
}

fn matches_rest(pattern: &[u8], text: &[u8]) -> bool {
    // The last star, and how far its text goes: on a mismatch it takes one more byte.
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == text[seen] => {
                (at, seen) = (at + 1, seen + 1);
            }
            _ => {
                let Some((place, taken)) = star else { return false };
                (at, seen) = (place + 1, taken + 1);
                star = Some((place, taken + 1));
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

/// Makes swanctl load its connections into a [`RecordingVici`].
async fn dry_run(places: &Places) -> Probe<DryRun> {
    let fail = |e: std::io::Error| Unchecked::io("dry run of swanctl", &e);
    let directory = tempfile::Builder::new().prefix("cygnet-").tempdir().map_err(fail)?;
    let path = directory.path().join("vici");
    let vici = RecordingVici::new(&path, Vec::new()).map_err(fail)?;
    let uri = format!("unix://{}", path.display());
    let arguments = ["--load-conns", "--uri", &uri];
    let environment = [("SWANCTL_DIR", places.swanctl_dir.as_path())];
    let mut watching = std::pin::pin!(timeout(PATIENCE, vici.watch()));
    let mut running = std::pin::pin!(places.tools.run("swanctl", &arguments, &environment));
    // A swanctl that never connects costs one deadline, not two.
    let (said, seen) = tokio::select! {
        said = &mut running => {
            let said = said?;
            let grace = std::time::Duration::from_millis(500);
            (said, timeout(grace, watching).await.unwrap_or(Ok(Ok(crate::strongswan::dry_run::Recorded::default()))))
        }
        seen = &mut watching => (running.await?, seen),
    };
    let seen = seen.map_err(|_| Unchecked::from("swanctl did not end"))?.map_err(fail)?;
    let names = seen.loads.iter().filter_map(|load| load.body.0.keys().next().cloned());
    let dry_run = DryRun { connections: names.collect(), broken: broken(&said) };
    // At boot swanctl runs as root: what this user may not read says nothing about the files.
    if let Some(line) = dry_run.broken.iter().find(|line| line.contains("Permission denied")) {
        return Err(Unchecked::denied(line.clone()));
    }
    // It fails before it reads its files. The other lines are its usage.
    match said.stderr.lines().find(|line| line.contains("connecting to")) {
        Some(line) => Err(format!("swanctl: {line}").into()),
        None => Ok(dry_run),
    }
}

/// Where swanctl found a syntax error. The quoted text in brackets is removed: it may be a key.
fn broken(said: &Said) -> Vec<String> {
    let words = ["syntax error", "invalid config file", "failed to open config file", "unterminated", "include failed"];
    let lines = said.stderr.lines().chain(said.stdout.lines());
    let found = lines.filter(|line| words.iter().any(|word| line.contains(word)));
    found.map(|line| line.split(" [").next().unwrap_or_default().trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_glob_matches() {
        let file = Path::new("/etc/swanctl/conf.d/cygnet-0.conf");
        for pattern in ["/etc/swanctl/conf.d/*.conf", "/etc/swanctl/*/cygnet-?.conf", "/etc/swanctl/./x/../conf.d/*"] {
            assert!(covers(Path::new(pattern), file), "{pattern}");
        }
        for pattern in ["/etc/swanctl/*.conf", "/etc/swanctl/conf.d/*.cfg", "/etc/swanctl/conf.d/a*", "/etc/*"] {
            assert!(!covers(Path::new(pattern), file), "{pattern}");
        }
        assert!(!covers(Path::new("/etc/*.conf"), Path::new("/etc/.x.conf")));
        assert!(matches(b"a*b*c", b"aXbYbZc") && !matches(b"a*b", b"abc") && matches(b"**", b""));
    }

    #[test]
    fn includes_are_found_in_the_text() {
        let text = "# include no.conf\n  include conf.d/*.conf # yes\ninclude \"/opt/a b/*.conf\"\nincluded = x\n";
        let found = patterns(Path::new("/etc/swanctl/swanctl.conf"), text);
        assert_eq!(found, [Path::new("/etc/swanctl/conf.d/*.conf"), Path::new("/opt/a b/*.conf")]);
    }

    #[test]
    fn what_is_quoted_from_a_broken_file_is_cut_off() {
        let stderr = "/etc/swanctl/conf.d/x.conf:3: syntax error, unexpected }, expecting end of file [s3cret]\n\
                      invalid config file '/etc/swanctl/swanctl.conf'\nloaded 0 of 0\n";
        let found = broken(&Said { stdout: String::new(), stderr: stderr.into(), success: true });
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("x.conf:3") && !found[0].contains("s3cret"), "{found:?}");
    }
}
