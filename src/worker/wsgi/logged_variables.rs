//! Variables of the environ in the access log: `%({name}e)s`.

use super::latin1;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use rgunicorn_engine::Responder;
use rgunicorn_link::AccessFormat;
use rgunicorn_link::protocol::Site;

/// The names that the format has, in lower case.
pub struct LoggedVariables(Vec<String>);

impl LoggedVariables {
    pub fn new(site: &Site) -> Self {
        let log = site.access_log.as_ref();
        let format = log.and_then(|log| AccessFormat::parse(&log.format).ok());
        Self(format.map_or_else(Vec::new, |format| format.variables()))
    }

    /// The environ for [`Self::add_to`], if it will be needed: else it is the application's.
    pub fn keep<'py>(&self, environ: &Bound<'py, PyDict>) -> Option<Bound<'py, PyDict>> {
        (!self.0.is_empty()).then(|| environ.clone())
    }

    /// Gives the record their values, as the application has left them.
    pub fn add_to(&self, responder: &mut Responder, environ: Option<&Bound<'_, PyDict>>) {
        if let Some(environ) = environ {
            let values = self.0.iter().map(|name| value(environ, name)).collect();
            responder.set_access_variables(values);
        }
    }
}

/// The value of the variable whose name is `name` in lower case, as text. What cannot be had
/// is not there.
fn value(environ: &Bound<'_, PyDict>, name: &str) -> Option<Vec<u8>> {
    let is_it = |key: &Bound<'_, PyAny>| {
        let key = key.cast::<PyString>().ok();
        key.is_some_and(|key| key.to_string_lossy().eq_ignore_ascii_case(name))
    };
    let found = match environ.get_item(name) {
        Ok(Some(value)) => Some(value),
        Ok(None) | Err(_) => environ
            .iter()
            .find(|(key, _)| is_it(key))
            .map(|(_, value)| value),
    }?;
    let text = found.str().ok()?;
    let mut scratch = Vec::new();
    // What came in a request is decoded byte by byte.
    match latin1::encode(&text, &mut scratch) {
        Ok(bytes) => Some(bytes.to_vec()),
        Err(_) => Some(text.to_string_lossy().into_owned().into_bytes()),
    }
}
