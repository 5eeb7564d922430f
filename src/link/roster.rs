//! Which workers serve, and which of these sleep: a bit for each row of the scoreboard.

use crate::scoreboard::ROWS;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const BITS: usize = u64::BITS as usize;
const WORDS: usize = ROWS / BITS;

/// A set of rows, in shared memory.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct RowSet([AtomicU64; WORDS]);

impl RowSet {
    pub(crate) fn insert(&self, row: usize) {
        if let Some(word) = self.0.get(row / BITS) {
            word.fetch_or(1 << (row % BITS), SeqCst);
        }
    }

    pub(crate) fn remove(&self, row: usize) {
        if let Some(word) = self.0.get(row / BITS) {
            word.fetch_and(!(1 << (row % BITS)), SeqCst);
        }
    }

    /// The rows that are in it, without `except`.
    pub(crate) fn others(&self, except: usize) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(move |(number, word)| {
            let mut bits = word.load(SeqCst);
            if number == except / BITS {
                bits &= !(1 << (except % BITS));
            }
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros() as usize;
                // Without its lowest bit; empty when there was none.
                bits &= bits.checked_sub(1)?;
                Some(number * BITS + bit)
            })
        })
    }
}

/// What every worker knows of the others.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Roster {
    /// Those that have the listeners and were not asked to leave.
    pub(crate) serving: RowSet,
    /// Those that have nothing to do.
    pub(crate) sleeping: RowSet,
    /// Not 0 once the master was told to stop.
    pub(crate) stopping: AtomicU64,
}
