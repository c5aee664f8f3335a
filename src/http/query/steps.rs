//! What one query may cost. A step is about a byte that is looked at; what takes more of them is refused, so that a query
//! over ten thousand connections is answered in a fraction of a second or not at all.

use crate::http::error::Failure;

/// The most steps of one query.
pub const MAX_STEPS: u64 = 50_000_000;
/// After so many steps, others have their turn.
const TURN: u64 = 1_000_000;

/// The steps of one query that are left.
#[derive(Debug)]
pub struct Steps {
    left: u64,
    turn: u64,
}

impl Default for Steps {
    fn default() -> Self {
        Self { left: MAX_STEPS, turn: TURN }
    }
}

impl Steps {
    /// Takes `count` steps.
    ///
    /// # Errors
    /// 400 when so many are not left.
    pub fn take(&mut self, count: u64) -> Result<(), Failure> {
        let left = self.left.checked_sub(count).ok_or_else(|| {
            Failure::bad_request(format!(
                "Invalid query, its conditions, sort or groupBy take more than {MAX_STEPS} steps: use fewer or shorter \
                 conditions, and no long member to sort or group by"
            ))
        })?;
        self.left = left;
        self.turn = self.turn.saturating_sub(count);
        Ok(())
    }

    /// So many steps, and no more.
    #[cfg(test)]
    pub fn of(most: u64) -> Self {
        Self { left: most, ..Self::default() }
    }

    /// How many were taken.
    #[cfg(test)]
    pub fn taken(&self) -> u64 {
        MAX_STEPS - self.left
    }

    /// Whether it is the turn of others; a new one begins.
    pub fn is_over(&mut self) -> bool {
        let is_over = self.turn == 0;
        if is_over {
            self.turn = TURN;
        }
        is_over
    }
}
