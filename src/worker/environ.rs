//! The environ of a request (PEP 3333, "environ Variables"), in the shape that
//! Gunicorn's users know.
//!
//! It is a copy of a dictionary that holds all that is the same for every
//! request of a listener; the names of header fields become keys by way of a
//! cache. What remains per request is the values.

use crate::forwarded::Trusted;
use crate::wsgi::{FileWrapper, Input};
use crate::{SERVER_SOFTWARE, latin1};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use rgunicorn_engine::http::{Framing, Head, Version, percent_decode};
use rgunicorn_engine::{Exchange, Peer, RequestBody};
use rgunicorn_link::protocol::{ListenAddress, ListenerInfo, Site};
use std::collections::HashMap;
use std::net::IpAddr;

/// The most header names kept: a client can send any number of different ones.
const NAMES: usize = 512;

/// Makes environs.
pub struct Environs {
    /// For each listener, in the engine's order.
    listeners: Vec<Listener>,
    multiprocess: bool,
    keys: Keys,
    methods: Vec<(&'static [u8], Py<PyString>)>,
    /// By the name in lower case: a name may be spelled in two ways in one request.
    names: HashMap<Box<[u8]>, Name>,
    trusted: Trusted,
    /// The mount point from the environment.
    script_name: Option<Vec<u8>>,
    /// The address of the last client, as most clients come again.
    last_address: Option<(IpAddr, Py<PyString>)>,
    /// Counts requests, to notice a field name that comes twice in one.
    request: u64,
    scratch: Vec<u8>,
}

/// What is the same for all requests of a listener.
struct Listener {
    template: Py<PyDict>,
    /// A unix socket has no host and port; they come from the Host field.
    is_unix: bool,
}

/// Why there is no environ.
pub enum Problem {
    /// The client said things that exclude each other.
    Contradiction(&'static str),
    /// The path is not below the mount point.
    NotMounted {
        /// The mount point.
        script_name: String,
    },
    /// Python failed.
    Python(PyErr),
}

impl From<PyErr> for Problem {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

/// A field name and what to do with the field.
struct Name {
    kind: Kind,
    key: Py<PyString>,
    /// The last request that had it.
    request: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Becomes `HTTP_…`.
    Plain,
    /// The environ has a key of its own for it.
    Content,
    /// Left out: its meaning is used up, or it could pass for another one
    /// (`X_Forwarded_For` for `X-Forwarded-For`).
    Dropped,
    /// `SCRIPT_NAME` from a trusted peer says where the application is mounted.
    ScriptName,
    /// `PATH_INFO`, which a trusted peer may send with an underscore.
    Forwarder,
    /// With this value, from a trusted peer, the client spoke TLS to it.
    Scheme(&'static [u8]),
    /// Becomes `HTTP_HOST`, and names the server behind a unix socket.
    Host,
}

/// Keys and values, made once.
struct Keys {
    request_method: Py<PyString>,
    query_string: Py<PyString>,
    raw_uri: Py<PyString>,
    server_protocol: Py<PyString>,
    path_info: Py<PyString>,
    script_name: Py<PyString>,
    remote_addr: Py<PyString>,
    remote_port: Py<PyString>,
    server_name: Py<PyString>,
    server_port: Py<PyString>,
    content_length: Py<PyString>,
    url_scheme: Py<PyString>,
    input: Py<PyString>,
    https: Py<PyString>,
    http10: Py<PyString>,
    http11: Py<PyString>,
    empty: Py<PyString>,
}

impl Environs {
    /// A maker that knows no listener yet.
    pub fn new(py: Python<'_>, site: &Site) -> Self {
        let intern = |text: &str| PyString::intern(py, text).unbind();
        let methods: [&'static [u8]; 7] = [
            b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS",
        ];
        let methods = methods
            .into_iter()
            .filter_map(|method| Some((method, intern(std::str::from_utf8(method).ok()?))))
            .collect();
        Self {
            listeners: Vec::new(),
            multiprocess: site.multiprocess,
            keys: Keys {
                request_method: intern("REQUEST_METHOD"),
                query_string: intern("QUERY_STRING"),
                raw_uri: intern("RAW_URI"),
                server_protocol: intern("SERVER_PROTOCOL"),
                path_info: intern("PATH_INFO"),
                script_name: intern("SCRIPT_NAME"),
                remote_addr: intern("REMOTE_ADDR"),
                remote_port: intern("REMOTE_PORT"),
                server_name: intern("SERVER_NAME"),
                server_port: intern("SERVER_PORT"),
                content_length: intern("CONTENT_LENGTH"),
                url_scheme: intern("wsgi.url_scheme"),
                input: intern("wsgi.input"),
                https: intern("https"),
                http10: intern("HTTP/1.0"),
                http11: intern("HTTP/1.1"),
                empty: intern(""),
            },
            methods,
            names: HashMap::new(),
            trusted: Trusted::new(&site.forwarded_allow_ips),
            script_name: std::env::var("SCRIPT_NAME")
                .ok()
                .filter(|name| !name.is_empty())
                .map(String::into_bytes),
            last_address: None,
            request: 0,
            scratch: Vec::new(),
        }
    }

