//! The failure history of a connection: its log, the known causes of failure, and what was reported. It has no effects;
//! the time is an argument.

use crate::{
    agent::observe::{connection_log::Log, rekey_failures::RekeyFailures},
    ipsec::{Carried, IkeVersion, reason::Code},
    strongswan::log_parser::{Confidence, FailureCause, Fragments},
};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// For this time, a cause does not replace one with more confidence.
const FRESH: Duration = Duration::from_mins(1);
/// A cause that is older than this when the tunnel goes down did not take it down.
const RECENT: Duration = Duration::from_secs(10);
/// How long charon may still list an SA after logging its closure.
const ENDING: Duration = Duration::from_secs(3);
/// The tunnel is said to be down when it has been for this long: a rekeying shows gaps that are none.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// The same without a cause: charon says that a peer does not answer when it sends its packet again, after 4 s.
const DEBOUNCE_WITHOUT_CAUSE: Duration = Duration::from_secs(6);
/// How many events of one connection may follow each other at once: a peer decides how often its tunnel goes up and down,
/// and why. What is put off is told as it is then.
const EVENT_BURST: u32 = 5;
/// How often another event of it may come.
const EVENT_PACE: Duration = Duration::from_secs(4);

/// A cause and its time.
#[derive(Debug, Clone)]
pub struct Known {
    /// The strongest of late.
    pub cause: FailureCause,
    /// Since when its code is the cause.
    pub since: Timestamp,
    last: Instant,
    /// An IKE_SA was established since: any newer cause replaces it.
    outlived: bool,
}

impl Known {
    /// Whether it explains a failed IKE_SA, and one was established since.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.outlived && self.is_of_ike()
    }

    /// Whether it is about an IKE_SA that could not be made.
    fn is_of_ike(&self) -> bool {
        !matches!(self.cause.code, Code::NoProposalChild | Code::TsMismatch | Code::AlgorithmUnsupported)
            && !ends_a_tunnel(self.cause.code)
            && self.cause.code != Code::Unknown
    }
}

/// The last report to subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reported {
    Up,
    /// It carried otherwise than wanted.
    Otherwise(Option<Code>),
    Down(Option<Code>),
}

/// The next report to subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Listeners know it all.
    Nothing,
    /// Nothing yet: observe again at that time.
    Later(Instant),
    /// It came up.
    Up,
    /// It is down or not as wanted, or the cause has changed.
    Down,
}

/// A version of IKE that was tried.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    tried: bool,
    /// When the peer answered, and whether it speaks the version.
    answer: Option<(Instant, bool)>,
}

/// The failure history of one connection.
#[derive(Debug, Default)]
pub struct FailureHistory {
    /// Its log.
    pub log: Log,
    /// At most one for each child and one for the connection. A list: a map reserves space for a dozen in each of
    /// thousands of connections.
    causes: Vec<Known>,
    told: Option<Reported>,
    /// When it was last reported up.
    pub up_since: Option<Timestamp>,
    down: Option<(Instant, Timestamp)>,
    attempted: bool,
    /// The attempts with IKEv1 and with IKEv2 since the tunnel was up, and the peer's answers.
    versions: [Tried; 2],
    /// What took the tunnel down.
    trigger: Option<(Code, Instant)>,
    /// The earliest time of the next event.
    quiet_until: Option<Instant>,
    /// The failed rekeys without a later success.
    pub rekeys: RekeyFailures,
}

impl FailureHistory {
    /// Records a cause; true if it replaces the current one.
    pub fn suspect(&mut self, cause: FailureCause, at: Timestamp, now: Instant) -> bool {
        if ends_a_tunnel(cause.code) {
            self.trigger = Some((cause.code, now));
        }
        let place = self.causes.iter().position(|known| known.cause.child == cause.child);
        let known = place.map(|place| &self.causes[place]);
        let weaker = known.is_some_and(|known| {
            !known.outlived && cause.confidence < known.cause.confidence && now.duration_since(known.last) < FRESH
        });
        if weaker {
            return false;
        }
        let same = known.filter(|known| known.cause.code == cause.code);
        let (since, is_new) = same.map_or((at, true), |known| (known.since, false));
        let known = Known { cause, since, last: now, outlived: false };
        match place {
            Some(place) => self.causes[place] = known,
            None => self.causes.push(known),
        }
        is_new
    }

