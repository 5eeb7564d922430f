//! Builds environs: the request line, the addresses and the body.

use super::EnvironError;
use super::headers::Headers;
use crate::SERVER_SOFTWARE;
use crate::wsgi::client_socket::{self, LazySocket};
use crate::wsgi::early_hints::EarlyHints;
use crate::wsgi::{FileWrapper, Input, latin1};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use rgunicorn_engine::http::{Framing, Head, ProxyHeader, Version, percent_decode};
use rgunicorn_engine::{Peer, Request, RequestBody};
use rgunicorn_link::protocol::{ListenAddress, ListenerInfo, Site, WorkerClass};
use std::net::IpAddr;

pub struct EnvironBuilder {
    /// The client's socket: the same in all templates.
    socket: Py<LazySocket>,
    /// By which an application sends early hints: the same in all templates.
    hints: Py<EarlyHints>,
    /// For each listener, in the engine's order.
    listeners: Vec<Listener>,
    multithread: bool,
    multiprocess: bool,
    keys: Keys,
    methods: Vec<(&'static [u8], Py<PyString>)>,
    headers: Headers,
    /// The mount point from the environment.
    script_name: Option<Vec<u8>>,
    /// The address of the last client, as most clients come again.
    last_address: Option<(IpAddr, Py<PyString>)>,
    path: Vec<u8>,
}

/// What is the same for all requests of a listener.
struct Listener {
    template: Py<PyDict>,
    /// A unix socket has no host and port; they come from the Host field.
    is_unix: bool,
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

impl EnvironBuilder {
    pub fn new(py: Python<'_>, site: &Site, socket: Py<LazySocket>) -> PyResult<Self> {
        let intern = |text: &str| PyString::intern(py, text).unbind();
        let methods: [&'static [u8]; 7] = [
            b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS",
        ];
        let methods = methods
            .into_iter()
            .filter_map(|method| Some((method, intern(std::str::from_utf8(method).ok()?))))
            .collect();
        Ok(Self {
            hints: EarlyHints::create(py, &socket)?,
            socket,
            listeners: Vec::new(),
            multithread: site.worker_class != WorkerClass::Sync,
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
            headers: Headers::new(py, site),
            script_name: std::env::var("SCRIPT_NAME")
                .ok()
                .filter(|name| !name.is_empty())
                .map(String::into_bytes),
            last_address: None,
            path: Vec::new(),
        })
    }

    /// Prepares for requests that come by the engine's next listener.
    pub fn add_listener(&mut self, py: Python<'_>, info: &ListenerInfo) -> PyResult<()> {
        let template = PyDict::new(py);
        template.set_item("wsgi.version", (1, 0))?;
        template.set_item("wsgi.url_scheme", "http")?;
        template.set_item("wsgi.input", Py::new(py, Input::empty(py))?)?;
        template.set_item("wsgi.errors", py.import("sys")?.getattr("stderr")?)?;
        template.set_item("wsgi.multithread", self.multithread)?;
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
        client_socket::add_to(&template, &self.socket)?;
        EarlyHints::add_to(&self.hints, &template)?;
        make_room(&template)?;
        self.listeners.push(Listener {
            template: template.unbind(),
            is_unix,
        });
        Ok(())
    }

    /// What the next requests have as their client's socket.
    pub fn socket(&self) -> &LazySocket {
        self.socket.get()
    }

    /// Whether the last request has left it unused. To be asked when its environ is gone.
    pub fn is_socket_reusable(&self) -> bool {
        let listeners = self.listeners.len();
        // One of each is here, and the hints have the socket.
        EarlyHints::is_reusable(&self.hints, 1 + listeners)
            && LazySocket::is_reusable(&self.socket, 2 + client_socket::KEYS.len() * listeners)
    }

    pub fn set_socket(&mut self, py: Python<'_>, socket: Py<LazySocket>) -> PyResult<()> {
        let hints = EarlyHints::create(py, &socket)?;
        for listener in &self.listeners {
            let template = listener.template.bind(py);
            client_socket::add_to(template, &socket)?;
            EarlyHints::add_to(&hints, template)?;
        }
        self.hints = hints;
        self.socket = socket;
        Ok(())
    }

