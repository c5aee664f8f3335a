//! The width of the output: lines are cut or folded by the columns that a terminal shows, not by bytes.

use super::look::safe;
use unicode_width::UnicodeWidthStr;

/// The width without a terminal.
const DEFAULT: usize = 80;
/// The narrowest width that is obeyed: below it nothing can be read.
const NARROWEST: usize = 20;
/// The last column where a value may begin that the next lines are set under.
const FARTHEST: usize = 30;
/// What stands for the rest.
const ELLIPSIS: &str = "…";

/// The width of standard output: `COLUMNS`, or that of the terminal, or 80.
pub fn of_stdout() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|width| *width > 0);
    said.or_else(of_terminal).unwrap_or(DEFAULT).max(NARROWEST)
}

fn of_terminal() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// `text` with nothing hidden in it, and at most `width` columns wide. A combining character stays with its letter.
pub fn cut(text: &str, width: usize) -> String {
    let text = safe(text);
    if text.width() <= width {
        return text;
    }
    let room = width.saturating_sub(ELLIPSIS.width());
    let end = fitting(&text, room);
    text[..end].to_owned() + ELLIPSIS
}

/// The length in bytes of the longest beginning of `text` that is at most `room` columns wide.
fn fitting(text: &str, room: usize) -> usize {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.take_while(|end| text[..*end].width() <= room).last().unwrap_or(0)
}

/// The lines of `page`, folded between words. A long word may begin left of the others; only one that is longer than a line
/// is broken.
pub fn fold(page: &str, width: usize) -> String {
    page.split_inclusive('\n').map(|line| folded(line, width)).collect()
}

fn folded(line: &str, width: usize) -> String {
    let text = line.trim_end_matches('\n');
    if seen(text) <= width {
        return line.to_owned();
    }
    let hang = hanging(text).min(width / 2);
    let (mut lines, mut current, mut is_empty) = (Vec::new(), String::new(), true);
    for word in text.split_inclusive(' ') {
        let columns = seen(word.trim_end_matches(' '));
        if !is_empty && seen(&current) + columns > width {
            let hang = if columns <= width { hang.min(width - columns) } else { hang };
            lines.push(std::mem::replace(&mut current, " ".repeat(hang)));
        }
        let mut rest = word;
        while seen(&current) + seen(rest.trim_end_matches(' ')) > width {
            let end = fitting(rest, width - seen(&current)).max(rest.chars().next().map_or(0, char::len_utf8));
            lines.push(std::mem::replace(&mut current, " ".repeat(hang)) + &rest[..end]);
            rest = &rest[end..];
        }
        current.push_str(rest);
        is_empty = is_empty && word.trim().is_empty();
    }
    lines.push(current);
    let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty()).collect();
    lines.join("\n") + &line[text.len()..]
}

/// The column under which the next lines of a folded line begin: of the value behind a title, or of its own beginning.
fn hanging(text: &str) -> usize {
    let plain = plain(text);
    let indent = plain.len() - plain.trim_start().len();
    let value = plain[indent..].find("  ").map(|at| {
        let rest = &plain[indent + at..];
        plain[..indent + at].width() + rest.len() - rest.trim_start().len()
    });
    value.filter(|column| *column <= FARTHEST).unwrap_or(indent)
}

/// The columns of a text, in which colours take none.
fn seen(text: &str) -> usize {
    plain(text).width()
}

/// `text` without colours (ECMA-48, `ESC [ .. m`), the only sequences that this program writes.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_cut_by_columns() {
        assert_eq!(cut("site-7", 6), "site-7");
        assert_eq!(cut("site-77", 6), "site-…");
        assert_eq!(cut("分公司分公司", 6), "分公…");
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}e\u{301}", 3), "e\u{301}e\u{301}…");
        assert!(!cut("a\u{1b}[2Jb\nc", 8).chars().any(char::is_control));
        for width in 1..12 {
            for text in ["plain text of some length", "分公司 a 分公司", "😀😀😀😀😀😀😀", "x\u{202e}\u{0}y"]
            {
                assert!(cut(text, width).width() <= width, "{text:?} {width}");
            }
        }
    }

    #[test]
    fn lines_are_folded_between_words() {
        assert_eq!(fold("  title        one two three four\n", 24), "  title        one two\n            three four\n");
        assert_eq!(fold("one two three\nfour\n", 8), "one two\nthree\nfour\n");
        assert_eq!(fold("abcdefghij\n", 4), "abcd\nefgh\nij\n");
        assert_eq!(fold("  title        a 0123456789abcdef\n", 20), "  title        a\n    0123456789abcdef\n");
        let coloured = "\u{1b}[31mred\u{1b}[0m blue";
        assert_eq!(fold(coloured, 8), coloured);
        for width in 20..60 {
            let text =
                "  here  分公司 and words 0123456789012345678901234567890123456789012345678901234567890123456789\n";
            assert!(fold(text, width).lines().all(|line| line.width() <= width), "{width}");
        }
    }
}
