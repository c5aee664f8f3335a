//! Locks with a rank. A thread that holds one may take only locks of a higher rank, so no two tasks can deadlock. With debug
//! assertions, as in tests, another order panics; release builds do not check.
//!
//! The ranks, in the order in which locks may be taken:

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The working states of all connections.
pub const ENTRIES: u8 = 1;
/// The index of unique addresses, identities and keys.
pub const UNIQUENESS: u8 = 2;
/// The failure history of one connection.
pub const HISTORY: u8 = 3;
/// The records in the store.
pub const RECORDS: u8 = 4;

thread_local! {
    static HELD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A lock of the rank `RANK`. It is never held across an await.
#[derive(Debug, Default)]
pub struct Ranked<T, const RANK: u8>(Mutex<T>);

impl<T, const RANK: u8> Ranked<T, RANK> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Takes the lock and ignores poison: a panic cannot leave a value half changed.
    ///
    /// # Panics
    /// With debug assertions, when this thread holds a lock of the same or a higher rank.
    pub fn lock(&self) -> Guard<'_, T> {
        if cfg!(debug_assertions) {
            HELD.with_borrow_mut(|held| {
                let highest = held.iter().max().copied().unwrap_or_default();
                assert!(highest < RANK, "a lock of rank {RANK} is taken while one of rank {highest} is held");
                held.push(RANK);
            });
        }
        Guard { guard: self.0.lock().unwrap_or_else(PoisonError::into_inner), rank: RANK }
    }
}

/// A lock that is held.
pub struct Guard<'a, T> {
    guard: MutexGuard<'a, T>,
    rank: u8,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            HELD.with_borrow_mut(|held| {
                if let Some(at) = held.iter().rposition(|rank| *rank == self.rank) {
                    held.remove(at);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_in_their_order() {
        let (first, second) = (Ranked::<_, UNIQUENESS>::new(1), Ranked::<_, RECORDS>::new(2));
        for _ in 0..2 {
            let (one, two) = (first.lock(), second.lock());
            assert_eq!((*one, *two), (1, 2));
        }
    }

    #[test]
    #[should_panic(expected = "a lock of rank 2 is taken while one of rank 4 is held")]
    fn another_order_is_a_fault() {
        let (first, second) = (Ranked::<_, UNIQUENESS>::new(1), Ranked::<_, RECORDS>::new(2));
        let _records = second.lock();
        let _uniqueness = first.lock();
    }

    #[test]
    #[should_panic(expected = "a lock of rank 3 is taken while one of rank 3 is held")]
    fn so_is_another_one_of_the_same_rank() {
        let (one, other) = (Ranked::<_, HISTORY>::new(1), Ranked::<_, HISTORY>::new(2));
        let _one = one.lock();
        let _other = other.lock();
    }
}
