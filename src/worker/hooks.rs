//! The hooks of a configuration in Python: when they are called, and what their failure means.
//!
//! Those that Gunicorn calls in its master are called in the fork server of the generation
//! that serves: the master runs no Python.

use crate::application::{self, FAILED_TO_BOOT, LONGEST_SUMMARY};
use crate::forking;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use rgunicorn_link::protocol::{HookSite, Level, ListenAddress, LoadFailure, Moment};
use rgunicorn_link::{Scoreboard, shorten};
use rgunicorn_serving::Reporter;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The hooks of one generation.
#[derive(Debug)]
pub struct Hooks(Py<PyAny>);

/// What a hook writes into the log with.
#[pyclass(module = "rgunicorn", frozen)]
pub struct Emit(pub Reporter);

#[pymethods]
impl Emit {
    fn __call__(&self, level: &str, text: String) {
        let level = match level {
            "debug" => Level::Debug,
            "info" => Level::Info,
            "warning" => Level::Warning,
            _ => Level::Error,
        };
        self.0.log(level, text);
    }
}

/// The worker's row of the scoreboard. Python calls it for the number of requests answered.
#[pyclass(module = "rgunicorn", frozen)]
pub struct OwnRow {
    pub scoreboard: Arc<Scoreboard>,
    pub row: usize,
}

#[pymethods]
impl OwnRow {
    fn __call__(&self) -> u64 {
        let row = self.scoreboard.row(self.row);
        row.map_or(0, |row| row.read().requests)
    }
}

impl Hooks {
    /// Those of the configuration that has run, and is `finished`.
    pub fn new(
        finished: &Bound<'_, PyAny>,
        site: &HookSite,
        gunicorn_settings: &Map<String, Value>,
        reporter: Reporter,
    ) -> Result<Self, LoadFailure> {
        let py = finished.py();
        let make = || {
            let settings = settings(py, gunicorn_settings)?;
            let emit = Bound::new(py, Emit(reporter))?;
            let addresses = site.addresses.iter().map(|address| match address {
                // As `socket.getsockname` has them.
                ListenAddress::Tcp { host, port } => (host, port).into_bound_py_any(py),
                ListenAddress::Unix(path) => path.into_bound_py_any(py),
            });
            let addresses = PyList::new(py, addresses.collect::<PyResult<Vec<_>>>()?)?;
            let arguments = (finished, settings, addresses, site.count, emit);
            py.import("rgunicorn.hooks")?
                .call_method1("Hooks", arguments)
        };
        make()
            .map(|hooks| Self(hooks.unbind()))
            .map_err(|error| explain(py, &error))
    }

    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }

    /// Before the generation's application is preloaded.
    pub fn generation_begins(&self, py: Python<'_>, moment: Moment) -> Result<(), LoadFailure> {
        let before = match moment {
            Moment::Start => None,
            Moment::Reload { count_before } => Some(count_before),
            Moment::Replacement => return Ok(()),
        };
        self.call(py, "generation_begins", (before,))
    }

    /// When the generation's application was preloaded.
    pub fn application_is_loaded(&self, py: Python<'_>, app: &Py<PyAny>) {
        self.call_any(py, "application_is_loaded", (app,));
    }

    /// Before the generation's first worker is forked.
    pub fn generation_is_ready(&self, py: Python<'_>, moment: Moment) -> Result<(), LoadFailure> {
        // What these have made is gone with the process that has called them before.
        self.call(py, "service_starts", ())?;
        match moment {
            Moment::Start | Moment::Replacement => Ok(()),
            Moment::Reload { .. } => self.call(py, "service_reloads", ()),
        }
    }

    pub fn count_changed(&self, py: Python<'_>, count: usize) {
        self.call_any(py, "count_changed", (count,));
    }

    pub fn worker_is_forked(&self, py: Python<'_>, worker: u32) {
        self.call_any(py, "worker_is_forked", (worker,));
    }

    /// Where it can be known: before the next one is forked.
    pub fn worker_has_pid(&self, py: Python<'_>, worker: u32, pid: i32) {
        self.call_any(py, "worker_has_pid", (worker, pid));
    }

    pub fn worker_is_gone(&self, py: Python<'_>, worker: u32, pid: u32) {
        self.call_any(py, "worker_is_gone", (worker, pid));
    }

    /// Before another program takes over from the master. Whether it may.
    pub fn program_is_executed(&self, py: Python<'_>) -> bool {
        self.is_true(py, "program_is_executed")
    }

    pub fn service_ends(&self, py: Python<'_>) {
        self.call_any(py, "service_ends", ());
    }

    /// In the worker, before it loads the application.
    pub fn become_worker(
        &self,
        py: Python<'_>,
        worker: u32,
        reporter: Reporter,
        own_row: OwnRow,
    ) -> Result<(), LoadFailure> {
        self.call(py, "become_worker", (worker, Emit(reporter), own_row))
    }

    /// The application, if a hook has loaded it.
    pub fn loaded_application(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let app = self.0.bind(py).call_method0("loaded_application").ok()?;
        (!app.is_none()).then(|| app.unbind())
    }

    /// In the worker, when it has loaded the application.
    pub fn worker_is_ready(&self, py: Python<'_>, app: &Py<PyAny>) -> Result<(), LoadFailure> {
        self.call(py, "worker_is_ready", (app,))
    }

    /// Whether a hook is called for each request.
    pub fn has_request_hooks(&self, py: Python<'_>) -> bool {
        self.is_true(py, "has_request_hooks")
    }

    /// Before the application is called. Returns the request as hooks see it. What the hook
    /// raises is an error of the application's.
    pub fn request_begins<'py>(
        &self,
        py: Python<'py>,
        environ: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.0.bind(py).call_method1("request_begins", (environ,))
    }

    /// When the answer is given.
    pub fn request_ends(
        &self,
        request: &Bound<'_, PyAny>,
        environ: &Bound<'_, PyAny>,
        status: Option<Py<PyString>>,
        headers: Option<Py<PyList>>,
        sent: u64,
    ) {
        let arguments = (request, environ, status, headers, sent);
        self.call_any(request.py(), "request_ends", arguments);
    }

    /// What Python is to call when the master has aborted the worker, if anything.
    pub fn on_abort<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let hooks = self.0.bind(py);
        let aborts = self.is_true(py, "aborts");
        aborts.then(|| hooks.getattr("abort").ok()).flatten()
    }

    fn is_true(&self, py: Python<'_>, name: &str) -> bool {
        let called = self.0.bind(py).call_method0(name);
        called.and_then(|answer| answer.extract()).unwrap_or(false)
    }

    /// In the worker, which INT or QUIT ends.
    pub fn worker_is_interrupted(&self, py: Python<'_>) {
        self.call_any(py, "worker_is_interrupted", ());
    }

    /// In the worker, which is about to exit.
    pub fn worker_exits(&self, py: Python<'_>) {
        self.call_any(py, "worker_exits", ());
    }

    fn call<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        arguments: impl pyo3::call::PyCallArgs<'py>,
    ) -> Result<(), LoadFailure> {
        let called = self.0.bind(py).call_method1(name, arguments);
        forking::exit_if_child(py, &called);
        called.map(drop).map_err(|error| explain(py, &error))
    }

    /// Calls what logs the failures of its hook.
    fn call_any<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        arguments: impl pyo3::call::PyCallArgs<'py>,
    ) {
        if let Err(failure) = self.call(py, name, arguments) {
            // Not the hook has failed, but what logs that.
            eprintln!("{}\n{}", failure.summary, failure.traceback);
        }
    }
}

