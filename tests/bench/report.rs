//! What was measured, as a table for people and as JSON for programs.

use serde_json::{Value, json};

use crate::race::{Entry, Spread};

/// One thing that several did. The first entry is the agent's; the others are compared with it.
pub struct Contest {
    /// What it is, for programs.
    pub key: &'static str,
    /// What it is, for people.
    pub title: String,
    /// How many connections were loaded.
    pub size: u32,
    /// The unit of the figures.
    pub unit: &'static str,
    /// Who took part.
    pub entries: Vec<Entry>,
}

impl Contest {
    /// The rows of a table: who, the figure with its quartiles, and how many times the agent's it is.
    pub fn print(&self) {
        println!("\n{}; {} connections\n", self.title, self.size);
        println!("  {:<44} {:>12} {:>23}   times the agent's", "", format!("median {}", self.unit), "quartiles");
        for entry in &self.entries {
            let Spread { low, middle, high } = entry.spread();
            let quartiles = format!("{} .. {}", figure(low), figure(high));
            let ratio = if std::ptr::eq(entry, &raw const self.entries[0]) { String::new() } else { self.ratio(entry) };
            println!("  {:<44} {:>12} {quartiles:>23}   {ratio}", entry.name, figure(middle));
        }
    }

    fn ratio(&self, entry: &Entry) -> String {
        let Spread { low, middle, high } = entry.against(&self.entries[0]);
        format!("{} ({} .. {})", figure(middle), figure(low), figure(high))
    }

    /// The contest with all its rounds.
    pub fn json(&self) -> Value {
        let entries = self.entries.iter().map(|entry| {
            let rounds: Vec<_> = entry.rounds.iter().map(|laps| spread(Spread::of(laps.clone()))).collect();
            json!({
                "name": entry.name,
                "laps": entry.rounds.iter().map(Vec::len).sum::<usize>(),
                "of_all_laps": spread(entry.spread()),
                "of_each_round": rounds,
                "times_the_first": spread(entry.against(&self.entries[0])),
            })
        });
        json!({
            "contest": self.key,
            "title": self.title,
            "connections": self.size,
            "unit": self.unit,
            "entries": entries.collect::<Vec<_>>(),
        })
    }
}

fn spread(Spread { low, middle, high }: Spread) -> Value {
    json!({ "quarter": low, "median": middle, "three_quarters": high })
}

/// Three digits that count.
pub fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
