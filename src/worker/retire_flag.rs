//! The order to retire, as it stands on the scoreboard.

use rgunicorn_link::Scoreboard;
use rgunicorn_link::protocol::Idle;
use rgunicorn_link::scoreboard::Row;
use std::sync::Arc;

/// What the master has asked of this worker, readable without a system call.
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

    /// Whether each connection has to be closed after its response.
    pub fn closes_connections(&self) -> bool {
        let row = self.scoreboard.row(self.row);
        match row.and_then(Row::retired) {
            // No other worker will take them.
            Some(Idle::CloseSoon) => true,
            Some(Idle::HandOver) => !self.scoreboard.others_serve(self.row),
            None => false,
        }
    }
}
