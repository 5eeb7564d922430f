//! Python's strings for HTTP's bytes and back: WSGI's "native strings" hold
//! one byte in each character (PEP 3333, "A Note on String Types").

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// A string with the characters U+0000..=U+00FF that the bytes are.
#[expect(unsafe_code, reason = "PyO3 has no Latin-1 decoder")]
pub fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let length = ffi::Py_ssize_t::try_from(bytes.len())?;
    // SAFETY: `bytes` is valid for `length`; the result is a new reference to a
    // str, or null with an exception set, which is what `from_owned_ptr_or_err` takes.
    unsafe {
        let string = ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), length, std::ptr::null());
        Bound::from_owned_ptr_or_err(py, string).map(|string| string.cast_into_unchecked())
    }
}

/// The string's bytes: lent when it is ASCII, as nearly always, else encoded into `scratch`.
pub fn encode<'a>(string: &'a Bound<'_, PyString>, scratch: &'a mut Vec<u8>) -> PyResult<&'a [u8]> {
    let text = string.to_str()?;
    if text.is_ascii() {
        return Ok(text.as_bytes());
    }
    scratch.clear();
    for character in text.chars() {
        let byte = u8::try_from(u32::from(character)).map_err(|_| {
            PyValueError::new_err(format!("{text:?} has characters that HTTP cannot carry"))
        })?;
        scratch.push(byte);
    }
    Ok(scratch)
}

/// The bytes of a bytes object.
pub fn bytes<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a [u8]> {
    object.cast::<PyBytes>().ok().map(PyBytesMethods::as_bytes)
}
