//! Questions about the running SAs that need no memory.

use crate::ipsec::{ChildSa, ChildState, IkeSa, IkeState};

/// The SAs of the child with this name that carry traffic.
pub(super) fn installed<'a>(running: &'a [IkeSa], name: &'a str) -> impl Iterator<Item = &'a ChildSa> {
    let children = running.iter().filter(|ike| ike.state == IkeState::Established).flat_map(|ike| &ike.children);
    children.filter(move |sa| sa.name == name && sa.state == ChildState::Installed)
}

/// Whether another SA of the child may be negotiated: beside one that is installed, not beside two.
pub(super) fn has_room(running: &[IkeSa], child: &str) -> bool {
    // One in negotiation, also in a stale IKE_SA, counts as two.
    let counts = |ike: &IkeSa, sa: &ChildSa| match sa.state {
        ChildState::Pending => 2,
        ChildState::Installed => 1,
        ChildState::Replaced => usize::from(ike.version == 1),
        ChildState::Closing => 0,
    };
    let open = running.iter().filter(|ike| ike.state != IkeState::Closing);
    let of_child = open.flat_map(|ike| ike.children.iter().filter(|sa| sa.name == child).map(move |sa| (ike, sa)));
    of_child.map(|(ike, sa)| counts(ike, sa)).sum::<usize>() <= 1
}
