//! The page `cygnet.toml(5)`: the settings file that the package installs, as a manual page. The comments of that file are
//! the only description of the settings; `documents.rs` makes docs/configuration.md of them.

use std::fmt::Write as _;

/// The file that the package installs.
pub const SETTINGS: &str = include_str!("cygnet.toml");

/// A line of the file. A setting counts whether it is set or commented out.
pub enum Line<'a> {
    /// It ends a paragraph.
    Blank,
    /// A line of a comment.
    Text(&'a str),
    /// `[name]` or `[[name]]`.
    Section(&'a str),
    /// `name = value`.
    Setting(&'a str),
}

/// Reads a line: `# ` begins a text, a single `#` a setting or section that is commented out.
#[must_use]
pub fn line(line: &str) -> Line<'_> {
    if let Some(text) = line.strip_prefix("# ") {
        return Line::Text(text);
    }
    match line.strip_prefix('#').unwrap_or(line).trim_end() {
        "" => Line::Blank,
        section if section.starts_with('[') => Line::Section(section),
        setting => Line::Setting(setting),
    }
}

/// The page in roff.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        ".TH cygnet.toml 5\n.SH NAME\ncygnet.toml \\- settings of the IPsec configuration agent cygnet\n.SH DESCRIPTION\n",
    );
    let (mut text, mut is_head) = (Vec::new(), true);
    for each in SETTINGS.lines().map(line) {
        match each {
            Line::Text(more) => text.push(escaped(more)),
            Line::Blank => {
                paragraph(&mut page, &mut text);
                if std::mem::take(&mut is_head) {
                    page.push_str(".SH SETTINGS\n");
                }
            }
            Line::Section(section) => {
                let _ = writeln!(page, ".SS {}", escaped(section));
                paragraph(&mut page, &mut text);
            }
            Line::Setting(setting) => {
                let _ = writeln!(page, ".TP\n\\fB{}\\fR", escaped(setting));
                page.extend(text.drain(..).map(|line| line + "\n"));
            }
        }
    }
    page.push_str(".SH FILES\n/etc/cygnet/cygnet.toml, /etc/cygnet/conf.d/*.toml, /usr/share/cygnet/cygnet.toml\n.SH \"SEE ALSO\"\ncygnet(8), cygnet\\-serve(8)\n");
    page
}

fn paragraph(page: &mut String, text: &mut Vec<String>) {
    if !text.is_empty() {
        page.push_str(".PP\n");
        page.extend(text.drain(..).map(|line| line + "\n"));
    }
}

/// Text that roff shows as it is.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
