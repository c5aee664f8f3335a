//! `[policy]`: the stance on valid but weak choices. This file parses the settings; `ipsec/weakness.rs` defines what is
//! weak.

use serde::{Deserialize, Deserializer, de::Error};
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
pub const CHOICES: [&str; 19] = [
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
];

/// The stance on each choice.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    default: Stance,
    choices: BTreeMap<String, Stance>,
}

impl Policy {
    /// The stance on `choice`, one of [`CHOICES`].
    #[must_use]
    pub fn stance(&self, choice: &str) -> Stance {
        self.choices.get(choice).copied().unwrap_or(self.default)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut choices: BTreeMap<String, Stance> = BTreeMap::deserialize(deserializer)?;
        let default = choices.remove("default").unwrap_or_default();
        match choices.keys().find(|name| !CHOICES.contains(&name.as_str())) {
            Some(name) => Err(D::Error::custom(format!(
                "unknown choice `{name}` in policy, expected `default` or one of {}",
                CHOICES.join(", ")
            ))),
            None => Ok(Self { default, choices }),
        }
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
        for wrong in ["[policy]\nmd4 = \"warn\"", "[policy]\nmd5 = \"forbid\"", "[policy]\nmd5 = true"] {
            let error = policy(wrong).expect_err(wrong);
            assert!(error.contains("md4") || error.contains("md5"), "{error}");
        }
    }
}
