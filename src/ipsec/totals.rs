//! What the children of a connection have carried in all, over every SA: the numbers that monitoring counts with. An SA's
//! own counters begin at 0 with each rekeying, so their sum over the SAs that run now goes down and says nothing. Pure.

use super::{ChildSa, ChildState, sa::InOut};
use serde::{Deserialize, Serialize};

/// How many looks in a row must miss an SA before it counts as gone. A list that was asked for before an event may arrive
/// after it and lack the SA of the event.
const MISSES: u8 = 3;

/// The most SAs of one child that are told apart. Beyond it the oldest are taken for gone.
const MOST: usize = 16;

/// The most children without an SA whose totals are kept. Their names come from their networks, so each change of those
/// leaves some behind. One that comes back begins at 0, which monitoring takes for what it is.
const MOST_IDLE: usize = 256;

/// Bytes and packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// In bytes, as charon counts them: without the headers of ESP.
    pub bytes: u64,
    /// In packets.
    pub packets: u64,
}

/// One SA of a child. Its number alone does not tell it from others: charon counts anew after a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Counted {
    number: u64,
    spi: String,
    /// Its counters when the count began, and when it was last seen.
    base: InOut<Amount>,
    seen: InOut<Amount>,
    /// How many looks in a row have missed it.
    missed: u8,
}

/// What one child has carried.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Total {
    child: String,
    /// By the SAs that are gone.
    gone: InOut<Amount>,
    /// By the others.
    sas: Vec<Counted>,
}

/// What the children of one connection have carried, also children that it no longer has. They only grow.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Totals(Vec<Total>);

impl Totals {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each child with what it has carried.
    pub fn iter(&self) -> impl Iterator<Item = (&str, InOut<Amount>)> {
        self.0.iter().map(|total| (total.child.as_str(), total.sum()))
    }

    /// Takes in `sa`, which may be one that ends.
    pub fn record(&mut self, sa: &ChildSa) {
        self.of(&sa.name).record(sa);
    }

    /// Takes in the last bytes of an SA of `child` that ends, by its inbound SPI. Nobody says how many packets they were:
    /// the few that were not seen are taken to be as long as those before.
    pub fn record_closed(&mut self, child: &str, spi: &str, bytes: InOut<u64>) {
        let sas = self.0.iter_mut().filter(|total| total.child == child).flat_map(|total| &mut total.sas);
        for sa in sas.filter(|sa| sa.spi.trim_start_matches('0') == spi.trim_start_matches('0')) {
            sa.seen.inbound.grow(bytes.inbound);
            sa.seen.outbound.grow(bytes.outbound);
            sa.missed = sa.missed.max(1);
        }
    }

    /// Takes in all SAs of the connection. Returns whether one has come or gone.
    pub fn record_all<'a>(&mut self, sas: impl IntoIterator<Item = &'a ChildSa>) -> bool {
        let before = self.count();
        self.0.iter_mut().flat_map(|total| &mut total.sas).for_each(|sa| sa.missed += 1);
        sas.into_iter().for_each(|sa| self.record(sa));
        let has_come = self.count() > before;
        self.0.iter_mut().fold(has_come, |changed, total| total.retire() || changed)
    }

    fn count(&self) -> usize {
        self.0.iter().map(|total| total.sas.len()).sum()
    }

    /// Begins at nothing, beside SAs that have carried something already: as if they had begun now.
    pub fn begin<'a>(&mut self, sas: impl IntoIterator<Item = &'a ChildSa>) {
        self.0.clear();
        sas.into_iter().for_each(|sa| self.record(sa));
        self.0.iter_mut().flat_map(|total| &mut total.sas).for_each(|sa| sa.base = sa.seen);
    }

    /// Whether each SA that the last look has seen, and that was not ending, is among `sas`.
    pub fn are_all_in<'a>(&self, sas: impl IntoIterator<Item = &'a ChildSa>) -> bool {
        let mut last_seen = self.0.iter().flat_map(|total| &total.sas).filter(|sa| sa.missed == 0);
        let sas: Vec<_> = sas.into_iter().collect();
        last_seen.all(|known| sas.iter().any(|sa| known.is(sa)))
    }

    fn of(&mut self, child: &str) -> &mut Total {
        let place = self.0.iter().position(|total| total.child == child).unwrap_or_else(|| {
            let mut idle = self.0.iter().enumerate().filter(|(_, total)| total.sas.is_empty());
            let oldest = idle.next().map(|(place, _)| place).filter(|_| idle.count() >= MOST_IDLE - 1);
            oldest.map(|place| self.0.remove(place));
            self.0.push(Total { child: child.to_owned(), gone: InOut::default(), sas: Vec::new() });
            self.0.len() - 1
        });
        &mut self.0[place]
    }
}

