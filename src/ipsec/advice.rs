//! What to look at when a child is up and its traffic goes one way.

use super::{Condition, Connection, Integrity};

/// What to do about the condition of a child of `wanted`, if there is something to do.
#[must_use]
pub fn condition_advice(wanted: &Connection, condition: Condition) -> Option<String> {
    let mut text = match condition {
        Condition::NoInbound => {
            "Packets go out and none comes back. Run `cygnet doctor` and see its checks input, rp_filter, data_plane, clamp \
             and foreign. If they pass, the peer does not get the packets, drops them or does not answer: look there for a \
             filter, for source NAT before its policy, and for a missing route."
        }
        Condition::NoOutbound => {
            "Packets come in and none goes back. Run `cygnet doctor` and see its checks nat, forward, forwarding, routes, \
             rp_filter, output, data_plane and foreign. If they pass, the hosts here do not answer, or they answer through \
             another router."
        }
        _ => return None,
    }
    .to_owned();
    if condition != Condition::NoInbound {
        return Some(text);
    }
    let integrity = wanted.protocol.integrity();
    if integrity == Some(Integrity::Sha256Cut) {
        text += " With sha256-96, the peer must cut HMAC-SHA-256 to 96 bits too: if it does not, each end drops every packet of \
                 the other. Choose sha256 then.";
    }
    if integrity == Some(Integrity::Sha256) {
        text += " With sha256, the peer may cut HMAC-SHA-256 to 96 bits (racoon, and kernels that have it by default): \
                 each end then drops every packet of the other. Choose aes-256-gcm, sha1, sha384 or sha512 for the traffic on \
                 both ends, or policyAuthAlgorithm sha256-96 here alone.";
    }
    Some(text)
}
