//! How the pairs of networks of a connection are spread over CHILD_SAs.

use super::IkeVersion;

/// Which CHILD_SAs carry the pairs of networks. An IKEv1 quick mode carries one pair only, so under IKEv1 it has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Split {
    /// As records have it that were stored before there was a choice: one child under `ikev2`, else one per pair.
    #[default]
    Stored,
    /// All pairs of a family in one child, until the peer shows that it makes one per pair.
    Auto,
    /// The peer showed that: one child per pair.
    Learned,
    /// One child per pair, fixed by the caller.
    Pairs,
    /// One child per family, fixed by the caller.
    Whole,
}

impl Split {
    /// All, in order.
    pub const ALL: [Self; 5] = [Self::Stored, Self::Auto, Self::Learned, Self::Pairs, Self::Whole];

    /// The word for it. Records that were stored before there was a choice follow their peer as `auto` does.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored | Self::Auto => "auto",
            Self::Learned => "learned",
            Self::Pairs => "pairs",
            Self::Whole => "whole",
        }
    }

    /// Whether all pairs of a family are in one child. `Any` begins with IKEv2; a peer that answers it in IKEv1 takes pairs
    /// out of the child.
    #[must_use]
    pub fn is_whole(self, version: IkeVersion) -> bool {
        match (self, version) {
            (_, IkeVersion::V1) | (Self::Learned | Self::Pairs, _) => false,
            (Self::Auto | Self::Whole, _) => true,
            (Self::Stored, version) => version == IkeVersion::V2,
        }
    }

    /// Whether a peer that makes one child per pair is followed.
    #[must_use]
    pub fn follows_peer(self) -> bool {
        matches!(self, Self::Stored | Self::Auto)
    }

    /// Whether networks inside another one are left out: charon drops them from the selectors of a child.
    pub(super) fn drops_inner(self, version: IkeVersion) -> bool {
        self != Self::Stored && version != IkeVersion::V1
    }
}
