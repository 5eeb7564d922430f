//! Calls the application, and sends an error page where it fails.

use super::body::{close, send};
use super::body_length::{BodyLength, WrongLengths};
use super::environ::{EnvironBuilder, EnvironError};
use super::start_response::{Failure, StartResponse};
use crate::application;
use crate::forking;
use crate::reporter::Reporter;
use crate::retire_flag::RetireFlag;
use crate::signals::Signals;
use pyo3::exceptions::{PyConnectionResetError, PySystemExit};
use pyo3::prelude::*;
use rgunicorn_engine::http::Status;
use rgunicorn_engine::{Clock, Exchange, ExchangeId};
use rgunicorn_link::protocol::{Level, ListenerInfo, Site};
use rgunicorn_link::scoreboard::Outcome;

pub struct Wsgi {
    app: Py<PyAny>,
    environs: EnvironBuilder,
    start_response: Py<StartResponse>,
    retire_flag: RetireFlag,
    wrong_lengths: WrongLengths,
}

/// What became of an exchange.
pub enum Answered {
    /// It goes back to the engine.
    Complete(Exchange, Outcome),
    /// Another thread of the application's has it and waits there for the client. The
    /// thread will find that the request is over, and drop it.
    Kept(ExchangeId),
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

    /// Calls the application and sends its response, as far as the client takes it.
    pub fn answer(
        &mut self,
        py: Python<'_>,
        exchange: Exchange,
        clock: &Clock,
        reporter: &Reporter,
        signals: &Signals,
    ) -> Answered {
        let environ = match self.environs.build(py, &exchange) {
            Ok(environ) => environ,
            Err(problem) => return refuse(py, exchange, problem, clock, reporter),
        };
        let response = self.start_response.bind(py).clone();
        let id = exchange.id();
        response.borrow_mut().begin(exchange, *clock.date());
        let called = self.app.bind(py).call1((environ, &response));
        forking::exit_if_child(py, &called);
        let result = match called {
            Ok(body) => {
                let sent = send(&response, &body);
                let closed = close(&body);
                forking::exit_if_child(py, &closed);
                if let Err(error) = closed {
                    // The client has its response all the same.
                    let mut response = response.borrow_mut();
                    log_exception(py, response.exchange().ok().as_deref(), &error, reporter);
                }
                sent
            }
            Err(error) => Err(Failure::Python(error)),
        };
        forking::exit_if_child(py, &Ok(()));
        let (exchange, is_error, client_gone, wrong_length) = {
            let mut response = response.borrow_mut();
            let wrong_length = response.wrong_length();
            let client_gone = response.is_client_gone();
            (
                response.finish(),
                response.is_error(),
                client_gone,
                wrong_length,
            )
        };
        drop(response);
        if !StartResponse::is_reusable(&self.start_response, py) {
            if let Ok(fresh) = StartResponse::create(py, self.retire_flag.clone()) {
                self.start_response = fresh;
            }
        }
        let Some(mut exchange) = exchange else {
            if let Err(Failure::Python(error)) = result {
                log_exception(py, None, &error, reporter);
            }
            return Answered::Kept(id);
        };
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
            // `write` raised it, and the application let it pass.
            Err(Failure::Python(error))
                if client_gone && error.is_instance_of::<PyConnectionResetError>(py) =>
            {
                exchange.abort();
                Outcome::Fine
            }
            Err(Failure::Python(error)) => {
                // It was raised by our handler: the application made no mistake.
                if !(signals.quit() && error.is_instance_of::<PySystemExit>(py)) {
                    log_exception(py, Some(&exchange), &error, reporter);
                }
                fail(&mut exchange, clock);
                Outcome::Error
            }
        };
        Answered::Complete(exchange, outcome)
    }

    /// Logs what was left out of the log, when the time for it has come.
    pub fn log_suppressed(&mut self, now_ms: u64, reporter: &Reporter) {
        self.wrong_lengths.end_window(now_ms, reporter);
    }

    /// Logs what was left out of the log, before the worker leaves.
    pub fn log_all_suppressed(&mut self, reporter: &Reporter) {
        self.wrong_lengths.log_suppressed(reporter);
    }
}

/// Logs an exception of the application's as one record, with its traceback. Without the
/// request if another thread has the exchange.
fn log_exception(py: Python<'_>, exchange: Option<&Exchange>, error: &PyErr, reporter: &Reporter) {
    let request = match exchange.map(Exchange::request) {
        Some((head, bytes)) => format!(
            "{} {}",
            String::from_utf8_lossy(head.method.of(bytes)),
            String::from_utf8_lossy(head.target.of(bytes)),
        ),
        None => "whose response another thread is sending".to_owned(),
    };
    let text = format!(
        "Error handling request {request}\n{}",
        application::traceback(py, error),
    );
    reporter.log(Level::Error, text);
}

/// Answers 500 if nothing was sent yet; else cuts the response off, so that the client
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
            log_exception(py, Some(&exchange), &error, reporter);
            fail(&mut exchange, clock);
        }
    }
    Answered::Complete(exchange, Outcome::Error)
}
