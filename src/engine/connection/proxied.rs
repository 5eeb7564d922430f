//! The header of the PROXY protocol, with which a connection may begin: who may send it, and
//! what becomes of the connection without it.

use super::{Connection, State};
use crate::notice::RequestError;
use crate::settings::{Absence, Settings};
use rgunicorn_http::{ProxyHeader, Refusal, Start};
use serde::{Deserialize, Serialize};

/// Whether a connection began with a header.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Proxied {
    /// One may come: it is part of the input then.
    Awaited,
    No,
    By(Box<ProxyHeader>),
}

impl Proxied {
    pub(super) fn header(&self) -> Option<Box<ProxyHeader>> {
        match self {
            Self::Awaited | Self::No => None,
            Self::By(header) => Some(header.clone()),
        }
    }
}

impl Connection {
    /// Reads the header, and takes it off the input. `false`: it has not come completely, or
    /// nothing has come behind it.
    pub(super) fn read_proxy_header(&mut self, settings: &Settings) -> Result<bool, RequestError> {
        let peer = self.peer();
        let (Some(expected), Some(incoming)) = (&settings.proxy_protocol, &mut self.incoming)
        else {
            self.proxied = Proxied::No;
            return Ok(true);
        };
        let is_allowed = expected.allowed.includes(peer);
        if expected.absence == Absence::Refused && !is_allowed {
            return Err(Refusal::ForbiddenProxy.into());
        }
        match ProxyHeader::read(&incoming.input, expected.versions) {
            Ok(Start::Begun | Start::Header(..)) | Err(_) if !is_allowed => {
                Err(Refusal::ForbiddenProxy.into())
            }
            Ok(Start::Undecided | Start::Begun) => Ok(false),
            Ok(Start::Absent) => match expected.absence {
                Absence::Served => {
                    self.proxied = Proxied::No;
                    Ok(true)
                }
                Absence::Refused => Err(Refusal::NoProxyHeader.into()),
            },
            Ok(Start::Header(header, length)) => {
                incoming.input.drain(..length);
                self.proxied = Proxied::By(Box::new(header));
                if incoming.input.is_empty() {
                    // As if it had just been accepted: there is no request to refuse.
                    self.state = State::Idle;
                    return Ok(false);
                }
                Ok(true)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}
