//! Calls the application, and sends an error page where it fails.

use super::body::{close, send};
use super::body_length::{BodyLength, WrongLengths};
use super::client_socket::{LazySocket, Use};
use super::environ::{EnvironBuilder, EnvironError};
use super::logged_variables::LoggedVariables;
use super::start_response::{Failure, StartResponse};
use crate::application;
use crate::forking;
use crate::hooks::Hooks;
use crate::retire_flag::RetireFlag;
use pyo3::exceptions::{PyConnectionResetError, PySystemExit};
use pyo3::prelude::*;
use rgunicorn_engine::http::Status;
use rgunicorn_engine::{Clock, Request, Responder};
use rgunicorn_link::protocol::{Level, ListenerInfo, Site};
use rgunicorn_link::scoreboard::Outcome;
use rgunicorn_serving::{NamedRequest, Reporter, lock};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Calls the application, in one thread at a time.
pub struct Wsgi {
    app: Py<PyAny>,
    environs: EnvironBuilder,
    start_response: Py<StartResponse>,
    /// Whether the request that is answered has taken its connection.
    taken: Arc<AtomicBool>,
    retire_flag: RetireFlag,
    /// Those that are called for each request, if there are any.
    hooks: Option<Hooks>,
    /// Shared by all threads of the worker.
    wrong_lengths: Arc<Mutex<WrongLengths>>,
    /// The environ variables that the access log has.
    logged: LoggedVariables,
}

/// What became of a request's responder.
pub enum Answered {
    /// It goes back to the engine.
    Complete(Responder, Outcome),
    /// Another thread of the application's has it and waits there for the client. The
    /// thread will find that the request is over, and drop it.
    Kept,
}

impl Wsgi {
    pub fn new(
        py: Python<'_>,
        app: Py<PyAny>,
        site: &Site,
        retire_flag: RetireFlag,
        hooks: Option<Hooks>,
    ) -> PyResult<Self> {
        let start_response = StartResponse::create(py, retire_flag.clone())?;
        let taken = Arc::default();
        let socket = LazySocket::create(py, &start_response, &taken)?;
        Ok(Self {
            app,
            environs: EnvironBuilder::new(py, site, socket)?,
            start_response,
            taken,
            retire_flag,
            hooks,
            wrong_lengths: Arc::default(),
            logged: LoggedVariables::new(site),
        })
    }

    /// Another one for the same application, to be used in another thread.
    pub fn for_thread(&self, py: Python<'_>, site: &Site) -> PyResult<Self> {
        let (app, retire_flag) = (self.app.clone_ref(py), self.retire_flag.clone());
        let hooks = self.hooks.as_ref().map(|hooks| hooks.clone_ref(py));
        let mut wsgi = Self::new(py, app, site, retire_flag, hooks)?;
        wsgi.wrong_lengths = Arc::clone(&self.wrong_lengths);
        Ok(wsgi)
    }

