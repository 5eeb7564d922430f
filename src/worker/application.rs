//! Loading the application, and telling why it could not be.

use crate::forking;
use pyo3::prelude::*;
use rgunicorn_link::protocol::{LoadFailure, Site};
use rgunicorn_link::shorten;
use std::ffi::OsStr;

/// Exit status: an exception while the application was loaded.
pub const FAILED_TO_BOOT: u8 = 3;
/// Exit status: no such application object, or it is not a WSGI application.
const UNUSABLE_APPLICATION: u8 = 4;

/// The longest summary and the longest traceback, in bytes of JSON: together they have to
/// fit into one message.
pub const LONGEST_SUMMARY: usize = 1024;
pub const LONGEST_TRACEBACK: usize = 48 * 1024;

/// Makes the interpreter ready for applications.
pub fn prepare(py: Python<'_>, site: &Site) -> PyResult<()> {
    // As text: `sys.path` does not take what a path becomes by itself.
    let pythonpath: Vec<&OsStr> = site
        .pythonpath
        .iter()
        .map(|path| path.as_os_str())
        .collect();
    module(py)?.call_method1("prepare", (pythonpath, site.marks_output))?;
    Ok(())
}

/// Loads the application that `site` names.
pub fn load(py: Python<'_>, site: &Site) -> Result<Py<PyAny>, LoadFailure> {
    let loaded = module(py).and_then(|module| module.call_method1("load", (&site.app,)));
    forking::exit_if_child(py, &loaded);
    loaded
        .map(Bound::unbind)
        .map_err(|error| explain(py, &error))
}

/// Logs each line that is executed from here on.
pub fn spew(py: Python<'_>) -> PyResult<()> {
    py.import("rgunicorn.spew")?.call_method0("install")?;
    Ok(())
}

/// Why loading failed, in the operator's words.
pub fn explain(py: Python<'_>, error: &PyErr) -> LoadFailure {
    let explained = module(py).and_then(|module| {
        let kind = module.getattr("UnusableApplication")?;
        // With its traceback: `value` would come without.
        let value = error.clone_ref(py).into_value(py);
        let (summary, traceback): (String, String) =
            module.call_method1("explain", (value,))?.extract()?;
        let status = if error.matches(py, kind)? {
            UNUSABLE_APPLICATION
        } else {
            FAILED_TO_BOOT
        };
        Ok(LoadFailure {
            status,
            summary,
            traceback,
        })
    });
    let failure = explained.unwrap_or_else(|_| LoadFailure {
        status: FAILED_TO_BOOT,
        summary: error.to_string(),
        traceback: String::new(),
    });
    LoadFailure {
        summary: shorten(failure.summary, LONGEST_SUMMARY),
        traceback: shorten(failure.traceback, LONGEST_TRACEBACK),
        ..failure
    }
}

/// One that Python has nothing to do with.
pub fn failure(summary: String) -> LoadFailure {
    LoadFailure {
        status: FAILED_TO_BOOT,
        summary,
        traceback: String::new(),
    }
}

/// The traceback of an exception the application raised while it served.
pub fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let failure = explain(py, error);
    if failure.traceback.is_empty() {
        failure.summary
    } else {
        failure.traceback
    }
}

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("rgunicorn.application")
}
