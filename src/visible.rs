//! Texts of strangers (peers, charon, file names) for people's eyes: what a terminal would obey, and what a reader would
//! not see, becomes visible. The one place that says which characters those are.

use std::fmt::Write;

/// Whether a terminal obeys this character, or a reader does not see it: controls (C0, DEL, C1), line and paragraph
/// separators, controls of the writing direction, characters without width (Unicode's `Default_Ignorable_Code_Point`
/// without the variation selectors, which belong to emoji and ideographs), and interlinear annotations.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

/// `text` on one line, with its hidden characters as Rust writes them: `\n`, `\u{1b}`, `\u{202e}`.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// The same JSON, with hidden characters in its strings as `\uXXXX`. JSON itself escapes C0 alone (RFC 8259, section 7);
/// the line ends and blanks between its values stay.
#[must_use]
pub fn visible_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if !is_hidden(c) || c < ' ' {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// One of each kind.
    const HIDDEN: &str = "\u{1b}]0;x\u{7}\r\n\t\0\u{7f}\u{9b}31m\u{85}\u{200b}\u{200f}\u{2028}\u{2029}\u{202e}\u{2066}\u{feff}\u{ad}\u{61c}\u{e0041}";

    #[test]
    fn nothing_hidden_is_left() {
        assert!(!visible(HIDDEN).contains(is_hidden));
        assert_eq!(visible("a\u{1b}[31mb\nc\u{202e}d\u{9b}"), "a\\u{1b}[31mb\\nc\\u{202e}d\\u{9b}");
        assert_eq!(visible("分公司 é → 😀\u{fe0f}"), "分公司 é → 😀\u{fe0f}", "what is seen stays");
        let all = (0..=0x10_ffff).filter_map(char::from_u32).filter(|c| is_hidden(*c)).count();
        assert!((400..6000).contains(&all), "{all}");
    }

    #[test]
    fn json_stays_what_it_was() {
        let value = json!({ HIDDEN: [HIDDEN, 1, "plain"] });
        for text in [value.to_string(), format!("{value:#}")] {
            let shown = visible_json(&text);
            assert!(!shown.chars().any(|c| is_hidden(c) && c != '\n'), "{shown:?}");
            assert_eq!(serde_json::from_str::<Value>(&shown).expect("JSON"), value);
        }
    }
}
