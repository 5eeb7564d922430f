//! Header fields become environ keys; a few of them also say who the client is
//! and where the application is mounted.

use super::EnvironError;
use super::forwarded::TrustedPeers;
use super::header_names::{HeaderNames, Meaning};
use crate::wsgi::latin1;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use rgunicorn_engine::Peer;
use rgunicorn_engine::http::Head;

pub struct Headers {
    names: HeaderNames,
    trusted: TrustedPeers,
    /// Counts requests, to notice a field name that comes twice in one.
    request: u64,
    lower: Vec<u8>,
}

/// What fields say beyond their own key.
#[derive(Default)]
pub struct Forwarded<'b> {
    /// The client spoke TLS to the proxy.
    pub tls: bool,
    /// Where the application is mounted.
    pub script_name: Option<&'b [u8]>,
    pub host: &'b [u8],
}

impl Headers {
    pub fn new(py: Python<'_>, trusted: TrustedPeers) -> Self {
        Self {
            names: HeaderNames::new(py),
            trusted,
            request: 0,
            lower: Vec::new(),
        }
    }

    /// Adds the fields of `head` to `environ`.
    pub fn add_to<'b>(
        &mut self,
        environ: &Bound<'_, PyDict>,
        head: &Head,
        bytes: &'b [u8],
        peer: Peer,
    ) -> Result<Forwarded<'b>, EnvironError> {
        let py = environ.py();
        self.request += 1;
        let mut forwarded = Forwarded::default();
        let mut scheme_fields = 0;
        for field in &head.fields {
            self.lower.clear();
            self.lower.extend_from_slice(field.name.of(bytes));
            self.lower.make_ascii_lowercase();
            let name = self.names.get(py, &self.lower, self.request);
            let value = field.value.of(bytes);
            match name.meaning {
                Meaning::Dropped => continue,
                Meaning::ScriptName | Meaning::Forwarder if !self.trusted.includes(peer) => {
                    continue;
                }
                Meaning::Plain | Meaning::Content | Meaning::Cookie | Meaning::Forwarder => {}
                Meaning::ScriptName => forwarded.script_name = Some(value),
                Meaning::Scheme(tls) => {
                    if self.trusted.includes(peer) {
                        let is_tls = value.eq_ignore_ascii_case(tls);
                        if scheme_fields > 0 && is_tls != forwarded.tls {
                            return Err(EnvironError::Contradiction(
                                "the forwarding fields contradict each other about TLS",
                            ));
                        }
                        scheme_fields += 1;
                        forwarded.tls = is_tls;
                    }
                }
                Meaning::Host => forwarded.host = value,
            }
            let string = latin1::decode(py, value)?;
            if name.request == self.request {
                if let Some(before) = environ.get_item(&name.key)? {
                    let before = before.cast::<PyString>().map_err(PyErr::from)?;
                    let separator = match name.meaning {
                        // RFC 6265, section 5.4, and RFC 9113, section 8.2.3: a comma
                        // would become a part of a cookie.
                        Meaning::Cookie => "; ",
                        Meaning::Plain
                        | Meaning::Content
                        | Meaning::Dropped
                        | Meaning::ScriptName
                        | Meaning::Forwarder
                        | Meaning::Scheme(_)
                        | Meaning::Host => ",",
                    };
                    environ.set_item(&name.key, format!("{before}{separator}{string}"))?;
                    continue;
                }
            }
            name.request = self.request;
            environ.set_item(&name.key, string)?;
        }
        Ok(forwarded)
    }
}
