//! Room, ids and age of jobs.

use super::*;

fn ended(body: &str, at: Instant) -> Outcome {
    Outcome { status: 200, body: Bytes::copy_from_slice(body.as_bytes()), ended: at, at: Timestamp::UNIX_EPOCH }
}

/// The body that a poll of `id` by `caller` finds; empty while it runs.
fn look(table: &Table, id: &str, caller: Option<&str>, now: Instant) -> Option<String> {
    let found = table.look(id, || caller.map(Into::into), now)?;
    Some(found.outcome.map_or_else(String::new, |outcome| String::from_utf8_lossy(&outcome.body).into_owned()))
}

#[test]
fn a_job_is_kept_three_hours_after_its_end() {
    let (mut table, start) = (Table::default(), Instant::now());
    assert!(table.begin("a", "1", 0, About::default(), start).is_ok());
    let end = start + 5 * KEPT;
    table.finish("1", ended("x", end));
    assert!(table.begin("a", "1", 0, About::default(), end + KEPT).is_err(), "it took long, and is kept all the same");
    let later = end + KEPT + Duration::from_secs(1);
    assert_eq!(look(&table, "1", None, later), None);
    assert_eq!(table.begin("a", "1", 0, About::default(), later).expect("its id is free again").gone, ["1"]);
    assert!(table.begin("a", "1", 0, About::default(), later + 5 * KEPT).is_err(), "it runs still");
}

#[test]
fn one_caller_pushes_out_his_own_results_only() {
    let (mut table, now) = (Table::default(), Instant::now());
    table.begin("quiet", "q", 0, About::default(), now).expect("room");
    table.finish("q", ended("kept", now));
    for n in 0..MOST + 100 {
        let id = format!("{n}");
        let gone = table.begin("loud", &id, 0, About::default(), now).expect("room").gone;
        assert_eq!(gone.len(), usize::from(n >= MOST));
        table.finish(&id, ended("x", now));
    }
    assert_eq!(look(&table, "q", None, now).as_deref(), Some("kept"));
    assert_eq!(look(&table, "99", None, now), None, "the oldest of his own went");
    assert_eq!(table.callers["loud"].count, MOST);
}

#[test]
fn jobs_under_way_are_never_pushed_out() {
    let (mut table, now) = (Table::default(), Instant::now());
    (0..MOST).for_each(|n| drop(table.begin("a", &format!("{n}"), 0, About::default(), now).expect("room")));
    assert!(
        table.begin("a", "more", 0, About::default(), now).is_err()
            && table.begin("b", "more", 0, About::default(), now).is_ok()
    );
    table.finish("7", ended("x", now));
    assert_eq!(table.begin("a", "again", 0, About::default(), now).expect("room").gone, ["7"]);
}

#[test]
fn requests_and_results_of_a_caller_have_bounded_room() {
    let (mut table, now) = (Table::default(), Instant::now());
    assert!(
        table.begin("a", "1", ROOM, About::default(), now).is_ok()
            && table.begin("a", "2", 1, About::default(), now).is_err()
    );
    assert!(table.finish("1", ended("x", now)).is_empty(), "the request has gone");
    let large = "x".repeat(ROOM / 2);
    for id in ["2", "3", "4"] {
        table.begin("a", id, 1, About::default(), now).expect("room");
        table.finish(id, ended(&large, now));
    }
    assert!(table.callers["a"].bytes <= ROOM);
    assert_eq!((table.has("2"), table.has("4")), (false, true), "the oldest went");
    table.forget("3");
    table.forget("4");
    assert!(table.callers.is_empty() && table.renamed.is_empty());
}

#[test]
fn an_id_is_taken_for_its_caller_only() {
    let (mut table, now) = (Table::default(), Instant::now());
    assert_eq!(table.begin("a", "x", 0, About::default(), now).expect("room").id, "x");
    let other = table.begin("b", "x", 0, About::default(), now).expect("another's id is free").id;
    assert_ne!(other, "x");
    assert!(
        table.begin("a", "x", 0, About::default(), now).is_err()
            && table.begin("b", "x", 0, About::default(), now).is_err()
    );
    table.finish("x", ended("of a", now));
    table.finish(&other, ended("of b", now));
    assert_eq!(look(&table, "x", Some("b"), now).as_deref(), Some("of b"));
    assert_eq!(look(&table, &other, None, now).as_deref(), Some("of b"), "its location needs no credentials");
    for caller in [None, Some("a"), Some("c")] {
        assert_eq!(look(&table, "x", caller, now).as_deref(), Some("of a"), "{caller:?}");
    }
    table.forget("x");
    assert_eq!(look(&table, "x", Some("b"), now).as_deref(), Some("of b"));
    assert_eq!(look(&table, "x", None, now), None);
}

#[test]
fn expired_jobs_go_in_bounded_batches() {
    let (mut table, start) = (Table::default(), Instant::now());
    for n in 0..MOST {
        table.begin("a", &format!("{n}"), 0, About::default(), start).expect("room");
        table.finish(&format!("{n}"), ended("x", start));
    }
    let later = start + 2 * KEPT;
    let mut left = MOST;
    while left > 0 {
        let gone = table.begin("b", &format!("b {left}"), 0, About::default(), later).expect("room").gone.len();
        assert!((1..=SWEPT).contains(&gone), "{gone}");
        left -= gone;
    }
    assert!(!table.callers.contains_key("a"));
}
