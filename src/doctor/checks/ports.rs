//! Check of the UDP ports of IKE.

use crate::doctor::{
    Case, Finding, Level,
    facts::{
        Unchecked,
        procfs::{PORTS, UdpSocket},
    },
    finding::{Judged, finding, judged, unchecked},
    shell::noted,
};
use std::net::IpAddr;

/// charon holds UDP 500 and 4500, in each family that is needed.
pub fn udp(case: &Case) -> Judged {
    let sockets = match &case.facts.sockets {
        Ok(sockets) => sockets,
        Err(why) => return Err(unchecked("the UDP sockets", why)),
    };
    let v6 = case.wanted().any(|connection| connection.local_addr.is_ipv6());
    let v4 = !v6 || case.wanted().any(|connection| connection.local_addr.is_ipv4());
    let families = [(v4, "IPv4", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), (v6, "IPv6", IpAddr::is_ipv6)];
    let mut found = Vec::new();
    for (_, family, is_of) in families.into_iter().filter(|(needed, ..)| *needed) {
        for port in PORTS {
            let bound: Vec<_> = sockets.iter().filter(|s| s.port == port && is_of(&s.address)).collect();
            found.extend(judge(port, family, &bound));
        }
    }
    // Only root sees who holds another user's socket.
    if case.facts.uid != 0 && sockets.iter().any(|socket| socket.holder.is_none()) {
        let why = Unchecked::Denied("/proc shows the sockets of other users to root alone".into());
        found.extend(unchecked("who listens on UDP 500 and 4500", &why));
    }
    judged(found, "500 and 4500 are charon's")
}

fn judge(port: u16, family: &str, bound: &[&UdpSocket]) -> Option<Finding> {
    let is_charon =
        |socket: &&&UdpSocket| socket.holder.as_ref().is_none_or(|holder| holder.name.starts_with("charon"));
    if bound.iter().any(|socket| is_charon(&socket)) {
        return None;
    }
    let Some(other) = bound.first() else {
        let fix = "systemctl start strongswan  # if it runs: load the plugin socket-default, and set charon.port = 500 and \
                   charon.port_nat_t = 4500 in strongswan.conf";
        return Some(finding(Level::Error, format!("nobody listens on UDP {port} ({family})"), fix));
    };
    let holder = other.holder.as_ref().map(|holder| format!("{} (pid {})", holder.name, holder.pid));
    let holder = holder.unwrap_or_default();
    let what = format!("UDP {port} ({family}) belongs to {holder}, not to charon");
    let command =
        other.holder.as_ref().map_or_else(|| "ss -lunp".into(), |holder| format!("systemctl status {}", holder.pid));
    let fix = noted(
        command,
        "names its service: systemctl disable --now that, then systemctl restart strongswan; both interrupt their tunnels",
    );
    Some(finding(Level::Error, what, fix).with(format!("bound to {}", other.address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;
    use crate::doctor::facts::procfs::Process;

    #[test]
    fn ports_belong_to_charon() {
        let mut case = healthy::case();
        assert!(udp(&case).is_ok());
        let sockets = case.facts.sockets.as_mut().expect("seen");
        sockets[0].holder = Some(Process { pid: 77, name: "pluto".into() });
        sockets.truncate(1);
        let found = udp(&case).expect_err("wrong");
        assert!(found[0].what.contains("UDP 500 (IPv4) belongs to pluto (pid 77)"), "{found:?}");
        assert!(found[1].what.contains("nobody listens on UDP 4500"), "{found:?}");
        case.facts.sockets = Err("no /proc".into());
        assert_eq!(udp(&case).expect_err("unchecked")[0].level, Level::Info);
    }

    #[test]
    fn ipv6_needs_sockets_of_its_own() {
        let mut case = healthy::case();
        case.records = vec![healthy::record("2001:db8::1", "2001:db8::2", "fd00:1::/64", "fd00:2::/64")];
        let found = udp(&case).expect_err("wrong");
        assert!(found.iter().all(|finding| finding.what.contains("IPv6")) && found.len() == 2, "{found:?}");
    }
}
