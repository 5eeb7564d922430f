//! The end of a worker's outputs: what is left in their queues is written when all else of the
//! application has ended, its exit handlers included, which may log as well.

use crate::forking;
use crate::python_syslog::Records;
use pyo3::prelude::*;
use rgunicorn_link::Scoreboard;
use rgunicorn_serving::{AccessOutputs, finish_outputs};
use std::sync::{Arc, Mutex, PoisonError};

/// Those of this worker. Used with the GIL held, so it is free when Python forks.
static OUTPUTS: Mutex<Option<Outputs>> = Mutex::new(None);

pub struct Outputs {
    pub access: Option<AccessOutputs>,
    pub logged: Option<Arc<Records>>,
    pub scoreboard: Arc<Scoreboard>,
    /// The worker's, on the scoreboard.
    pub row: usize,
}

/// In the fork server, before anything of the application runs: exit handlers are called in the
/// reverse order of their registration.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let finish = pyo3::wrap_pyfunction!(write_last_records, py)?;
    py.import("atexit")?.call_method1("register", (finish,))?;
    Ok(())
}

/// In a worker: what is left in them is written at its exit.
pub fn write_at_exit(outputs: Outputs) {
    replace(Some(outputs));
}

#[pyfunction]
fn write_last_records(py: Python<'_>) {
    // The application's children have copies of the queues, but not the task to empty them.
    if forking::is_child() {
        return;
    }
    if let Some(outputs) = replace(None) {
        py.detach(|| outputs.finish());
    }
}

fn replace(outputs: Option<Outputs>) -> Option<Outputs> {
    let mut held = OUTPUTS.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *held, outputs)
}

impl Outputs {
    fn finish(&self) {
        let logged = self.logged.as_ref();
        finish_outputs(self.access.as_ref(), logged.map(|logged| logged.sent()));
        if let Some(access) = &self.access {
            access.count(self.scoreboard.row(self.row));
        }
        if let Some(logged) = logged {
            logged.count();
        }
    }
}
