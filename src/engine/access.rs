//! Records of the access log: begun when a request is handed out or refused, written when
//! its response has been sent or broken off. Where they go is [`AccessOutput`]'s business.

use crate::request::{ID_FIELD, Request, RequestId, first_field};
use crate::transport::Peer;
use rgunicorn_http::{Head, ProxyHeader, Version, percent_decode};
use rgunicorn_link::{AccessFilter, AccessFormat, Part, RequestAtom, ResponseAtom};
use std::fmt::{self, Write};
use std::time::{Duration, Instant};

mod local_time;
mod text;

use local_time::LocalTime;
use text::{push_escaped, user};

/// The status of a request whose client was gone before there was a response, in the number
/// that other servers' logs have for it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The most entries that are kept for the next requests.
const MAX_SPARE: usize = 64;

/// The most bytes that are taken of a first line that is no request line.
const MAX_BAD_LINE: usize = 1024;

/// Where records go.
pub trait AccessOutput: Send {
    /// Takes a record; never waits.
    fn write(&mut self, record: &[u8]);
}

/// Who is told of each request, whether there is a record of it or not.
pub trait RequestMetrics: Send {
    /// A request with a response of this status is over; never waits.
    fn count(&mut self, status: u16, duration: Duration);
}

/// What a record looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessForm {
    /// A line.
    Line,
    /// An entry in the native protocol of the journal. Fields that are the same for all
    /// records, each with its line end.
    Journal { fields: String },
}

/// What the access log of an engine is made with.
pub struct AccessSettings {
    pub format: AccessFormat,
    pub filter: AccessFilter,
    pub form: AccessForm,
    /// The difference of local time to UTC at a time, both in seconds.
    pub local_offset: fn(i64) -> i32,
    pub output: Box<dyn AccessOutput>,
    pub metrics: Option<Box<dyn RequestMetrics>>,
}

/// Writes the records of one engine.
pub(crate) struct AccessLog {
    settings: AccessSettings,
    pid: u32,
    /// Requests so far.
    requests: u64,
    time: LocalTime,
    #[expect(
        clippy::vec_box,
        reason = "a box is what a connection has, and it is moved"
    )]
    spare: Vec<Box<Entry>>,
    record: Vec<u8>,
}

/// A record whose response is not sent yet.
#[derive(Debug)]
pub(crate) struct Entry {
    /// When the request was complete.
    since: Instant,
    /// The filter may want a record.
    may_be_wanted: bool,
    /// Which request of the worker it is, from 0.
    number: u64,
    /// The values of the format's request atoms, one behind the other, and where each ends.
    values: Vec<u8>,
    ends: Vec<usize>,
    /// The request's fields in the journal.
    fields: Vec<u8>,
}

/// What a record has to say of a response.
#[derive(Debug, Default)]
pub(crate) struct ResponseFacts {
    /// 0: there is none.
    pub(crate) status: u16,
    /// Bytes of the body that were given to be sent.
    pub(crate) body: u64,
    /// The application's header fields, as lines, if the format names any.
    pub(crate) fields: Vec<u8>,
    /// The values of the environ variables that the format names.
    pub(crate) variables: Vec<Option<Vec<u8>>>,
}

impl ResponseFacts {
    pub(crate) fn clear(&mut self) {
        self.status = 0;
        self.body = 0;
        self.fields.clear();
        self.variables.clear();
    }

    /// An error page takes the place of the response. The variables are the request's.
    pub(crate) fn set_error_page(&mut self, status: u16, page: &[u8]) {
        let head = page.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        self.status = status;
        self.body = head.map_or(0, |head| (page.len() - head - 4) as u64);
        self.fields.clear();
    }
}

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseEnd {
    Complete,
    /// So many bytes of it were not sent.
    BrokenOff {
        waiting: u64,
    },
}

/// A request, as far as it is known.
pub(crate) enum Received<'a> {
    Head(&'a Head, &'a [u8]),
    /// The first bytes of what is no request, or is not complete.
    Bytes(&'a [u8]),
}

impl AccessLog {
    pub(crate) fn new(settings: AccessSettings) -> Self {
        Self {
            settings,
            pid: std::process::id(),
            requests: 0,
            time: LocalTime::default(),
            spare: Vec::new(),
            record: Vec::new(),
        }
    }

    /// A request was handed out.
    pub(crate) fn begin_handed_out(&mut self, request: &Request) -> Option<Box<Entry>> {
        let (head, bytes) = request.head();
        let received = Received::Head(head, bytes);
        let since = request.incoming.ready_at;
        let client = client(request.peer, request.proxy_header());
        self.begin(&received, client, since, Some(request.id))
    }

