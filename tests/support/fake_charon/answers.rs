//! What every charon 5.9.8 on Debian answers, whatever is loaded.

use cygnet::{
    ipsec::algorithm::{DH_GROUP, ENCRYPTION, INTEGRITY},
    strongswan::section::{Section, Value},
};

/// The events that can be registered (strongSwan `vici/README.md`, 5.9.8).
pub const EVENTS: [&str; 14] = [
    "log",
    "control-log",
    "list-sa",
    "list-policy",
    "list-conn",
    "list-cert",
    "list-authority",
    "ike-updown",
    "ike-rekey",
    "ike-update",
    "child-updown",
    "child-rekey",
    "pool-list",
    "counters",
];

/// Plugins of a gateway with the packages that the agent recommends.
const PLUGINS: [&str; 22] = [
    "charon-systemd",
    "aes",
    "sha2",
    "sha1",
    "md5",
    "random",
    "nonce",
    "x509",
    "pubkey",
    "pem",
    "openssl",
    "gmp",
    "kdf",
    "hmac",
    "gcm",
    "drbg",
    "kernel-netlink",
    "socket-default",
    "vici",
    "updown",
    "counters",
    "resolve",
];

/// The answer to `version`.
pub fn version(version: &str) -> Section {
    Section::new()
        .with("daemon", "charon-systemd")
        .with("version", version)
        .with("sysname", "Linux")
        .with("release", "6.1.0-28-amd64")
        .with("machine", "x86_64")
}

/// The answer to `stats`.
pub fn stats(ike_sas: usize, more: &[String], lacks: &[String]) -> Section {
    let plugins = PLUGINS.iter().map(ToString::to_string).chain(more.iter().cloned());
    let plugins = plugins.filter(|name| !lacks.contains(name)).map(String::into_bytes).collect();
    let active = Section::new().with("critical", "4").with("high", "0").with("medium", "1").with("low", "0");
    let queues = Section::new().with("critical", "0").with("high", "0").with("medium", "0").with("low", "0");
    let workers = Section::new().with("total", "16").with("idle", "11").with("active", active);
    Section::new()
        .with("uptime", Section::new().with("running", "7 minutes").with("since", "Nov 22 21:00:00 2026"))
        .with("workers", workers)
        .with("queues", queues)
        .with("scheduled", "0")
        .with("ikesas", Section::new().with("total", ike_sas.to_string()).with("half-open", "0"))
        .with("plugins", Value::List(plugins))
}

/// The answer to `get-algorithms`: all that the agent's tables have, but for what this charon lacks.
pub fn algorithms(lacks: &[String]) -> Section {
    let of = |names: &mut dyn Iterator<Item = &'static str>| {
        let has = names.filter(|name| !lacks.iter().any(|lack| lack == name));
        has.fold(Section::new(), |section, name| section.with(name, "openssl"))
    };
    let ciphers = |aead| ENCRYPTION.iter().filter(move |row| row.aead == aead).map(|row| row.charon);
    Section::new()
        .with("encryption", of(&mut ciphers(false)))
        .with("integrity", of(&mut INTEGRITY.iter().map(|row| row.charon)))
        .with("aead", of(&mut ciphers(true)))
        .with("prf", of(&mut INTEGRITY.iter().map(|row| row.prf_charon)))
        .with("dh", of(&mut DH_GROUP.iter().map(|row| row.charon)))
}
