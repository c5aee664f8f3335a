//! How much a connection carried in each quarter of a minute of the last ten: what a small line can show. Pure.

use super::sa::InOut;
use std::collections::VecDeque;

/// The length of a step in seconds.
pub const STEP: i64 = 15;
/// The most steps that are kept: 320 bytes of a connection, and none of one that carries nothing.
const STEPS: usize = 40;

/// Bytes per second in each step, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    steps: VecDeque<InOut<u32>>,
    /// The last count: its step, its time in seconds, and the bytes up to then.
    last: Option<(i64, i64, InOut<u64>)>,
}

impl Rates {
    /// Takes in what was carried up to `now`, in seconds of a clock that only grows. Steps without a count have the mean
    /// of their time.
    pub fn record(&mut self, now: i64, bytes: InOut<u64>) {
        let step = now / STEP;
        let (before, since, old) = *self.last.get_or_insert((step, now, bytes));
        if step <= before {
            return;
        }
        let rate = |new: u64, old: u64| {
            let seconds = u64::try_from(now - since).unwrap_or(1).max(1);
            u32::try_from(new.saturating_sub(old) / seconds).unwrap_or(u32::MAX)
        };
        let mean = InOut { inbound: rate(bytes.inbound, old.inbound), outbound: rate(bytes.outbound, old.outbound) };
        self.last = Some((step, now, bytes));
        let is_nothing = |rate: &InOut<u32>| rate.inbound == 0 && rate.outbound == 0;
        if self.steps.is_empty() && is_nothing(&mean) {
            return;
        }
        let steps = usize::try_from(step - before).unwrap_or(STEPS).min(STEPS);
        for _ in 0..steps {
            if self.steps.len() == STEPS {
                self.steps.pop_front();
            }
            self.steps.push_back(mean);
        }
        if self.steps.iter().all(is_nothing) {
            self.steps = VecDeque::new();
        }
    }

    /// The steps of the last ten minutes; none if nothing was carried in them.
    #[must_use]
    pub fn steps(&self) -> &VecDeque<InOut<u32>> {
        &self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(inbound: u64) -> InOut<u64> {
        InOut { inbound, outbound: inbound * 2 }
    }

    fn inbound(rates: &Rates) -> Vec<u32> {
        rates.steps().iter().map(|step| step.inbound).collect()
    }

    #[test]
    fn each_step_has_its_rate_and_a_gap_the_mean() {
        let mut rates = Rates::default();
        // What was carried before the first count is no rate.
        for (now, bytes) in [(1, 5000), (3, 5000), (16, 5150), (20, 5300), (31, 5450), (76, 5450), (121, 9950)] {
            rates.record(now, carried(bytes));
        }
        assert_eq!(inbound(&rates), [10, 20, 0, 0, 0, 100, 100, 100]);
        assert_eq!(rates.steps()[0].outbound, 20);
    }

    #[test]
    fn silence_takes_no_memory_and_time_takes_no_more() {
        let mut rates = Rates::default();
        (0..50).for_each(|step| rates.record(step * STEP, carried(7)));
        assert_eq!(rates.steps().capacity(), 0, "nothing was carried");
        for step in 50..500 {
            rates.record(step * STEP, carried(u64::try_from(step).expect("small") * (u64::MAX / 1000)));
        }
        assert_eq!(inbound(&rates), [u32::MAX; STEPS], "more than fits is the most that fits");
        rates.record(10_000 * STEP, carried(u64::MAX / 2));
        assert_eq!(rates.steps().len(), STEPS);
        (10_001..10_050).for_each(|step| rates.record(step * STEP, carried(u64::MAX / 2)));
        assert_eq!((rates.steps().len(), rates.steps().capacity()), (0, 0));
    }

    #[test]
    fn counters_that_begin_anew_are_no_traffic() {
        let mut rates = Rates::default();
        for (now, bytes) in [(0, 9000), (15, 9150), (30, 0), (45, 300)] {
            rates.record(now, carried(bytes));
        }
        assert_eq!(inbound(&rates), [10, 0, 20]);
    }
}
