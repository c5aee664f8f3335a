//! The metrics of one second, as texts: in the format of `OpenMetrics`, and in Prometheus' older one for who does not ask
//! for it.

use axum::{
    body::Bytes,
    http::{HeaderMap, header::ACCEPT},
};
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    registry::Registry,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};
use tokio::task::block_in_place;

/// The media type of `OpenMetrics`.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// The metrics of one second.
#[derive(Clone)]
pub struct Texts {
    /// Without names and addresses.
    pub open: Formats,
    /// All.
    pub whole: Formats,
}

/// A text in both formats.
#[derive(Clone)]
pub struct Formats {
    openmetrics: Bytes,
    /// Made when somebody asks for it: of thousands of connections it is large.
    plain: Arc<OnceLock<Bytes>>,
}

impl Texts {
    /// The series of all registries; those of `named` have names and addresses.
    ///
    /// # Errors
    /// When they cannot be encoded, which is a fault of this program.
    pub fn new(open: &[&Registry], named: &Registry) -> Result<Self, std::fmt::Error> {
        let mut text = String::new();
        for registry in open {
            encode_registry(&mut text, registry)?;
        }
        let mut whole = text.clone();
        encode_eof(&mut text)?;
        encode_registry(&mut whole, named)?;
        encode_eof(&mut whole)?;
        Ok(Self { open: Formats::new(text), whole: Formats::new(whole) })
    }
}

impl Formats {
    fn new(text: String) -> Self {
        Self { openmetrics: text.into(), plain: Arc::default() }
    }

    /// The text that these headers ask for, and its content type.
    pub fn asked(self, headers: &HeaderMap) -> (&'static str, Bytes) {
        let accepts = |value: &axum::http::HeaderValue| value.to_str().is_ok_and(|value| value.contains(OPEN_METRICS));
        if headers.get_all(ACCEPT).iter().any(accepts) {
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", self.openmetrics)
        } else {
            let made = || plain(&String::from_utf8_lossy(&self.openmetrics)).into();
            ("text/plain; version=0.0.4; charset=utf-8", block_in_place(|| self.plain.get_or_init(made).clone()))
        }
    }
}

/// The same in the text format 0.0.4, which gives a counter the name of its series. The last line is a comment there, and
/// shows that nothing was cut off.
fn plain(text: &str) -> String {
    let counters: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let renamed = |line: &str| {
        let (kind, rest) = ["# HELP ", "# TYPE "].iter().find_map(|kind| Some((*kind, line.strip_prefix(kind)?)))?;
        let (name, rest) = rest.split_once(' ').filter(|(name, _)| counters.contains(name))?;
        Some(format!("{kind}{name}_total {rest}"))
    };
    text.lines().fold(String::with_capacity(text.len() + 1024), |all, line| {
        all + renamed(line).as_deref().unwrap_or(line) + "\n"
    })
}
