//! `[policy]`: the stance on valid but weak choices. This file parses the settings; `ipsec/weakness.rs` defines what is
//! weak.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// The stance on a weak choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stance {
    /// Nothing.
    Off,
    /// The answer and the plan warn.
    #[default]
    Warn,
    /// The write is refused.
    Refuse,
}

/// The weak choices.
pub const CHOICES: [&str; 20] = [
    "3des",
    "md5",
    "sha1",
    "dh-group1",
    "dh-group2",
    "dh-group5",
    "dh-group22",
    "dh-group23",
    "dh-group24",
    "dh-group25",
    "no-pfs",
    "short-key",
    "guessable-key",
    "no-local-address",
    "untested-pfs",
    "expiring-cert",
    "weak-cert",
    "same-networks",
    "special-network",
    "no-post-quantum",
];

/// The choice that nobody is told of unless the settings name it: nearly all tunnels of today have made it.
const UNSAID: &str = "no-post-quantum";

/// The key for all choices that are not named.
const DEFAULT: &str = "default";

/// The stance on each choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    default: Stance,
    choices: BTreeMap<String, Stance>,
}

impl Policy {
    /// The stance on `choice`, one of [`CHOICES`].
    #[must_use]
    pub fn stance(&self, choice: &str) -> Stance {
        let default = if choice == UNSAID { Stance::Off } else { self.default };
        self.choices.get(choice).copied().unwrap_or(default)
    }
}

/// A key of `[policy]`: a type of its own, so that an unknown one is a fault of its line.
#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Choice(String);

impl TryFrom<String> for Choice {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name == DEFAULT || CHOICES.contains(&name.as_str()) {
            return Ok(Self(name));
        }
        Err(format!("unknown choice `{name}` in policy, expected `{DEFAULT}` or one of {}", CHOICES.join(", ")))
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let choices: BTreeMap<Choice, Stance> = BTreeMap::deserialize(deserializer)?;
        let mut choices: BTreeMap<String, Stance> =
            choices.into_iter().map(|(name, stance)| (name.0, stance)).collect();
        let default = choices.remove(DEFAULT).unwrap_or_default();
        Ok(Self { default, choices })
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::{Settings, policy::Stance};

    #[test]
    fn each_choice_has_its_stance_and_the_others_the_default() {
        let policy = |text: &str| Settings::parse(text).map(|settings| settings.policy);
        assert_eq!(policy("").expect("empty").stance("3des"), Stance::Warn);
        let some = policy("[policy]\n3des = \"refuse\"\ndh-group2 = \"off\"").expect("valid");
        assert_eq!(["3des", "dh-group2", "md5"].map(|c| some.stance(c)), [Stance::Refuse, Stance::Off, Stance::Warn]);
        let rest = policy("[policy]\ndefault = \"off\"\nmd5 = \"warn\"").expect("valid");
        assert_eq!(["3des", "md5"].map(|c| rest.stance(c)), [Stance::Off, Stance::Warn]);
        assert_eq!(rest.stance(super::UNSAID), Stance::Off);
        let all = policy("[policy]\ndefault = \"refuse\"").expect("valid");
        assert_eq!(all.stance(super::UNSAID), Stance::Off, "only by its name");
        let named = policy("[policy]\nno-post-quantum = \"refuse\"").expect("valid");
        assert_eq!(named.stance(super::UNSAID), Stance::Refuse);
        for wrong in ["[policy]\nmd4 = \"warn\"", "[policy]\nmd5 = \"forbid\"", "[policy]\nmd5 = true"] {
            let error = policy(wrong).expect_err(wrong);
            assert!(error.contains("md4") || error.contains("md5"), "{error}");
        }
    }
}
