//! Whether a child's traffic goes both ways, one way or not at all: told by the counters of its SAs over time.
//! Pure: seconds come in as arguments, on a clock that never jumps and whose zero is the caller's.

use super::{ChildSa, sa::InOut};

/// What the counters of one child did so far, over all SAs that carried it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flow {
    /// The packets of each SA at the last look, by its number.
    seen: Vec<(u64, InOut<u64>)>,
    began: Option<i64>,
    inbound: Way,
    outbound: Way,
}

/// One direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Way {
    /// The last packet.
    last: Option<i64>,
    /// The first packet that is known to have come after the last one of the other direction.
    alone_since: Option<i64>,
}

/// The times of [`Flow::now`], in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Without a packet for so long, a child is idle.
    pub idle: i64,
    /// Packets in one direction only for so long are one-way traffic.
    pub one_way: i64,
}

/// What the traffic of a child is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Packets came and went, or have only begun to.
    Both,
    /// None in either direction for a while.
    Idle,
    /// We send, and nothing comes.
    NoInbound,
    /// Something comes, and we send nothing.
    NoOutbound,
}

impl Flow {
    /// Takes in the SAs of the child as they are at `now`. Those that are gone are forgotten; when all are, so is
    /// everything: the next tunnel begins anew.
    pub fn look<'a>(&mut self, sas: impl IntoIterator<Item = &'a ChildSa>, now: i64) {
        let sas: Vec<_> = sas.into_iter().collect();
        if sas.is_empty() {
            *self = Self::default();
            return;
        }
        let before = std::mem::take(&mut self.seen);
        let (mut received, mut sent) = (None, None);
        for sa in sas {
            let old = before.iter().find(|(number, _)| *number == sa.unique_id);
            let old = old.map(|(_, packets)| *packets).unwrap_or_default();
            let at = |unused: Option<u64>| now.saturating_sub_unsigned(unused.unwrap_or(0));
            if sa.packets.inbound > old.inbound {
                received = received.max(Some(at(sa.unused.inbound)));
            }
            if sa.packets.outbound > old.outbound {
                sent = sent.max(Some(at(sa.unused.outbound)));
            }
            let made = now.saturating_sub_unsigned(sa.age);
            self.began = Some(self.began.map_or(made, |began| began.min(made)));
            // A look that was taken earlier and comes later must not make packets new again.
            let (inbound, outbound) = (sa.packets.inbound.max(old.inbound), sa.packets.outbound.max(old.outbound));
            self.seen.push((sa.unique_id, InOut { inbound, outbound }));
        }
        self.inbound.note(received, sent);
        self.outbound.note(sent, received);
    }

    /// What the traffic is like at `now`, and since when.
    #[must_use]
    pub fn now(&self, now: i64, limits: Limits) -> (Use, Option<i64>) {
        let Some(last) = self.inbound.last.max(self.outbound.last).max(self.began) else { return (Use::Idle, None) };
        let alone = |way: Way| way.alone_since.filter(|since| way.last.is_some_and(|l| l - since >= limits.one_way));
        if now - last >= limits.idle {
            (Use::Idle, Some(last))
        } else if let Some(since) = alone(self.outbound) {
            (Use::NoInbound, Some(since))
        } else if let Some(since) = alone(self.inbound) {
            (Use::NoOutbound, Some(since))
        } else {
            (Use::Both, None)
        }
    }
}

/// The flows of a connection's children that have SAs. A list, since a map would have room for a dozen in each of
/// thousands of connections.
#[derive(Debug, Default)]
pub struct Flows(Vec<(String, Flow)>);

impl Flows {
    /// That of the child of this name.
    #[must_use]
    pub fn get(&self, child: &str) -> Option<&Flow> {
        self.0.iter().find(|(name, _)| name == child).map(|(_, flow)| flow)
    }

    /// Takes in the SAs of the child of this name as they are at `now`.
    pub fn look<'a>(&mut self, child: &str, sas: impl IntoIterator<Item = &'a ChildSa>, now: i64) {
        let mut sas = sas.into_iter().peekable();
        let place = self.0.iter().position(|(name, _)| name == child);
        match (place, sas.peek()) {
            (Some(place), None) => drop(self.0.swap_remove(place)),
            (Some(place), Some(_)) => self.0[place].1.look(sas, now),
            (None, None) => {}
            (None, Some(_)) => {
                let mut flow = Flow::default();
                flow.look(sas, now);
                self.0.push((child.to_owned(), flow));
            }
        }
    }

    /// Forgets the children whose names are not wanted.
    pub fn retain(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| is_wanted(name));
    }
}

impl Way {
    /// The last packet since the last look in this direction, and in the other.
    fn note(&mut self, own: Option<i64>, other: Option<i64>) {
        self.last = self.last.max(own);
        match (own, other) {
            (None, None) => {}
            // Of those before the last one, nobody knows whether they came before the other's.
            (Some(own), Some(other)) if own > other => self.alone_since = Some(own),
            (_, Some(_)) => self.alone_since = None,
            (Some(own), None) => self.alone_since = self.alone_since.or(Some(own)),
        }
    }
}
