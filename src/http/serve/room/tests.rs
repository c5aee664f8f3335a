use super::*;
use crate::http::serve::pace::Paced;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The address number `n` of a network of tests.
fn from(n: u8) -> Origin {
    Origin::Network([192, 0, 2, n].into(), false)
}

/// Whether the connection there was closed for another one.
fn is_out(place: &Place) -> bool {
    place.seat.out.is_cancelled()
}

#[test]
fn the_oldest_idle_stranger_goes_first_and_who_is_worked_for_stays() {
    let room = Room::new(Most { all: 3, per_peer: 3 });
    let [known, old, young] = [1, 2, 3].map(|n| room.enter(from(n)).expect("room"));
    known.seat.is_known();
    let busy = room.enter(from(4)).expect("the place of the oldest stranger");
    assert!(is_out(&old) && !is_out(&known) && !is_out(&young));
    busy.seat.works();
    let next = room.enter(from(4)).expect("the place of the next stranger");
    assert!(is_out(&young) && !is_out(&known));
    next.seat.works();
    let last = room.enter(from(5)).expect("the place of a caller who idles");
    assert!(is_out(&known));
    last.seat.works();
    assert!(room.enter(from(6)).is_none(), "all are worked for");
    busy.seat.rests();
    assert!(room.enter(from(6)).is_some() && is_out(&busy));
    drop((old, young, known, busy));
    assert_eq!(room.lock().len(), 2, "who was closed gives nothing back a second time");
}

#[test]
fn strangers_who_are_worked_for_make_room_when_nobody_idles_and_callers_do_not() {
    let room = Room::new(Most { all: 2, per_peer: 2 });
    let [known, stranger] = [1, 2].map(|n| room.enter(from(n)).expect("room"));
    known.seat.is_known();
    known.seat.works();
    stranger.seat.works();
    let later = Instant::now() + STUCK;
    // One who reads slowly moves now and then.
    stranger.seat.sticks();
    stranger.seat.moves();
    let of = |peer: Option<u8>| close_one(&mut room.lock(), later, 2, peer.map(|n| Peer::from(from(n))));
    assert!(!close_one(&mut room.lock(), Instant::now(), 2, None), "it has just come");
    assert!(!of(Some(1)) && !is_out(&known), "a caller who is worked for");
    assert!(of(None) && is_out(&stranger) && !is_out(&known));
    assert!(!of(None), "there is none left");
}

#[test]
fn callers_who_idle_make_room_for_a_few_who_have_shown_nothing_yet() {
    let room = Room::new(Most { all: 8, per_peer: 8 });
    let idle: Vec<_> = (0..8).map(|_| room.enter(from(1)).expect("room")).collect();
    for place in &idle {
        place.seat.is_known();
    }
    let new: Vec<_> = (0..3).map(|_| room.enter(from(1)).expect("the place of a caller")).collect();
    assert!(new.iter().all(|place| !is_out(place)) && idle[..3].iter().all(is_out));
    let _fourth = room.enter(from(1)).expect("three are a crowd");
    assert!(is_out(&new[0]) && !is_out(&idle[3]));
}

#[test]
fn one_peer_has_only_so_many() {
    let room = Room::new(Most { all: 9, per_peer: 2 });
    let [first, second] = [1, 1].map(|n| room.enter(from(n)).expect("room"));
    let other = room.enter(from(2)).expect("room");
    let third = room.enter(from(1)).expect("the place of its own first one");
    assert!(is_out(&first) && !is_out(&second) && !is_out(&other));
    second.seat.works();
    third.seat.works();
    assert!(room.enter(from(1)).is_none() && room.enter(from(2)).is_some());
    let [user, _other] = [Origin::Local(7), Origin::Local(8)].map(|user| room.enter(user).expect("room"));
    assert!(user.seat.knows(), "who may use the Unix socket is known");
}

#[tokio::test]
async fn who_waits_gets_the_place_that_becomes_free() {
    let room = Room::new(Most { all: 1, per_peer: 1 });
    let place = room.enter(from(1)).expect("room");
    place.seat.works();
    assert!(room.enter(from(2)).is_none());
    let (to, waiting) = (Arc::clone(&room), Arc::clone(&room));
    let waiting = tokio::spawn(async move { waiting.wait(from(2)).await });
    drop(place);
    let place = waiting.await.expect("no panic").expect("a place");
    assert_eq!(place.seat.peer, Peer::from(from(2)));
    assert!(to.waiting.available_permits() == WAITING, "nobody waits");
}

/// A stream of a peer, and a seat, with so much patience.
fn paced(patience: Duration) -> (tokio::io::DuplexStream, Paced<tokio::io::DuplexStream>, Place) {
    let place = Room::new(Most { all: 1, per_peer: 1 }).enter(from(1)).expect("room");
    let (peer, stream) = tokio::io::duplex(64);
    let stream = Paced::new(stream, place.seat(), patience);
    (peer, stream, place)
}

#[tokio::test]
async fn a_peer_that_takes_nothing_loses_its_connection() {
    let (mut peer, mut stream, place) = paced(Duration::from_millis(50));
    let error = stream.write_all(&[7; 1000]).await.expect_err("it is never taken");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(place.seat.lock().stuck);
    peer.write_all(b"more and more").await.expect("sent");
    assert_eq!(stream.read(&mut [0; 99]).await.expect("read"), 13);
    assert!(place.seat.lock().stuck, "who sends and does not read is stuck all the same");
}

#[tokio::test]
async fn a_slow_peer_gets_all_of_it_and_a_silent_stream_lives() {
    let patience = Duration::from_millis(1500);
    let (mut peer, mut stream, place) = paced(patience);
    let began = std::time::Instant::now();
    let slow = tokio::spawn(async move {
        let (mut all, mut piece) = (0, [0; 16]);
        while all < 1600 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            all += peer.read(&mut piece).await.expect("it lives");
        }
        (peer, all)
    });
    stream.write_all(&[7; 1600]).await.expect("all of it is taken");
    let (_peer, all) = slow.await.expect("no panic");
    assert!(all == 1600 && began.elapsed() > patience, "it took longer than one may take nothing");
    assert!(!place.seat.lock().stuck);
    // Nothing is to be sent now, for longer than a write may wait.
    assert!(timeout(patience * 2, stream.read(&mut [0])).await.is_err(), "nobody closed it");
    stream.write_all(b"an event").await.expect("it lives");
}
