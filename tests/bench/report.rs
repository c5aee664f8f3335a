//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::change::{FLOOR, FLOOR_ANOTHER, SAME, SWANCTL, TCP};
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
        let median = format!("median, {}", self.unit);
        println!("  {:<44} {median:>19} {:>21}   times the first (quartiles)", "", "quartiles");
        for entry in &self.entries {
            let Spread { low, middle, high } = entry.spread();
            let quartiles = format!("{} .. {}", figure(low), figure(high));
            let ratio = if std::ptr::eq(entry, &raw const self.entries[0]) { String::new() } else { self.ratio(entry) };
            println!("  {:<44} {:>19} {quartiles:>21}   {ratio}", entry.name, figure(middle));
        }
    }

    /// How many times the first entry's figure this is, as `12.3` or `1/12.3`, with the quartiles.
    fn ratio(&self, entry: &Entry) -> String {
        let Spread { low, middle, high } = entry.against(&self.entries[0]);
        let times = |ratio: f64| if ratio < 1.0 { format!("1/{}", figure(1.0 / ratio)) } else { figure(ratio) };
        format!("{} ({} .. {})", times(middle), times(low), times(high))
    }

    /// The entry of this name; panics if it did not take part.
    pub fn entry(&self, name: &str) -> &Entry {
        let found = self.entries.iter().find(|entry| entry.name == name);
        found.unwrap_or_else(|| panic!("{name} is not in {}", self.title))
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

/// One change at all sizes, as a table in Markdown; empty if there are no such contests.
pub fn summary(contests: &[Contest]) -> String {
    let changes: Vec<_> = contests.iter().filter(|contest| contest.key == "change").collect();
    let Some(first) = changes.first() else { return String::new() };
    let row = |name: &str, cell: &dyn Fn(&Contest) -> String| {
        let cells: Vec<_> = changes.iter().map(|contest| cell(contest)).collect();
        format!("| {name} | {} |\n", cells.join(" | "))
    };
    let with_quartiles =
        |Spread { low, middle, high }| format!("{} ({}–{})", figure(middle), figure(low), figure(high));
    let mut table = row("connections", &|contest| contest.size.to_string());
    let _ = writeln!(table, "|---|{}", "---:|".repeat(changes.len()));
    for name in first.entries.iter().map(|entry| &entry.name) {
        table += &row(&format!("{name}, ms"), &|contest| with_quartiles(contest.entry(name).spread()));
    }
    let ratio = |over: &'static str, under: &'static str| {
        row(&format!("{over} ÷ {under}"), &|contest| with_quartiles(contest.entry(over).against(contest.entry(under))))
    };
    table + &ratio(TCP, FLOOR_ANOTHER) + &ratio(SAME, FLOOR) + &ratio(SWANCTL, TCP)
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
