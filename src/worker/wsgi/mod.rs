//! WSGI (PEP 3333): a request becomes a call, what it returns becomes an answer.

mod file_wrapper;
mod input;
mod start_response;

pub use file_wrapper::FileWrapper;
pub use input::Input;

use crate::application;
use crate::environ::{Environs, Problem};
use crate::forked;
use crate::latin1;
use crate::report::Reporter;
use crate::signals::Signals;
use pyo3::exceptions::{PyConnectionResetError, PySystemExit, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use rgunicorn_engine::http::Status;
use rgunicorn_engine::{Clock, Exchange};
use rgunicorn_link::protocol::{Level, ListenerInfo, Site};
use rgunicorn_link::scoreboard::Outcome;
pub use start_response::Standing;
use start_response::{Failure, StartResponse, flush};

/// The application and what it takes to call it.
pub struct Wsgi {
    app: Py<PyAny>,
    environs: Environs,
    start_response: Py<StartResponse>,
    standing: Standing,
}

/// An exchange after the application had it.
pub struct Answered {
    /// To be given back to the engine.
    pub exchange: Exchange,
    /// How it went.
    pub outcome: Outcome,
}

impl Wsgi {
    /// For `app`, without a listener yet.
    pub fn new(py: Python<'_>, app: Py<PyAny>, site: &Site, standing: Standing) -> PyResult<Self> {
        Ok(Self {
            app,
            environs: Environs::new(py, site),
            start_response: StartResponse::create(py, standing.clone())?,
            standing,
        })
    }

    /// Prepares for requests that come by the engine's next listener.
    pub fn add_listener(&mut self, py: Python<'_>, info: &ListenerInfo) -> PyResult<()> {
        self.environs.add_listener(py, info)
    }

    /// Calls the application and sends what it answers, as far as the client takes it.
    pub fn answer(
        &mut self,
        py: Python<'_>,
        exchange: Exchange,
        clock: &Clock,
        reporter: &Reporter,
        signals: &Signals,
    ) -> Option<Answered> {
        let environ = match self.environs.build(py, &exchange) {
            Ok(environ) => environ,
            Err(problem) => return Some(refuse(py, exchange, problem, clock, reporter)),
        };
        let response = self.start_response.bind(py).clone();
        response.borrow_mut().begin(exchange, *clock.date());
        let called = self.app.bind(py).call1((environ, &response));
        forked::leave_if_child(py, &called);
        let result = match called {
            Ok(body) => {
                let sent = send(&response, &body);
                let closed = close(&body);
                forked::leave_if_child(py, &closed);
                if let Err(error) = closed {
                    // The answer is as good as it was.
                    if let Ok(exchange) = response.borrow_mut().exchange() {
                        report(py, exchange, &error, reporter);
                    }
                }
                sent
            }
            Err(error) => Err(Failure::Python(error)),
        };
        let (exchange, is_error) = {
            let mut response = response.borrow_mut();
            (response.finish(), response.is_error())
        };
        drop(response);
        if !StartResponse::is_reusable(&self.start_response, py) {
            if let Ok(fresh) = StartResponse::create(py, self.standing.clone()) {
                self.start_response = fresh;
            }
        }
        let mut exchange = exchange?;
        let outcome = match result {
            Ok(()) if is_error => Outcome::Error,
            Ok(()) => Outcome::Fine,
            Err(Failure::ClientGone) => {
                exchange.abort();
                Outcome::Fine
            }
            // What `write` raises where the client is gone, if the application lets it pass.
            Err(Failure::Python(error))
                if error.is_instance_of::<PyConnectionResetError>(py)
                    && exchange.is_committed() =>
            {
                exchange.abort();
                Outcome::Fine
            }
            Err(Failure::Python(error)) => {
                // What a signal to leave at once raises is nobody's mistake.
                if !(signals.quit() && error.is_instance_of::<PySystemExit>(py)) {
                    report(py, &exchange, &error, reporter);
                }
                fail(&mut exchange, clock);
                Outcome::Error
            }
        };
        Some(Answered { exchange, outcome })
    }
}

/// Sends the body that the application returned.
fn send(response: &Bound<'_, StartResponse>, body: &Bound<'_, PyAny>) -> Result<(), Failure> {
    let py = body.py();
    if let Ok(list) = body.cast_exact::<PyList>() {
        send_all(response, list.len(), || list.iter())?;
    } else if let Ok(tuple) = body.cast_exact::<PyTuple>() {
        send_all(response, tuple.len(), || tuple.iter())?;
    } else if !send_file(response, body)? {
        for piece in body.try_iter()? {
            forked::leave_if_child(py, &piece);
            let piece = piece?;
            let bytes = check(&piece)?;
            // Nothing is committed before the first byte of the body: an
            // application may still think better of it.
            if bytes.is_empty() {
                continue;
            }
            {
                let mut response = response.borrow_mut();
                response.start(py, None)?;
                response.push(bytes)?;
            }
            flush(response)?;
        }
        response.borrow_mut().start(py, Some(0))?;
    }
    let mut response = response.borrow_mut();
    response.exchange()?.end();
    Ok(())
}

/// A body whose pieces are all here: they go out together.
fn send_all<'py, I>(
    response: &Bound<'py, StartResponse>,
    count: usize,
    pieces: impl Fn() -> I,
) -> Result<(), Failure>
where
    I: Iterator<Item = Bound<'py, PyAny>>,
{
    let py = response.py();
    let mut length = 0;
    for piece in pieces() {
        length += check(&piece)?.len() as u64;
    }
    let mut response = response.borrow_mut();
    response.start(py, Some(length))?;
    for piece in pieces().take(count) {
        response.push(check(&piece)?)?;
    }
    Ok(())
}

