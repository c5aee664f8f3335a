//! How many copies of a secret the memory of a process holds. All that the process can write is read through `/proc`,
//! live and freed alike: a copy that nobody wiped counts.

use super::needles::{ALPHABETS, base64};
use crate::{
    serve::{Bench, hex},
    skip::skipped,
};
use memchr::memmem::Finder;
use nix::unistd::geteuid;
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    thread,
    time::{Duration, Instant},
};

/// How much of a secret is looked for: this many bytes from its beginning, its middle and its end. An allocator
/// overwrites the beginning of what is freed; the rest is as good a key.
const PART: usize = 10;
/// For how long memory is read before there are too many copies: a caller that is idle for 15 s would be cut off.
const LOOKED: Duration = Duration::from_secs(10);

/// A secret in the forms in which memory may hold it: of each form, three parts.
pub struct Secret(Vec<(String, [Vec<u8>; 3])>);

impl Secret {
    /// The secret that these bytes are.
    pub fn new(secret: &[u8]) -> Self {
        assert!(secret.len() >= 3 * PART, "its parts do not overlap");
        let places = [0, (secret.len() - PART) / 2, secret.len() - PART];
        let part = |place: usize| &secret[place..place + PART];
        let of = |form: &dyn Fn(&[u8]) -> Vec<u8>| places.map(|place| form(part(place)));
        let escaped = |part: &[u8]| part.iter().flat_map(|b| format!("\\u00{b:02x}").into_bytes()).collect();
        let mut forms = vec![
            ("bytes".to_owned(), of(&<[u8]>::to_vec)),
            ("bytes backwards".into(), of(&|part| part.iter().rev().copied().collect())),
            ("hexadecimal".into(), of(&|part| hex(part).into_bytes())),
            ("HEXADECIMAL".into(), of(&|part| hex(part).to_uppercase().into_bytes())),
            ("JSON escapes".into(), of(&escaped)),
        ];
        for (alphabet, name) in ALPHABETS.iter().zip(["base64", "base64url"]) {
            for before in 0..3 {
                let letters = places.map(|place| base64(part(place), (before + place) % 3, alphabet));
                forms.push((format!("{name} after {before}"), letters));
            }
        }
        // Where two forms look alike, a copy counts once.
        let mut known: Vec<(String, [Vec<u8>; 3])> = Vec::new();
        for form in forms {
            if !known.iter().any(|(_, parts)| parts.iter().zip(&form.1).any(|(a, b)| a == b)) {
                known.push(form);
            }
        }
        Self(known)
    }

    /// How many copies of each form are in the memory of the agent.
    pub fn copies(&self, b: &Bench) -> Vec<(&str, usize)> {
        let needles: Vec<&[u8]> = self.0.iter().flat_map(|(_, parts)| parts).map(Vec::as_slice).collect();
        let counts = counted(b.pid(), &needles);
        let most = |parts: &[usize]| parts.iter().copied().max().unwrap_or_default();
        let forms = self.0.iter().zip(counts.chunks(3)).map(|((form, _), parts)| (form.as_str(), most(parts)));
        forms.filter(|(_, count)| *count > 0).collect()
    }

    /// Looks until there are at most `most` copies, of all forms together.
    #[track_caller]
    pub fn settles(&self, b: &Bench, most: usize, when: &str) {
        let first = self.copies(b);
        let (mut last, began) = (first.clone(), Instant::now());
        while total(&last) > most && began.elapsed() < LOOKED {
            thread::sleep(Duration::from_millis(50));
            last = self.copies(b);
        }
        if total(&last) <= most {
            eprintln!("{when}: {} copies, at first {}", total(&last), total(&first));
            return;
        }
        panic!("{when}: {} copies, {most} at most: {last:?}", total(&last));
    }
}

fn total(copies: &[(&str, usize)]) -> usize {
    copies.iter().map(|(_, count)| count).sum()
}

/// How often each needle stands in the memory that the process `pid` can write.
fn counted(pid: i32, needles: &[&[u8]]) -> Vec<usize> {
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root may read it");
    let finders: Vec<_> = needles.iter().map(Finder::new).collect();
    let mut counts = vec![0; needles.len()];
    for (start, end) in writable(pid) {
        let mut bytes = vec![0; usize::try_from(end - start).expect("it fits")];
        // What was unmapped meanwhile holds nothing.
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        for (count, finder) in counts.iter_mut().zip(&finders) {
            *count += finder.find_iter(&bytes).count();
        }
    }
    counts
}

/// The ranges of memory that the process can write; what it cannot write holds no key.
fn writable(pid: i32) -> Vec<(u64, u64)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it lives");
    let range = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        rest.starts_with("rw").then_some((number(start)?, number(end)?))
    };
    maps.lines().filter_map(range).collect()
}

/// Whether this machine lets us look.
pub fn is_readable() -> bool {
    if !geteuid().is_root() {
        skipped("only root can read the memory of another process");
    }
    geteuid().is_root()
}
