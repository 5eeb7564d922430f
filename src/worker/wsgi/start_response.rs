//! `start_response` and the `write` callable it returns (PEP 3333, "The
//! `start_response()` Callable").

use super::body_length::BodyLength;
use super::file_wrapper::Part;
use super::latin1;
use crate::retire_flag::RetireFlag;
use pyo3::exceptions::{PyAssertionError, PyConnectionResetError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use rgunicorn_engine::http::{ResponseError, ResponseFraming};
use rgunicorn_engine::{ClientSocket, Flow, Responder, SendError};

/// `start_response`. It holds the request's responder while the application runs.
#[pyclass(module = "rgunicorn")]
pub struct StartResponse {
    responder: Option<Responder>,
    /// Counts the requests: a thread that waited for its client may find the next one.
    request: u64,
    /// `write` has told the application that the client is gone.
    client_gone: bool,
    status: Option<Py<PyString>>,
    headers: Option<Py<PyList>>,
    write: Option<Py<Write>>,
    retire_flag: RetireFlag,
    date: [u8; 29],
    framing: ResponseFraming,
    /// Bytes of the body that the application gave, sent or not.
    given: u64,
    /// The status the application gave was 500 or more.
    is_error: bool,
}

/// The `write` callable.
#[pyclass(module = "rgunicorn")]
pub struct Write {
    start_response: Py<StartResponse>,
}

/// Why a response does not go on.
pub enum Failure {
    /// The client closed the connection, or the application has taken it; not an error.
    ClientGone,
    /// The application or the server failed: it is logged, and answered with 500 where still possible.
    Python(PyErr),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match &error {
            SendError::Gone(_) => Self::ClientGone,
            SendError::Spool(source) => {
                Self::Python(PyRuntimeError::new_err(format!("{error}: {source}")))
            }
        }
    }
}

impl StartResponse {
    /// For any number of requests, one after the other.
    pub fn create(py: Python<'_>, retire_flag: RetireFlag) -> PyResult<Py<Self>> {
        let this = Py::new(
            py,
            Self {
                responder: None,
                request: 0,
                client_gone: false,
                status: None,
                headers: None,
                write: None,
                retire_flag,
                date: [b' '; 29],
                framing: ResponseFraming::UntilClose,
                given: 0,
                is_error: false,
            },
        )?;
        let start_response = this.clone_ref(py);
        let write = Py::new(py, Write { start_response })?;
        this.borrow_mut(py).write = Some(write);
        Ok(this)
    }

    /// Whether it can be used for the next request: the application kept no
    /// reference to it or to its `write`. If it did, late calls find no responder.
    /// `others` are references that the server has beside those.
    pub fn is_reusable(this: &Py<Self>, py: Python<'_>, others: isize) -> bool {
        let mut inner = this.borrow_mut(py);
        let known_write = inner
            .write
            .as_ref()
            .is_some_and(|write| references(write) > 1);
        // The owner's reference, `write`'s, and the one `borrow_mut` holds.
        if known_write || references(this) > 3 + others {
            inner.write = None;
            return false;
        }
        true
    }

    pub fn begin(&mut self, responder: Responder, date: [u8; 29]) {
        self.responder = Some(responder);
        self.date = date;
        self.framing = ResponseFraming::UntilClose;
        self.given = 0;
        self.is_error = false;
        self.client_gone = false;
    }

    /// The status and the headers that the application gave, and the bytes of its body.
    pub fn answered(&self, py: Python<'_>) -> (Option<Py<PyString>>, Option<Py<PyList>>, u64) {
        let status = self.status.as_ref().map(|status| status.clone_ref(py));
        let headers = self.headers.as_ref().map(|headers| headers.clone_ref(py));
        (status, headers, self.given)
    }

    /// Ends the request. `None`: another thread has the responder, and will drop it.
    pub fn finish(&mut self) -> Option<Responder> {
        self.request += 1;
        self.status = None;
        self.headers = None;
        self.responder.take()
    }

    /// Whether the application knows from `write` that the client is gone.
    pub fn is_client_gone(&self) -> bool {
        self.client_gone
    }