/// Also for what is not a hook's failure.
pub fn explain(py: Python<'_>, error: &PyErr) -> LoadFailure {
    let explained = py.import("rgunicorn.hooks").and_then(|module| {
        if !error.matches(py, module.getattr("HookFailed")?)? {
            return Ok(None);
        }
        let value = error.clone_ref(py).into_value(py);
        module
            .call_method1("explain", (value,))?
            .extract()
            .map(Some)
    });
    let explained: Option<(String, String)> = explained.ok().flatten();
    match explained {
        Some((summary, traceback)) => LoadFailure {
            status: FAILED_TO_BOOT,
            summary: shorten(summary, LONGEST_SUMMARY),
            traceback: shorten(traceback, application::LONGEST_TRACEBACK),
        },
        None => application::explain(py, error),
    }
}

/// The settings, as objects of Python's.
pub fn settings<'py>(py: Python<'py>, all: &Map<String, Value>) -> PyResult<Bound<'py, PyDict>> {
    let settings = PyDict::new(py);
    for (name, value) in all {
        settings.set_item(name, to_python(py, value)?)?;
    }
    Ok(settings)
}

fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into_pyobject(py)?.into_any(),
            None => number.as_f64().into_pyobject(py)?,
        },
        Value::String(text) => text.into_pyobject(py)?.into_any(),
        Value::Array(items) => {
            let items = items.iter().map(|item| to_python(py, item));
            PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Object(pairs) => {
            let table = PyDict::new(py);
            for (name, value) in pairs {
                table.set_item(name, to_python(py, value)?)?;
            }
            table.into_any()
        }
    })
}
