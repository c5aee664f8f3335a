//! What a gateway says of a spec: its status, if it is about the present revision.

use super::agent::text as text_of;
use serde_json::Value;

/// The state of a connection of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is up as wanted.
    Ready,
    /// It is disabled, as wanted.
    Disabled,
    /// The gateway has it, and it is not up.
    Down,
    /// The gateway has not taken the present revision yet.
    Pending,
    /// The gateway refuses the present revision.
    Refused,
    /// No gateway says anything.
    Unknown,
    /// No spec names it.
    Foreign,
}

impl State {
    /// All, in order.
    pub const ALL: [Self; 7] =
        [Self::Ready, Self::Disabled, Self::Down, Self::Pending, Self::Refused, Self::Unknown, Self::Foreign];

    /// Of a spec at `revision`, and what is published of it.
    pub fn of(revision: i64, is_disabled: bool, status: Option<&Value>) -> Self {
        let Some(status) = status else { return Self::Unknown };
        if status["foreign"] == true {
            return Self::Foreign;
        }
        match (status["revision"].as_i64().unwrap_or(0) >= revision, status["error"].is_null()) {
            (false, _) => Self::Pending,
            (true, false) => Self::Refused,
            (true, true) if is_disabled => Self::Disabled,
            // While the old SA still carries a changed connection it is not up as wanted.
            (true, true) if status["status"] == "Ready" && status["as_wanted"] != false => Self::Ready,
            (true, true) => Self::Down,
        }
    }

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Disabled => "Disabled",
            Self::Down => "Down",
            Self::Pending => "Pending",
            Self::Refused => "Refused",
            Self::Unknown => "Unknown",
            Self::Foreign => "Foreign",
        }
    }
}

/// Why a connection is not up, in a sentence.
pub fn why(state: State, status: Option<&Value>) -> String {
    let Some(status) = status else { return String::new() };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match state {
        State::Refused => text_of(&status["error"]),
        State::Down | State::Foreign => {
            let code = text(&status["reason"]["code"]).or_else(|| text(&status["condition"]));
            let details = text(&status["reason"]["details"]).filter(|details| !details.is_empty());
            [code, details].into_iter().flatten().collect::<Vec<_>>().join(": ")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_counts_for_the_revision_that_it_is_about() {
        let ready = json!({ "revision": 7, "status": "Ready", "error": null });
        for (revision, disabled, status, wanted) in [
            (7, false, Some(&ready), State::Ready),
            (8, false, Some(&ready), State::Pending),
            (7, true, Some(&ready), State::Disabled),
            (7, false, None, State::Unknown),
            (
                7,
                false,
                Some(&json!({ "revision": 7, "status": "Ready", "error": { "details": "no" } })),
                State::Refused,
            ),
            (7, false, Some(&json!({ "revision": 7, "status": "Ready", "as_wanted": false })), State::Down),
            (7, false, Some(&json!({ "revision": 7, "status": "Connecting" })), State::Down),
            (0, false, Some(&json!({ "revision": 0, "status": "Ready", "foreign": true })), State::Foreign),
        ] {
            assert_eq!(State::of(revision, disabled, status), wanted, "{status:?}");
        }
    }
}
