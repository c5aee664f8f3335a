//! Which of several failures is the reason, and for how long.

use super::*;

fn failure(code: Code, confidence: Confidence) -> FailureCause {
    FailureCause::new(code, confidence, code.name().into())
}

fn cause(history: &FailureHistory) -> Option<Code> {
    history.cause(None).map(|known| known.cause.code)
}

#[tokio::test]
async fn a_weaker_clue_waits_for_a_minute() {
    let (mut history, now, at) = (FailureHistory::default(), Instant::now(), Timestamp::UNIX_EPOCH);
    assert!(history.suspect(failure(Code::AuthFailed, Confidence::Evidence), at, now));
    assert!(!history.suspect(failure(Code::PeerRefusedAuth, Confidence::Answer), at, now + Duration::from_secs(59)));
    assert_eq!(cause(&history), Some(Code::AuthFailed));
    assert!(history.suspect(failure(Code::PeerRefusedAuth, Confidence::Answer), at, now + Duration::from_secs(61)));
    assert!(history.suspect(failure(Code::TsMismatch, Confidence::Answer), at, now), "an equal one counts at once");
    history.outlive();
    assert!(history.cause(None).is_some_and(|known| !known.is_over()), "networks still differ");
    assert!(history.suspect(failure(Code::PeerUnreachable, Confidence::Sign), at, now), "so does any after an IKE SA");
    assert!(history.cause(None).is_some_and(|known| !known.is_over()));
    history.outlive();
    assert!(history.cause(None).is_some_and(Known::is_over), "it answered");
    history.begin_anew();
    assert_eq!(cause(&history), None);
    let of_child = FailureCause { child: Some("c".into()), ..failure(Code::NoProposalChild, Confidence::Answer) };
    history.suspect(of_child, at, now);
    history.suspect(failure(Code::AlgorithmUnsupported, Confidence::Evidence), at, now);
    assert_eq!(history.cause(Some("c")).map(|known| known.cause.code), Some(Code::AlgorithmUnsupported));
}

/// A peer refuses IKEv2, speaks IKEv1, and falls silent there over the key: that is a weaker clue.
#[tokio::test]
async fn what_the_other_version_was_refused_for_does_not_hide_what_fails_in_this_one() {
    let (mut history, now, at) = (FailureHistory::default(), Instant::now(), Timestamp::UNIX_EPOCH);
    let later = |seconds| now + Duration::from_secs(seconds);
    history.suspect(failure(Code::NoProposalIke, Confidence::Answer), at, now);
    history.record_answer(2, false, now);
    assert!(!history.suspect(failure(Code::PeerUnreachable, Confidence::Sign), at, later(1)), "not yet");
    history.record_answer(1, true, later(2));
    assert_eq!(cause(&history), Some(Code::NoProposalIke), "until there is another one");
    assert!(history.suspect(failure(Code::PeerRefusedAuth, Confidence::Sign), at, later(9)));
    assert_eq!(cause(&history), Some(Code::PeerRefusedAuth));
    // What this side saw in the peer's own calls is not about ours.
    history.suspect(failure(Code::NoProposalIke, Confidence::Evidence), at, later(10));
    history.record_answer(1, true, later(11));
    assert!(!history.suspect(failure(Code::PeerRefusedAuth, Confidence::Sign), at, later(12)));
}

/// First the key was wrong, then the networks are; and the other way round.
#[tokio::test]
async fn of_two_causes_in_turn_the_present_one_is_told() {
    let (mut history, now, at) = (FailureHistory::default(), Instant::now(), Timestamp::UNIX_EPOCH);
    let later = |seconds| now + Duration::from_secs(seconds);
    let of = |history: &FailureHistory, child| history.cause(child).map(|known| known.cause.code);
    let networks = FailureCause { child: Some("c".into()), ..failure(Code::TsMismatch, Confidence::Answer) };
    history.suspect(failure(Code::AuthFailed, Confidence::Evidence), at, now);
    history.outlive();
    history.suspect(networks, at, later(1));
    assert_eq!((of(&history, None), of(&history, Some("c"))), (Some(Code::TsMismatch), Some(Code::TsMismatch)));
    history.suspect(failure(Code::PeerDeleted, Confidence::Sign), at, later(2));
    assert_eq!(of(&history, Some("c")), Some(Code::TsMismatch), "that is why it closed it");
    history.suspect(failure(Code::PeerRefusedAuth, Confidence::Answer), at, later(3));
    let told = Some(Code::PeerRefusedAuth);
    assert_eq!((of(&history, None), of(&history, Some("c"))), (told, told));
}

#[tokio::test]
async fn a_peer_that_alternates_is_told_at_a_pace_and_its_last_word_always() {
    let (mut history, start, at) =
        (FailureHistory::default(), Instant::now() + Duration::from_hours(1), Timestamp::UNIX_EPOCH);
    assert_eq!(history.observe(Carried::AsWanted, false, at, start), Report::Up);
    let (mut told, mut again) = (Vec::new(), None);
    let mut now = start;
    for n in 0..2000 {
        now += Duration::from_millis(10);
        let code = [Code::NoProposalIke, Code::IdMismatch][n % 2];
        history.suspect(failure(code, Confidence::Evidence), at, now);
        match history.observe(Carried::Nothing, false, at, now) {
            Report::Down => told.push(code),
            Report::Later(when) => again = Some(when),
            other => assert_eq!(other, Report::Nothing),
        }
    }
    assert!((5..=10).contains(&told.len()), "{} in 20 s", told.len());
    history.suspect(failure(Code::AuthFailed, Confidence::Evidence), at, now);
    let later = again.filter(|when| *when > now).unwrap_or(now + EVENT_PACE);
    assert!(later <= now + EVENT_PACE);
    assert_eq!(history.observe(Carried::Nothing, false, at, later), Report::Down);
    assert_eq!(history.told, Some(Reported::Down(Some(Code::AuthFailed))), "as it is then");
    let calm = later + EVENT_PACE * EVENT_BURST;
    assert_eq!(history.observe(Carried::AsWanted, false, at, calm), Report::Up, "at once");
}