    /// Makes the template of the next listener.
    pub fn add_listener(&mut self, py: Python<'_>, info: &ListenerInfo) -> PyResult<()> {
        let template = PyDict::new(py);
        template.set_item("wsgi.version", (1, 0))?;
        template.set_item("wsgi.url_scheme", "http")?;
        template.set_item("wsgi.input", Py::new(py, Input::empty(py))?)?;
        template.set_item("wsgi.errors", py.import("sys")?.getattr("stderr")?)?;
        template.set_item("wsgi.multithread", false)?;
        template.set_item("wsgi.multiprocess", self.multiprocess)?;
        template.set_item("wsgi.run_once", false)?;
        template.set_item("wsgi.file_wrapper", py.get_type::<FileWrapper>())?;
        template.set_item("wsgi.input_terminated", true)?;
        template.set_item("SERVER_SOFTWARE", SERVER_SOFTWARE)?;
        template.set_item(&self.keys.script_name, "")?;
        let is_unix = match &info.address {
            ListenAddress::Tcp { host, port } => {
                template.set_item(&self.keys.server_name, host)?;
                template.set_item(&self.keys.server_port, port.to_string())?;
                false
            }
            ListenAddress::Unix(_) => {
                template.set_item(&self.keys.server_name, "localhost")?;
                template.set_item(&self.keys.server_port, "")?;
                template.set_item(&self.keys.remote_addr, "")?;
                true
            }
        };
        self.listeners.push(Listener {
            template: template.unbind(),
            is_unix,
        });
        Ok(())
    }

    /// The environ of `exchange`'s request.
    pub fn build<'py>(
        &mut self,
        py: Python<'py>,
        exchange: &Exchange,
    ) -> Result<Bound<'py, PyDict>, Problem> {
        let (head, bytes) = exchange.request();
        let peer = exchange.peer();
        let listener = &self.listeners[exchange.listener()];
        let is_unix = listener.is_unix;
        let environ = listener.template.bind(py).copy()?;
        self.request += 1;

