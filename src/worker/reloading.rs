//! `reload`: the master learns where the application's modules are, and watches for changes.

use pyo3::prelude::*;
use rgunicorn_link::Link;
use rgunicorn_link::protocol::{FromWorker, Level, Site};
use rgunicorn_serving::Reporter;
use std::path::PathBuf;
use std::sync::Arc;

/// Tells the master of directories. Python calls it; `false` if the link has no room.
#[pyclass(module = "rgunicorn", frozen)]
struct Report(Arc<Link>);

#[pymethods]
impl Report {
    fn __call__(&self, directories: Vec<PathBuf>) -> bool {
        let imported = FromWorker::Imported(directories);
        self.0.send(&imported, &[]).is_ok()
    }
}

/// Tells the master of the modules that are imported now, and later of those that follow, if it
/// wants to know.
pub fn start(py: Python<'_>, site: &Site, link: &Arc<Link>, reporter: &Reporter) {
    if !site.watches_code {
        return;
    }
    if let Err(error) = begin(py, Arc::clone(link)) {
        let text = format!("Changed files are not noticed: {error}");
        reporter.log(Level::Error, text);
    }
}

fn begin(py: Python<'_>, link: Arc<Link>) -> PyResult<()> {
    let report = Bound::new(py, Report(link))?;
    let watch = py
        .import("rgunicorn.reloading")?
        .call_method1("Watch", (report,))?;
    watch.call_method0("start")?;
    Ok(())
}