#[tokio::test]
async fn what_goes_up_and_down_between_two_events_is_one() {
    let (mut history, now, at) =
        (FailureHistory::default(), Instant::now() + Duration::from_hours(1), Timestamp::UNIX_EPOCH);
    let (mut up, mut downs) = (Carried::AsWanted, 0);
    for n in 0..100 {
        history.suspect(failure(Code::PeerDeleted, Confidence::Sign), at, now);
        let tell = history.observe(up, false, at, now);
        if n >= EVENT_BURST {
            assert!(matches!(tell, Report::Nothing | Report::Later(_)), "{n}: {tell:?}");
        }
        downs += usize::from(tell == Report::Down);
        up = if up == Carried::AsWanted { Carried::Nothing } else { Carried::AsWanted };
    }
    assert_eq!(downs, 2);
    assert_eq!(
        history.observe(Carried::Nothing, false, at, now + EVENT_PACE),
        Report::Down,
        "the state that stays is told"
    );
    assert_eq!(history.observe(Carried::Nothing, false, at, now + EVENT_PACE), Report::Nothing);
}

#[tokio::test]
async fn what_carries_otherwise_is_not_down() {
    let (mut history, now, at) = (FailureHistory::default(), Instant::now(), Timestamp::UNIX_EPOCH);
    let later = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(history.observe(Carried::AsWanted, false, at, now), Report::Up);
    history.suspect(failure(Code::NoProposalIke, Confidence::Answer), at, now);
    assert_eq!(history.observe(Carried::Previous, false, at, now), Report::Later(later(1)));
    assert_eq!(history.observe(Carried::Previous, false, at, later(1)), Report::Down);
    assert_eq!(history.told, Some(Reported::Otherwise(Some(Code::NoProposalIke))));
    assert_eq!(history.observe(Carried::Part, false, at, later(2)), Report::Nothing, "the same is told once");
    assert_eq!(history.observe(Carried::Nothing, false, at, later(3)), Report::Down, "now it is down");
    assert_eq!(history.told, Some(Reported::Down(Some(Code::NoProposalIke))));
}

#[tokio::test]
async fn the_same_is_told_once_and_a_gap_is_none() {
    let (mut history, now, at) = (FailureHistory::default(), Instant::now(), Timestamp::UNIX_EPOCH);
    let later = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(history.observe(Carried::AsWanted, true, at, now), Report::Nothing, "found at a start");
    assert_eq!(history.observe(Carried::Nothing, false, at, now), Report::Later(later(6)));
    assert_eq!(history.observe(Carried::AsWanted, false, at, later(1)), Report::Nothing, "a rekeying");
    assert_eq!(history.observe(Carried::Nothing, false, at, later(2)), Report::Later(later(8)));
    history.suspect(failure(Code::NoProposalIke, Confidence::Answer), at, later(2));
    assert_eq!(history.observe(Carried::Nothing, false, at, later(4)), Report::Down);
    assert_eq!(history.observe(Carried::Nothing, false, at, later(5)), Report::Nothing);
    assert_eq!(history.observe(Carried::AsWanted, false, at, later(9)), Report::Up);
    history.suspect(failure(Code::PeerDeleted, Confidence::Sign), at, later(10));
    assert_eq!(
        history.observe(Carried::AsWanted, false, at, later(11)),
        Report::Nothing,
        "it is listed a moment longer"
    );
    assert_eq!(history.observe(Carried::Nothing, false, at, later(11)), Report::Down, "at once");
    assert_eq!(history.trigger(), Some(Code::PeerDeleted));
}

#[tokio::test]
async fn what_waits_for_its_first_attempt_is_not_down() {
    let (mut history, now, at) = (FailureHistory::default(), Instant::now(), Timestamp::UNIX_EPOCH);
    let later = |seconds| now + Duration::from_secs(seconds);
    let observe = |history: &mut FailureHistory, seconds| history.observe(Carried::Nothing, false, at, later(seconds));
    // Looked at before it waits, and then it waits for long.
    assert_eq!(observe(&mut history, 0), Report::Later(later(6)));
    assert!(history.is_before_its_turn());
    history.attempt(IkeVersion::V2);
    assert!(!history.is_before_its_turn(), "it is tried");
    assert_eq!(observe(&mut history, 100), Report::Later(later(106)), "it counts from the attempt");
    assert_eq!(observe(&mut history, 106), Report::Down);
    // Who was told that it is up hears that it is down, also if it waits.
    history.observe(Carried::AsWanted, false, at, later(110));
    history.begin_anew();
    assert!(!history.is_before_its_turn());
}

#[test]
fn fragments_stay_unanswered_until_an_ike_sa_is_made() {
    let (mut history, at, now) = (FailureHistory::default(), Timestamp::now(), Instant::now());
    let lost = Some(Fragments { bytes: 1621, packets: 2 });
    let cause = FailureCause { unanswered: lost, ..failure(Code::PeerUnreachable, Confidence::Sign) };
    history.suspect(cause, at, now);
    history.record_answer(2, true, now);
    assert_eq!(history.unanswered(), lost, "the next attempt's small messages are answered too");
    history.outlive();
    assert_eq!(history.unanswered(), None);
}
