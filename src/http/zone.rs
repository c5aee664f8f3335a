//! The time zone of this gateway: the one that `TZ` names, else that of the system. Its data are the system's files, and
//! where those are missing, all or this one, the copy in the program.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::{env, fs};

/// The zone that dates are written in, and that wall clocks of signatures may be of. UTC where there is none.
#[must_use]
pub fn local() -> TimeZone {
    TimeZone::try_system().ok().or_else(own).unwrap_or(TimeZone::UTC)
}

/// What is wrong with `TZ`, if it names no zone.
#[must_use]
pub fn problem() -> Option<String> {
    let named = env::var("TZ").ok()?;
    let is_zone = TimeZone::try_system().is_ok() || own().is_some();
    (!is_zone).then(|| format!("TZ={named:?} names no time zone: dates are in UTC; set it like TZ=Asia/Shanghai"))
}

/// The zone from the program's own data, by the name that `TZ` or the link /etc/localtime has.
fn own() -> Option<TimeZone> {
    let link = || Some(fs::read_link("/etc/localtime").ok()?.to_string_lossy().into_owned());
    TimeZoneDatabase::bundled().get(name(&env::var("TZ").ok().or_else(link)?)).ok()
}

/// The zone's name in `TZ`, which may begin with a colon or be the path of a file.
fn name(text: &str) -> &str {
    let text = text.strip_prefix(':').unwrap_or(text);
    text.rsplit_once("zoneinfo/").map_or(text, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_without_the_systems_files() {
        for text in ["Asia/Shanghai", ":Asia/Shanghai", "/usr/share/zoneinfo/Asia/Shanghai", "PRC"] {
            let zone = TimeZoneDatabase::bundled().get(name(text)).expect(text);
            assert_eq!(zone.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds(), 8 * 3600, "{text}");
        }
    }
}
