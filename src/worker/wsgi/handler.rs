//! Calls the application, and answers for it where it fails.

use super::body::{close, send};
use super::environ::{EnvironBuilder, EnvironError};
use super::start_response::{BodyLength, Failure, RetireFlag, StartResponse};
use crate::application;
use crate::forking;
use crate::reporter::Reporter;
use crate::signals::Signals;
use pyo3::exceptions::{PyConnectionResetError, PySystemExit};
use pyo3::prelude::*;
use rgunicorn_engine::http::Status;
use rgunicorn_engine::{Clock, Exchange};
use rgunicorn_link::protocol::{Level, ListenerInfo, Site};
use rgunicorn_link::scoreboard::Outcome;

pub struct Wsgi {
    app: Py<PyAny>,
    environs: EnvironBuilder,
    start_response: Py<StartResponse>,
    retire_flag: RetireFlag,
    wrong_lengths: WrongLengths,
}

/// An exchange that goes back to the engine.
pub struct Answered {
    pub exchange: Exchange,
    pub outcome: Outcome,
}

impl Wsgi {
    pub fn new(
        py: Python<'_>,
        app: Py<PyAny>,
        site: &Site,
        retire_flag: RetireFlag,
    ) -> PyResult<Self> {
        Ok(Self {
            app,
            environs: EnvironBuilder::new(py, site),
            start_response: StartResponse::create(py, retire_flag.clone())?,
            retire_flag,
            wrong_lengths: WrongLengths::default(),
        })
    }

    /// Prepares for requests that come by the engine's next listener.
    pub fn add_listener(&mut self, py: Python<'_>, info: &ListenerInfo) -> PyResult<()> {
        self.environs.add_listener(py, info)
    }

    /// Calls the application and sends what it answers, as far as the client takes
    /// it. `None` if another thread of the application's has the exchange: it waits
    /// there for its client, and the request ends with it.
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
        forking::leave_if_child(py, &called);
        let result = match called {
            Ok(body) => {
                let sent = send(&response, &body);
                let closed = close(&body);
                forking::leave_if_child(py, &closed);
                if let Err(error) = closed {
                    // The client has its answer all the same.
                    if let Ok(exchange) = response.borrow_mut().exchange() {
                        log_exception(py, exchange, &error, reporter);
                    }
                }
                sent
            }
            Err(error) => Err(Failure::Python(error)),
        };
        forking::leave_if_child(py, &Ok(()));
        let (exchange, is_error, wrong_length) = {
            let mut response = response.borrow_mut();
            let wrong_length = response.wrong_length();
            (response.finish(), response.is_error(), wrong_length)
        };
        drop(response);
        if !StartResponse::is_reusable(&self.start_response, py) {
            if let Ok(fresh) = StartResponse::create(py, self.retire_flag.clone()) {
                self.start_response = fresh;
            }
        }
        let mut exchange = exchange?;
        let outcome = match result {
            Ok(()) => {
                let is_short = wrong_length.is_some_and(BodyLength::is_short);
                if let Some(length) = wrong_length {
                    self.wrong_lengths
                        .log(&exchange, length, clock.now_ms(), reporter);
                }
                if is_error || is_short {
                    Outcome::Error
                } else {
                    Outcome::Fine
                }
            }
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
                // It was raised by our handler: the application made no mistake.
                if !(signals.quit() && error.is_instance_of::<PySystemExit>(py)) {
                    log_exception(py, &exchange, &error, reporter);
                }
                fail(&mut exchange, clock);
                Outcome::Error
            }
        };
        Some(Answered { exchange, outcome })
    }
}

/// Logs bodies that are longer or shorter than their Content-Length. An
/// application may make the mistake in each answer, so the number of lines is
/// limited.
#[derive(Default)]
struct WrongLengths {
    /// When the current window began, by the engine's clock.
    window_start_ms: u64,
    /// In the current window.
    logged: u32,
    suppressed: u64,
}

impl WrongLengths {
    const WINDOW_MS: u64 = 10_000;
    const LINES_PER_WINDOW: u32 = 10;

    fn log(&mut self, exchange: &Exchange, length: BodyLength, now_ms: u64, reporter: &Reporter) {
        if now_ms >= self.window_start_ms + Self::WINDOW_MS {
            if self.suppressed > 0 {
                let text = format!(
                    "{} more answers had a wrong Content-Length",
                    self.suppressed
                );
                reporter.log(Level::Warning, text);
            }
            *self = Self {
                window_start_ms: now_ms,
                ..Self::default()
            };
        }
        if self.logged == Self::LINES_PER_WINDOW {
            self.suppressed += 1;
            return;
        }
        self.logged += 1;
        let (head, bytes) = exchange.request();
        let BodyLength { announced, given } = length;
        let what = if length.is_short() {
            format!(
                "has {given} bytes, but its Content-Length is {announced}: the client sees it cut off"
            )
        } else {
            format!(
                "has {given} bytes or more, but its Content-Length is {announced}: the rest is not sent"
            )
        };
        let text = format!(
            "The answer to {} {} {what}",
            String::from_utf8_lossy(head.method.of(bytes)),
            String::from_utf8_lossy(head.path.of(bytes)),
        );
        reporter.log(Level::Warning, text);
    }
}

/// Logs an exception of the application's as one record, with its traceback.
fn log_exception(py: Python<'_>, exchange: &Exchange, error: &PyErr, reporter: &Reporter) {
    let (head, bytes) = exchange.request();
    let text = format!(
        "Error handling request {} {}\n{}",
        String::from_utf8_lossy(head.method.of(bytes)),
        String::from_utf8_lossy(head.target.of(bytes)),
        application::traceback(py, error),
    );
    reporter.log(Level::Error, text);
}

/// Answers 500 if nothing was sent yet; else cuts the answer off, so that the client
/// does not take it for complete.
fn fail(exchange: &mut Exchange, clock: &Clock) {
    exchange.respond_with_error(Status::INTERNAL_SERVER_ERROR, clock.date());
}

fn refuse(
    py: Python<'_>,
    mut exchange: Exchange,
    problem: EnvironError,
    clock: &Clock,
    reporter: &Reporter,
) -> Answered {
    match problem {
        EnvironError::Contradiction(what) => {
            reporter.log(
                Level::Warning,
                format!("Refused a request with 400: {what}"),
            );
            exchange.respond_with_error(Status::BAD_REQUEST, clock.date());
        }
        EnvironError::NotMounted { script_name } => {
            let (head, bytes) = exchange.request();
            let text = format!(
                "The application is mounted at {script_name:?}, but the request was for {:?}",
                String::from_utf8_lossy(head.target.of(bytes))
            );
            reporter.log(Level::Error, text);
            fail(&mut exchange, clock);
        }
        EnvironError::Python(error) => {
            log_exception(py, &exchange, &error, reporter);
            fail(&mut exchange, clock);
        }
    }
    Answered {
        exchange,
        outcome: Outcome::Error,
    }
}
