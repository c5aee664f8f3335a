//! What to look at when a child is up and its traffic goes one way.

use super::{Condition, Connection, Integrity, Protocol};

/// What to do about the condition of a child of `wanted`, if there is something to do.
#[must_use]
pub fn condition_advice(wanted: &Connection, condition: Condition) -> Option<String> {
    if condition != Condition::NoInbound {
        return None;
    }
    let mut text =
        "Nothing comes back from the peer: check its routes and its firewall, and that its side has this SA."
            .to_owned();
    let integrity = match wanted.protocol {
        Protocol::Esp(esp) if esp.encryption.row().aead => None,
        Protocol::Esp(esp) => Some(esp.integrity),
        Protocol::Ah(ah) => Some(ah.integrity),
    };
    if integrity == Some(Integrity::Sha256) {
        text += " With sha256, the peer may cut HMAC-SHA-256 to 96 bits (racoon, and kernels that have it by default): \
                 each end then drops every packet of the other. Choose aes-256-gcm, sha1, sha384 or sha512 for the traffic on \
                 both ends.";
    }
    Some(text)
}
