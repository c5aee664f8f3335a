//! Converts charon's messages to the model's observed values. Missing or unknown values are left out: an SA that cannot be
//! parsed is not up.

use super::section::Section;
use crate::ipsec::{
    Mode,
    sa::{ChildSa, ChildState, IkeSa, IkeState, IkeTimes, InOut, Nat, Suite},
};

/// The IKE SAs in one `list-sa` or `ike-updown` message.
#[must_use]
pub fn ike_sas(message: &Section) -> Vec<IkeSa> {
    message.sections().filter_map(|(name, sa)| ike_sa(name, sa)).collect()
}

/// The CHILD_SAs in a `child-updown` or `child-rekey` message, with their last counters; of a rekeying both.
pub fn child_sas(message: &Section) -> impl Iterator<Item = ChildSa> {
    let children = message.sections().filter_map(|(_, sa)| sa.section("child-sas")).flat_map(Section::sections);
    children.flat_map(|(_, child)| {
        let of_rekeying = ["old", "new"].into_iter().filter_map(|which| child.section(which));
        std::iter::once(child).chain(of_rekeying).filter_map(child_sa)
    })
}

/// Whether there are SAs and all are closing. charon walks its table while SAs move in it: it may list a rekeyed SA as
/// replaced and miss its successor. A second list has it.
#[must_use]
pub fn all_closing(running: &[IkeSa]) -> bool {
    !running.is_empty() && running.iter().all(|ike| ike.state == IkeState::Closing)
}

fn ike_sa(name: &str, sa: &Section) -> Option<IkeSa> {
    let text = |key| sa.text(key).unwrap_or_default().to_owned();
    let is = |key| sa.text(key) == Some("yes");
    Some(IkeSa {
        name: name.into(),
        unique_id: sa.number("uniqueid")?,
        version: sa.number("version")?,
        state: match sa.text("state")? {
            "CREATED" | "CONNECTING" => IkeState::Connecting,
            "ESTABLISHED" | "REKEYING" => IkeState::Established,
            _ => IkeState::Closing,
        },
        stale: false,
        local_host: text("local-host"),
        remote_host: text("remote-host"),
        is_initiator: is("initiator"),
        initiator_spi: text("initiator-spi"),
        responder_spi: text("responder-spi"),
        nat: Nat { local: is("nat-local"), remote: is("nat-remote") },
        times: IkeTimes {
            age: sa.number("established"),
            rekey_in: sa.number("rekey-time"),
            reauth_in: sa.number("reauth-time"),
        },
        suite: suite(sa),
        ppk: is("ppk"),
        busy: ["tasks-active", "tasks-queued"].iter().any(|key| sa.items(key).next().is_some()),
        children: sa
            .section("child-sas")
            .into_iter()
            .flat_map(Section::sections)
            .filter_map(|(_, child)| child_sa(child))
            .collect(),
    })
}

fn child_sa(sa: &Section) -> Option<ChildSa> {
    let number = |key| sa.number(key).unwrap_or(0);
    let text = |key| sa.text(key).unwrap_or_default().to_owned();
    Some(ChildSa {
        name: sa.text("name")?.into(),
        unique_id: sa.number("uniqueid")?,
        spis: InOut { inbound: text("spi-in"), outbound: text("spi-out") },
        state: match sa.text("state")? {
            "INSTALLED" | "REKEYING" | "UPDATING" => ChildState::Installed,
            "REKEYED" => ChildState::Replaced,
            "DELETING" | "DELETED" | "DESTROYING" => ChildState::Closing,
            _ => ChildState::Pending,
        },
        stale: false,
        mode: match sa.text("mode") {
            Some("TUNNEL") => Some(Mode::Tunnel),
            Some("TRANSPORT") => Some(Mode::Transport),
            _ => None,
        },
        ah: sa.text("protocol") == Some("AH"),
        encap: sa.text("encap") == Some("yes"),
        suite: suite(sa),
        local: sa.items("local-ts").map(Into::into).collect(),
        remote: sa.items("remote-ts").map(Into::into).collect(),
        if_id: sa.text("if-id-in").and_then(|id| u32::from_str_radix(id, 16).ok()).unwrap_or(0),
        bytes: InOut { inbound: number("bytes-in"), outbound: number("bytes-out") },
        packets: InOut { inbound: number("packets-in"), outbound: number("packets-out") },
        unused: InOut { inbound: sa.number("use-in"), outbound: sa.number("use-out") },
        age: number("install-time"),
        rekey_in: sa.number("rekey-time"),
        ends_in: sa.number("life-time"),
    })
}

fn suite(sa: &Section) -> Suite {
    let text = |key| sa.text(key).map(Into::into);
    Suite {
        encryption: text("encr-alg"),
        key_bits: sa.number("encr-keysize"),
        integrity: text("integ-alg"),
        prf: text("prf-alg"),
        group: text("dh-group"),
        additional: text("ake1"),
    }
}
