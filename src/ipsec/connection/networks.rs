//! The rules that join the networks of both sides, and the children that are made of them.

use super::{Child, Connection, IkeVersion, Mode, Parts, Split};
use crate::ipsec::{Conflict, NextLayer, Part, TrafficSelector, coverage};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The networks of both sides, checked against each other.
/// Transport mode protects what the gateways themselves send, and nothing else: a side without networks means that.
/// Of other hosts charon takes no account; two of them would never agree on a `CHILD_SA`.
pub(super) fn of(parts: &Parts) -> Result<(Vec<TrafficSelector>, Vec<TrafficSelector>), Conflict> {
    let (mut local, mut remote) = (parts.local_nets.clone(), parts.remote_nets.clone());
    if parts.mode == Mode::Transport {
        let sides = [
            (Part::LocalNets, &mut local, Some(parts.local_addr)),
            (Part::RemoteNets, &mut remote, parts.remote_addr.ip()),
        ];
        for (part, nets, address) in sides {
            // There is nothing to join before the peer's name has an address.
            let Some(address) = address else { continue };
            let gateway = TrafficSelector::host(address);
            if let Some(net) = nets.iter().copied().find(|net| *net != gateway) {
                return Err(Conflict::TransportNetwork { part, net, gateway });
            }
            if nets.is_empty() {
                nets.push(gateway);
            }
        }
    }
    disjoint(&remote)?;
    let is_all = |net: TrafficSelector| net.net().prefix_len() == 0;
    for remote in &remote {
        // A stored connection that has it so is not damaged by that, and one of an interface takes nothing by itself.
        let is_new = parts.native.split != Split::Stored && parts.native.if_id == 0;
        if is_new && is_all(*remote) && local.iter().any(|local| is_all(*local) && local.overlaps(*remote)) {
            return Err(Conflict::Everything(*remote));
        }
        let overlaps = |local: &&TrafficSelector| local.overlaps(*remote) && !is_all(**local) && !is_all(*remote);
        if let Some(local) = local.iter().find(overlaps).copied() {
            return Err(Conflict::SidesOverlap { local, remote: *remote });
        }
    }
    let mut seen = BTreeSet::new();
    local.retain(|net| seen.insert(*net));
    Ok((local, remote))
}

fn disjoint(nets: &[TrafficSelector]) -> Result<(), Conflict> {
    let mut sorted = nets.to_vec();
    sorted.sort_unstable();
    // Sorted by address, a network that overlaps any other overlaps its neighbour.
    match sorted.windows(2).find(|pair| pair[0].overlaps(pair[1])) {
        Some(pair) => Err(Conflict::RemotesOverlap(pair[0], pair[1])),
        None => Ok(()),
    }
}

/// The children that carry `local` to `remote`, never two families in one.
pub(super) fn children(
    parts: &Parts,
    local: &[TrafficSelector],
    remote: &[TrafficSelector],
) -> Result<Vec<Child>, Conflict> {
    if parts.native.split == Split::Whole && parts.version == IkeVersion::V1 {
        return Err(Conflict::WholeUnderIkev1);
    }
    let inner_dropped = |nets: &[TrafficSelector]| {
        if parts.native.split.drops_inner(parts.version) { coverage::outermost(nets) } else { nets.to_vec() }
    };
    let (local, remote) = (&inner_dropped(local), &inner_dropped(remote));
    let mut pairs = Vec::new();
    for v4 in [true, false] {
        let of = |nets: &Vec<TrafficSelector>| nets.iter().copied().filter(|net| net.is_v4() == v4).collect::<Vec<_>>();
        let (local_side, remote_side) = (of(local), of(remote));
        if local_side.is_empty() && !local.is_empty() && !remote_side.is_empty() {
            return Err(Conflict::NoLocalOfFamily(remote_side[0]));
        }
        if local_side.is_empty() || remote_side.is_empty() {
            continue;
        }
        let is_too_long = local_side.len().max(remote_side.len()) > Connection::MAX_SELECTORS;
        let is_free = parts.native.split == Split::Auto && parts.version == IkeVersion::Any;
        if parts.native.split.is_whole(parts.version) && !(is_too_long && is_free) {
            pairs.push((local_side, remote_side));
        } else {
            pairs.extend(local_side.iter().flat_map(|l| remote_side.iter().map(|r| (vec![*l], vec![*r]))));
        }
    }
    if pairs.len() > Connection::MAX_CHILDREN {
        return Err(Conflict::TooManyPairs { count: pairs.len(), most: Connection::MAX_CHILDREN });
    }
    let longest = pairs.iter().map(|(l, r)| l.len().max(r.len()));
    if let Some(count) = longest.into_iter().find(|count| *count > Connection::MAX_SELECTORS) {
        return Err(Conflict::TooManyNetworks { count, most: Connection::MAX_SELECTORS });
    }
    Ok(named(parts, pairs))
}

/// The networks as text, which must never change: the children's names are made of it.
fn list(nets: &[TrafficSelector]) -> String {
    nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Names the children by a digest of their selectors; a collision moves to the next digest.
fn named(parts: &Parts, pairs: Vec<(Vec<TrafficSelector>, Vec<TrafficSelector>)>) -> Vec<Child> {
    let (id, next_layer) = (parts.id, parts.native.next_layer);
    let layer = match next_layer {
        all if all == NextLayer::default() => String::new(),
        NextLayer { protocol, local_port, remote_port } => format!("{protocol} {local_port} {remote_port} "),
    };
    let mut taken = BTreeSet::new();
    let mut name = |local: &[TrafficSelector], remote: &[TrafficSelector]| {
        let mut salt = 0_u32;
        loop {
            let digest = Sha256::digest(format!("{} {} {layer}{salt}", list(local), list(remote)));
            let name = format!("cygnet-{id}-{}", HEXLOWER.encode_display(&digest[..4]));
            if taken.insert(name.clone()) {
                return name;
            }
            salt += 1;
        }
    };
    pairs.into_iter().map(|(local, remote)| Child { name: name(&local, &remote), local, remote, next_layer }).collect()
}
