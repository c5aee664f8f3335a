//! Check for messages of IKE that are lost on the way because they take several packets.

use crate::doctor::{
    Case, Level,
    case::Unanswered,
    finding::{Judged, finding},
    shell::noted,
};

/// Where a peer answers what is small, it answers what is large as well.
pub fn fragments(case: &Case) -> Judged {
    if case.agent.is_err() {
        return Ok("only the agent knows what peers do not answer".into());
    }
    if case.unanswered.is_empty() {
        return Ok("no peer answers small messages of IKE alone".into());
    }
    let of = |one: &Unanswered| {
        let what = format!(
            "the peer of {} answers what is small, but not a message of {} bytes in {} packets: large packets, or UDP \
             fragments, seem to be lost on the way",
            one.connection, one.sent.bytes, one.sent.packets
        );
        // 1280 bytes, charon's default, without the headers of IP and ICMP.
        let size = if one.peer.is_ipv4() { 1252 } else { 1232 };
        let fix = noted(
            format!("ping -M do -s {size} {}", one.peer),
            "shows whether packets of 1280 bytes arrive: let them through on UDP 500 and 4500, or set \
             charon.fragment_size in strongswan.conf to what arrives, on both gateways",
        );
        finding(Level::Warning, what, fix)
    };
    Err(case.unanswered.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doctor::checks::healthy, strongswan::log_parser::Fragments};

    #[test]
    fn a_message_that_is_lost_is_named_with_its_connection_and_size() {
        let mut case = healthy::case();
        assert!(fragments(&case).is_ok());
        let sent = Fragments { bytes: 1621, packets: 2 };
        case.unanswered =
            vec![Unanswered { connection: "branch".into(), peer: "2001:db8::2".parse().expect("an address"), sent }];
        let found = fragments(&case).expect_err("it is lost");
        assert_eq!((found.len(), found[0].level), (1, Level::Warning));
        assert!(found[0].what.contains("the peer of branch") && found[0].what.contains("1621 bytes in 2 packets"));
        assert!(found[0].fix.starts_with("ping -M do -s 1232 2001:db8::2 "), "{}", found[0].fix);
    }
}