/// Lets the kernel send the file, if the body is one. `false`: it is not.
fn send_file(
    response: &Bound<'_, StartResponse>,
    body: &Bound<'_, PyAny>,
) -> Result<bool, Failure> {
    let py = body.py();
    let Ok(wrapper) = body.cast_exact::<FileWrapper>() else {
        return Ok(false);
    };
    let Some(part) = wrapper.borrow().part(py)? else {
        return Ok(false);
    };
    let mut response = response.borrow_mut();
    response.start(py, Some(part.length))?;
    response
        .exchange()?
        .send_file(part.file, part.position, part.length);
    Ok(true)
}

fn check<'a>(piece: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    latin1::bytes(piece).ok_or_else(|| {
        let kind = piece.get_type();
        PyTypeError::new_err(format!("a body must be made of bytes, not of {kind}"))
    })
}

/// Tells the body that nobody will look at it any more.
fn close(body: &Bound<'_, PyAny>) -> PyResult<()> {
    if body.is_exact_instance_of::<PyList>() || body.is_exact_instance_of::<PyTuple>() {
        return Ok(());
    }
    if let Some(close) = body.getattr_opt("close")? {
        close.call0()?;
    }
    Ok(())
}

/// One record for an exception of the application's: what was asked, and the traceback.
fn report(py: Python<'_>, exchange: &Exchange, error: &PyErr, reporter: &Reporter) {
    let (head, bytes) = exchange.request();
    let text = format!(
        "Error handling request {} {}\n{}",
        String::from_utf8_lossy(head.method.of(bytes)),
        String::from_utf8_lossy(head.target.of(bytes)),
        application::traceback(py, error),
    );
    reporter.log(Level::Error, text);
}

/// Answers 500 where nothing was sent yet, else cuts the answer off so that the client can tell.
fn fail(exchange: &mut Exchange, clock: &Clock) {
    exchange.respond_with_error(Status::INTERNAL_SERVER_ERROR, clock.date());
}

fn refuse(
    py: Python<'_>,
    mut exchange: Exchange,
    problem: Problem,
    clock: &Clock,
    reporter: &Reporter,
) -> Answered {
    match problem {
        Problem::Contradiction(what) => {
            reporter.log(
                Level::Warning,
                format!("Refused a request with 400: {what}"),
            );
            exchange.respond_with_error(Status::BAD_REQUEST, clock.date());
        }
        Problem::NotMounted { script_name } => {
            let (head, bytes) = exchange.request();
            let text = format!(
                "The application is mounted at {script_name:?}, but the request was for {:?}",
                String::from_utf8_lossy(head.target.of(bytes))
            );
            reporter.log(Level::Error, text);
            fail(&mut exchange, clock);
        }
        Problem::Python(error) => {
            report(py, &exchange, &error, reporter);
            fail(&mut exchange, clock);
        }
    }
    Answered {
        exchange,
        outcome: Outcome::Error,
    }
}
