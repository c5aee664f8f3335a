//! A line of a shell up to the cursor: its words, and how a text is written at the cursor so that the shell reads it as one
//! word and runs nothing in it.

/// The word at the cursor.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The word as the shell reads it.
    pub text: String,
    /// The quote that is open at the cursor.
    quote: Option<char>,
    /// How many bytes of `text` are before what readline replaces.
    kept: usize,
}

impl Word {
    /// A word of a shell that quotes by itself.
    pub fn plain(text: String) -> Self {
        Self { text, ..Self::default() }
    }

    /// What bash puts in the place of the word for it to become `whole`; `None` if it cannot.
    pub fn insertion(&self, whole: &str) -> Option<String> {
        let rest = whole.get(self.kept..).filter(|_| whole.starts_with(&self.text[..self.kept]))?;
        let quoted = |c: char| match (self.quote, c) {
            (Some('\''), '\'') => "'\\''".to_owned(),
            (Some('\''), c) => c.to_string(),
            // In double quotes only other quotes keep bash from looking into its history.
            (Some(_), '!') => "\"'!'\"".to_owned(),
            (Some(_), '"' | '\\' | '$' | '`') => format!("\\{c}"),
            (Some(_), c) => c.to_string(),
            (None, c) if c.is_alphanumeric() || "-_./,+=@:%".contains(c) || !c.is_ascii() => c.to_string(),
            (None, c) => format!("\\{c}"),
        };
        Some(rest.chars().map(quoted).collect())
    }
}

/// Splits a line as bash does: the words of its last command, and the one at the cursor. `breaks` are the characters that
/// begin another word for readline (`COMP_WORDBREAKS`).
pub fn split(line: &str, breaks: &str) -> (Vec<String>, Word) {
    let (mut words, mut word, mut is_begun) = (Vec::new(), Word::default(), false);
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match (word.quote, c) {
            (Some(quote), c) if c == quote => {
                word.quote = None;
                // Readline takes a quote that is closed for a break.
                word.kept = word.text.len();
            }
            (Some('"'), '\\') => {
                let next = rest.next();
                let stays = next.is_none_or(|next| !matches!(next, '"' | '\\' | '$' | '`'));
                word.text.extend(stays.then_some('\\').into_iter().chain(next));
            }
            (Some(_), c) => word.text.push(c),
            (None, '"' | '\'') => {
                (word.quote, is_begun) = (Some(c), true);
                word.kept = word.text.len();
            }
            (None, '\\') => {
                word.text.extend(rest.next());
                is_begun = true;
            }
            (None, ' ' | '\t') => {
                let ended = std::mem::take(&mut word);
                words.extend(std::mem::take(&mut is_begun).then_some(ended.text));
            }
            (None, ';' | '|' | '&' | '(' | '\n') => {
                (words, word, is_begun) = (Vec::new(), Word::default(), false);
            }
            (None, c) => {
                word.text.push(c);
                is_begun = true;
                if breaks.contains(c) {
                    word.kept = word.text.len();
                }
            }
        }
    }
    (words, word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BREAKS: &str = " \t\n\"'><=;|&(:";

    #[test]
    fn a_line_is_read_as_bash_reads_it() {
        for (line, words, last) in [
            ("cygnet show br", &["cygnet", "show"][..], "br"),
            ("cygnet show ", &["cygnet", "show"], ""),
            ("true; cygnet  show \"a b", &["cygnet", "show"], "a b"),
            ("X=1 cygnet show 'it'\\''s", &["X=1", "cygnet", "show"], "it's"),
            ("cygnet show a\\ b", &["cygnet", "show"], "a b"),
            ("cygnet 'a b' \"c\\\"d\\x\" ", &["cygnet", "a b", "c\"d\\x"], ""),
            ("cygnet '' ", &["cygnet", ""], ""),
        ] {
            let (read, word) = split(line, BREAKS);
            assert_eq!(
                (read.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), word.text.as_str()),
                (words, last)
            );
        }
    }

    #[test]
    fn a_candidate_is_written_for_where_it_goes() {
        let hostile = "a b$(id)`id`\"!'\\;x";
        for (typed, written) in [
            ("", "a\\ b\\$\\(id\\)\\`id\\`\\\"\\!\\'\\\\\\;x"),
            ("\"", "a b\\$(id)\\`id\\`\\\"\"'!'\"'\\\\;x"),
            ("'a", "a b$(id)`id`\"!'\\''\\;x"),
        ] {
            let (_, word) = split(&format!("cygnet show {typed}"), BREAKS);
            assert_eq!(word.insertion(hostile).as_deref(), Some(written), "{typed}");
        }
        let after = |typed: &str, whole: &str| split(&format!("cygnet show {typed}"), BREAKS).1.insertion(whole);
        assert_eq!(after("a:b", "a:bc").as_deref(), Some("bc"));
        assert_eq!(after("--vip=x", "--vip=xy").as_deref(), Some("xy"));
        assert_eq!(after("a\\:b", "a:bc").as_deref(), Some("a:bc"));
        assert_eq!(after("é:", "分:x"), None);
    }
}
