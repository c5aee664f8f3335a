//! Limits of foreign texts: charon's log may contain what a peer sent, up to 64 KiB.

/// How many bytes of a line of charon's log are looked at.
pub const LINE: usize = 1024;
/// How many bytes of one value in it, such as an identity or a list of proposals, are kept.
pub const VALUE: usize = 400;
/// How many bytes a refusal of charon's, or a reason, may have.
pub const SENTENCE: usize = 1024;
/// How many bytes a name may have.
pub const NAME: usize = 128;

/// What stands in place of what is left out.
const GAP: &str = " ... ";

/// The text in at most `limit` bytes: of one that is longer the middle is left out, since both ends tell what it is.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let kept = limit.saturating_sub(GAP.len());
    let head = &text[..text.floor_char_boundary(kept - kept / 3)];
    let tail = &text[text.ceil_char_boundary(text.len() - kept / 3)..];
    format!("{head}{GAP}{tail}")
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn both_ends_stay() {
        assert_eq!(shorten("short", 5), "short");
        let long = format!("begins{}ends", "é".repeat(5000));
        for limit in 20..300 {
            let short = shorten(&long, limit);
            assert!(short.len() <= limit && short.len() + 8 > limit, "{limit}: {}", short.len());
            assert!(short.starts_with("begins") && short.ends_with("ends"), "{short}");
        }
        assert!(shorten(&long, 3).len() <= 5 + 3);
    }
}
