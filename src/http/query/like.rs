//! SQL's LIKE: `%` is any text, `_` any one character.

use std::collections::{BTreeMap, HashMap};

/// How many places one word holds.
const WORD: usize = u64::BITS as usize;

/// A pattern, as a machine whose places all move at once: place `n` is taken when the text so far fits the first `n`
/// characters of the pattern. So a character of the text costs the same whatever came before it.
#[derive(Debug)]
pub struct Pattern {
    /// How many characters other than `%` it has.
    length: usize,
    /// The places behind a `%`: what stands there stays whatever comes.
    stay: Vec<u64>,
    /// The places that a character moves: first those before a `_`, which any character moves.
    moved: Vec<Vec<u64>>,
    /// Which of these is that of an ASCII character, and of another one that stands in the pattern.
    ascii: Box<[u16; 128]>,
    wide: HashMap<char, u16>,
}

impl Pattern {
    /// The pattern in `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let length = text.chars().filter(|c| *c != '%').count();
        let words = length / WORD + 1;
        let (mut stay, mut others) = (vec![0; words], vec![0; words]);
        let mut places: BTreeMap<char, Vec<usize>> = BTreeMap::new();
        let mut place = 0;
        for c in text.chars() {
            match c {
                '%' => set(&mut stay, place),
                '_' => set(&mut others, place),
                c => places.entry(c).or_default().push(place),
            }
            place += usize::from(c != '%');
        }
        let mut pattern = Self { length, stay, moved: vec![others], ascii: Box::new([0; 128]), wide: HashMap::new() };
        for (number, (c, places)) in (1..).zip(places) {
            let mut moved = pattern.moved[0].clone();
            for place in places {
                set(&mut moved, place);
            }
            pattern.moved.push(moved);
            match pattern.ascii.get_mut(c as usize) {
                Some(index) => *index = number,
                None => drop(pattern.wide.insert(c, number)),
            }
        }
        pattern
    }

    /// How many steps a text of `bytes` bytes takes at most.
    #[must_use]
    pub fn steps(&self, bytes: usize) -> u64 {
        (bytes as u64 + 1).saturating_mul(self.stay.len() as u64)
    }

    /// Whether all of `text` fits.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let mut taken = vec![0; self.stay.len()];
        set(&mut taken, 0);
        for c in text.chars() {
            let number = self.ascii.get(c as usize).or_else(|| self.wide.get(&c)).copied().unwrap_or_default();
            let moved = &self.moved[usize::from(number)];
            let mut carry = 0;
            for (word, (moved, stay)) in taken.iter_mut().zip(moved.iter().zip(&self.stay)) {
                let moving = *word & moved;
                *word = moving << 1 | carry | *word & stay;
                carry = moving >> (WORD - 1);
            }
        }
        taken[self.length / WORD] >> (self.length % WORD) & 1 == 1
    }
}

fn set(words: &mut [u64], place: usize) {
    words[place / WORD] |= 1 << (place % WORD);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What LIKE means, by trying everything.
    fn naive(text: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|taken| naive(&text[taken..], rest)),
            Some((c, rest)) => text.split_first().is_some_and(|(t, left)| (*c == '_' || c == t) && naive(left, rest)),
        }
    }

    proptest! {
        #[test]
        fn it_says_what_trying_everything_says(text in "[abé%]{0,9}", pattern in "[abé%_]{0,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern::new(&pattern).fits(&text), naive(&chars(&text), &chars(&pattern)));
        }

        #[test]
        fn words_join(fill in 50_usize..80, text in "[ab]{0,9}", pattern in "[ab%_]{0,7}") {
            let (long, wide) = ("c".repeat(fill) + &text, "_".repeat(fill) + &pattern);
            prop_assert_eq!(Pattern::new(&wide).fits(&long), Pattern::new(&pattern).fits(&text));
        }
    }

    #[test]
    fn like_is_sqls() {
        for (text, pattern, holds) in [
            ("site-a", "site%", true),
            ("site-a", "%-a", true),
            ("site-a", "s_te%a", true),
            ("site-a", "site", false),
            ("", "%", true),
            ("", "_", false),
            ("", "", true),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaab", "%a%a%a%a%c", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(text), holds, "{text} ~= {pattern}");
        }
    }

    #[test]
    fn a_character_costs_the_same_whatever_the_pattern() {
        assert_eq!(Pattern::new(&"%a".repeat(63)).steps(999), 1000);
        assert_eq!(Pattern::new(&"_".repeat(255)).steps(999), 4000);
    }
}
