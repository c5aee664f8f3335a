//! The series that every exporter has about its own process.

use super::series::gauge;
use crate::disk::open::{Kind, read_to_string};
use nix::unistd::{SysconfVar, sysconf};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use std::{path::Path, sync::atomic::AtomicU64};

/// All of them; what `/proc` does not say is left out.
pub fn about(registry: &mut Registry) {
    let read = |name: &str| read_to_string(&Path::new("/proc").join(name), Kind::Kernel).ok();
    if let Some(text) = read("self/stat") {
        times(registry, &text, read("stat").as_deref());
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        gauge(registry, "process_open_fds", "Open file descriptors", files.count());
    }
    let limit = |line: &str| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse::<i64>().ok();
    if let Some(most) = read("self/limits").and_then(|text| text.lines().find_map(limit)) {
        gauge(registry, "process_max_fds", "Most open file descriptors", most);
    }
}

/// What `/proc/self/stat` says (proc(5)); its second field may have spaces and brackets.
fn times(registry: &mut Registry, stat: &str, system: Option<&str>) {
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    // The field 3 is the first behind the bracket.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let system_value = |what| sysconf(what).ok().flatten().and_then(|value| u32::try_from(value).ok());
    let ticks = system_value(SysconfVar::CLK_TCK).filter(|ticks| *ticks > 0);
    let seconds =
        |count: u64| ticks.map(|ticks| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(ticks));
    if let Some(used) = field(14).zip(field(15)).and_then(|(user, kernel)| seconds(user + kernel)) {
        let counter: Counter<f64, AtomicU64> = Counter::default();
        counter.inc_by(used);
        registry.register("process_cpu_seconds", "Processor time used, in seconds", counter);
    }
    let boot = |line: &str| line.strip_prefix("btime ")?.trim().parse::<u32>().ok();
    let boot = system.and_then(|text| text.lines().find_map(boot));
    if let Some(since) = field(22).and_then(seconds).zip(boot).map(|(age, boot)| f64::from(boot) + age) {
        let gauge: Gauge<f64, AtomicU64> = Gauge::default();
        gauge.set(since);
        registry.register("process_start_time_seconds", "Start of the process, in seconds since 1970", gauge);
    }
    let pages = |count: u64| system_value(SysconfVar::PAGE_SIZE).map(|size| count.saturating_mul(size.into()));
    let bytes = [
        ("process_virtual_memory_bytes", "Virtual memory", field(23)),
        ("process_resident_memory_bytes", "Resident memory", field(24).and_then(pages)),
    ];
    for (name, help, value) in bytes.into_iter().filter_map(|(name, help, value)| Some((name, help, value?))) {
        gauge(registry, name, help, value);
    }
    if let Some(threads) = field(20) {
        gauge(registry, "process_threads", "Threads", threads);
    }
}
