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

    /// Whether a peer that has all pairs in one child is followed: only where nobody has chosen one per pair, and IKEv2
    /// may be spoken, whose children can have several.
    #[must_use]
    pub fn joins_for_peer(self, version: IkeVersion) -> bool {
        self == Self::Stored && version == IkeVersion::Any
    }

    /// Whether following a peer may have made this of `from`, without a caller's word.
    #[must_use]
    pub fn is_learned_from(self, from: Self) -> bool {
        from.follows_peer() && matches!(self, Self::Auto | Self::Learned)
    }

    /// Whether networks inside another one are left out: charon drops them from the selectors of a child.
    pub(super) fn drops_inner(self, version: IkeVersion) -> bool {
        self != Self::Stored && version != IkeVersion::V1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else a peer could have a connection go back and forth, or against the caller's word.
    #[test]
    fn who_went_over_never_goes_back() {
        for split in Split::ALL {
            for version in [IkeVersion::Any, IkeVersion::V1, IkeVersion::V2] {
                let joins = split.joins_for_peer(version);
                assert_eq!(joins, (split, version) == (Split::Stored, IkeVersion::Any));
                assert!(!joins || !split.is_whole(version), "{split:?} {version:?}: there is nothing to join");
            }
        }
        assert!(!Split::Auto.joins_for_peer(IkeVersion::Any) && !Split::Learned.follows_peer());
    }
}
