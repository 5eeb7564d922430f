//! A worker: it loads the application, and then serves as its class does.

use crate::abort;
use crate::application;
use crate::current_request;
use crate::gthread::{Gthread, Left};
use crate::hooks::{Hooks, OwnRow};
use crate::last_records::{self, Outputs};
use crate::local_time;
use crate::process;
use crate::python_log;
use crate::python_syslog::Records;
use crate::reloading;
use crate::retire_flag::RetireFlag;
use crate::signals::{self, BlockedSignals, Quit, Signals};
use crate::stacks::{self, StacksPipe};
use crate::sync::Sync;
use crate::wsgi::{Wsgi, read_files};
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use rgunicorn_engine::close_on_fork;
use rgunicorn_link::protocol::{FromWorker, Level, LoadFailure, Site, WorkerClass};
use rgunicorn_link::scoreboard::now_ms;
use rgunicorn_link::{Link, Scoreboard};
use rgunicorn_serving::{AccessOutputs, Reporter, Sender, Serving};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::sync::Arc;

/// The control group of a worker.
pub enum Group {
    /// Of its own.
    Own,
    /// That of the fork server, as there are no others.
    Shared,
    /// That of the fork server: moving into its own has failed.
    NotMoved(Errno),
}

pub struct Worker {
    pub number: u32,
    /// Its row on the scoreboard.
    pub row: usize,
    pub site: Arc<Site>,
    pub scoreboard: Arc<Scoreboard>,
    /// To the master.
    pub link: Arc<Link>,
    pub group: Group,
    /// The application, if it was preloaded.
    pub app: Option<Py<PyAny>>,
    pub hooks: Option<Hooks>,
    /// The signals by which it leaves, until it handles them.
    pub blocked: BlockedSignals,
}

impl Worker {
    /// Works until it is asked to leave. Returns the process's exit status.
    pub fn run(self, py: Python<'_>) -> PyResult<u8> {
        let hooks = self.hooks.as_ref().map(|hooks| hooks.clone_ref(py));
        let mut quit = None;
        let ended = self.work(py, &mut quit);
        if let Some(hooks) = hooks {
            if quit.is_some_and(|quit| quit.came()) {
                hooks.worker_is_interrupted(py);
            }
            hooks.worker_exits(py);
        }
        match ended? {
            Ended::With(status) => Ok(status),
            Ended::WithThreads => {
                process::exit_with_threads(py)?;
                Ok(0)
            }
        }
    }

