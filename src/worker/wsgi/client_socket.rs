//! `environ["gunicorn.socket"]`, by which an application uses its client's connection itself:
//! for websockets above all.
//!
//! All requests of a thread have the same object in their environ, which becomes a socket (of
//! a class in `client_socket.py`) only when an attribute is asked for: until then it costs
//! nothing. An object that was used, or that the application kept, belongs to its request for
//! ever; the next request gets a new one.

use super::start_response::{StartResponse, references};
use pyo3::exceptions::{PyConnectionError, PyOSError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rgunicorn_engine::{ClientSocket, Relay, Taken};
use rustix::io::Errno;
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The keys under which libraries look for the socket.
pub const KEYS: [&str; 2] = ["gunicorn.socket", "werkzeug.socket"];

/// How long a request waits at its end until the client has taken what the application sent
/// last, where that goes by way of a relay.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// What stands in the environ.
#[pyclass(module = "rgunicorn", name = "ClientSocket", frozen)]
pub struct LazySocket {
    /// That of the request; `None` once that is over.
    start_response: Mutex<Option<Py<StartResponse>>>,
    /// Set once a request has taken its connection.
    taken: Arc<AtomicBool>,
    used: OnceLock<Used>,
}

/// The socket that an application has asked for.
struct Used {
    socket: Py<PyAny>,
    connection: Arc<Connection>,
}

struct Connection {
    /// `None` once the request is over: the application may keep its socket for ever, but not
    /// the descriptor of the engine's.
    socket: Mutex<Option<ClientSocket>>,
    taken: Arc<AtomicBool>,
    relay: Mutex<Option<Relay>>,
}

/// What the Python class needs of the connection.
#[pyclass(module = "rgunicorn", frozen)]
struct Handle(Arc<Connection>);

/// How an application has left a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It has not touched the socket.
    No,
    /// It has looked at it.
    Looked,
    /// The connection was its own.
    Taken,
}

impl LazySocket {
    pub fn create(
        py: Python<'_>,
        start_response: &Py<StartResponse>,
        taken: &Arc<AtomicBool>,
    ) -> PyResult<Py<Self>> {
        let this = Self {
            start_response: Mutex::new(Some(start_response.clone_ref(py))),
            taken: Arc::clone(taken),
            used: OnceLock::new(),
        };
        Py::new(py, this)
    }

    /// Whether it can be that of the next request: nobody has touched or kept it. `owned` is
    /// how many references there are between two requests.
    pub fn is_reusable(this: &Py<Self>, owned: usize) -> bool {
        this.get().used.get().is_none() && usize::try_from(references(this)) == Ok(owned)
    }

    /// It is for requests that are answered by this one; `None`: for none any more.
    pub fn set_start_response(&self, start_response: Option<Py<StartResponse>>) {
        *lock(&self.start_response) = start_response;
    }

    /// What answers its request; `None` once that is over.
    pub fn start_response(&self, py: Python<'_>) -> Option<Py<StartResponse>> {
        let start_response = lock(&self.start_response);
        start_response.as_ref().map(|it| it.clone_ref(py))
    }

    /// What the application does with its connection.
    pub fn use_(&self) -> Use {
        let Some(used) = self.used.get() else {
            return Use::No;
        };
        let socket = lock(&used.connection.socket);
        if socket.as_ref().is_some_and(ClientSocket::is_taken) {
            Use::Taken
        } else {
            Use::Looked
        }
    }

    /// The request is over: the application can use the socket no more.
    pub fn end(&self, py: Python<'_>) -> PyResult<()> {
        let Some(Used { socket, connection }) = self.used.get() else {
            return Ok(());
        };
        // From now on it cannot be taken.
        let Some(client) = lock(&connection.socket).take() else {
            return Ok(());
        };
        // The engine closes a connection that was taken: a thread of the application's that
        // still reads finds its end.
        let relay = lock(&connection.relay).take();
        if let Some(relay) = relay {
            py.detach(|| relay.finish(MAX_WAIT));
        }
        let ended = socket.call_method0(py, "_rgunicorn_end");
        if !client.is_taken() {
            // Whatever the application has done to its descriptor: the connection goes on.
            client.restore();
        }
        ended.map(drop)
    }