impl Amount {
    fn grow(&mut self, bytes: u64) {
        let more = bytes.saturating_sub(self.bytes);
        let packets = u128::from(more) * u128::from(self.packets) / u128::from(self.bytes.max(1));
        self.packets = self.packets.saturating_add(u64::try_from(packets).unwrap_or(0));
        self.bytes = self.bytes.max(bytes);
    }
}

impl Total {
    fn record(&mut self, sa: &ChildSa) {
        if sa.state == ChildState::Pending {
            return;
        }
        // One that is on its way out may be gone at any moment.
        let missed = u8::from(sa.state != ChildState::Installed);
        let amount = |bytes, packets| Amount { bytes, packets };
        let seen = InOut {
            inbound: amount(sa.bytes.inbound, sa.packets.inbound),
            outbound: amount(sa.bytes.outbound, sa.packets.outbound),
        };
        if let Some(known) = self.sas.iter_mut().find(|known| known.is(sa)) {
            known.missed = missed;
            known.seen = both(known.seen, seen, u64::max);
            return;
        }
        let (number, spi) = (sa.unique_id, sa.spis.inbound.clone());
        self.sas.push(Counted { number, spi, base: InOut::default(), seen, missed });
        if self.sas.len() > MOST {
            let oldest = self.sas.remove(0);
            self.gone = both(self.gone, oldest.carried(), u64::saturating_add);
        }
    }

    /// Joins the SAs that are gone. Returns whether there is one.
    fn retire(&mut self) -> bool {
        let gone: Vec<_> = self.sas.extract_if(.., |sa| sa.missed >= MISSES).collect();
        self.gone = gone.iter().fold(self.gone, |sum, sa| both(sum, sa.carried(), u64::saturating_add));
        !gone.is_empty()
    }

    fn sum(&self) -> InOut<Amount> {
        self.sas.iter().fold(self.gone, |sum, sa| both(sum, sa.carried(), u64::saturating_add))
    }
}

impl Counted {
    fn is(&self, sa: &ChildSa) -> bool {
        self.number == sa.unique_id && self.spi == sa.spis.inbound
    }

    fn carried(&self) -> InOut<Amount> {
        both(self.seen, self.base, u64::saturating_sub)
    }
}

