//! How long charon takes to answer, by command, for monitoring.

use super::socket::Failure;
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use std::time::Duration;

/// The label of a command. There are as many as this client sends.
type Command = [(&'static str, &'static str); 1];

/// The upper ends of the buckets, in seconds: a query takes a few milliseconds, a deadline is some seconds.
const BUCKETS: [f64; 11] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// The round trips of requests.
#[derive(Clone)]
pub struct RoundTrips {
    /// Those that charon answered, in seconds.
    pub answered: Family<Command, Histogram, fn() -> Histogram>,
    /// Those without an answer.
    pub failed: Family<Command, Counter>,
}

impl Default for RoundTrips {
    fn default() -> Self {
        Self { answered: Family::new_with_constructor(|| Histogram::new(BUCKETS)), failed: Family::default() }
    }
}

impl RoundTrips {
    /// Counts what became of a request that was sent so long ago.
    pub(super) fn record<T>(&self, command: &'static str, time: Duration, outcome: &Result<T, Failure>) {
        let labels = [("command", command)];
        // That charon does not know a command is an answer too.
        if outcome.as_ref().err().is_none_or(Failure::spares_the_socket) {
            self.answered.get_or_create(&labels).observe(time.as_secs_f64());
        } else {
            self.failed.get_or_create(&labels).inc();
        }
    }
}
