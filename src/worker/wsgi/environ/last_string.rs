//! A string that is made once for the same bytes that come again and again.

use crate::wsgi::latin1;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The most bytes remembered. Longer ones, such as cookies, differ from client to client.
const MOST: usize = 128;

/// The last string that was made of bytes.
#[derive(Default)]
pub struct LastString {
    bytes: Vec<u8>,
    /// `None` until there was one.
    string: Option<Py<PyString>>,
}

impl LastString {
    /// What [`latin1::decode`] makes of `bytes`.
    pub fn decode<'py>(&mut self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
        match &self.string {
            Some(string) if self.bytes == bytes => Ok(string.bind(py).clone()),
            _ => {
                let string = latin1::decode(py, bytes)?;
                if bytes.len() <= MOST {
                    self.bytes.clear();
                    self.bytes.extend_from_slice(bytes);
                    self.string = Some(string.clone().unbind());
                }
                Ok(string)
            }
        }
    }
}
