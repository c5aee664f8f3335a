//! A row of writes whose effect is known: what the connections are after each of them. Pure; the writer and the judge
//! both use it.

use std::collections::BTreeMap;

/// The connections, by slot, with their lifetimes in seconds.
pub type State = BTreeMap<u32, u32>;

/// How many connections there may be.
const SLOTS: u32 = 4;

/// One call of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// A connection in an empty slot, with this lifetime.
    Create(u32, u32),
    /// Another lifetime.
    Change(u32, u32),
    /// The slot is empty again.
    Delete(u32),
}

/// The write number `n` on these connections.
pub fn write(n: u32, state: &State) -> Write {
    let (slot, lifetime) = (n % SLOTS, 1000 + n);
    match state.contains_key(&slot) {
        false => Write::Create(slot, lifetime),
        true if n.is_multiple_of(5) => Write::Delete(slot),
        true => Write::Change(slot, lifetime),
    }
}

/// What the connections are after it.
pub fn after(write: Write, mut state: State) -> State {
    match write {
        Write::Create(slot, lifetime) | Write::Change(slot, lifetime) => drop(state.insert(slot, lifetime)),
        Write::Delete(slot) => drop(state.remove(&slot)),
    }
    state
}