    /// Set when a request takes its connection, for whoever clears it.
    pub fn taken(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.taken)
    }

    /// Prepares for requests that come by the engine's next listener.
    pub fn add_listener(&mut self, py: Python<'_>, info: &ListenerInfo) -> PyResult<()> {
        self.environs.add_listener(py, info)
    }

    /// Calls the application and sends its response, as far as the client takes it.
    /// `is_quitting`: whether a `SystemExit` is that of a signal that ends the worker. To be
    /// called [`during`](crate::current_request::during) the request.
    pub fn answer(
        &mut self,
        py: Python<'_>,
        request: &Request,
        responder: Responder,
        clock: &Clock,
        reporter: &Reporter,
        is_quitting: impl Fn() -> bool,
    ) -> Answered {
        let environ = match self.environs.build(py, request) {
            Ok(environ) => environ,
            Err(problem) => return refuse(py, request, responder, problem, clock, reporter),
        };
        let response = self.start_response.bind(py).clone();
        response.borrow_mut().begin(responder, *clock.date());
        let logged_environ = self.logged.keep(&environ);
        // Without hooks the environ lives no longer than the call.
        let seen = self.hooks.as_ref().map(|hooks| {
            let request = hooks.request_begins(py, &environ);
            (hooks, request, environ.clone())
        });
        let called = match &seen {
            Some((_, Err(error), _)) => Err(error.clone_ref(py)),
            Some((_, Ok(_), _)) | None => self.app.bind(py).call1((environ, &response)),
        };
        forking::exit_if_child(py, &called);
        let result = match called {
            Ok(body) => {
                let sent = send(&response, &body);
                let closed = close(&body);
                forking::exit_if_child(py, &closed);
                if let Err(error) = closed {
                    // The client has its response all the same.
                    log_exception(py, request, &error, reporter);
                }
                sent
            }
            Err(error) => Err(Failure::Python(error)),
        };
        if let Some((hooks, Ok(request), environ)) = &seen {
            let (status, headers, sent) = response.borrow().answered(py);
            hooks.request_ends(request, environ, status, headers, sent);
        }
        forking::exit_if_child(py, &Ok(()));
        let used = self.environs.socket().use_();
        if used != Use::No {
            if let Err(error) = self.environs.socket().end(py) {
                log_exception(py, request, &error, reporter);
            }
        }
        let (responder, is_error, client_gone, wrong_length) = {
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
        drop(seen);
        self.renew(py);
        let Some(mut responder) = responder else {
            if let Err(Failure::Python(error)) = result {
                log_exception(py, request, &error, reporter);
            }
            return Answered::Kept;
        };
        self.logged.add_to(&mut responder, logged_environ.as_ref());
        let outcome = match result {
            Ok(()) if used == Use::Taken => Outcome::Fine,
            Ok(()) => {
                let is_short = wrong_length.is_some_and(BodyLength::is_short);
                if let Some(length) = wrong_length {
                    lock(&self.wrong_lengths).log(request, length, clock.now_ms(), reporter);
                }
                if is_error || is_short {
                    Outcome::Error
                } else {
                    Outcome::Fine
                }
            }
            Err(Failure::ClientGone) => {
                responder.abort();
                Outcome::Fine
            }
            Err(Failure::Python(error)) if used.is_left_by(py, &error) => {
                responder.abort();
                Outcome::Fine
            }
            // `write` raised it, and the application let it pass.
            Err(Failure::Python(error))
                if client_gone && error.is_instance_of::<PyConnectionResetError>(py) =>
            {
                responder.abort();
                Outcome::Fine
            }
            Err(Failure::Python(error)) => {
                // It was raised by our handler: the application made no mistake.
                if !(is_quitting() && error.is_instance_of::<PySystemExit>(py)) {
                    log_exception(py, request, &error, reporter);
                }
                fail(&mut responder, clock);
                Outcome::Error
            }
        };
        Answered::Complete(responder, outcome)
    }

    /// Makes ready for the next request what the application has kept of this one.
    fn renew(&mut self, py: Python<'_>) {
        let is_socket_reusable = self.environs.is_socket_reusable();
        if !is_socket_reusable {
            self.environs.socket().set_start_response(None);
        }
        let references = isize::from(is_socket_reusable);
        if !StartResponse::is_reusable(&self.start_response, py, references) {
            if let Ok(fresh) = StartResponse::create(py, self.retire_flag.clone()) {
                let socket = self.environs.socket();
                if is_socket_reusable {
                    socket.set_start_response(Some(fresh.clone_ref(py)));
                }
                self.start_response = fresh;
            }
        }
        if !is_socket_reusable {
            // If it fails, the next requests have no socket: the old one is nobody's.
            if let Ok(socket) = LazySocket::create(py, &self.start_response, &self.taken) {
                let _ = self.environs.set_socket(py, socket);
            }
        }
    }

    /// Logs what was left out of the log, when the time for it has come.
    pub fn log_suppressed(&self, now_ms: u64, reporter: &Reporter) {
        lock(&self.wrong_lengths).end_window(now_ms, reporter);
    }

    /// Logs what was left out of the log, before the worker leaves.
    pub fn log_all_suppressed(&self, reporter: &Reporter) {
        lock(&self.wrong_lengths).log_suppressed(reporter);
    }
}

/// Logs an exception of the application's as one record, with its traceback.
fn log_exception(py: Python<'_>, request: &Request, error: &PyErr, reporter: &Reporter) {
    let text = format!(
        "Error handling request {} {}\n{}",
        String::from_utf8_lossy(request.method()),
        String::from_utf8_lossy(request.target()),
        application::traceback(py, error),
    );
    let info = NamedRequest::from(request).info();
    reporter.log_request(Level::Error, text, info);
}

/// Answers 500 if nothing was sent yet; else cuts the response off, so that the client
/// does not take it for complete.
fn fail(responder: &mut Responder, clock: &Clock) {
    responder.respond_with_error(Status::INTERNAL_SERVER_ERROR, clock.date());
}

fn refuse(
    py: Python<'_>,
    request: &Request,
    mut responder: Responder,
    problem: EnvironError,
    clock: &Clock,
    reporter: &Reporter,
) -> Answered {
    match problem {
        EnvironError::Refused(what) => {
            let text = format!("Refused a request with 400: {what}");
            let info = NamedRequest::from(request).info();
            reporter.log_request(Level::Warning, text, info);
            responder.respond_with_error(Status::BAD_REQUEST, clock.date());
        }
        EnvironError::NotMounted { script_name } => {
            let text = format!(
                "The application is mounted at {script_name:?}, but the request was for {:?}",
                String::from_utf8_lossy(request.target())
            );
            let info = NamedRequest::from(request).info();
            reporter.log_request(Level::Error, text, info);
            fail(&mut responder, clock);
        }
        EnvironError::Python(error) => {
            log_exception(py, request, &error, reporter);
            fail(&mut responder, clock);
        }
    }
    Answered::Complete(responder, Outcome::Error)
}
