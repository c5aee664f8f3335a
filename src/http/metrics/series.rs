//! Makes series: a few of them by a registry, and those of thousands of connections as text at once, because a registry of
//! them takes more memory than all that is kept of the connections.

use super::texts::Pieces;
use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use std::fmt::{self, Display, Write};

/// The labels of one series.
pub type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge>;

/// Registers one number.
pub fn gauge(registry: &mut Registry, name: &str, help: &str, value: impl TryInto<i64>) {
    let gauge: Gauge = Gauge::default();
    gauge.set(value.try_into().unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

/// Registers numbers with labels.
pub fn gauges(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let family = Gauges::default();
    registry.register(name, help, family.clone());
    family
}

/// The series of one name, in the format of `OpenMetrics`. Each is written when it is added; without one, nothing is.
pub struct Series<'a> {
    pieces: &'a mut Pieces,
    name: &'static str,
    help: &'static str,
    is_counter: bool,
    begun: bool,
}

impl<'a> Series<'a> {
    /// Numbers that go up and down.
    pub fn gauges(pieces: &'a mut Pieces, name: &'static str, help: &'static str) -> Self {
        Self { pieces, name, help, is_counter: false, begun: false }
    }

    /// Numbers that grow; their series end with `_total`.
    pub fn counters(pieces: &'a mut Pieces, name: &'static str, help: &'static str) -> Self {
        Self { is_counter: true, ..Self::gauges(pieces, name, help) }
    }

    /// Adds the one with these labels.
    pub fn add(&mut self, labels: &[(&str, &str)], value: impl Display) {
        // Memory takes all that is written.
        let _ = self.write(labels, value);
        self.pieces.end_line();
    }

    fn write(&mut self, labels: &[(&str, &str)], value: impl Display) -> fmt::Result {
        let (name, help) = (self.name, self.help);
        let (kind, end) = if self.is_counter { ("counter", "_total") } else { ("gauge", "") };
        let text = self.pieces.text();
        if !std::mem::replace(&mut self.begun, true) {
            write!(text, "# HELP cygnet_{name} {help}.\n# TYPE cygnet_{name} {kind}\n")?;
        }
        write!(text, "cygnet_{name}{end}{{")?;
        for (place, (label, value)) in labels.iter().enumerate() {
            write!(text, "{}{label}=\"", if place == 0 { "" } else { "," })?;
            escape(text, value)?;
            text.push('"');
        }
        writeln!(text, "}} {value}")
    }
}

/// Appends the value of a label, which may be any text.
fn escape(text: &mut String, value: &str) -> fmt::Result {
    for part in value.split_inclusive(['\\', '"', '\n']) {
        match part.as_bytes().last() {
            Some(b'\n') => write!(text, "{}\\n", &part[..part.len() - 1])?,
            Some(special @ (b'\\' | b'"')) => write!(text, "{}\\{}", &part[..part.len() - 1], char::from(*special))?,
            _ => text.push_str(part),
        }
    }
    Ok(())
}
