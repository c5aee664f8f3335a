//! Options whose time may be left out: `--wait`, `--wait=60s` and `--wait 60s` mean the same, as does `--confirm`.

use super::{select::SHORTEST, up};
use std::ffi::OsString;

/// These options.
const OPTIONS: [&str; 2] = ["--wait", "--confirm"];

/// The arguments with each time joined to its option, as the definitions have it: else the word behind `--wait` could be a
/// connection as well.
pub fn joined(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let (mut joined, mut is_over): (Vec<OsString>, _) = (Vec::new(), false);
    for argument in arguments {
        let is_time = argument.to_str().is_some_and(is_time);
        match joined.last_mut().filter(|last| !is_over && OPTIONS.iter().any(|option| *last == option)) {
            Some(last) if is_time => {
                last.push("=");
                last.push(argument);
            }
            _ => {
                is_over |= argument == "--";
                joined.push(argument);
            }
        }
    }
    joined
}

/// Whether it is a time, and not the first digits of a uuid.
fn is_time(text: &str) -> bool {
    let is_uuid = text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_digit());
    !is_uuid && up::time(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::joined;
    use std::ffi::OsString;

    #[test]
    fn a_time_belongs_to_its_option() {
        let line = |text: &str| {
            let words = joined(text.split(' ').map(OsString::from));
            words.iter().map(|word| word.to_str().expect("text")).collect::<Vec<_>>().join(" ")
        };
        for (typed, meant) in [
            ("change x --confirm 60s --wait 5m", "change x --confirm=60s --wait=5m"),
            ("change x --confirm=60s --wait", "change x --confirm=60s --wait"),
            ("enable --wait branch", "enable --wait branch"),
            ("enable --wait 57009535", "enable --wait 57009535"),
            ("enable branch --wait 60", "enable branch --wait=60"),
            ("enable -- --wait 60s", "enable -- --wait 60s"),
        ] {
            assert_eq!(line(typed), meant);
        }
    }
}