    /// The socket, made now if this is the first time.
    fn socket(&self, py: Python<'_>) -> PyResult<&Py<PyAny>> {
        if let Some(used) = self.used.get() {
            return Ok(&used.socket);
        }
        let start_response = self.start_response(py).ok_or_else(is_over)?;
        let socket = start_response.bind(py).try_borrow()?.socket();
        let socket = socket.ok_or_else(is_over)?;
        let connection = Arc::new(Connection {
            socket: Mutex::new(Some(socket)),
            taken: Arc::clone(&self.taken),
            relay: Mutex::new(None),
        });
        let handle = Handle(Arc::clone(&connection));
        let socket = class(py)?.call1((handle,))?.unbind();
        // Another thread may have been faster; its socket is as good.
        let used = Used { socket, connection };
        Ok(&self.used.get_or_init(|| used).socket)
    }
}

impl Use {
    /// Whether an exception is how libraries leave a request whose connection they had: to
    /// the servers that they know, it says that there is no response.
    pub fn is_left_by(self, py: Python<'_>, error: &PyErr) -> bool {
        match self {
            Self::No => false,
            Self::Looked => error.is_instance_of::<PyStopIteration>(py),
            Self::Taken => {
                error.is_instance_of::<PyStopIteration>(py)
                    || error.is_instance_of::<PyConnectionError>(py)
            }
        }
    }
}

fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("rgunicorn.client_socket")?
        .getattr("ClientSocket")
}

fn is_over() -> PyErr {
    let number = Errno::BADF.raw_os_error();
    PyOSError::new_err((number, "the request of this socket is over"))
}

fn lock<T>(place: &Mutex<Option<T>>) -> MutexGuard<'_, Option<T>> {
    // Things are only moved in and out.
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pymethods]
impl LazySocket {
    /// `isinstance(…, socket.socket)` is true.
    #[getter(__class__)]
    #[expect(clippy::unused_self, reason = "Python asks the object")]
    fn class<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        class(py)
    }

    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.socket(py)?.bind(py).getattr(name)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.socket(py)?.bind(py).repr()?.to_string())
    }

    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.socket(py)?.bind(py).call_method0("__enter__")
    }

    #[pyo3(signature = (*details))]
    fn __exit__<'py>(
        &self,
        py: Python<'py>,
        details: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let socket = self.socket(py)?.bind(py);
        socket.call_method1("__exit__", details.clone())
    }
}

#[pymethods]
impl Handle {
    /// A descriptor of the socket, which the caller owns.
    fn duplicate(&self) -> PyResult<i32> {
        let socket = lock(&self.0.socket);
        let socket = socket.as_ref().ok_or_else(is_over)?;
        Ok(socket.duplicate()?.into_raw_fd())
    }

    /// Takes the connection. Returns a descriptor to go on with in the place of the first
    /// one, or None.
    fn take(&self) -> PyResult<Option<i32>> {
        let socket = lock(&self.0.socket);
        let taken = socket.as_ref().ok_or_else(is_over)?.take().ok_or_else(|| {
            let number = Errno::CONNRESET.raw_os_error();
            PyOSError::new_err((number, "the request was answered before"))
        })?;
        self.0.taken.store(true, Relaxed);
        match taken? {
            Taken::Socket => Ok(None),
            Taken::Relayed(socket, relay) => {
                *lock(&self.0.relay) = Some(relay);
                Ok(Some(socket.into_raw_fd()))
            }
        }
    }
}

/// Adds the socket to what all requests of a listener have in common.
pub fn add_to(template: &Bound<'_, PyDict>, socket: &Py<LazySocket>) -> PyResult<()> {
    for key in KEYS {
        template.set_item(key, socket)?;
    }
    Ok(())
}
