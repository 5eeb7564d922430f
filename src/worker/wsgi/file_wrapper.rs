//! `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling").

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use std::fs::File;
use std::os::fd::BorrowedFd;

/// An application's file as a body: sent by the kernel where that gives the
/// same bytes as reading it would, else read block by block.
#[pyclass(module = "rgunicorn")]
pub struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192, /))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
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
    /// What the kernel can send. `None` where reading gives other bytes than the
    /// descriptor (a `GzipFile` has one too), or it is no regular file.
    pub fn part(&self, py: Python<'_>) -> PyResult<Option<Part>> {
        let io = py.import("io")?;
        let plain = [
            io.getattr("BufferedReader")?,
            io.getattr("BufferedRandom")?,
            io.getattr("FileIO")?,
        ];
        let mut file = self.filelike.bind(py).clone();
        // tempfile's and Django's objects stand before the plain one.
        for _ in 0..3 {
            if plain.iter().any(|kind| file.get_type().is(kind)) {
                return plain_part(&file);
            }
            match file.getattr_opt("file")? {
                Some(inner) => file = inner,
                None => break,
            }
        }
        Ok(None)
    }
}

#[expect(unsafe_code, reason = "Python's descriptors are numbers")]
fn plain_part(file: &Bound<'_, PyAny>) -> PyResult<Option<Part>> {
    let position: u64 = file.call_method0("tell")?.extract()?;
    let number: i32 = file.call_method0("fileno")?.extract()?;
    // SAFETY: an open io object owns the descriptor (a closed one raised above),
    // and the GIL, held until it is duplicated, keeps anybody from closing it.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let file = File::from(fd.try_clone_to_owned()?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    Ok(Some(Part {
        file,
        position,
        length: metadata.len().saturating_sub(position),
    }))
}
