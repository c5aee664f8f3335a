//! Checks of the kernel's settings and of the clock.

use crate::{
    doctor::{
        Case, Finding, Level,
        facts::procfs::Kernel,
        finding::{Judged, finding, judged, some, unchecked},
        shell::{noted, quoted},
    },
    ipsec::Mode,
};
use std::collections::BTreeSet;

/// Forwarding is on for the address families of the connections' networks.
pub fn forwarding(case: &Case) -> Judged {
    let kernel = match &case.facts.kernel {
        Ok(kernel) => kernel,
        Err(why) => return Err(unchecked("forwarding", why)),
    };
    let needs = [true, false].map(|v4| needs_forwarding(case, v4));
    let off = |family: &str, key: &str, count: usize| {
        let what = format!("{family} forwarding is off, and {count} connections have {family} networks");
        let more = if family == "IPv6" { "; an interface that listens to routers then needs accept_ra=2" } else { "" };
        let note = format!("for good: echo {key}=1 >>/etc/sysctl.d/60-cygnet.conf{more}");
        let fix = noted(format!("sysctl -w {key}=1"), &note);
        finding(Level::Error, what, fix).with(format!("{key} = 0"))
    };
    let mut found = Vec::new();
    if needs[0] > 0 && !kernel.forward_v4 {
        found.push(off("IPv4", "net.ipv4.ip_forward", needs[0]));
    }
    if needs[1] > 0 && kernel.forward_v6 != Some(true) {
        found.push(off("IPv6", "net.ipv6.conf.all.forwarding", needs[1]));
    }
    let word = |on, need| {
        if on {
            "on"
        } else if need == 0 {
            "off, not needed"
        } else {
            "off"
        }
    };
    judged(
        found,
        format!("IPv4 {}, IPv6 {}", word(kernel.forward_v4, needs[0]), word(kernel.forward_v6 == Some(true), needs[1])),
    )
}

/// The number of connections with local networks of a family that are not this gateway's own addresses.
fn needs_forwarding(case: &Case, v4: bool) -> usize {
    let own = case.facts.interfaces.as_deref().unwrap_or_default();
    let is_own = |address| own.iter().any(|interface| interface.addresses.contains(&address));
    case.wanted()
        .filter(|connection| connection.mode == Mode::Tunnel)
        .filter(|connection| {
            let local = connection.children.iter().flat_map(|child| &child.local);
            local.filter(|net| net.is_v4() == v4).any(|net| !(net.is_host() && is_own(net.net().addr())))
        })
        .count()
}

/// No interface of a tunnel has a strict reverse path filter (RFC 3704).
pub fn rp_filter(case: &Case) -> Judged {
    let (kernel, interfaces) = match (&case.facts.kernel, &case.facts.interfaces) {
        (Ok(kernel), Ok(interfaces)) => (kernel, interfaces),
        (Err(why), _) | (_, Err(why)) => return Err(unchecked("rp_filter", why)),
    };
    let ours: BTreeSet<_> =
        case.wanted().map(|connection| connection.local_addr).filter(std::net::IpAddr::is_ipv4).collect();
    let concerned = interfaces.iter().filter(|interface| {
        // The devices of kernel-libipsec, and those of tunnels.
        interface.name.starts_with("ipsec")
            || interface.if_id.is_some_and(|id| case.wanted().any(|connection| connection.native.if_id == id))
            || interface.addresses.iter().any(|address| ours.contains(address))
    });
    let names: Vec<_> = concerned.map(|interface| interface.name.as_str()).collect();
    let found = names.iter().filter_map(|name| strict(kernel, name)).collect();
    let seen =
        if names.is_empty() { "no interface of a tunnel".into() } else { format!("not strict on {}", some(names)) };
    judged(found, seen)
}

fn strict(kernel: &Kernel, name: &str) -> Option<Finding> {
    let value = |key: &str| kernel.rp_filter.get(key).copied().unwrap_or_default();
    // The kernel uses the greater of both values: 1 is strict, 2 loose.
    let (all, own) = (value("all"), value(name));
    let what = format!(
        "rp_filter is strict on {name}: the kernel drops packets whose answers would leave by another interface"
    );
    // sysctl takes a stroke for a dot within a name, as in eth0.5.
    let key = quoted(&format!("net.ipv4.conf.{}.rp_filter=2", name.replace('.', "/")));
    let fix = noted(format!("sysctl -w {key}"), &format!("for good: echo {key} >>/etc/sysctl.d/60-cygnet.conf"));
    let evidence = format!("net.ipv4.conf.all.rp_filter = {all}, net.ipv4.conf.{name}.rp_filter = {own}");
    (all.max(own) == 1).then(|| finding(Level::Warning, what, fix).with(evidence))
}

