//! What a connection carries, beside whether that is as wanted: after a change that only one end has, the old SA goes
//! on carrying. Whoever watches must tell this from a tunnel that carries nothing. Pure.

use super::{ChildState, Connection, IkeSa, IkeState, Status, coverage, status::status};

/// What carries of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// Exactly what is wanted.
    AsWanted,
    /// Not all that is wanted, and something of an earlier configuration.
    Previous,
    /// Something of what is wanted, and nothing else.
    Part,
    /// No packet between the wanted networks.
    Nothing,
}

impl Carried {
    /// Whether some SA carries.
    #[must_use]
    pub fn is_something(self) -> bool {
        self != Self::Nothing
    }

    /// What people are told of a tunnel that carries, but not as wanted.
    #[must_use]
    pub fn note(self) -> Option<&'static str> {
        match self {
            Self::Previous => Some("the new configuration is not up yet, the previous one still carries"),
            Self::Part => Some("a part of what is wanted is carried"),
            Self::AsWanted | Self::Nothing => None,
        }
    }
}

/// What `running`, with its marks of what is outdated, carries of `wanted`.
#[must_use]
pub fn carried(wanted: &Connection, running: &[IkeSa]) -> Carried {
    if status(wanted, running) == Status::Ready {
        return Carried::AsWanted;
    }
    let established = running.iter().filter(|ike| ike.state == IkeState::Established);
    let mut installed = established
        .flat_map(|ike| ike.children.iter().map(move |sa| (ike, sa)))
        .filter(|(_, sa)| sa.state == ChildState::Installed)
        .peekable();
    if installed.peek().is_none() {
        return Carried::Nothing;
    }
    let is_previous = installed.any(|(ike, sa)| {
        // What a peer calls for in the other version of IKE, or as other pairs, has another name and is wanted all the same.
        let is_wanted = wanted.children.iter().any(|child| child.name == sa.name) || coverage::counts(sa, wanted);
        !is_wanted || sa.stale || !ike.runs(wanted) || !sa.runs_suite(wanted)
    });
    if is_previous { Carried::Previous } else { Carried::Part }
}