    /// Whether the response's status was 500 or more.
    pub fn is_error(&self) -> bool {
        self.is_error
    }

    /// What answers the request, as long as it is not over.
    pub fn responder(&mut self) -> PyResult<&mut Responder> {
        self.responder.as_mut().ok_or_else(request_is_over)
    }

    /// The client's socket, as long as the request is not over.
    pub fn socket(&self) -> Option<ClientSocket> {
        self.responder.as_ref().map(Responder::socket)
    }

    /// Writes the head, unless it is written: from now on it cannot be replaced.
    pub fn start(&mut self, py: Python<'_>, length: Option<u64>) -> Result<(), Failure> {
        let Some(responder) = &mut self.responder else {
            return Err(request_is_over().into());
        };
        if responder.is_started() {
            return Ok(());
        }
        if responder.is_taken() {
            return Err(Failure::ClientGone);
        }
        let (Some(status), Some(headers)) = (&self.status, &self.headers) else {
            let message = "the application sent a body before it called start_response";
            return Err(PyAssertionError::new_err(message).into());
        };
        let mut scratch = (Vec::new(), Vec::new());
        let status = latin1::encode(status.bind(py), &mut scratch.0)?;
        if self.retire_flag.closes_connections() {
            responder.close_after();
        }
        self.is_error = status.first().is_some_and(|digit| *digit >= b'5');
        let mut head = responder.head(status).map_err(|fault| refused(&fault))?;
        for header in headers.bind(py) {
            let header = header.cast_into::<PyTuple>().map_err(PyErr::from)?;
            let (name, value) = (header.get_item(0)?, header.get_item(1)?);
            let name = name.cast::<PyString>().map_err(PyErr::from)?;
            let value = value.cast::<PyString>().map_err(PyErr::from)?;
            let name = latin1::encode(name, &mut scratch.0)?;
            let value = latin1::encode(value, &mut scratch.1)?;
            head.field(name, value).map_err(|fault| refused(&fault))?;
        }
        head.finish(length, &self.date);
        if let Some(framing) = responder.framing() {
            self.framing = framing;
        }
        Ok(())
    }

    /// Adds a piece to the body. Does not send it yet, if it is small.
    pub fn push(&mut self, piece: &[u8]) -> Result<Flow, Failure> {
        self.given += piece.len() as u64;
        Ok(self.responder()?.push(piece)?)
    }

    /// Whether a file can be the rest of the body: not if pieces of it are chunks already.
    pub fn takes_file(&self) -> bool {
        self.framing != ResponseFraming::Chunked
    }

    /// Lets the kernel send a part of a file as the body.
    pub fn send_file(&mut self, part: Part) -> PyResult<()> {
        // An application that announces less asks for less: this is how a range
        // of a file is sent.
        self.given += match self.framing {
            ResponseFraming::Length(announced) => {
                part.length.min(announced.saturating_sub(self.given))
            }
            ResponseFraming::NoBody | ResponseFraming::Chunked | ResponseFraming::UntilClose => {
                part.length
            }
        };
        self.responder()?
            .send_file(part.file, part.position, part.length);
        Ok(())
    }

    /// Whether nothing of the body's rest would be sent.
    pub fn is_complete(&self) -> bool {
        match self.framing {
            ResponseFraming::NoBody => true,
            ResponseFraming::Length(announced) => self.given >= announced,
            ResponseFraming::Chunked | ResponseFraming::UntilClose => false,
        }
    }

    /// The lengths, if the body does not have the one that was announced.
    pub fn wrong_length(&self) -> Option<BodyLength> {
        match self.framing {
            ResponseFraming::Length(announced) if announced != self.given => Some(BodyLength {
                announced,
                given: self.given,
            }),
            ResponseFraming::Length(_)
            | ResponseFraming::NoBody
            | ResponseFraming::Chunked
            | ResponseFraming::UntilClose => None,
        }
    }

    /// Sends what the client takes at once.
    fn flush(&mut self) -> Result<Flow, Failure> {
        Ok(self.responder()?.flush()?)
    }
}