    /// `None`: it is known already that there will be no record.
    pub(crate) fn begin(
        &mut self,
        received: &Received<'_>,
        peer: Peer,
        since: Option<Instant>,
        id: Option<RequestId>,
    ) -> Option<Box<Entry>> {
        let number = self.requests;
        self.requests += 1;
        let may_be_wanted = self.settings.filter.may_want(number);
        if !may_be_wanted && self.settings.metrics.is_none() {
            return None;
        }
        let mut entry = self.spare.pop().unwrap_or_else(|| Box::new(Entry::new()));
        entry.since = since.unwrap_or_else(Instant::now);
        entry.number = number;
        entry.may_be_wanted = may_be_wanted;
        if !may_be_wanted {
            return Some(entry);
        }
        for part in self.settings.format.parts() {
            if let Part::Request(atom) = part {
                received.write(atom, peer, &mut entry.values);
                entry.ends.push(entry.values.len());
            }
        }
        if matches!(self.settings.form, AccessForm::Journal { .. }) {
            entry.write_fields(received, peer, self.pid, id);
        }
        Some(entry)
    }

    /// An entry that becomes no record.
    pub(crate) fn discard(&mut self, mut entry: Box<Entry>) {
        if self.spare.len() < MAX_SPARE {
            entry.clear();
            self.spare.push(entry);
        }
    }

    /// Writes the record of a request, if the filter lets it pass.
    pub(crate) fn finish(
        &mut self,
        entry: Box<Entry>,
        response: Option<&ResponseFacts>,
        end: ResponseEnd,
    ) {
        let duration = entry.since.elapsed();
        let none = ResponseFacts::default();
        let response = response.unwrap_or(&none);
        let (is_cut, bytes) = match end {
            ResponseEnd::Complete => (false, response.body),
            ResponseEnd::BrokenOff { waiting } => (true, response.body.saturating_sub(waiting)),
        };
        let status = match response.status {
            0 => CLIENT_CLOSED_REQUEST,
            status => status,
        };
        if let Some(metrics) = &mut self.settings.metrics {
            metrics.count(status, duration);
        }
        let is_error = is_cut || status >= 400;
        let filter = &self.settings.filter;
        if entry.may_be_wanted && filter.wants(entry.number, is_error, duration) {
            self.write(&entry, response, status, bytes, duration);
        }
        self.discard(entry);
    }

    fn write(
        &mut self,
        entry: &Entry,
        response: &ResponseFacts,
        status: u16,
        bytes: u64,
        duration: Duration,
    ) {
        let record = &mut self.record;
        record.clear();
        if matches!(self.settings.form, AccessForm::Journal { .. }) {
            record.extend_from_slice(b"MESSAGE=");
        }
        let (mut start, mut ends) = (0, entry.ends.iter());
        for part in self.settings.format.parts() {
            match part {
                Part::Text(text) => record.extend_from_slice(text.as_bytes()),
                Part::Request(_) => {
                    if let Some(&end) = ends.next() {
                        record.extend_from_slice(&entry.values[start..end]);
                        start = end;
                    }
                }
                Part::Response(atom) => match atom {
                    ResponseAtom::Time => {
                        let time = self.time.now(self.settings.local_offset);
                        record.extend_from_slice(time);
                    }
                    ResponseAtom::Status => push_number(record, status.into()),
                    ResponseAtom::Bytes => push_number(record, bytes),
                    ResponseAtom::Seconds => push_number(record, duration.as_secs()),
                    ResponseAtom::Milliseconds => push_number(record, millis(duration)),
                    ResponseAtom::Microseconds => push_number(record, micros(duration)),
                    ResponseAtom::DecimalSeconds => {
                        push_format(
                            record,
                            format_args!("{}.{:06}", duration.as_secs(), duration.subsec_micros()),
                        );
                    }
                    ResponseAtom::Pid => push_format(record, format_args!("<{}>", self.pid)),
                    ResponseAtom::Header(name) => push_value(record, response.field(name)),
                    ResponseAtom::Variable(index, _) => {
                        let value = response.variables.get(*index);
                        push_value(record, value.and_then(Option::as_deref));
                    }
                },
            }
        }
        record.push(b'\n');
        if let AccessForm::Journal { fields } = &self.settings.form {
            // A server error is worth more attention, and no more than that: what caused it
            // is a record of its own.
            let priority = if status >= 500 { 5 } else { 6 };
            push_format(
                record,
                format_args!(
                    "PRIORITY={priority}\nHTTP_STATUS={status}\nHTTP_BYTES={bytes}\n\
                     DURATION_USEC={}\n",
                    micros(duration)
                ),
            );
            record.extend_from_slice(&entry.fields);
            record.extend_from_slice(fields.as_bytes());
        }
        self.settings.output.write(record);
    }
}

