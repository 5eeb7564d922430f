//! Applications that fork. The child has copies of everything: the engine, the
//! connections, the listeners. It must never use them.

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// This process is a child that the application forked.
static IS_CHILD: AtomicBool = AtomicBool::new(false);
/// This process has had such a child, which may hold copies of its sockets.
static HAS_FORKED: AtomicBool = AtomicBool::new(false);

/// Notes every fork from now on.
pub fn watch(py: Python<'_>) -> PyResult<()> {
    let hooks = PyDict::new(py);
    hooks.set_item("after_in_child", set(py, &IS_CHILD)?)?;
    hooks.set_item("after_in_parent", set(py, &HAS_FORKED)?)?;
    py.import("os")?
        .call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}

fn set<'py>(py: Python<'py>, flag: &'static AtomicBool) -> PyResult<Bound<'py, PyCFunction>> {
    PyCFunction::new_closure(
        py,
        None,
        None,
        |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| flag.store(true, Relaxed),
    )
}

/// Whether the application has forked in this process.
pub fn has_forked() -> bool {
    HAS_FORKED.load(Relaxed)
}

/// Ends a child that comes back from the application's code, with the status of
/// its `sys.exit()`, or 1: the request is its parent's to answer.
pub fn leave_if_child<T>(py: Python<'_>, outcome: &PyResult<T>) {
    if !IS_CHILD.load(Relaxed) {
        return;
    }
    let status = match outcome {
        Err(error) if error.is_instance_of::<PySystemExit>(py) => {
            match error.value(py).getattr("code") {
                Ok(code) if code.is_none() => 0,
                Ok(code) => code.extract().unwrap_or(1),
                Err(_) => 1,
            }
        }
        Err(error) => {
            error.print(py);
            1
        }
        Ok(_) => 1,
    };
    flush(py);
    // There is no way back, so nothing follows if even this should fail.
    let _ = py
        .import("os")
        .and_then(|os| os.call_method1("_exit", (status,)));
    std::process::abort();
}

/// What the child printed is not lost.
fn flush(py: Python<'_>) {
    for name in ["stdout", "stderr"] {
        let _ = py
            .import("sys")
            .and_then(|sys| sys.getattr(name)?.call_method0("flush"));
    }
}