/// Both values of both directions, joined one by one.
fn both(a: InOut<Amount>, b: InOut<Amount>, join: fn(u64, u64) -> u64) -> InOut<Amount> {
    let amount = |a: Amount, b: Amount| Amount { bytes: join(a.bytes, b.bytes), packets: join(a.packets, b.packets) };
    InOut { inbound: amount(a.inbound, b.inbound), outbound: amount(a.outbound, b.outbound) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipsec::sa::Suite;
    use std::collections::BTreeSet;

    fn sa(number: u64, spi: &str, inbound: u64) -> ChildSa {
        ChildSa {
            name: "a".into(),
            unique_id: number,
            spis: InOut { inbound: spi.into(), outbound: String::new() },
            state: ChildState::Installed,
            stale: false,
            mode: None,
            ah: false,
            encap: false,
            suite: Suite::default(),
            local: BTreeSet::new(),
            remote: BTreeSet::new(),
            if_id: 0,
            bytes: InOut { inbound, outbound: 0 },
            packets: InOut { inbound: inbound / 100, outbound: 0 },
            unused: InOut::default(),
            age: 0,
            rekey_in: None,
            ends_in: None,
        }
    }

    fn inbound(totals: &Totals) -> u64 {
        totals.iter().map(|(_, sum)| sum.inbound.bytes).sum()
    }

    #[test]
    fn rekeyings_lose_nothing_and_count_nothing_twice() {
        let mut totals = Totals::default();
        for n in 1..=20 {
            let spi = format!("c{n}");
            totals.record_all([&sa(n, &spi, 400)]);
            // The event of the rekeying tells the old SA's last count.
            totals.record(&sa(n, &spi, 1000));
            totals.record_all([&sa(n, &spi, 1000), &sa(n + 1, &format!("c{}", n + 1), 0)]);
        }
        assert_eq!(inbound(&totals), 20_000);
    }

    #[test]
    fn a_list_that_is_older_than_an_event_neither_ends_nor_repeats_an_sa() {
        let mut totals = Totals::default();
        totals.record(&sa(1, "c1", 700));
        totals.record_all([]);
        assert_eq!(inbound(&totals), 700);
        totals.record_all([&sa(1, "c1", 600)]);
        assert_eq!(inbound(&totals), 700);
        (0..5).for_each(|_| {
            totals.record_all([]);
        });
        assert_eq!(inbound(&totals), 700);
        // charon was restarted, and counts its SAs from 1 again.
        totals.record_all([&sa(1, "d1", 50)]);
        assert_eq!(inbound(&totals), 750);
    }

    #[test]
    fn after_a_crash_only_what_comes_is_counted() {
        let mut totals = Totals::default();
        totals.record_all([&sa(1, "c1", 700)]);
        assert!(totals.are_all_in([&sa(1, "c1", 900), &sa(2, "c2", 0)]) && !totals.are_all_in([&sa(2, "c2", 0)]));
        totals.begin([&sa(2, "c2", 5000)]);
        assert_eq!(inbound(&totals), 0);
        totals.record_all([&sa(2, "c2", 5300), &sa(3, "c3", 20)]);
        assert_eq!(inbound(&totals), 320);
    }

    #[test]
    fn what_an_sa_carries_at_its_end_counts() {
        let mut totals = Totals::default();
        totals.record_all([&sa(1, "0c1d2e3f", 700)]);
        totals.record_closed("a", "c1d2e3f", InOut { inbound: 900, outbound: 0 });
        totals.record_closed("a", "ffffffff", InOut { inbound: 5000, outbound: 0 });
        assert_eq!(totals.iter().map(|(_, sum)| sum.inbound).collect::<Vec<_>>(), [Amount { bytes: 900, packets: 9 }]);
    }

    #[test]
    fn two_sas_at_once_count_both_and_a_change_of_networks_keeps_what_was() {
        let mut totals = Totals::default();
        let other = |number, spi, inbound| ChildSa { name: "b".into(), ..sa(number, spi, inbound) };
        totals.record_all([&sa(1, "c1", 700)]);
        // Both carry: the new one of a reauthentication, and the old one for its last packets.
        totals.record_all([&sa(1, "c1", 800), &sa(2, "c2", 50)]);
        assert_eq!(inbound(&totals), 850);
        totals.record_all([&sa(1, "c1", 810), &sa(2, "c2", 60), &other(3, "c3", 5)]);
        // It ends between two looks, and only the log has its last bytes.
        totals.record_closed("a", "c1", InOut { inbound: 830, outbound: 0 });
        (0..5).for_each(|_| {
            totals.record_all([&other(3, "c3", 9)]);
        });
        assert_eq!(
            totals.iter().map(|(child, sum)| (child, sum.inbound.bytes)).collect::<Vec<_>>(),
            [("a", 890), ("b", 9)]
        );
        totals.record_all([&sa(4, "c4", 10)]);
        assert_eq!(inbound(&totals), 909, "the child is back");
    }

    #[test]
    fn networks_that_change_without_end_take_no_memory() {
        let mut totals = Totals::default();
        for n in 0..1000 {
            let child = ChildSa { name: format!("child-{n}"), ..sa(n, "c", 10) };
            (0..=MISSES).for_each(|looks| {
                totals.record_all(Some(&child).filter(|_| looks == 0));
            });
        }
        assert_eq!(totals.0.len(), MOST_IDLE);
        assert_eq!(
            totals.iter().last(),
            Some(("child-999", InOut { inbound: Amount { bytes: 10, packets: 0 }, outbound: Amount::default() }))
        );
    }

    #[test]
    fn a_peer_that_rekeys_without_end_takes_no_memory() {
        let mut totals = Totals::default();
        (0..1000).for_each(|n| totals.record(&sa(n, "c", 10)));
        assert_eq!(inbound(&totals), 10_000);
        assert_eq!(totals.0[0].sas.len(), MOST);
    }
}
