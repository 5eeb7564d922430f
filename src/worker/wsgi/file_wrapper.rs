//! `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling").

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Files are read, not sent by the kernel.
static IS_READ: AtomicBool = AtomicBool::new(false);

/// From now on all files are read.
pub fn read_files() {
    IS_READ.store(true, Relaxed);
}

/// An application's file as a body: sent by the kernel where that gives the
/// same bytes as reading it would, else read block by block.
#[pyclass(module = "rgunicorn")]
pub struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    /// Negative: `read` gives all there is, as with any file of Python's.
    #[pyo3(get)]
    blksize: isize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192))]
    fn new(filelike: Py<PyAny>, blksize: isize) -> Self {
        Self { filelike, blksize }
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let block = self
            .filelike
            .bind(py)
            .call_method1("read", (self.blksize,))?;
        if block.is_truthy()? {
            Ok(block)
        } else {
            Err(PyStopIteration::new_err(()))
        }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(close) = self.filelike.bind(py).getattr_opt("close")? {
            close.call0()?;
        }
        Ok(())
    }
}

/// A part of a regular file: from `position` to its end.
pub struct Part {
    /// The application's file, duplicated: it may close its own.
    pub file: File,
    /// Where the application's reading would go on.
    pub position: u64,
    /// How many bytes there are from there on.
    pub length: u64,
}

impl FileWrapper {
    /// What the kernel can send. `None` where reading may give other bytes than
    /// the descriptor: then the application's `read()` is called.
    ///
    /// Only files made by `open()` and nothing else qualify. An object that merely
    /// holds such a file (`.file`, `.raw`), a subclass or a file with a method of
    /// its own may decrypt, count or stop early.
    pub fn part(&self, py: Python<'_>) -> PyResult<Option<Part>> {
        if IS_READ.load(Relaxed) {
            return Ok(None);
        }
        let io = py.import("_io")?;
        let file = self.filelike.bind(py);
        let kind = file.get_type();
        let raw = io.getattr("FileIO")?;
        if kind.is(&raw) {
            return plain_part(file);
        }
        let is_random = kind.is(&io.getattr("BufferedRandom")?);
        if !is_random && !kind.is(&io.getattr("BufferedReader")?) {
            return Ok(None);
        }
        let inner = file.getattr("raw")?;
        if !inner.get_type().is(&raw) || has_methods_of_its_own(&inner)? {
            return Ok(None);
        }
        if is_random {
            // What was written to it may still be in its buffer.
            file.call_method0("flush")?;
        }
        plain_part(file)
    }
}

/// Whether somebody has put attributes on a file that Python itself does not.
/// `close` may be replaced (Django does that): it is called in any case.
fn has_methods_of_its_own(file: &Bound<'_, PyAny>) -> PyResult<bool> {
    let attributes = file.getattr("__dict__")?;
    for name in attributes.cast::<PyDict>()?.keys() {
        let name = name.extract::<String>()?;
        if !matches!(name.as_str(), "name" | "mode" | "close") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[expect(unsafe_code, reason = "Python's descriptors are numbers")]
fn plain_part(file: &Bound<'_, PyAny>) -> PyResult<Option<Part>> {
    if has_methods_of_its_own(file)? || !file.call_method0("readable")?.is_truthy()? {
        return Ok(None);
    }
    let number: i32 = file.call_method0("fileno")?.extract()?;
    // SAFETY: an open io object owns the descriptor (a closed one raised above),
    // and the GIL, held until it is duplicated, keeps anybody from closing it.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let copy = File::from(fd.try_clone_to_owned()?);
    let metadata = copy.metadata()?;
    // A file that is made up while it is read has no size (/proc) or not its own
    // (/sys says 4096), and no blocks. A pipe has no position.
    if !metadata.is_file() || metadata.len() == 0 || metadata.blocks() == 0 {
        return Ok(None);
    }
    let position: u64 = file.call_method0("tell")?.extract()?;
    Ok(Some(Part {
        file: copy,
        position,
        length: metadata.len().saturating_sub(position),
    }))
}
