//! The output for people: tables, and colour on terminals.

pub use cygnet::visible::visible as safe;

use super::refusal;
use anstyle::{AnsiColor, Style};
use serde_json::Value;
use std::{fmt::Write as _, io::IsTerminal};
use unicode_width::UnicodeWidthStr;

/// The meaning of a text to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// A heading.
    Head,
    /// As it should be.
    Good,
    /// On its way, or unknown.
    Unsure,
    /// Not as it should be.
    Bad,
}

/// Whether a page is coloured.
#[derive(Debug, Clone, Copy)]
pub struct Look(bool);

impl Look {
    /// The look of standard output.
    pub fn of_stdout() -> Self {
        Self(std::io::stdout().is_terminal() && is_wanted())
    }

    /// The look of standard error.
    pub fn of_stderr() -> Self {
        Self(std::io::stderr().is_terminal() && is_wanted())
    }

    /// Whether there is colour.
    pub fn is_coloured(self) -> bool {
        self.0
    }

    /// `text` in a tone, with nothing in it that a terminal would obey.
    pub fn say(self, tone: Tone, text: &str) -> String {
        let text = safe(text);
        let style = match tone {
            Tone::Plain => return text,
            Tone::Head => Style::new().bold(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Unsure => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
        };
        if self.0 { format!("{style}{text}{style:#}") } else { text }
    }
}

/// Colour is wanted unless somebody says otherwise (no-color.org), or the terminal has none.
fn is_wanted() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The tone of a status.
pub fn tone_of(status: &str) -> Tone {
    match status {
        "Ready" | "established" | "installed" | "up" | "up_idle" => Tone::Good,
        "Disconnected" | "down" => Tone::Bad,
        "no_inbound" | "no_outbound" | "duplicate" | "shadowed" | "narrowed" | "other_selectors"
        | "other_algorithms" | "outdated" | "unknown" | "Connecting" | "Unknown" | "connecting" | "pending" => {
            Tone::Unsure
        }
        _ => Tone::Plain,
    }
}

/// The agent's warnings, a line each.
pub fn warnings(list: &Value, look: Look) -> String {
    let line = |warning: &Value| {
        let code = look.say(Tone::Unsure, warning["code"].as_str().unwrap_or_default());
        format!("  {code}: {}\n", safe(&refusal::warning(warning)))
    };
    list.as_array().into_iter().flatten().map(line).collect()
}

/// The columns that are cut before others, down to [`LEGIBLE`]: `cygnet show` has the whole.
const CUT_FIRST: [&str; 3] = ["NAME", "NETWORKS", "REASON"];
/// The fewest columns in which such a text can still be told from others.
const LEGIBLE: usize = 8;
/// The blanks between columns.
const GAP: usize = 2;

/// Rows under a head.
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<(Tone, String)>>,
}

impl Table {
    /// An empty table.
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = (Tone, String)>) {
        self.rows.push(
            cells.into_iter().map(|(tone, text)| (tone, if text.is_empty() { "-".into() } else { text })).collect(),
        );
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The page, as wide as its texts.
    pub fn page(&self, look: Look) -> String {
        self.page_within(look, usize::MAX)
    }

    /// The page, at most `most` columns wide: texts are cut where they would not fit, the longest ones first.
    pub fn page_within(&self, look: Look, most: usize) -> String {
        let widths = self.widths(most);
        let cut = |text: &str, width: &usize| super::width::cut(text, *width);
        let head: Vec<_> = self.head.iter().map(|text| (Tone::Head, (*text).to_owned())).collect();
        let mut page = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut gap = 0;
            for ((tone, text), width) in row.iter().zip(&widths) {
                let text = cut(text, width);
                // Blanks are written before the next cell, so that no line ends in them.
                let _ = write!(page, "{:gap$}{}", "", look.say(*tone, &text));
                gap = width - text.width() + GAP;
            }
            page.push('\n');
        }
        page
    }

    /// The page, or, where it is wider than `most`, the rows one after the other with a line for each cell: nothing is cut.
    pub fn page_or_blocks(&self, look: Look, most: usize) -> String {
        let widths = self.widths(usize::MAX);
        if widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1) <= most {
            return self.page(look);
        }
        let title = self.head.iter().map(|head| head.len()).max().unwrap_or(0);
        let block = |row: &Vec<(Tone, String)>| {
            let cells = self.head.iter().zip(row).filter(|(_, (_, text))| text != "-");
            cells.fold(String::new(), |mut block, (head, (tone, text))| {
                let _ = writeln!(block, "{head:<title$}  {}", look.say(*tone, text));
                block
            })
        };
        self.rows.iter().map(block).collect::<Vec<_>>().join("\n")
    }

    /// The widths of the columns in a page that is at most `most` columns wide.
    fn widths(&self, most: usize) -> Vec<usize> {
        let width_of = |text: &str| safe(text).width();
        let width = |at: usize, head: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.map(|(_, text)| width_of(text)).chain([head.len()]).max().unwrap_or(0)
        };
        let mut widths: Vec<_> = self.head.iter().enumerate().map(|(at, head)| width(at, head)).collect();
        let room = most.saturating_sub(GAP * widths.len().saturating_sub(1));
        while widths.iter().sum::<usize>() > room {
            let is_first = |at: usize, width: usize| CUT_FIRST.contains(&self.head[at]) && width > LEGIBLE;
            let widest = widths.iter_mut().enumerate().max_by_key(|(at, width)| (is_first(*at, **width), **width));
            let Some((_, widest)) = widest.filter(|(_, width)| **width > 1) else { break };
            *widest -= 1;
        }
        widths
    }
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let step = (0..units.len() - 1).find(|step| count >> (10 * (step + 1)) == 0).unwrap_or(units.len() - 1);
    if step == 0 {
        return format!("{count} B");
    }
    // One decimal, without floating point.
    let tenths = u128::from(count) * 10 / (1 << (10 * step));
    format!("{}.{} {}", tenths / 10, tenths % 10, units[step])
}

/// A connection that changes in the same step as another one.
pub fn companion(other: &Value) -> String {
    let text = |name: &str| safe(other[name].as_str().unwrap_or("?"));
    let what = if other["changed"] == "authKey" { "the same authKey" } else { "the same key, under its localId" };
    format!("{} ({}): {what}", text("name"), text("uuid"))
}

#[cfg(test)]
mod tests {
    use super::{Look, Table, Tone, bytes};

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(&["NAME", "STATUS"]);
        table.row([(Tone::Plain, "分公司".into()), (Tone::Good, "Ready".into())]);
        table.row([(Tone::Plain, String::new()), (Tone::Bad, "Disconnected".into())]);
        assert_eq!(table.page(Look(false)), "NAME    STATUS\n分公司  Ready\n-       Disconnected\n");
        assert!(table.page(Look(true)).contains("\u{1b}[32mReady\u{1b}[0m\n"));
    }

    #[test]
    fn bytes_are_readable() {
        let shown = [0, 1023, 1024, 1536, 5 << 20, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "16777215.9 TiB"]);
    }
}
