//! The environ of a request (PEP 3333, "environ Variables"), in the shape that
//! Gunicorn's users know.
//!
//! It is a copy of a dictionary that holds all that is the same for every
//! request of a listener. Per request come the request line and the body
//! (`builder`) and the header fields (`headers`), whose names become keys by way
//! of a cache (`header_names`), and whose values are kept for the next request
//! (`last_string`). Some fields count only if they come from a trusted proxy
//! (`forwarded`).

mod builder;
mod forwarded;
mod header_names;
mod headers;
mod last_string;

pub use builder::EnvironBuilder;

use pyo3::PyErr;

/// Why a request has no environ.
pub enum EnvironError {
    /// The client sent fields that contradict each other, or that are not permitted.
    Refused(&'static str),
    /// The path is not below the mount point.
    NotMounted {
        script_name: String,
    },
    Python(PyErr),
}

impl From<PyErr> for EnvironError {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}
