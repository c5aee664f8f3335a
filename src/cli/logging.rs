//! The agent's log: to the journal with fields if standard error is the journal, else to standard error as text. Names and
//! texts in it may come from peers, so every value passes through [`visible`] first.

use cygnet::visible::visible;
use std::{fmt::Debug, io::Write};
use tracing::{
    Event, Subscriber,
    field::{DisplayValue, Field, Value, Visit, display},
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// The most fields of an event; `tracing` allows no more.
const MOST: usize = 32;

/// Starts logging; `RUST_LOG` sets levels per module.
pub fn start() {
    let filter: Targets = std::env::var("RUST_LOG")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let journal = stderr_is_journal().then(|| tracing_journald::layer().ok()).flatten();
    // CYGNET_UUID and so on; they would stand without a prefix among systemd's own.
    let journal = journal.map(|layer| Visible(layer.with_field_prefix(Some("CYGNET".into()))));
    let text = journal.is_none().then(|| Visible(fmt::layer().with_writer(std::io::stderr).with_ansi(terminal)));
    tracing_subscriber::registry().with(text).with(journal).with(filter).init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// Logs why the program ends, a message for each line. In the journal they go the way of standard error: what comes by
/// itself from a process that has ended since does not count as its unit's.
pub fn failure(text: &str) {
    for line in text.lines() {
        if stderr_is_journal() {
            // The number is the level of an error. Nothing is left to do if standard error is closed.
            let _ = writeln!(std::io::stderr(), "<3>{}", visible(line));
        } else {
            tracing::error!("{line}");
        }
    }
}

/// Whether standard error is the journal's: systemd names its device and inode.
fn stderr_is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    let stderr = nix::sys::stat::fstat(std::io::stderr()).ok();
    named.zip(stderr).is_some_and(|(named, stderr)| named == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// A layer that is given each event with nothing hidden in its message and fields.
struct Visible<L>(L);

impl<S: Subscriber + for<'a> LookupSpan<'a>, L: Layer<S>> Layer<S> for Visible<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut values = Values(Vec::new());
        event.record(&mut values);
        let Some(first) = event.metadata().fields().iter().next() else { return self.0.on_event(event, context) };
        // A set has a fixed number of values; none is recorded for those that are left over.
        let shown: [(&Field, Option<&dyn Value>); MOST] = std::array::from_fn(|at| match values.0.get(at) {
            Some((field, text)) => (field, Some(text.value())),
            None => (&first, None),
        });
        let shown = event.metadata().fields().value_set(&shown);
        self.0.on_event(&Event::new(event.metadata(), &shown), context);
    }
}

/// A value as it is shown.
enum Shown {
    /// Was a text: a layer may put it in quotes.
    Text(String),
    /// Was anything else, a message among them.
    Words(DisplayValue<String>),
}

impl Shown {
    fn value(&self) -> &dyn Value {
        match self {
            Self::Text(text) => text,
            Self::Words(words) => words,
        }
    }
}

/// The values of an event.
struct Values(Vec<(Field, Shown)>);

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.clone(), Shown::Text(visible(value))));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.clone(), Shown::Words(display(visible(&format!("{value:?}"))))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cygnet::visible::is_hidden;
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    /// What was written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_in_an_event_is_obeyed() {
        let (written, bad) = (Written::default(), "a\u{1b}[2Jb\nc\u{202e}d\u{9b}e\u{200b}");
        let writer = written.clone();
        let layer = Visible(fmt::layer().with_writer(move || writer.clone()).with_ansi(false));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let error = io::Error::other(bad);
            tracing::info!(text = bad, shown = %bad, debugged = ?bad, error = %error, count = 7, on = true, "said {bad}");
            tracing::info!("plain");
            tracing::info!(count = 7);
        });
        let text = String::from_utf8(written.0.lock().expect("whole").clone()).expect("UTF-8");
        assert!(!text.chars().any(|c| is_hidden(c) && c != '\n'), "{text:?}");
        assert_eq!(text.lines().count(), 3, "a line each: {text}");
        let shown = "a\\u{1b}[2Jb\\nc\\u{202e}d\\u{9b}e\\u{200b}";
        assert!(text.contains(&format!("said {shown}")) && text.contains(&format!("shown={shown} ")), "{text}");
        assert!(text.contains(&format!("error={shown} count=7 on=true")) && text.contains(": plain\n"), "{text}");
    }
}