    pub fn build<'py>(
        &mut self,
        py: Python<'py>,
        request: &Request,
    ) -> Result<Bound<'py, PyDict>, EnvironError> {
        let (head, bytes) = request.head();
        let peer = request.peer();
        let listener = &self.listeners[request.listener() as usize];
        let is_unix = listener.is_unix;
        let environ = listener.template.bind(py).copy()?;

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
        let target = head.target.of(bytes);
        let raw_uri = latin1::decode(py, target)?;
        environ.set_item(&self.keys.raw_uri, &raw_uri)?;
        let protocol = match head.version {
            Version::Http10 => &self.keys.http10,
            Version::Http11 => &self.keys.http11,
        };
        environ.set_item(&self.keys.server_protocol, protocol)?;
        let proxied = request.proxy_header();
        let client = match (proxied, peer) {
            (Some(ProxyHeader::Tcp { client, .. }), _) => Some(*client),
            (_, Peer::Tcp(address)) => Some(address),
            (_, Peer::Unix) => None,
        };
        if let Some(client) = client {
            let text = self.address(py, client.ip());
            environ.set_item(&self.keys.remote_addr, text)?;
            let mut digits = itoa::Buffer::new();
            let port = digits.format(client.port());
            environ.set_item(&self.keys.remote_port, port)?;
        }
        if let Some(header) = proxied {
            proxy(&environ, header)?;
        }
        let forwarded = self.headers.add_to(&environ, head, bytes, peer)?;
        if forwarded.tls {
            environ.set_item(&self.keys.url_scheme, &self.keys.https)?;
        }
        if is_unix {
            self.server_from_host(py, &environ, forwarded.host, forwarded.tls)?;
        }
        self.path(
            &environ,
            head.path.of(bytes),
            forwarded.script_name,
            (target, &raw_uri),
        )?;
        self.body(py, &environ, head, request)?;
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

    /// `SCRIPT_NAME` and `PATH_INFO`, which is the string of the target if that is a plain
    /// path.
    fn path(
        &mut self,
        environ: &Bound<'_, PyDict>,
        path: &[u8],
        script_name: Option<&[u8]>,
        (target, raw_uri): (&[u8], &Bound<'_, PyString>),
    ) -> Result<(), EnvironError> {
        let py = environ.py();
        self.path.clear();
        percent_decode(path, &mut self.path);
        let script_name = script_name.or(self.script_name.as_deref());
        let mut path = &self.path[..];
        if let Some(script_name) = script_name.filter(|name| !name.is_empty()) {
            path = match path.strip_prefix(script_name) {
                Some(rest) if rest.is_empty() || rest.starts_with(b"/") => rest,
                _ => {
                    let script_name = String::from_utf8_lossy(script_name).into_owned();
                    return Err(EnvironError::NotMounted { script_name });
                }
            };
            environ.set_item(&self.keys.script_name, latin1::decode(py, script_name)?)?;
        }
        if path == target {
            environ.set_item(&self.keys.path_info, raw_uri)?;
        } else {
            environ.set_item(&self.keys.path_info, latin1::decode(py, path)?)?;
        }
        Ok(())
    }

    /// The body. It was received completely, so its length is known also when it
    /// came in chunks: an application need not know about that.
    fn body(
        &self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        head: &Head,
        request: &Request,
    ) -> PyResult<()> {
        let body = request.body();
        if head.framing == Framing::Chunked {
            let length = match &body {
                RequestBody::Memory(bytes) => bytes.len() as u64,
                RequestBody::File(_, length) => *length,
                RequestBody::Streamed => 0,
            };
            let mut digits = itoa::Buffer::new();
            environ.set_item(&self.keys.content_length, digits.format(length))?;
        }
        let input = match body {
            RequestBody::Memory(b"") | RequestBody::Streamed => return Ok(()),
            RequestBody::Memory(bytes) => Input::memory(PyBytes::new(py, bytes).unbind()),
            RequestBody::File(file, length) => Input::file(file.try_clone()?, length),
        };
        environ.set_item(&self.keys.input, Py::new(py, input)?)
    }
}

/// Has a dictionary and its copies keep room for the keys of a request: one that grows while
/// it is filled is copied once more.
fn make_room(template: &Bound<'_, PyDict>) -> PyResult<()> {
    /// Python keeps tables of certain sizes: for up to 21 keys, and then for up to 42.
    const KEYS: usize = 22;
    // Strings: a table that has had any other key keeps the larger form of its entries, also
    // in its copies, which are then beyond what malloc(3) hands out quickly.
    let more: Vec<_> = (template.len()..KEYS)
        .map(|number| format!("room {number}"))
        .collect();
    for key in &more {
        template.set_item(key, ())?;
    }
    for key in &more {
        template.del_item(key)?;
    }
    Ok(())
}

/// What the proxy said of the connection, under Gunicorn's keys.
fn proxy(environ: &Bound<'_, PyDict>, header: &ProxyHeader) -> PyResult<()> {
    environ.set_item("PROXY_PROTOCOL", header.protocol())?;
    if let ProxyHeader::Tcp { server, .. } = header {
        environ.set_item("PROXY_ADDR", server.ip().to_string())?;
        environ.set_item("PROXY_PORT", server.port().to_string())?;
    }
    Ok(())
}
