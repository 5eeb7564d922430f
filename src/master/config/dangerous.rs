//! Which settings give up protection against clients that want to get past a proxy.

use super::settings::Config;
use super::values::{HeaderMap, Peer, ProxyProtocol};

impl Config {
    /// The settings that are dangerous as they are, as a file has them.
    pub fn dangerous(&self) -> Vec<&'static str> {
        let is_anybody = self.proxy_allow_ips.all().contains(&Peer::Anyone);
        let any_name = self.forwarder_headers.all().iter().any(|name| name == "*");
        let all = [
            (self.permit_obsolete_folding, "permit_obsolete_folding"),
            (self.strip_header_spaces, "strip_header_spaces"),
            (
                self.permit_unconventional_http_method,
                "permit_unconventional_http_method",
            ),
            (
                self.permit_unconventional_http_version,
                "permit_unconventional_http_version",
            ),
            (self.casefold_http_method, "casefold_http_method"),
            (
                self.header_map == HeaderMap::Dangerous,
                "header_map = \"dangerous\"",
            ),
            (any_name, "forwarder_headers = \"*\""),
            (
                is_anybody && self.proxy_protocol != ProxyProtocol::Off,
                "proxy_allow_ips = \"*\"",
            ),
        ];
        let on = all.into_iter().filter(|(is_on, _)| *is_on);
        on.map(|(_, setting)| setting).collect()
    }
}
