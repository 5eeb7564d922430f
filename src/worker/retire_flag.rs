//! The order to retire, as it stands on the scoreboard.

use rgunicorn_link::Scoreboard;
use rgunicorn_link::scoreboard::Row;
use std::sync::Arc;

/// Whether the master has asked this worker to leave, readable without a system call.
#[derive(Clone)]
pub struct RetireFlag {
    scoreboard: Arc<Scoreboard>,
    row: usize,
}

impl RetireFlag {
    pub fn new(scoreboard: &Arc<Scoreboard>, row: usize) -> Self {
        Self {
            scoreboard: Arc::clone(scoreboard),
            row,
        }
    }

    pub fn is_set(&self) -> bool {
        self.scoreboard.row(self.row).is_some_and(Row::is_retired)
    }
}
