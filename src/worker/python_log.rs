//! Telling Python's `logging` of the server's log, and configuring it as the settings say.

use crate::hooks::{self, Emit};
use pyo3::prelude::*;
use rgunicorn_link::protocol::{LoadFailure, LogDestination, PythonLog};
use rgunicorn_serving::Reporter;
use serde_json::{Map, Value};

/// Before anything of the application runs, and again when its configuration has been read.
pub fn begin(py: Python<'_>, log: &PythonLog) {
    let destination = match log.destination {
        LogDestination::Journal => "journal",
        LogDestination::Stderr => "stderr",
    };
    let file = log.file.as_ref().map(|path| path.as_os_str());
    let arguments = (
        destination,
        file,
        log.level,
        &log.fields,
        log.syslog.is_some(),
    );
    let begun = module(py).and_then(|module| module.call_method1("begin", arguments));
    show(py, begun);
    let finder = py.import("rgunicorn.gunicorn_finder");
    show(py, finder.and_then(|module| module.call_method0("install")));
}

/// Does what the settings say. `finished` is the configuration in Python, if there is one.
pub fn configure(
    py: Python<'_>,
    settings: &Map<String, Value>,
    finished: Option<&Py<PyAny>>,
    reporter: Reporter,
) -> Result<(), LoadFailure> {
    let apply = || {
        let module = finished.map(|finished| finished.bind(py).getattr("module"));
        let settings = hooks::settings(py, settings)?;
        py.import("rgunicorn.log_config")?
            .call_method1("apply", (module.transpose()?, settings, Emit(reporter)))
    };
    apply()
        .map(drop)
        .map_err(|error| hooks::explain(py, &error))
}

/// In a new worker.
pub fn become_worker(py: Python<'_>, number: u32) {
    let become_worker =
        module(py).and_then(|module| module.call_method1("become_worker", (number,)));
    show(py, become_worker);
}

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("rgunicorn.log_settings")
}

fn show(py: Python<'_>, outcome: PyResult<Bound<'_, PyAny>>) {
    if let Err(error) = outcome {
        error.print(py);
    }
}