    /// The IKE_SA was established: the known causes may be over.
    pub fn outlive(&mut self) {
        self.causes.iter_mut().for_each(|known| (known.outlived, known.cause.unanswered) = (true, None));
    }

    /// The configuration changed: earlier causes no longer apply.
    pub fn begin_anew(&mut self) {
        self.causes.clear();
        self.rekeys = RekeyFailures::default();
        (self.attempted, self.trigger) = (false, None);
        self.versions = Default::default();
    }

    /// The cause for `child`, or for the connection. All children have the same algorithms, so an algorithm that this
    /// gateway lacks explains the failure of each.
    #[must_use]
    pub fn cause(&self, child: Option<&str>) -> Option<&Known> {
        let of = |child: Option<&str>| self.causes.iter().find(|known| known.cause.child.as_deref() == child);
        let (own, all) = (child.and_then(|_| of(child)), of(None));
        let unable = all.filter(|known| known.cause.code == Code::AlgorithmUnsupported && !known.outlived);
        // What fails now, before what failed until an IKE SA was made: that one gets no word of its own when it is over.
        let is_later = |all: &&Known| own.is_some_and(|own| !all.outlived && all.is_of_ike() && all.last > own.last);
        let later = all.filter(is_later);
        let of_children = || self.causes.iter().filter(|known| known.cause.child.is_some() && !known.outlived);
        let now = all.filter(|all| child.is_none() && all.outlived && all.is_of_ike());
        let now = now.and_then(|_| of_children().max_by_key(|known| known.cause.confidence));
        unable.or(later).or(own).or(now).or(all).or_else(|| match child {
            Some(_) => None,
            None => self.causes.iter().max_by_key(|known| known.cause.confidence),
        })
    }

    /// The message in fragments that the peer has not answered, if no IKE SA was established since.
    #[must_use]
    pub fn unanswered(&self) -> Option<Fragments> {
        self.causes.iter().find_map(|known| known.cause.unanswered)
    }

    /// A negotiation starts with this version of IKE.
    pub fn attempt(&mut self, version: IkeVersion) {
        self.is_before_its_turn();
        self.attempted = true;
        self.versions[place(version)].tried = true;
    }

    /// The peer answered in this version, and `speaks` it or not. If it does, its silence before, and its refusal of the
    /// other version, are not what is wrong: whatever comes next counts more.
    pub fn record_answer(&mut self, version: u8, speaks: bool, now: Instant) {
        let first = |code| matches!(code, Code::NoProposalIke | Code::IkeVersionMismatch | Code::PeerUnreachable);
        let over = |known: &&mut Known| first(known.cause.code) && known.cause.confidence < Confidence::Evidence;
        self.causes.iter_mut().filter(|known| speaks && over(known)).for_each(|known| known.outlived = true);
        let version = if version == 1 { IkeVersion::V1 } else { IkeVersion::V2 };
        self.versions[place(version)].answer = Some((now, speaks));
    }

    /// Whether the peer speaks this version, by its answer since `attempted`; `None` without one.
    #[must_use]
    pub fn speaks(&self, version: IkeVersion, attempted: Option<Instant>) -> Option<bool> {
        let (at, speaks) = self.versions[place(version)].answer?;
        attempted.is_none_or(|attempted| at >= attempted).then_some(speaks)
    }

    /// Whether both versions were tried since the tunnel was up.
    #[must_use]
    pub fn has_tried_both(&self) -> bool {
        self.versions.iter().all(|version| version.tried)
    }

    /// Whether a negotiation started since the configuration changed.
    #[must_use]
    pub fn is_attempted(&self) -> bool {
        self.attempted
    }