        let method = head.method.of(bytes);
        let known = self.methods.iter().find(|(name, _)| *name == method);
        match known {
            Some((_, string)) => environ.set_item(&self.keys.request_method, string)?,
            None => environ.set_item(&self.keys.request_method, latin1::decode(py, method)?)?,
        }
        let query = head.query.of(bytes);
        if query.is_empty() {
            environ.set_item(&self.keys.query_string, &self.keys.empty)?;
        } else {
            environ.set_item(&self.keys.query_string, latin1::decode(py, query)?)?;
        }
        environ.set_item(
            &self.keys.raw_uri,
            latin1::decode(py, head.target.of(bytes))?,
        )?;
        let protocol = match head.version {
            Version::Http10 => &self.keys.http10,
            Version::Http11 => &self.keys.http11,
        };
        environ.set_item(&self.keys.server_protocol, protocol)?;
        if let Peer::Tcp(address) = peer {
            let text = self.address(py, address.ip());
            environ.set_item(&self.keys.remote_addr, text)?;
            let mut digits = [0; 5];
            let port = decimal(u64::from(address.port()), &mut digits);
            environ.set_item(&self.keys.remote_port, latin1::decode(py, port)?)?;
        }
        let said = self.fields(py, &environ, head, bytes, peer)?;
        if said.tls {
            environ.set_item(&self.keys.url_scheme, &self.keys.https)?;
        }
        if is_unix {
            self.server_from_host(py, &environ, said.host, said.tls)?;
        }
        self.path(py, &environ, head.path.of(bytes), said.script_name)?;
        self.body(py, &environ, head, exchange)?;
        Ok(environ)
    }

    fn address(&mut self, py: Python<'_>, address: IpAddr) -> Py<PyString> {
        match &self.last_address {
            Some((last, string)) if *last == address => string.clone_ref(py),
            _ => {
                let string = PyString::new(py, &address.to_string()).unbind();
                self.last_address = Some((address, string.clone_ref(py)));
                string
            }
        }
    }

    /// The header fields, and what some of them say beyond their own key.
    fn fields<'b>(
        &mut self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        head: &Head,
        bytes: &'b [u8],
        peer: Peer,
    ) -> Result<Said<'b>, Problem> {
        let mut said = Said::default();
        let mut scheme_fields = 0;
        for field in &head.fields {
            self.scratch.clear();
            self.scratch.extend_from_slice(field.name.of(bytes));
            self.scratch.make_ascii_lowercase();
            let name = self.scratch.as_slice();
            let value = field.value.of(bytes);
            let mut made;
            let known = if let Some(known) = self.names.get_mut(name) {
                known
            } else if self.names.len() < NAMES {
                self.names.entry(name.into()).or_insert(Name::new(py, name))
            } else {
                made = Name::new(py, name);
                // Perhaps it came before: nobody has kept it.
                made.request = self.request;
                &mut made
            };
            match known.kind {
                Kind::Dropped => continue,
                Kind::ScriptName | Kind::Forwarder if !self.trusted.includes(peer) => continue,
                Kind::Plain | Kind::Content | Kind::Forwarder => {}
                Kind::ScriptName => said.script_name = Some(value),
                Kind::Scheme(tls) => {
                    if self.trusted.includes(peer) {
                        let is_tls = value.eq_ignore_ascii_case(tls);
                        if scheme_fields > 0 && is_tls != said.tls {
                            return Err(Problem::Contradiction(
                                "the forwarding fields contradict each other about TLS",
                            ));
                        }
                        scheme_fields += 1;
                        said.tls = is_tls;
                    }
                }
                Kind::Host => said.host = value,
            }
            let string = latin1::decode(py, value)?;
            if known.request == self.request {
                let before = environ.get_item(&known.key)?;
                if let Some(before) = before {
                    let both = format!(
                        "{},{}",
                        before.cast::<PyString>().map_err(PyErr::from)?,
                        string
                    );
                    environ.set_item(&known.key, both)?;
                    continue;
                }
            }
            known.request = self.request;
            environ.set_item(&known.key, string)?;
        }
        Ok(said)
    }

    /// `SERVER_NAME` and `SERVER_PORT` of a unix socket, from the Host field.
    fn server_from_host(
        &self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        host: &[u8],
        tls: bool,
    ) -> PyResult<()> {
        if host.is_empty() {
            return Ok(());
        }
        // The colons of an IPv6 address are in brackets.
        let colon = host.iter().rposition(|byte| *byte == b':');
        let (name, port) = match colon {
            Some(at) if !host[at..].contains(&b']') => (&host[..at], &host[at + 1..]),
            _ => (host, &b""[..]),
        };
        let port = match (port, tls) {
            (b"", false) => &b"80"[..],
            (b"", true) => &b"443"[..],
            (port, _) => port,
        };
        environ.set_item(&self.keys.server_name, latin1::decode(py, name)?)?;
        environ.set_item(&self.keys.server_port, latin1::decode(py, port)?)
    }

