//! Whose web hook is called when: few at a time, so that no host that is silent eats the file descriptors, and who has
//! fewest under way comes first, so that no caller's silent host holds up the others.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// Calls at a time.
const MOST: usize = 16;
/// Hooks of one caller that wait, are called, or pause before the next try.
const ADMITTED: usize = 256;

/// Who waits for a call of a web hook, and how many may.
#[derive(Default)]
pub struct Places(Mutex<State>);

#[derive(Default)]
struct State {
    busy: usize,
    callers: HashMap<Arc<str>, Counts>,
    waiting: VecDeque<(Arc<str>, oneshot::Sender<Place>)>,
}

#[derive(Default)]
struct Counts {
    admitted: usize,
    busy: usize,
}

/// The right to call; given back when dropped.
pub struct Place(Arc<Places>, Arc<str>);

/// The right to wait for places; given back when dropped.
pub struct Admitted(Arc<Places>, Arc<str>);

impl Places {
    /// Lets a hook of `owner` wait for places, unless too many do.
    pub fn admit(self: &Arc<Self>, owner: &str) -> Option<Admitted> {
        let owner: Arc<str> = owner.into();
        let mut state = self.lock();
        let counts = state.callers.entry(Arc::clone(&owner)).or_default();
        if counts.admitted >= ADMITTED {
            return None;
        }
        counts.admitted += 1;
        Some(Admitted(Arc::clone(self), owner))
    }

    /// Waits for a place for `owner`.
    pub async fn place(self: &Arc<Self>, owner: &str) -> Option<Place> {
        let (turn, come) = oneshot::channel();
        self.lock().waiting.push_back((owner.into(), turn));
        self.grant();
        come.await.ok()
    }

    /// Gives free places to those that wait.
    fn grant(self: &Arc<Self>) {
        loop {
            let next = self.lock().next();
            let Some((owner, turn)) = next else { return };
            // Whoever does not wait any more gives it back at once.
            drop(turn.send(Place(Arc::clone(self), owner)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who is next, if a place is free: of those with fewest under way who came first.
    fn next(&mut self) -> Option<(Arc<str>, oneshot::Sender<Place>)> {
        if self.busy >= MOST {
            return None;
        }
        let busy = |owner: &Arc<str>| self.callers.get(owner).map_or(0, |counts| counts.busy);
        let (index, _) = self.waiting.iter().enumerate().min_by_key(|(_, (owner, _))| busy(owner))?;
        let (owner, turn) = self.waiting.remove(index)?;
        self.busy += 1;
        self.callers.entry(Arc::clone(&owner)).or_default().busy += 1;
        Some((owner, turn))
    }

    fn count_down(&mut self, owner: &Arc<str>, change: impl FnOnce(&mut Counts)) {
        let Some(counts) = self.callers.get_mut(owner) else { return };
        change(counts);
        if counts.admitted == 0 && counts.busy == 0 {
            self.callers.remove(owner);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut state = self.0.lock();
            state.busy -= 1;
            state.count_down(&self.1, |counts| counts.busy -= 1);
        }
        self.0.grant();
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.lock().count_down(&self.1, |counts| counts.admitted -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn who_has_fewest_under_way_comes_first() {
        let places = Arc::<Places>::default();
        let mut held: Vec<_> = (0..MOST).map(|_| places.place("loud").now_or_never().expect("room")).collect();
        let (mut loud, mut quiet) = (Box::pin(places.place("loud")), Box::pin(places.place("quiet")));
        assert!((&mut loud).now_or_never().is_none() && (&mut quiet).now_or_never().is_none());
        held.pop();
        assert!((&mut loud).now_or_never().is_none());
        let second = (&mut quiet).now_or_never().expect("its turn");
        held.pop();
        assert!((&mut loud).now_or_never().is_some());
        drop((held, second, loud));
        assert_eq!(places.lock().busy, 0);
        assert!(places.lock().callers.is_empty());
    }

    #[test]
    fn who_gives_up_waiting_takes_no_place() {
        let places = Arc::<Places>::default();
        let held: Vec<_> = (0..MOST).map(|_| places.place("a").now_or_never().expect("room")).collect();
        let mut gone = Box::pin(places.place("b"));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        drop(held);
        assert_eq!(places.lock().busy, 0);
        assert!((0..MOST).map(|_| places.place("c").now_or_never()).collect::<Vec<_>>().iter().all(Option::is_some));
    }

    #[test]
    fn a_caller_has_only_so_many_that_wait() {
        let places = Arc::<Places>::default();
        let admitted: Vec<_> = (0..ADMITTED).map(|_| places.admit("a").expect("room")).collect();
        assert!(places.admit("a").is_none() && places.admit("b").is_some());
        drop(admitted);
        assert!(places.admit("a").is_some() && places.lock().callers.is_empty());
    }
}