/// How many references there are to an object. The caller must hold the GIL.
#[expect(unsafe_code, reason = "PyO3 offers it as a C function only")]
pub fn references<T>(object: &Py<T>) -> isize {
    // SAFETY: a `Py` holds a reference, so the object is alive; reading its count changes nothing.
    unsafe { pyo3::ffi::Py_REFCNT(object.as_ptr()) }
}

fn refused(fault: &ResponseError) -> Failure {
    Failure::Python(pyo3::exceptions::PyValueError::new_err(fault.to_string()))
}

/// Sends what there is. Waits, with the GIL released, if the client does not take
/// it and there is no more room to keep it. Other threads cannot send meanwhile: to
/// them the request is over until it goes on.
pub fn flush(response: &Bound<'_, StartResponse>) -> Result<(), Failure> {
    let py = response.py();
    while borrow_mut(response)?.flush()? == Flow::Full {
        let (waiting, request) = {
            let mut response = borrow_mut(response)?;
            (response.responder.take(), response.request)
        };
        let Some(waiting) = waiting else {
            return Err(request_is_over().into());
        };
        let waited = py.detach(|| waiting.wait_writable());
        {
            let mut response = borrow_mut(response)?;
            if response.request != request {
                // Dropped, which ends the connection before the end of the response.
                return Err(request_is_over().into());
            }
            response.responder = Some(waiting);
        }
        waited?;
        py.check_signals()?;
    }
    Ok(())
}

fn borrow_mut<'py>(response: &Bound<'py, StartResponse>) -> PyResult<PyRefMut<'py, StartResponse>> {
    response.try_borrow_mut().map_err(PyErr::from)
}

fn request_is_over() -> PyErr {
    PyRuntimeError::new_err("the request is over")
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, exc_info=None, /))]
    fn __call__<'py>(
        &mut self,
        py: Python<'py>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Py<Write>>> {
        let is_started = self.responder()?.is_started();
        if let Some(exc_info) = exc_info.filter(|exc_info| !exc_info.is_none()) {
            if is_started {
                // Too late for another response: the exception is raised again.
                return Err(reraise(exc_info)?);
            }
        } else if self.status.is_some() {
            return Err(PyAssertionError::new_err(
                "start_response was called twice without exc_info",
            ));
        }
        let status = status
            .cast::<PyString>()
            .map_err(|_| PyTypeError::new_err("the status must be a str"))?;
        let headers = headers
            .cast::<PyList>()
            .map_err(|_| PyTypeError::new_err("the headers must be a list"))?;
        for header in headers {
            let pair = header.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2);
            let is_pair = pair.is_some_and(|pair| {
                pair.iter_borrowed()
                    .all(|part| part.is_instance_of::<PyString>())
            });
            if !is_pair {
                return Err(PyTypeError::new_err(format!(
                    "a header must be a tuple of two str, not {}",
                    header.repr()?
                )));
            }
        }
        self.status = Some(status.clone().unbind());
        self.headers = Some(headers.clone().unbind());
        Ok(self.write.as_ref().map(|write| write.clone_ref(py)))
    }
}

/// The exception of an `exc_info` tuple, with its traceback.
fn reraise(exc_info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let value = exc_info.get_item(1)?;
    let traceback = exc_info.get_item(2)?;
    let value = value.call_method1("with_traceback", (traceback,))?;
    Ok(PyErr::from_value(value))
}

#[pymethods]
impl Write {
    #[pyo3(signature = (data, /))]
    fn __call__(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = data
            .cast::<PyBytes>()
            .map_err(|_| PyTypeError::new_err("write() takes bytes"))?;
        let response = self.start_response.bind(py);
        let pushed = borrow_mut(response).map(|mut response| {
            response
                .start(py, None)
                .and_then(|()| response.push(data.as_bytes()))
        });
        let written = pushed?.and_then(|_| flush(response));
        match written {
            Ok(()) => Ok(()),
            Err(Failure::Python(error)) => Err(error),
            Err(Failure::ClientGone) => {
                borrow_mut(response)?.client_gone = true;
                Err(PyConnectionResetError::new_err("the client is gone"))
            }
        }
    }
}