    /// `SCRIPT_NAME` and `PATH_INFO`.
    fn path(
        &mut self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        path: &[u8],
        script_name: Option<&[u8]>,
    ) -> Result<(), Problem> {
        self.scratch.clear();
        percent_decode(path, &mut self.scratch);
        let script_name = script_name.or(self.script_name.as_deref());
        let mut path = &self.scratch[..];
        if let Some(script_name) = script_name.filter(|name| !name.is_empty()) {
            path = match path.strip_prefix(script_name) {
                Some(rest) if rest.is_empty() || rest.starts_with(b"/") => rest,
                _ => {
                    let script_name = String::from_utf8_lossy(script_name).into_owned();
                    return Err(Problem::NotMounted { script_name });
                }
            };
            environ.set_item(&self.keys.script_name, latin1::decode(py, script_name)?)?;
        }
        environ.set_item(&self.keys.path_info, latin1::decode(py, path)?)?;
        Ok(())
    }

    /// The body. It is here as a whole, so its length is known also when it
    /// came in chunks: an application need not know about that.
    fn body(
        &self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        head: &Head,
        exchange: &Exchange,
    ) -> PyResult<()> {
        let body = exchange.body();
        if head.framing == Framing::Chunked {
            let length = match &body {
                RequestBody::Memory(bytes) => bytes.len() as u64,
                RequestBody::File(_, length) => *length,
            };
            environ.set_item(&self.keys.content_length, length.to_string())?;
        }
        let input = match body {
            RequestBody::Memory(b"") => return Ok(()),
            RequestBody::Memory(bytes) => Input::memory(PyBytes::new(py, bytes).unbind()),
            RequestBody::File(file, length) => Input::file(file.try_clone()?, length),
        };
        environ.set_item(&self.keys.input, Py::new(py, input)?)
    }
}

/// What fields say beyond their own key.
#[derive(Default)]
struct Said<'b> {
    tls: bool,
    script_name: Option<&'b [u8]>,
    host: &'b [u8],
}

impl Name {
    fn new(py: Python<'_>, name: &[u8]) -> Self {
        let upper: String = name
            .iter()
            .map(|byte| match byte {
                b'-' => '_',
                byte => char::from(byte.to_ascii_uppercase()),
            })
            .collect();
        let kind = match upper.as_str() {
            "SCRIPT_NAME" if name.contains(&b'_') => Kind::ScriptName,
            "PATH_INFO" if name.contains(&b'_') => Kind::Forwarder,
            _ if name.contains(&b'_') => Kind::Dropped,
            "CONTENT_TYPE" | "CONTENT_LENGTH" => Kind::Content,
            // The engine has taken the chunks apart.
            "TRANSFER_ENCODING" => Kind::Dropped,
            "X_FORWARDED_PROTO" => Kind::Scheme(b"https"),
            "X_FORWARDED_PROTOCOL" => Kind::Scheme(b"ssl"),
            "X_FORWARDED_SSL" => Kind::Scheme(b"on"),
            "HOST" => Kind::Host,
            _ => Kind::Plain,
        };
        // Not interned: interned strings may live for ever, and clients can send
        // any number of names. As the names are cached, nothing is lost by it.
        let key = match kind {
            Kind::Content => PyString::new(py, &upper),
            Kind::Plain
            | Kind::Dropped
            | Kind::ScriptName
            | Kind::Forwarder
            | Kind::Scheme(_)
            | Kind::Host => PyString::new(py, &format!("HTTP_{upper}")),
        };
        Self {
            kind,
            key: key.unbind(),
            request: 0,
        }
    }
}

/// `number`, at most 99999, in decimal digits.
fn decimal(mut number: u64, digits: &mut [u8; 5]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 || at == 0 {
            return &digits[at..];
        }
    }
}