    /// `quit` is set as soon as a signal can end it.
    fn work(self, py: Python<'_>, quit: &mut Option<Quit>) -> PyResult<Ended> {
        const DONE: PyResult<Ended> = Ok(Ended::With(0));
        let Self {
            number,
            row,
            site,
            scoreboard,
            link,
            group,
            app,
            hooks,
            blocked,
        } = self;
        // For as long as this process lives: the application's children close these.
        let _listed = (
            close_on_fork::list(&*link),
            close_on_fork::list(&*scoreboard),
        );
        current_request::set_worker(std::process::id());
        process::set_title(&format!("rgunicorn: worker {number} [{}]", site.proc_name));
        python_log::become_worker(py, number);
        let signals = Signals::install(py)?;
        *quit = Some(signals.when_quit());
        if site.request_timeout_ms > 0 && site.worker_class == WorkerClass::Sync {
            signals::install_dump(py)?;
        }
        let StacksPipe { reader, signal } = stacks::install(py)?;
        abort::install(&scoreboard)?;
        drop(blocked);
        let started = FromWorker::Started {
            pid: i32::try_from(std::process::id())?,
            is_in_group: matches!(group, Group::Own),
            stacks_signal: signal,
        };
        // From here on the master sends signals. If it is gone, and with it the
        // reason to be here, that is no failure.
        if link.send(&started, &[reader.as_fd()]).is_err() {
            return DONE;
        }
        drop(reader);
        let reporter = Reporter::new(Arc::clone(&link), site.loglevel, Sender::Worker);
        // Before the application can change directory, standard output or anything else.
        let access = AccessOutputs::open(&site, &reporter);
        let syslog = site.python_log.syslog.as_ref();
        let logged = syslog.map(|syslog| Records::begin(syslog, &reporter, &scoreboard, row));
        last_records::write_at_exit(Outputs {
            access: access.clone(),
            logged,
            scoreboard: Arc::clone(&scoreboard),
            row,
        });
        warn_of_group(&group, number, &reporter);
        let begun = match &hooks {
            Some(hooks) => {
                let own_row = OwnRow {
                    scoreboard: Arc::clone(&scoreboard),
                    row,
                };
                begin(py, hooks, number, reporter.clone(), own_row)
            }
            None => Ok(()),
        };
        let loaded = begun.and_then(|()| load(py, &site, app, hooks.as_ref()));
        if signals.quit() {
            // Also where the application caught the exception that should have ended it.
            return DONE;
        }
        let app = match loaded {
            Ok(app) => app,
            Err(failure) => return Ok(Ended::With(report_failure(&link, failure))),
        };
        reloading::start(py, &site, &link, &reporter);
        process::allow_descriptors(&site, &reporter);
        let retire_flag = RetireFlag::new(&scoreboard, row);
        let mut serving = Serving::new(&site, &link, &scoreboard, row, &reporter, signals.watch())?;
        if let Some(access) = access {
            serving.set_access_outputs(access, number, local_time::offset);
        }
        if link.send(&FromWorker::Ready, &[]).is_err() {
            return DONE;
        }
        serving.beat(now_ms());
        let request_hooks = hooks.filter(|hooks| hooks.has_request_hooks(py));
        let wsgi = Wsgi::new(py, app, &site, retire_flag, request_hooks)?;
        let served = match site.worker_class {
            WorkerClass::Sync => Sync::new(serving, wsgi, signals, &site, reporter.clone())?
                .serve(py)
                .map(|()| Left::Cleanly),
            WorkerClass::Gthread { threads } => {
                Gthread::new(serving, wsgi, signals, &site, threads, reporter.clone())?.serve(py)
            }
        };
        match served {
            Ok(Left::Cleanly) => DONE,
            Ok(Left::WithThreads) => Ok(Ended::WithThreads),
            // A signal's exception found no application to interrupt.
            Err(error) if error.is_instance_of::<PySystemExit>(py) => DONE,
            Err(error) => {
                let text = format!("Worker stops: {}", application::traceback(py, &error));
                reporter.log(Level::Error, text);
                Ok(Ended::With(1))
            }
        }
    }
}

fn warn_of_group(group: &Group, number: u32, reporter: &Reporter) {
    if let Group::NotMoved(error) = group {
        let text = format!(
            "Worker {number} is accounted with the master: \
             it cannot move into its control group: {error}"
        );
        reporter.log(Level::Warning, text);
    }
}

/// How its work ended.
enum Ended {
    With(u8),
    /// Threads run that Python cannot end.
    WithThreads,
}

/// What hooks want done before the application is loaded.
fn begin(
    py: Python<'_>,
    hooks: &Hooks,
    number: u32,
    reporter: Reporter,
    own_row: OwnRow,
) -> Result<(), LoadFailure> {
    hooks.become_worker(py, number, reporter, own_row)?;
    if let Some(handler) = hooks.on_abort(py) {
        let installed = abort::interrupt_python(py, handler);
        installed.map_err(|error| application::explain(py, &error))?;
    }
    Ok(())
}

/// The application, and with hooks what they want done when it is loaded.
fn load(
    py: Python<'_>,
    site: &Site,
    preloaded: Option<Py<PyAny>>,
    hooks: Option<&Hooks>,
) -> Result<Py<PyAny>, LoadFailure> {
    if !site.sendfile {
        read_files();
    }
    if site.spew {
        application::spew(py).map_err(|error| application::explain(py, &error))?;
    }
    let loaded = preloaded.or_else(|| hooks?.loaded_application(py));
    let app = match loaded {
        Some(app) => app,
        None => application::load(py, site)?,
    };
    if let Some(hooks) = hooks {
        hooks.worker_is_ready(py, &app)?;
    }
    Ok(app)
}

fn report_failure(link: &Link, failure: LoadFailure) -> u8 {
    let status = failure.status;
    // If the master is gone, there is nowhere to report to.
    let _ = link.send(&FromWorker::LoadFailed(failure), &[]);
    status
}