/// The kernel lets no program send from an address that is not here: on a standby it belongs to the other gateway. charon
/// needs no such right, as it binds to no address. Without it, Linux sends nothing from a foreign address of IPv6; of IPv4
/// it never does.
pub fn nonlocal_bind(case: &Case) -> Judged {
    let kernel = match &case.facts.kernel {
        Ok(kernel) => kernel,
        Err(why) => return Err(unchecked("nonlocal_bind", why)),
    };
    let has_v6 = case.wanted().any(|connection| connection.local_addr.is_ipv6());
    let on = |key: &str, level, what: &str| {
        let note = format!("for good: echo {key}=0 >>/etc/sysctl.d/60-cygnet.conf; another program may need it");
        finding(level, what.to_owned(), noted(format!("sysctl -w {key}=0"), &note)).with(format!("{key} = 1"))
    };
    let mut found = Vec::new();
    if kernel.nonlocal_v6 && has_v6 {
        let what =
            "charon may send from IPv6 addresses that are not on this host, and on a standby are the other gateway's";
        found.push(on("net.ipv6.ip_nonlocal_bind", Level::Warning, what));
    }
    if kernel.nonlocal_v4 {
        let what = "programs may bind to IPv4 addresses that are not on this host; cygnet and charon do not need it";
        found.push(on("net.ipv4.ip_nonlocal_bind", Level::Info, what));
    }
    judged(found, "no program may use addresses that are not on this host")
}

/// The plausible years of a clock.
const YEARS: std::ops::Range<i16> = 2025..2100;

/// The clock is right: lifetimes, certificates and signed calls depend on it.
pub fn clock(case: &Case) -> Judged {
    let now = case.now;
    let year = now.to_zoned(jiff::tz::TimeZone::UTC).year();
    let fix = "apt install systemd-timesyncd && timedatectl set-ntp true  # or apt install chrony";
    if !YEARS.contains(&year) {
        return Err(vec![finding(Level::Error, format!("the clock shows the year {year}"), fix)]);
    }
    if let Some(record) = case.records.iter().max_by_key(|record| record.changed).filter(|record| record.changed > now)
    {
        let what = format!("the clock shows {now}, but connection {} was changed at {}", record.id, record.changed);
        return Err(vec![finding(Level::Warning, what, fix)]);
    }
    match &case.facts.synchronised {
        Ok(true) => Ok(format!("{year}, synchronised")),
        Ok(false) => {
            Err(vec![finding(Level::Warning, "the clock is not synchronised", fix).with("NTPSynchronized=no")])
        }
        Err(why) => Err(unchecked("whether the clock is synchronised", why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;

    #[test]
    fn foreign_addresses_are_not_used() {
        let mut case = healthy::case();
        case.facts.kernel.as_mut().expect("seen").nonlocal_v6 = true;
        assert!(nonlocal_bind(&case).is_ok(), "no connection has IPv6");
        case.facts.kernel.as_mut().expect("seen").nonlocal_v4 = true;
        assert_eq!(nonlocal_bind(&case).expect_err("said")[0].level, Level::Info);
        case.records = vec![healthy::record("2001:db8::1", "2001:db8::2", "10.1.0.0/24", "10.2.0.0/24")];
        let found = nonlocal_bind(&case).expect_err("wrong");
        assert_eq!((found.len(), found[0].level), (2, Level::Warning), "{found:?}");
    }

    #[test]
    fn forwarding_is_needed_for_networks_not_for_the_gateway_itself() {
        let mut case = healthy::case();
        assert_eq!(forwarding(&case).expect("fine"), "IPv4 on, IPv6 off, not needed");
        case.facts.kernel.as_mut().expect("seen").forward_v4 = false;
        let found = forwarding(&case).expect_err("wrong");
        assert!(found[0].fix.contains("net.ipv4.ip_forward=1") && found[0].level == Level::Error, "{found:?}");
        case.records = vec![healthy::record("192.0.2.1", "192.0.2.2", "192.0.2.1/32", "10.2.0.0/24")];
        assert!(forwarding(&case).is_ok());
        case.records = vec![healthy::record("192.0.2.1", "192.0.2.2", "fd00:1::/64", "fd00:2::/64")];
        assert!(forwarding(&case).expect_err("wrong")[0].what.contains("IPv6 forwarding is off"));
    }

    #[test]
    fn only_strict_filters_of_a_tunnels_interface_are_wrong() {
        let mut case = healthy::case();
        for (all, wan, lan, is_wrong) in
            [(0, 0, 1, false), (0, 1, 0, true), (1, 0, 0, true), (1, 2, 1, false), (2, 1, 0, false)]
        {
            let values = [("all", all), ("wan", wan), ("lan", lan)].map(|(name, value)| (name.to_owned(), value));
            case.facts.kernel.as_mut().expect("seen").rp_filter = values.into();
            assert_eq!(rp_filter(&case).is_err(), is_wrong, "{all} {wan} {lan}");
        }
    }

    #[test]
    fn clocks_are_judged() {
        let mut case = healthy::case();
        assert!(clock(&case).is_ok());
        case.facts.synchronised = Ok(false);
        assert_eq!(clock(&case).expect_err("wrong")[0].level, Level::Warning);
        case.facts.synchronised = Err("no D-Bus".into());
        assert_eq!(clock(&case).expect_err("unchecked")[0].level, Level::Info);
        case.now = "2026-01-01T00:00:00Z".parse().expect("a time");
        assert!(clock(&case).expect_err("wrong")[0].what.contains("was changed at"));
        case.now = "1970-01-01T00:07:00Z".parse().expect("a time");
        assert!(clock(&case).expect_err("wrong")[0].what.contains("1970"));
    }
}
