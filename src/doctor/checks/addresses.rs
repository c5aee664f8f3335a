//! Check of the local addresses of tunnels.

use super::{flows::way, settings};
use crate::doctor::{
    Case, Level,
    finding::{Judged, finding, judged, some, unchecked},
    shell::{noted, quoted},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// This host has the local addresses of the stored connections, and the VIPs of the settings.
pub fn addresses(case: &Case) -> Judged {
    let interfaces = match &case.facts.interfaces {
        Ok(interfaces) => interfaces,
        Err(why) => return Err(unchecked("the addresses of this host", why)),
    };
    let own: BTreeSet<IpAddr> = interfaces.iter().flat_map(|interface| interface.addresses.iter().copied()).collect();
    let mut missing: BTreeMap<IpAddr, Vec<_>> = BTreeMap::new();
    let is_here = |address: &IpAddr| own.contains(address) || case.standby.contains(address);
    for connection in case.wanted().filter(|connection| !is_here(&connection.local_addr)) {
        missing.entry(connection.local_addr).or_default().push(connection.id());
    }
    let prefix = |address: &IpAddr| if address.is_ipv4() { 32 } else { 128 };
    let fix = |address: &IpAddr| {
        // The interface towards the peers is the likely one.
        let mut peers = case.wanted().filter(|ours| ours.local_addr == *address);
        let device = peers.find_map(|ours| way(case, ours.remote_addr.ip()?));
        let device = device.map_or_else(|| "INTERFACE".into(), |way| quoted(&way.device));
        noted(
            format!("ip address add {address}/{} dev {device}", prefix(address)),
            "and add it to the network's configuration; or correct gateway.vips, then systemctl reload cygnet and \
             cygnet reconnect --all-changed, which makes the new SAs beside the old ones",
        )
    };
    let evidence = format!("this host has {}", some(&own));
    let mut found = Vec::new();
    for (address, connections) in &missing {
        let what = format!("{address}, the local address of {} connections, is not on this host", connections.len());
        // The settings have another address now: the connections must take it over.
        let fix = if settings::has_moved(case, *address) { settings::TAKE_OVER.into() } else { fix(address) };
        found.push(finding(Level::Error, what, fix).with(format!("{evidence}; connections: {}", some(connections))));
    }
    let unused = case.gateway.vips.iter().filter(|vip| !is_here(&vip.address) && !missing.contains_key(&vip.address));
    for vip in unused {
        let what = format!("{}, the VIP {} of the settings, is not on this host", vip.address, vip.uuid);
        found.push(finding(Level::Warning, what, fix(&vip.address)).with(&evidence));
    }
    let away: BTreeSet<_> = case.standby.difference(&own).copied().collect();
    let seen = match away.len() {
        0 => format!("{} VIPs and the local addresses of all connections are here", case.gateway.vips.len()),
        1 => format!("standby: {} is not on this host", some(&away)),
        _ => format!("standby: {} are not on this host", some(&away)),
    };
    judged(found, seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;

    #[test]
    fn a_standby_needs_none() {
        let mut case = healthy::case();
        case.facts.interfaces.as_mut().expect("seen")[1].addresses.clear();
        case.standby = [IpAddr::from([192, 0, 2, 1])].into();
        assert_eq!(addresses(&case), Ok("standby: 192.0.2.1 is not on this host".into()));
    }

    #[test]
    fn addresses_must_be_here() {
        let mut case = healthy::case();
        assert!(addresses(&case).is_ok());
        case.facts.interfaces.as_mut().expect("seen")[1].addresses.clear();
        let found = addresses(&case).expect_err("wrong");
        // Of a connection and of the settings: it is said once.
        assert_eq!((found.len(), found[0].level), (1, Level::Error), "{found:?}");
        case.records.clear();
        let found = addresses(&case).expect_err("wrong");
        assert_eq!((found.len(), found[0].level), (1, Level::Warning), "{found:?}");
        assert!(found[0].fix.contains("192.0.2.1/32"), "{found:?}");
    }
}
