//! A request as log records name it: it may have been given away when it is logged.

use rgunicorn_engine::{Request, RequestId};
use rgunicorn_link::protocol::RequestInfo;
use rgunicorn_link::shorten;

/// The longest method or path of a record, in bytes of JSON.
const LONGEST: usize = 2048;

/// What a record says of a request. Used again for the next one, as it owns buffers.
#[derive(Debug, Clone, Default)]
pub struct NamedRequest {
    number: Option<RequestId>,
    /// What the field `X-Request-ID` says.
    sent_id: Vec<u8>,
    /// The method, a space, and the path.
    line: Vec<u8>,
    method_length: usize,
}

impl NamedRequest {
    pub fn set(&mut self, request: &Request) {
        let Self {
            number,
            sent_id,
            line,
            method_length,
        } = self;
        *number = Some(request.id());
        sent_id.clear();
        sent_id.extend_from_slice(request.field(b"x-request-id").unwrap_or_default());
        line.clear();
        line.extend_from_slice(request.method());
        *method_length = line.len();
        line.push(b' ');
        line.extend_from_slice(request.path());
    }

    /// The method and the path.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    pub fn method_and_path(&self) -> (&[u8], &[u8]) {
        let (method, path) = self.line.split_at(self.method_length);
        (method, path.get(1..).unwrap_or_default())
    }

    /// The fields of a record about it. Without the query, which may have what is secret.
    pub fn info(&self) -> RequestInfo {
        let text = |bytes: &[u8]| shorten(String::from_utf8_lossy(bytes).into_owned(), LONGEST);
        let (method, path) = self.method_and_path();
        RequestInfo {
            id: self.id(),
            method: text(method),
            path: text(path),
        }
    }

    /// The id that the client or a proxy gave it, so that their logs and ours agree; else
    /// one that no other request of this worker has.
    fn id(&self) -> String {
        let pid = std::process::id();
        self.number
            .map_or_else(|| pid.to_string(), |number| number.name(pid, &self.sent_id))
    }
}

impl From<&Request> for NamedRequest {
    fn from(request: &Request) -> Self {
        let mut named = Self::default();
        named.set(request);
        named
    }
}
