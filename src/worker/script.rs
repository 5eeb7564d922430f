//! A script that starts the server itself: it defines an application of its own, and calls its
//! `run()`. From that call on this process does what it is ordered to; the call never returns,
//! but ends the process, as Gunicorn's does.
//!
//! What the script holds open around the call (`with` blocks, variables) stays as it is, in the
//! workers, too.

use crate::application::FAILED_TO_BOOT;
use crate::fork_server::{self, Orders, SpareLink};
use crate::{configuration, forking, python_log, signals};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rgunicorn_link::protocol::{Evaluate, FromForkServer, Main, Program, Script};
use std::sync::Mutex;

/// Runs the script. Returns the exit status of this process, which may be a worker by then.
pub fn run(py: Python<'_>, orders: Orders, order: Evaluate) -> PyResult<u8> {
    python_log::begin(py, &order.python_log);
    let program = order.program.clone();
    let Program::Script(script) = &program else {
        return Err(PyRuntimeError::new_err("the master sent no script"));
    };
    let spare = SpareLink::of(&orders.link);
    let serve = Bound::new(py, Serve(Mutex::new(State::Waiting(orders, order, spare))))?;
    let ran = start(py, script, &serve);
    match serve.get().take() {
        State::Ended(status) => Ok(status),
        // It has failed on the way.
        State::Serving => ran.map(|()| FAILED_TO_BOOT),
        State::Waiting(orders, _, spare) => {
            forking::exit_if_child(py, &ran);
            spare.check(&orders.link, &program);
            let failed = match ran {
                Ok(()) => FromForkServer::EvaluationFailed {
                    summary: format!(
                        "{program}: the script ended without a call of run(), by which its \
                         application, a rgunicorn.app.base.BaseApplication, is served"
                    ),
                    traceback: String::new(),
                },
                Err(error) => configuration::explain(py, &error, &program),
            };
            // If the master is gone, there is nowhere to report to.
            let _ = orders.link.send(&failed, &[]);
            Ok(FAILED_TO_BOOT)
        }
    }
}

fn start(py: Python<'_>, script: &Script, serve: &Bound<'_, Serve>) -> PyResult<()> {
    let module = py.import("rgunicorn.embedding")?;
    match &script.main {
        Main::File(path) => {
            module.call_method1("run_file", (path.as_os_str(), &script.arguments, serve))?
        }
        Main::Module(name) => {
            module.call_method1("run_module", (name, &script.arguments, serve))?
        }
    };
    Ok(())
}

/// What `run()` calls, with what the application has set.
#[pyclass(module = "rgunicorn", frozen)]
struct Serve(Mutex<State>);

enum State {
    /// The script has not called it yet.
    Waiting(Orders, Evaluate, SpareLink),
    Serving,
    /// With this exit status.
    Ended(u8),
}

impl Serve {
    fn take(&self) -> State {
        self.replace(State::Serving)
    }

    fn replace(&self, state: State) -> State {
        // Whoever held it has not changed it.
        let mut held = (self.0.lock()).unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut *held, state)
    }
}

#[pymethods]
impl Serve {
    fn __call__(&self, finished: &Bound<'_, PyAny>) -> PyResult<u8> {
        let py = finished.py();
        let State::Waiting(orders, order, spare) = self.take() else {
            return Err(PyRuntimeError::new_err("run() was called before"));
        };
        spare.check(&orders.link, &order.program);
        let told = match configuration::settings(py, finished, &order) {
            Ok(evaluation) => fork_server::tell(&orders.link, &order, evaluation),
            Err(error) => {
                let failed = configuration::explain(py, &error, &order.program);
                // If the master is gone, there is nowhere to report to.
                let _ = orders.link.send(&failed, &[]);
                Some(FAILED_TO_BOOT)
            }
        };
        let ended = match told {
            Some(status) => Ok(status),
            None => fork_server::carry_out(py, orders, Some(finished.clone().unbind())),
        };
        // What follows is the end of the script.
        signals::ignore_to_the_end(py);
        if let Ok(status) = &ended {
            self.replace(State::Ended(*status));
        }
        ended
    }
}
