//! A configuration in Python: running it, and telling the master what it sets.

use crate::application::{LONGEST_SUMMARY, LONGEST_TRACEBACK};
use crate::forking;
use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple, PyType};
use rgunicorn_link::protocol::{
    Assigned, AssignedValue, Evaluate, Evaluation, FromForkServer, Program, Surroundings, Unused,
};
use rgunicorn_link::shorten;
use serde_json::{Map, Number, Value};
use std::collections::HashMap;
use std::path::PathBuf;

/// Lists and tables in a value may be nested so deep.
const DEEPEST: usize = 16;
/// The most bytes of what Python shows of a value that is none for a setting.
const LONGEST_SHOWN: usize = 200;

/// Runs the configuration. Gives it, and what it sets.
pub fn evaluate(
    py: Python<'_>,
    order: &Evaluate,
) -> Result<(Py<PyAny>, Evaluation), FromForkServer> {
    let ran = module(py).and_then(|module| match &order.program {
        Program::File(path) => module.call_method1("run_file", (path.as_os_str(),)),
        Program::Module(name) => module.call_method1("import_module", (name,)),
        Program::Script(_) => Err(PyRuntimeError::new_err("a script is run by another module")),
    });
    forking::exit_if_child(py, &ran);
    ran.and_then(|finished| {
        let evaluation = settings(py, &finished, order)?;
        Ok((finished.unbind(), evaluation))
    })
    .map_err(|error| explain(py, &error, &order.program))
}

/// Goes where the application is to run.
pub fn go_to(py: Python<'_>, surroundings: &Surroundings) -> PyResult<()> {
    let environment = PyDict::new(py);
    for (name, value) in &surroundings.environment {
        environment.set_item(name, value)?;
    }
    module(py)?.call_method1("move", (surroundings.chdir.as_os_str(), environment))?;
    Ok(())
}

/// What it sets, once it has run.
pub fn settings(
    py: Python<'_>,
    finished: &Bound<'_, PyAny>,
    order: &Evaluate,
) -> PyResult<Evaluation> {
    let module = module(py)?;
    let found = module.call_method1("settings", (finished, &order.names))?;
    let mut settings = Vec::new();
    for item in found.try_iter()? {
        let (name, value, line): (String, Bound<'_, PyAny>, Option<usize>) = item?.extract()?;
        let value = assigned(&value);
        settings.push(Assigned { name, value, line });
    }
    let is_callable = |assigned: &Assigned| matches!(assigned.value, AssignedValue::Callable);
    if settings.iter().any(is_callable) {
        // Not before: it would take memory in every process of a site without hooks.
        let misfits = py.import("rgunicorn.hook_arguments")?;
        let misfits: HashMap<String, String> =
            misfits.call_method1("misfits", (finished,))?.extract()?;
        for assigned in settings.iter_mut().filter(|assigned| is_callable(assigned)) {
            if let Some(problem) = misfits.get(&assigned.name) {
                assigned.value = AssignedValue::Uncallable(problem.clone());
            }
        }
    }
    // They are only pointed out: nothing fails for want of them.
    let unused: Vec<(String, usize)> = module
        .call_method1("unused", (finished, &order.names))
        .and_then(|unused| unused.extract())
        .unwrap_or_default();
    Ok(Evaluation {
        file: finished.getattr("file")?.extract::<PathBuf>()?,
        settings,
        unused: unused
            .into_iter()
            .map(|(name, line)| Unused { name, line })
            .collect(),
    })
}

fn assigned(value: &Bound<'_, PyAny>) -> AssignedValue {
    if let Some(plain) = plain(value, DEEPEST) {
        return AssignedValue::Plain(plain);
    }
    if let Ok(class) = value.cast::<PyType>() {
        if let (Ok(module), Ok(name)) = (class.module(), class.qualname()) {
            return AssignedValue::Class(format!("{module}.{name}"));
        }
    }
    if value.is_callable() {
        return AssignedValue::Callable;
    }
    let shown = value.repr().map(|shown| shown.to_string());
    let shown = shown.unwrap_or_else(|_| "a value that Python cannot show".to_owned());
    AssignedValue::Other(shorten(shown, LONGEST_SHOWN))
}

/// The value as JSON has it; `None` if there is anything else in it.
fn plain(value: &Bound<'_, PyAny>, deep: usize) -> Option<Value> {
    let deeper = deep.checked_sub(1)?;
    if value.is_none() {
        return Some(Value::Null);
    }
    // Before the numbers: `bool` is one of them.
    if let Ok(value) = value.cast::<PyBool>() {
        return Some(value.is_true().into());
    }
    if value.is_instance_of::<PyInt>() {
        return Some(value.extract::<i64>().ok()?.into());
    }
    if value.is_instance_of::<PyFloat>() {
        let number = Number::from_f64(value.extract().ok()?)?;
        return Some(Value::Number(number));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Some(text.to_str().ok()?.into());
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let items = value.try_iter().ok()?;
        let items = items.map(|item| plain(&item.ok()?, deeper));
        return items.collect::<Option<Vec<_>>>().map(Value::Array);
    }
    if let Ok(table) = value.cast::<PyMapping>() {
        let mut plain_table = Map::new();
        for item in table.items().ok()?.iter() {
            let (key, value): (String, Bound<'_, PyAny>) = item.extract().ok()?;
            plain_table.insert(key, plain(&value, deeper)?);
        }
        return Some(Value::Object(plain_table));
    }
    // A path.
    let path = value.call_method0("__fspath__").ok()?;
    Some(path.extract::<String>().ok()?.into())
}

/// Why it did not run through, with its place.
pub fn explain(py: Python<'_>, error: &PyErr, program: &Program) -> FromForkServer {
    let name = program.to_string();
    let explained = module(py).and_then(|module| {
        let value = error.clone_ref(py).into_value(py);
        module.call_method1("explain", (value, &name))?.extract()
    });
    let (mut summary, traceback): (String, String) =
        explained.unwrap_or_else(|_| (format!("{name}: {error}"), String::new()));
    if error.is_instance_of::<PySystemExit>(py) {
        summary.push_str(match program {
            Program::File(_) | Program::Module(_) => " (a configuration must not exit)",
            Program::Script(_) => " (the script exited before it called run())",
        });
    }
    FromForkServer::EvaluationFailed {
        summary: shorten(summary, LONGEST_SUMMARY),
        traceback: shorten(traceback, LONGEST_TRACEBACK),
    }
}

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("rgunicorn.configuration")
}
