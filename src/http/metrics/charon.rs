//! The series of charon: its work, and how long it takes to answer.

use super::series::{gauge, gauges};
use crate::{agent::Agent, http::zone, strongswan::section::Section};
use jiff::{civil::DateTime, tz::TimeZone};
use prometheus_client::registry::Registry;

/// How long its answers take.
pub fn answers(registry: &mut Registry, agent: &Agent) {
    let Some(trips) = agent.round_trips() else { return };
    let help = "Time from a request to charon to its answer, by command";
    registry.register("charon_request_duration_seconds", help, trips.answered.clone());
    registry.register("charon_unanswered_requests", "Requests that charon did not answer", trips.failed.clone());
}

/// What it says of itself (the command `stats`).
pub fn work(registry: &mut Registry, stats: &Section) {
    let number = |section: &Section, key: &str| section.number::<i64>(key);
    if let Some(sas) = stats.section("ikesas") {
        let all = gauges(registry, "charon_ike_sas", "IKE SAs in charon, of all programs, by state");
        for (state, key) in [("all", "total"), ("half_open", "half-open")] {
            number(sas, key).map(|value| all.get_or_create(&vec![("state", state.to_owned())]).set(value));
        }
    }
    if let Some(workers) = stats.section("workers") {
        let all = gauges(registry, "charon_workers", "Threads of charon by what they do");
        let active = workers
            .section("active")
            .into_iter()
            .flat_map(|active| ["critical", "high", "medium", "low"].map(|key| number(active, key).unwrap_or(0)));
        let counts =
            [("all", number(workers, "total")), ("idle", number(workers, "idle")), ("active", Some(active.sum()))];
        for (state, value) in counts {
            value.map(|value| all.get_or_create(&vec![("state", state.to_owned())]).set(value));
        }
    }
    if let Some(queues) = stats.section("queues") {
        let all = gauges(registry, "charon_queued_jobs", "Jobs that wait for a thread of charon, by priority");
        for priority in ["critical", "high", "medium", "low"] {
            number(queues, priority)
                .map(|value| all.get_or_create(&vec![("priority", priority.to_owned())]).set(value));
        }
    }
    let since = stats.section("uptime").and_then(|uptime| started(uptime.text("since")?, zone::local()));
    if let Some(since) = since {
        gauge(registry, "charon_start_time_seconds", "Start of charon, in seconds since 1970", since);
    }
}

/// charon writes the local time, as in `Nov 22 21:00:00 2026`.
fn started(text: &str, zone: TimeZone) -> Option<i64> {
    Some(DateTime::strptime("%b %d %H:%M:%S %Y", text).ok()?.to_zoned(zone).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_in_the_local_time() {
        let east = TimeZone::fixed(jiff::tz::offset(8));
        assert_eq!(started("Nov 22 21:00:00 2026", TimeZone::UTC), Some(1_795_381_200));
        assert_eq!(started("Nov  2 21:00:00 2026", east), Some(1_793_653_200 - 8 * 3600));
        assert_eq!(started("soon", TimeZone::UTC), None);
    }
}
