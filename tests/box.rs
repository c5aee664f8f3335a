//! The package on real machines with systemd: installed, locked down, reaching charon, serving, surviving, upgraded and
//! removed; two gateways whose tunnel comes back after a reboot and a power cut, and two with keepalived; a fleet; and the
//! quick start. `make box` builds the packages and runs this: it needs root, and `CYGNET_DEB` and `CYGNET_FLEET_DEB` name them.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "box/credentials.rs"]
mod credentials;
#[path = "box/fleet.rs"]
mod fleet;
#[path = "box/keepalived.rs"]
mod keepalived;
#[path = "box/life.rs"]
mod life;
#[path = "box/machine.rs"]
mod machine;
#[path = "box/pair.rs"]
mod pair;
#[path = "box/prometheus.rs"]
mod prometheus;
#[path = "box/quick_start.rs"]
mod quick_start;
#[path = "box/sandbox.rs"]
mod sandbox;
#[path = "support/skip.rs"]
mod skip;
#[path = "box/troubleshooting.rs"]
mod troubleshooting;
