//! Check for settings that stored connections have not taken over.

use crate::{
    agent::change::settings_drift::settings_drift,
    doctor::{
        Case, Level,
        finding::{Judged, finding, judged, some},
    },
};
use std::net::IpAddr;

/// The fix.
pub const TAKE_OVER: &str = "cygnet reconnect --all-changed  # takes the settings over for all connections, with the new \
                             SA beside the old one; cygnet reconnect NAME for one. Or restore the old value in cygnet.toml, \
                             then systemctl reload cygnet";

/// Whether the VIP of a connection with this address has another address in the settings now.
pub fn has_moved(case: &Case, address: IpAddr) -> bool {
    let with_it = case.records.iter().filter(|record| record.spec.vip.address == address);
    with_it.filter_map(|record| case.gateway.vip(&record.spec.vip.uuid)).any(|vip| vip.address != address)
}

/// The connections have the addresses and networks that the settings say.
pub fn drift(case: &Case) -> Judged {
    let mut found = Vec::new();
    for record in &case.records {
        // A connection keeps what the settings no longer have: nothing has to be done.
        let drift: Vec<_> =
            settings_drift(&record.spec, &case.gateway).into_iter().filter(|drift| drift.now.is_some()).collect();
        if !drift.is_empty() {
            let what = format!(
                "connection {} ({}) has values that the settings no longer have",
                record.spec.names.name, record.id
            );
            found.push(finding(Level::Warning, what, TAKE_OVER).with(some(&drift)));
        }
    }
    judged(found, format!("{} connections match the settings", case.records.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;

    #[test]
    fn a_moved_vip_and_a_changed_network_are_drift() {
        let mut case = healthy::case();
        assert!(drift(&case).is_ok());
        case.gateway.vips[0].address = "192.0.2.9".parse().expect("an address");
        case.gateway.l3_networks[0].cidrs = vec!["10.9.0.0/24".parse().expect("a net")];
        let found = drift(&case).expect_err("drift");
        assert_eq!((found.len(), found[0].level), (1, Level::Warning), "{found:?}");
        assert!(found[0].fix.contains("--all-changed"), "{found:?}");
        let evidence = found[0].evidence.as_deref().expect("evidence");
        for value in ["192.0.2.9", "192.0.2.1", "10.9.0.0/24", "10.1.0.0/24"] {
            assert!(evidence.contains(value), "{value}: {evidence}");
        }
        case.gateway = crate::settings::Gateway::default();
        assert!(drift(&case).is_ok(), "what is gone is kept");
    }
}
