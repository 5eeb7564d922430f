//! Header fields become environ keys; a few of them also say who the client is
//! and where the application is mounted.

use super::EnvironError;
use super::forwarded::HeaderRules;
use super::header_names::{HeaderNames, Meaning};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use rgunicorn_engine::http::Head;
use rgunicorn_engine::{Peer, TrustedPeers};
use rgunicorn_link::protocol::{HeaderMap, Site};

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
    pub fn new(py: Python<'_>, site: &Site) -> Self {
        Self {
            names: HeaderNames::new(py, HeaderRules::new(site)),
            trusted: TrustedPeers::new(&site.forwarded_allow_ips),
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
        // Two names of this request may have one key.
        let mut is_ambiguous = false;
        for field in &head.fields {
            self.lower.clear();
            self.lower.extend_from_slice(field.name.of(bytes));
            self.lower.make_ascii_lowercase();
            let (name, rules) = self.names.get(py, &self.lower, self.request);
            let value = field.value.of(bytes);
            match name.meaning {
                Meaning::Dropped => continue,
                Meaning::Plain | Meaning::Content | Meaning::Cookie => {}
                Meaning::ScriptName if self.trusted.includes(peer) => {
                    forwarded.script_name = Some(value);
                    is_ambiguous = true;
                }
                Meaning::Forwarder if self.trusted.includes(peer) => is_ambiguous = true,
                Meaning::Ambiguous | Meaning::ScriptName | Meaning::Forwarder => match rules.map {
                    HeaderMap::Drop => continue,
                    HeaderMap::Refuse => {
                        return Err(EnvironError::Refused(
                            "a header name has an underscore, which header_map refuses",
                        ));
                    }
                    HeaderMap::Dangerous => is_ambiguous = true,
                },
                Meaning::Scheme(number) => {
                    if self.trusted.includes(peer) {
                        let is_tls = rules.is_tls(number, value);
                        if scheme_fields > 0 && is_tls != forwarded.tls {
                            return Err(EnvironError::Refused(
                                "the forwarding fields contradict each other about TLS",
                            ));
                        }
                        scheme_fields += 1;
                        forwarded.tls = is_tls;
                    }
                }
                Meaning::Host => forwarded.host = value,
            }
            let string = name.value.decode(py, value)?;
            if name.request == self.request || is_ambiguous {
                if let Some(before) = environ.get_item(&name.key)? {
                    let before = before.cast::<PyString>().map_err(PyErr::from)?;
                    let separator = match name.meaning {
                        // RFC 6265, section 5.4, and RFC 9113, section 8.2.3: a comma
                        // would become a part of a cookie.
                        Meaning::Cookie => "; ",
                        Meaning::Plain
                        | Meaning::Content
                        | Meaning::Dropped
                        | Meaning::Ambiguous
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
