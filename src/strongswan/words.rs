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

/// Whether a line of charon may hold key material: it dumps secrets at its highest level, as rows of bytes, of which the
/// last one is short (`  16: 41 42`).
#[must_use]
pub fn tells_a_key(line: &str) -> bool {
    let is_byte = |word: &str| word.len() == 2 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let is_place = |word: &str| {
        word.strip_suffix(':').is_some_and(|place| !place.is_empty() && place.bytes().all(|b| b.is_ascii_digit()))
    };
    let words: Vec<_> = line.split_whitespace().collect();
    let is_row = words.windows(2).any(|pair| is_place(pair[0]) && is_byte(pair[1]));
    line.contains("secret") || is_row || words.iter().filter(|word| is_byte(word)).count() >= 8
}

#[cfg(test)]
mod tests {
    use super::{shorten, tells_a_key};

    #[test]
    fn dumps_are_known_to_their_last_row() {
        let prefix = "2026-11-30T10:00:00+0000 gw charon-systemd[7]: 05[IKE] ";
        for line in [
            "   0: 41 42 43 44 45 46 47 48 49 4A 4B 4C 4D 4E 4F 50  ABCDEFGHIJKLMNOP",
            "  16: 51  Q",
            "shared secret => 17 bytes",
        ] {
            assert!(tells_a_key(line) && tells_a_key(&format!("{prefix}{line}")), "{line}");
        }
        for line in [
            "IKE_SA x[1] established between 192.0.2.1[192.0.2.1]...192.0.2.2[gw]",
            "retransmit 1 of request with message ID 0",
        ] {
            assert!(!tells_a_key(&format!("{prefix}{line}")), "{line}");
        }
    }

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
