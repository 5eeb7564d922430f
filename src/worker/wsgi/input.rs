//! `wsgi.input`: a request body that was received completely.

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A line is looked for in pieces of this size.
const PIECE: usize = 64 * 1024;

/// The file-like object an application reads the request body from.
#[pyclass(module = "rgunicorn")]
pub struct Input {
    source: Source,
    position: u64,
    length: u64,
}

enum Source {
    Memory(Py<PyBytes>),
    File(File),
}

impl Input {
    /// No body.
    pub fn empty(py: Python<'_>) -> Self {
        Self::memory(PyBytes::new(py, b"").unbind())
    }

    /// A body in memory.
    pub fn memory(bytes: Py<PyBytes>) -> Self {
        let length = Python::attach(|py| bytes.as_bytes(py).len() as u64);
        Self {
            source: Source::Memory(bytes),
            position: 0,
            length,
        }
    }

    /// A body in a file.
    pub fn file(file: File, length: u64) -> Self {
        Self {
            source: Source::File(file),
            position: 0,
            length,
        }
    }

    /// How much `size`, Python's way, allows: `None` and negative are everything.
    fn allowed(&self, size: Option<i64>) -> u64 {
        let left = self.length - self.position;
        size.and_then(|size| u64::try_from(size).ok())
            .map_or(left, |size| size.min(left))
    }

    /// The next `count` bytes, which are there.
    fn take<'py>(&mut self, py: Python<'py>, count: u64) -> PyResult<Bound<'py, PyBytes>> {
        let count = usize::try_from(count)?;
        let taken = match &self.source {
            Source::Memory(bytes) if self.position == 0 && count as u64 == self.length => {
                bytes.bind(py).clone()
            }
            Source::Memory(bytes) => {
                let start = usize::try_from(self.position)?;
                PyBytes::new(py, &bytes.as_bytes(py)[start..start + count])
            }
            Source::File(file) => PyBytes::new_with(py, count, |buffer| {
                Ok(file.read_exact_at(buffer, self.position)?)
            })?,
        };
        self.position += count as u64;
        Ok(taken)
    }

    /// How many bytes, at most `allowed`, the next line has with its end.
    fn line_length(&self, py: Python<'_>, allowed: u64) -> io::Result<u64> {
        match &self.source {
            Source::Memory(bytes) => {
                let clip = |at| usize::try_from(at).unwrap_or(usize::MAX);
                let part = &bytes.as_bytes(py)[clip(self.position)..clip(self.position + allowed)];
                Ok(newline(part).map_or(allowed, |at| at as u64 + 1))
            }
            Source::File(file) => {
                let mut piece = vec![0; PIECE];
                let mut searched = 0;
                while searched < allowed {
                    let wanted = usize::try_from(allowed - searched)
                        .unwrap_or(PIECE)
                        .min(PIECE);
                    file.read_exact_at(&mut piece[..wanted], self.position + searched)?;
                    if let Some(at) = newline(&piece[..wanted]) {
                        return Ok(searched + at as u64 + 1);
                    }
                    searched += wanted as u64;
                }
                Ok(allowed)
            }
        }
    }
}

fn newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size=None))]
    fn read<'py>(&mut self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let count = self.allowed(size);
        self.take(py, count)
    }

    #[pyo3(signature = (size=None))]
    fn readline<'py>(
        &mut self,
        py: Python<'py>,
        size: Option<i64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let count = self.line_length(py, self.allowed(size))?;
        self.take(py, count)
    }

    #[pyo3(signature = (hint=None))]
    fn readlines<'py>(
        &mut self,
        py: Python<'py>,
        hint: Option<i64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let lines = PyList::empty(py);
        let enough = hint
            .and_then(|hint| u64::try_from(hint).ok())
            .filter(|hint| *hint > 0)
            .unwrap_or(u64::MAX);
        let start = self.position;
        while self.position < self.length && self.position - start < enough {
            lines.append(self.readline(py, None)?)?;
        }
        Ok(lines)
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        if self.position == self.length {
            return Err(PyStopIteration::new_err(()));
        }
        self.readline(py, None)
    }
}
