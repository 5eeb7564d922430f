//! `environ["wsgi.early_hints"]`, by which an application tells its client what to begin with
//! before the response is there (RFC 8297).
//!
//! All requests of a thread have the same object in their environ; one that the application
//! kept belongs to its request for ever, and the next request gets a new one.

use super::client_socket::LazySocket;
use super::start_response::references;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

/// The key in the environ.
pub const KEY: &str = "wsgi.early_hints";

/// What stands in the environ.
#[pyclass(module = "rgunicorn", frozen)]
pub struct EarlyHints {
    /// That of the same requests: it knows which one is answered.
    socket: Py<LazySocket>,
}

impl EarlyHints {
    pub fn create(py: Python<'_>, socket: &Py<LazySocket>) -> PyResult<Py<Self>> {
        let socket = socket.clone_ref(py);
        Py::new(py, Self { socket })
    }

    /// Whether nobody has kept it. `owned` is how many references there are between two
    /// requests.
    pub fn is_reusable(this: &Py<Self>, owned: usize) -> bool {
        usize::try_from(references(this)) == Ok(owned)
    }

    /// Adds it to what all requests of a listener have in common.
    pub fn add_to(this: &Py<Self>, template: &Bound<'_, PyDict>) -> PyResult<()> {
        template.set_item(KEY, this)
    }
}

#[pymethods]
impl EarlyHints {
    /// `headers` are pairs of a name and a value, each a str or bytes.
    fn __call__(&self, py: Python<'_>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut fields = Vec::new();
        for pair in headers.try_iter()? {
            let [name, value]: [Bound<'_, PyAny>; 2] = pair?.extract()?;
            fields.push((bytes_of(&name)?, bytes_of(&value)?));
        }
        let fields: Vec<(&[u8], &[u8])> = fields
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
            .collect();
        // A request that is over has no use for hints any more.
        let Some(start_response) = self.socket.get().start_response(py) else {
            return Ok(());
        };
        let mut start_response = start_response.bind(py).try_borrow_mut()?;
        let Ok(responder) = start_response.responder() else {
            return Ok(());
        };
        responder
            .send_early_hints(&fields)
            .map_err(|fault| PyValueError::new_err(fault.to_string()))
    }
}

fn bytes_of(part: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = part.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_owned());
    }
    let text = part
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err("a header of early hints must be two str or bytes"))?;
    let mut scratch = Vec::new();
    Ok(super::latin1::encode(text, &mut scratch)?.to_owned())
}
