//! What the names of header fields mean that could pass for others, or that only some peers are
//! believed in (`forwarded_allow_ips`).

use rgunicorn_link::protocol::{HeaderMap, Site};

/// What the names of header fields mean, as it is configured. Names are in upper case.
#[derive(Debug)]
pub struct HeaderRules {
    /// Of names with an underscore that no believed peer may send.
    pub map: HeaderMap,
    /// Names with an underscore that believed peers may send; `*` for all.
    forwarder: Vec<String>,
    /// The field, and the value with which it says that the client spoke TLS.
    schemes: Vec<(String, String)>,
}

impl HeaderRules {
    pub fn new(site: &Site) -> Self {
        Self {
            map: site.header_map,
            forwarder: site.forwarder_headers.clone(),
            schemes: site.secure_scheme_headers.clone(),
        }
    }

    pub fn is_forwarder(&self, name: &str) -> bool {
        let names = |known: &String| known == name || known == "*";
        self.forwarder.iter().any(names)
    }

    /// The number of the field among those that tell about TLS.
    pub fn scheme(&self, name: &str) -> Option<usize> {
        self.schemes.iter().position(|(known, _)| known == name)
    }

    /// Whether the field with this number says that the client spoke TLS.
    pub fn is_tls(&self, scheme: usize, value: &[u8]) -> bool {
        let expected = self.schemes.get(scheme).map(|(_, value)| value);
        expected.is_some_and(|expected| value.eq_ignore_ascii_case(expected.as_bytes()))
    }
}
