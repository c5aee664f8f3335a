//! Which version of IKE a connection with both initiates. It has no effects.
//!
//! The version that worked last is tried first, IKEv2 if none did. If the peer does not speak it or is silent, the other
//! one follows at once, and then both in turn. A peer that answers in a version speaks it: what it refuses then, it would
//! refuse in the other one too. An attempt never closes a running SA.

use super::state::{SaPlanner, Turns};
use crate::ipsec::{Connection, IkeSa, IkeState, IkeVersion};
use std::time::Duration;
use tokio::time::Instant;

/// How many refusals by a peer that was never up come before the other version is tried: its operator may still be
/// writing the configuration.
const REFUSALS: u32 = 2;
/// A peer without an answer for this time, in which charon sends its first packet three times, is silent.
const SILENCE: Duration = Duration::from_secs(12);

/// The peer's answer to the last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It speaks the version.
    Spoken,
    /// It does not speak the version, or has no connection or proposal for it.
    Refused,
    /// charon has logged no answer.
    Nothing,
}

/// The known facts about the versions of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The version that it was last up with; IKEv2 if it never was.
    pub worked: IkeVersion,
    /// Whether it was ever up with that version.
    pub is_proven: bool,
    /// The peer's answer in the version that is tried.
    pub answer: Answer,
}

/// What to do about the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    Stays,
    /// Nothing before that moment.
    LookAt(Instant),
    /// Initiate with this one, after closing these IKE_SAs that nobody answers.
    To(IkeVersion, Vec<u64>),
}

fn other(version: IkeVersion) -> IkeVersion {
    if version == IkeVersion::V1 { IkeVersion::V2 } else { IkeVersion::V1 }
}

fn is_of(ike: &IkeSa, version: IkeVersion) -> bool {
    version.accepts(ike.version)
}

impl SaPlanner {
    /// The version to initiate, after the result of the last attempt in `running`.
    pub fn turn(&self, wanted: &Connection, running: &[IkeSa], known: Known, now: Instant) -> Turn {
        let tried = wanted.initiates();
        if wanted.version != IkeVersion::Any || self.is_complete || self.turns.attempts == 0 {
            return Turn::Stays;
        }
        let current = || running.iter().filter(|ike| self.is_current(ike));
        let up: Vec<_> = current().filter(|ike| ike.state == IkeState::Established && ike.runs(wanted)).collect();
        if !up.is_empty() {
            let is_spoken = up.iter().any(|ike| is_of(ike, tried));
            return if is_spoken { Turn::Stays } else { Turn::To(other(tried), Vec::new()) };
        }
        if !self.may_turn(tried, known) {
            return Turn::Stays;
        }
        let at_work: Vec<_> = current().filter(|ike| ike.state == IkeState::Connecting && is_of(ike, tried)).collect();
        let given_up = self.pace.attempted.map_or(now, |at| at + SILENCE);
        if !at_work.is_empty() {
            return match known.answer {
                Answer::Nothing if now < given_up => Turn::LookAt(given_up),
                Answer::Nothing => Turn::To(other(tried), at_work.iter().map(|ike| ike.unique_id).collect()),
                Answer::Spoken | Answer::Refused => Turn::Stays,
            };
        }
        // An attempt that ended without an answer says nothing against IKEv2. A refusal waits.
        let is_told = known.answer == Answer::Refused;
        let is_due = self.pace.not_before.is_none_or(|due| due <= now);
        let may_begin = is_due || (is_told && tried == known.worked);
        if may_begin && (is_told || tried != known.worked || tried == IkeVersion::V1) {
            Turn::To(other(tried), Vec::new())
        } else {
            Turn::Stays
        }
    }

    /// Whether the peer may speak only the other version.
    fn may_turn(&self, tried: IkeVersion, known: Known) -> bool {
        match known.answer {
            Answer::Spoken => false,
            _ if tried != known.worked => true,
            Answer::Refused => self.turns.both || known.is_proven || self.turns.attempts >= REFUSALS,
            // A silent peer that was up with IKEv2 is down. One that was up with IKEv1 may speak IKEv2 now.
            Answer::Nothing => tried == IkeVersion::V1 || !known.is_proven,
        }
    }

    /// The version changed and may be tried at once.
    pub fn begin_turn(&mut self, now: Instant) {
        self.turns = Turns { both: true, ..Turns::default() };
        self.pace.not_before = Some(now);
    }

    /// Keeps one child of `missing` until the peer has answered in IKEv1: each other one would be a useless IKE_SA. The
    /// others follow at once.
    pub(super) fn probe(&mut self, wanted: &Connection, running: &[IkeSa], missing: &mut Vec<&str>) {
        let is_up = |ike: &IkeSa| self.is_current(ike) && ike.state == IkeState::Established && ike.version == 1;
        if !wanted.falls_back() || missing.is_empty() {
            return;
        }
        if !running.iter().any(is_up) {
            self.turns.probed = missing.len() > 1;
            missing.truncate(1);
        } else if std::mem::take(&mut self.turns.probed) {
            self.pace.not_before = None;
        }
    }

    /// When the last attempt began.
    #[must_use]
    pub fn attempted(&self) -> Option<Instant> {
        self.pace.attempted
    }

    /// The version of all SAs that carry traffic, if everything wanted is carried.
    #[must_use]
    pub fn carrying_version(&self, wanted: &Connection, running: &[IkeSa]) -> Option<IkeVersion> {
        if !self.is_complete || wanted.version != IkeVersion::Any {
            return None;
        }
        let carriers = wanted.children.iter().flat_map(|child| self.carriers(wanted, running, child));
        let versions: Vec<_> = carriers
            .filter_map(|(ike, _)| running.iter().find(|sa| sa.unique_id == ike))
            .map(|sa| sa.version)
            .collect();
        match versions.first() {
            Some(1) if versions.iter().all(|version| *version == 1) => Some(IkeVersion::V1),
            Some(2) if versions.iter().all(|version| *version == 2) => Some(IkeVersion::V2),
            _ => None,
        }
    }
}
