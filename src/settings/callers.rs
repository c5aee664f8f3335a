//! `[[auth.callers]]`: what is settled for single callers.

use serde::Deserialize;

/// What is settled for a caller.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Section")]
pub struct Caller {
    /// Whose calls are meant.
    pub whose: Whose,
    /// How the writes are answered.
    pub answers: Answers,
}

/// Whose calls are meant, by a name in the files of `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// Those with this token.
    Token(String),
    /// Those with a session or an access key of this account.
    Account(String),
}

/// How writes are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answers {
    /// With a job, also if the call does not ask for one.
    Async,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    token: Option<String>,
    account: Option<String>,
    answers: Answers,
}

impl TryFrom<Section> for Caller {
    type Error = &'static str;

    fn try_from(section: Section) -> Result<Self, Self::Error> {
        let whose = match (section.token, section.account) {
            (Some(name), None) => Whose::Token(name),
            (None, Some(name)) => Whose::Account(name),
            _ => return Err("each of auth.callers needs either token or account: the name of one of them"),
        };
        Ok(Self { whose, answers: section.answers })
    }
}
