//! A worker: it loads the application, and then serves as its class does.

use crate::abort;
use crate::application;
use crate::gthread::{Gthread, Left};
use crate::process;
use crate::retire_flag::RetireFlag;
use crate::signals::{self, BlockedSignals, Signals};
use crate::stacks::{self, StacksPipe};
use crate::sync::Sync;
use crate::wsgi::Wsgi;
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use rgunicorn_engine::close_on_fork;
use rgunicorn_link::protocol::{FromWorker, Level, LoadFailure, Site, WorkerClass};
use rgunicorn_link::scoreboard::now_ms;
use rgunicorn_link::{Link, Scoreboard};
use rgunicorn_serving::{Reporter, Sender, Serving};
use std::os::fd::AsFd;
use std::sync::Arc;

pub struct Worker {
    pub number: u32,
    /// Its row on the scoreboard.
    pub row: usize,
    pub site: Arc<Site>,
    pub scoreboard: Arc<Scoreboard>,
    /// To the master.
    pub link: Arc<Link>,
    /// The application, if it was preloaded.
    pub app: Option<Py<PyAny>>,
    /// The signals by which it leaves, until it handles them.
    pub blocked: BlockedSignals,
}

impl Worker {
    /// Works until it is asked to leave. Returns the process's exit status.
    pub fn run(self, py: Python<'_>) -> PyResult<u8> {
        let Self {
            number,
            row,
            site,
            scoreboard,
            link,
            app,
            blocked,
        } = self;
        // For as long as this process lives: the application's children close these.
        let _listed = (
            close_on_fork::list(&*link),
            close_on_fork::list(&*scoreboard),
        );
        process::set_title(&format!("rgunicorn: worker {number} [{}]", site.proc_name));
        let signals = Signals::install(py)?;
        if site.request_timeout_ms > 0 && site.worker_class == WorkerClass::Sync {
            signals::install_dump(py)?;
        }
        let StacksPipe { reader, signal } = stacks::install(py)?;
        abort::install(&scoreboard)?;
        drop(blocked);
        let started = FromWorker::Started {
            pid: i32::try_from(std::process::id())?,
            stacks_signal: signal,
        };
        // From here on the master sends signals. If it is gone, and with it the
        // reason to be here, that is no failure.
        if link.send(&started, &[reader.as_fd()]).is_err() {
            return Ok(0);
        }
        drop(reader);
        let reporter = Reporter::new(Arc::clone(&link), site.loglevel, Sender::Worker);
        let app = match app {
            Some(app) => app,
            None => match application::load(py, &site) {
                Ok(app) => app,
                Err(_) if signals.quit() => return Ok(0),
                Err(failure) => return Ok(report_failure(&link, failure)),
            },
        };
        if signals.quit() {
            // The application caught the exception that should have ended it.
            return Ok(0);
        }
        process::allow_descriptors(&site, &reporter);
        let retire_flag = RetireFlag::new(&scoreboard, row);
        let serving = Serving::new(&site, &link, &scoreboard, row, &reporter, signals.watch())?;
        if link.send(&FromWorker::Ready, &[]).is_err() {
            return Ok(0);
        }
        serving.beat(now_ms());
        let wsgi = Wsgi::new(py, app, &site, retire_flag)?;
        let served = match site.worker_class {
            WorkerClass::Sync => Sync::new(serving, wsgi, signals, &site, reporter.clone())?
                .serve(py)
                .map(|()| Left::Cleanly),
            WorkerClass::Gthread { threads } => {
                Gthread::new(serving, wsgi, signals, &site, threads, reporter.clone())?.serve(py)
            }
        };
        match served {
            Ok(Left::Cleanly) => Ok(0),
            Ok(Left::WithThreads) => {
                process::exit_with_threads(py)?;
                Ok(0)
            }
            // A signal's exception found no application to interrupt.
            Err(error) if error.is_instance_of::<PySystemExit>(py) => Ok(0),
            Err(error) => {
                let text = format!("Worker stops: {}", application::traceback(py, &error));
                reporter.log(Level::Error, text);
                Ok(1)
            }
        }
    }
}

fn report_failure(link: &Link, failure: LoadFailure) -> u8 {
    let status = failure.status;
    // If the master is gone, there is nowhere to report to.
    let _ = link.send(&FromWorker::LoadFailed(failure), &[]);
    status
}