impl Entry {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            may_be_wanted: true,
            number: 0,
            values: Vec::new(),
            ends: Vec::new(),
            fields: Vec::new(),
        }
    }

    fn clear(&mut self) {
        /// What ordinary requests need.
        const KEPT: usize = 4096;
        for buffer in [&mut self.values, &mut self.fields] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        self.ends.clear();
    }

    fn write_fields(
        &mut self,
        received: &Received<'_>,
        peer: Peer,
        pid: u32,
        id: Option<RequestId>,
    ) {
        let out = &mut self.fields;
        let mut add = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
            let start = out.len();
            out.extend_from_slice(name.as_bytes());
            let value = out.len();
            write(out);
            if &out[value..] == b"-" {
                // The journal has no need for a sign that there is no value.
                out.truncate(start);
            } else {
                out.push(b'\n');
            }
        };
        add("HTTP_METHOD=", &|out| {
            received.write(&RequestAtom::Method, peer, out);
        });
        add("HTTP_TARGET=", &|out| push_value(out, received.target()));
        add("REMOTE_ADDR=", &|out| {
            received.write(&RequestAtom::RemoteAddress, peer, out);
        });
        let sent = match received {
            Received::Head(head, bytes) => first_field(head, bytes, ID_FIELD),
            Received::Bytes(_) => None,
        };
        if let Some(id) = id {
            add("REQUEST_ID=", &|out| {
                out.extend_from_slice(id.name(pid, sent.unwrap_or_default()).as_bytes());
            });
        }
    }
}

impl Received<'_> {
    fn target(&self) -> Option<&[u8]> {
        match self {
            Self::Head(head, bytes) => Some(head.target.of(bytes)),
            Self::Bytes(_) => None,
        }
    }

    /// Adds the value of an atom.
    fn write(&self, atom: &RequestAtom, peer: Peer, out: &mut Vec<u8>) {
        if *atom == RequestAtom::RemoteAddress {
            return match peer {
                Peer::Tcp(address) => push_format(out, format_args!("{}", address.ip())),
                Peer::Unix => out.push(b'-'),
            };
        }
        let (head, bytes) = match self {
            Self::Head(head, bytes) => (head, bytes),
            Self::Bytes(bytes) if *atom == RequestAtom::Line => {
                return push_value(out, first_line(bytes));
            }
            Self::Bytes(_) => return out.push(b'-'),
        };
        match atom {
            RequestAtom::RemoteAddress => {}
            RequestAtom::User => {
                let field = last_field(head, bytes, b"authorization");
                push_value(out, field.and_then(user).as_deref());
            }
            RequestAtom::Line => {
                push_escaped(out, head.method.of(bytes));
                out.push(b' ');
                push_escaped(out, head.target.of(bytes));
                out.push(b' ');
                out.extend_from_slice(protocol(head.version));
            }
            RequestAtom::Method => push_escaped(out, head.method.of(bytes)),
            RequestAtom::Path => {
                let path = head.path.of(bytes);
                if path.contains(&b'%') {
                    let mut decoded = Vec::with_capacity(path.len());
                    percent_decode(path, &mut decoded);
                    push_escaped(out, &decoded);
                } else {
                    push_escaped(out, path);
                }
            }
            RequestAtom::Query => push_escaped(out, head.query.of(bytes)),
            RequestAtom::Protocol => out.extend_from_slice(protocol(head.version)),
            RequestAtom::Header(name) => push_value(out, last_field(head, bytes, name.as_bytes())),
        }
    }
}

impl ResponseFacts {
    /// The value of the last field with this name.
    fn field(&self, name: &str) -> Option<&[u8]> {
        let lines = self.fields.split(|byte| *byte == b'\n');
        let mut values = lines.filter_map(|line| {
            let (found, value) = line.split_at_checked(name.len())?;
            let is_it = found.eq_ignore_ascii_case(name.as_bytes());
            value.strip_prefix(b":").filter(|_| is_it)
        });
        values.next_back()
    }
}

/// Who is written down as the client: whom a proxy that may say so has named.
pub(crate) fn client(peer: Peer, proxied: Option<&ProxyHeader>) -> Peer {
    match proxied {
        Some(ProxyHeader::Tcp { client, .. }) => Peer::Tcp(*client),
        Some(ProxyHeader::Local | ProxyHeader::Unknown | ProxyHeader::Unspecified) | None => peer,
    }
}

/// The value of the last field with this name, as Gunicorn writes it.
fn last_field<'b>(head: &Head, bytes: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    let fields = head.fields.iter().rev();
    fields
        .map(|field| (field.name.of(bytes), field.value.of(bytes)))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    line.map(|line| &line[..line.len().min(MAX_BAD_LINE)])
        .filter(|line| !line.is_empty())
}

fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
    }
}

fn push_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => push_escaped(out, value),
        None => out.push(b'-'),
    }
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(number).as_bytes());
}

fn push_format(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    struct Bytes<'a>(&'a mut Vec<u8>);
    impl Write for Bytes<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // A vector takes everything.
    let _ = Bytes(out).write_fmt(text);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
