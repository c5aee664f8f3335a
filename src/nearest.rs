//! Which of the names that there are somebody may have meant.

/// So many letters of a name are looked at: what costs is the square of it.
const LOOKED_AT: usize = 64;
/// From so many letters on, the beginning of a name is enough.
const BEGINNING: usize = 5;

/// The one of `names` that `given` was meant to be; `None` if nothing is near. Letter case, dashes and underscores do not
/// count.
#[must_use]
pub fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = letters(given);
    let most = (given.len() / 4).clamp(1, 3);
    let all: Vec<_> = names.into_iter().map(|name| (letters(name), name)).collect();
    let distances = all.iter().map(|(other, name)| (distance(&given, other), *name));
    // A name of one or two letters is near to everything that is as short.
    let near = distances.filter(|(away, name)| *away <= most && *away < name.len().min(given.len().max(1)));
    if let Some((_, name)) = near.min_by_key(|(away, _)| *away) {
        return Some(name);
    }
    let mut longer = all.iter().filter(|(other, _)| given.len() >= BEGINNING && other.starts_with(&given));
    longer.next().filter(|_| longer.next().is_none()).map(|(_, name)| *name)
}

fn letters(name: &str) -> Vec<char> {
    let counts = |c: &char| !['-', '_', ' ', '.'].contains(c);
    name.chars().filter(counts).map(|c| c.to_ascii_lowercase()).take(LOOKED_AT).collect()
}

/// How many letters are to be put in, left out, replaced or swapped with the next one to make one of the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = row[j] + usize::from(x != y);
            let mut least = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_found_and_nothing_else() {
        let names =
            ["lifeTime", "ikeLifeTime", "pfs", "split", "ikeEncryptionAlgorithm", "ikeAuthAlgorithm", "localId"];
        for (given, wanted) in [
            ("lifeTme", Some("lifeTime")),
            ("lifetime", Some("lifeTime")),
            ("life_time", Some("lifeTime")),
            ("ike-life-time", Some("ikeLifeTime")),
            ("ikeLifetimes", Some("ikeLifeTime")),
            ("spilt", Some("split")),
            ("pfss", Some("pfs")),
            ("pf", Some("pfs")),
            ("PFS", Some("pfs")),
            ("localID", Some("localId")),
            ("ikeEncryption", Some("ikeEncryptionAlgorithm")),
            ("ikeEncyptionAlgoritm", Some("ikeEncryptionAlgorithm")),
            ("ike", None),
            ("colour", None),
            ("x", None),
            ("", None),
            ("--", None),
            ("жизнь", None),
        ] {
            assert_eq!(nearest(given, names), wanted, "{given}");
        }
        assert_eq!(nearest(&"l".repeat(100_000), names), None);
    }

    #[test]
    fn distances_are_symmetric() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        for (a, b, away) in [("", "", 0), ("", "abc", 3), ("abc", "acb", 1), ("kitten", "sitting", 3), ("ab", "ba", 1)]
        {
            assert_eq!((distance(&chars(a), &chars(b)), distance(&chars(b), &chars(a))), (away, away), "{a} {b}");
        }
    }
}
