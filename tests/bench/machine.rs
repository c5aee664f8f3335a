//! The machine that the benchmark ran on.

use std::fs;

use serde_json::{Value, json};

/// The machine, as far as it matters to the figures.
pub struct Machine {
    cores: usize,
    memory_gib: u64,
    kernel: String,
    strongswan: String,
    load: String,
}

impl Machine {
    /// This machine, with this strongSwan; the load is that of now.
    pub fn this(strongswan: &str) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let meminfo = read("/proc/meminfo");
        let total = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().expect("a number of cores").get(),
            memory_gib: total.expect("MemTotal is the first line").div_ceil(1024 * 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            strongswan: strongswan.to_owned(),
            load: read("/proc/loadavg").split_whitespace().next().unwrap_or_default().to_owned(),
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        let Self { cores, memory_gib, kernel, strongswan, load } = self;
        format!("{cores} cores, {memory_gib} GiB, Linux {kernel}, strongSwan {strongswan}, load {load} at the start")
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let Self { cores, memory_gib, kernel, strongswan, load } = self;
        json!({ "cores": cores, "memory_gib": memory_gib, "kernel": kernel, "strongswan": strongswan, "load_1min": load })
    }
}