    /// What took the tunnel down, if that is known.
    #[must_use]
    pub fn trigger(&self) -> Option<Code> {
        self.trigger.map(|(code, _)| code)
    }

    /// Since when it is down, if it is.
    #[must_use]
    pub fn down_since(&self) -> Option<Timestamp> {
        self.down.map(|(_, since)| since)
    }

    /// Updates the history with what is carried, and returns what to report. With `quietly`, at a start, the first
    /// observation is not reported.
    pub fn observe(&mut self, carried: Carried, quietly: bool, at: Timestamp, now: Instant) -> Report {
        if carried == Carried::AsWanted {
            // charon logs the closure before it stops listing the SA.
            let is_ending = |known: &Known| ends_a_tunnel(known.cause.code) && now.duration_since(known.last) < ENDING;
            self.causes.retain(is_ending);
            self.down = None;
            self.versions = Default::default();
            self.trigger = self.trigger.filter(|(_, heard)| now.duration_since(*heard) < ENDING);
            let is_news = self.told != Some(Reported::Up) && !(quietly && self.told.is_none());
            return if is_news { self.report_now(Reported::Up, now) } else { self.record_up() };
        }
        let (since, _) = *self.down.get_or_insert_with(|| {
            self.causes.retain(|known| now.duration_since(known.last) < RECENT);
            (now, at)
        });
        let code = self.cause(None).map(|known| known.cause.code);
        let debounced = match code {
            Some(code) if ends_a_tunnel(code) && carried == Carried::Nothing => since,
            Some(_) => since + DEBOUNCE,
            None => since + DEBOUNCE_WITHOUT_CAUSE,
        };
        let (news, told) = match (carried, self.told) {
            (Carried::Nothing, Some(Reported::Down(told))) => (Reported::Down(code), Some(told)),
            (Carried::Nothing, _) => (Reported::Down(code), None),
            (_, Some(Reported::Otherwise(told))) => (Reported::Otherwise(code), Some(told)),
            _ => (Reported::Otherwise(code), None),
        };
        match told {
            Some(told) if told == code || code.is_none() => Report::Nothing,
            _ if now < debounced => Report::Later(debounced),
            _ => self.report_now(news, now),
        }
    }

    /// Whether that it is not up says nothing yet: listeners know nothing of it, and it was not tried. That it is down counts
    /// from its first attempt.
    pub fn is_before_its_turn(&mut self) -> bool {
        let is_before = self.told.is_none() && !self.attempted;
        if is_before {
            self.down = None;
        }
        is_before
    }

    fn record_up(&mut self) -> Report {
        self.told = Some(Reported::Up);
        Report::Nothing
    }

    /// Reports `what`, or postpones it after too many events.
    fn report_now(&mut self, what: Reported, now: Instant) -> Report {
        let when = self.may_tell(now);
        if when > now {
            return Report::Later(when);
        }
        let (burst, pace) = (EVENT_BURST, EVENT_PACE);
        let earliest = now.checked_sub(pace * (burst - 1)).unwrap_or(now);
        self.quiet_until = Some(self.quiet_until.map_or(earliest, |until| until.max(earliest)) + pace);
        self.told = Some(what);
        if what == Reported::Up { Report::Up } else { Report::Down }
    }

    /// When the next event may be reported.
    #[must_use]
    pub fn may_tell(&self, now: Instant) -> Instant {
        self.quiet_until.map_or(now, |until| until.max(now))
    }

    /// The connection is not wanted any more, or its state is unknown: the next observation is reported. Returns whether
    /// listeners take it for one that carries.
    pub fn forget_told(&mut self) -> bool {
        self.down = None;
        matches!(self.told.take(), Some(Reported::Up | Reported::Otherwise(_)))
    }
}

fn place(version: IkeVersion) -> usize {
    usize::from(version != IkeVersion::V1)
}

/// Whether the cause ends a tunnel that was up.
fn ends_a_tunnel(code: Code) -> bool {
    matches!(code, Code::PeerDeleted | Code::DpdTimeout)
}

#[cfg(test)]
mod tests;
