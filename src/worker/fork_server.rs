//! The fork server: one process for each generation. It reads orders, loads the
//! application if told to preload it, and forks workers. It accepts no
//! connections.

use crate::forking::{self, ForkingWorker};
use crate::hooks::Hooks;
use crate::signals::{self, BlockedSignals};
use crate::worker::{Group, Worker};
use crate::{application, configuration, garbage, last_records, process, python_log, script};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Uid};
use pyo3::exceptions::{PyChildProcessError, PyRuntimeError};
use pyo3::prelude::*;
use rgunicorn_engine::close_on_fork::{self, Listing};
use rgunicorn_link::protocol::{
    AccountIds, Evaluate, Evaluation, FromForkServer, Level, LoadFailure, Program, Site, Spawn,
    ToForkServer, WorkerClass,
};
use rgunicorn_link::{FORK_SERVER_FD, LONGEST, Link, Received, Scoreboard};
use rgunicorn_serving::{Reporter, Sender};
use rustix::fs::Mode;
use rustix::io::FdFlags;
use rustix::net::SocketType;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io::ErrorKind;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;

/// Where a copy of the link is kept while a configuration runs, or behind that: configurations
/// that were made for daemons close all descriptors that these usually have.
const SPARE_LINK_FD: i32 = 512;

/// What follows an order.
enum Next {
    WaitForOrder,
    /// This process is the forked child.
    BecomeWorker(Worker),
    Exit(u8),
}

/// What workers are forked with, known once the master has sent it.
struct ForkServer {
    site: Arc<Site>,
    // Before the scoreboard, which closes the descriptor.
    _listed: Listing,
    scoreboard: Arc<Scoreboard>,
    /// The preloaded application.
    app: Option<Py<PyAny>>,
    hooks: Option<Hooks>,
}

/// Carries out the master's orders until it closes the link.
pub fn run(py: Python<'_>) -> PyResult<u8> {
    // It reads its link only between orders: if the master dies while the
    // application is loaded here, the kernel has to end this process.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let link = Arc::new(inherited_link()?);
    let listed = close_on_fork::list(&*link);
    signals::ignore_in_fork_server(py)?;
    forking::install_handlers(py)?;
    last_records::install(py)?;
    // The master's signals are blocked there, and a blocked signal stays blocked
    // through fork and exec. Unblock them only now that the handlers are installed:
    // one that was sent to every process meanwhile (`systemctl kill -s HUP`) is
    // pending here, and would kill.
    SigSet::empty()
        .thread_set_mask()
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    carry_out(py, Orders { listed, link }, None)
}

/// Where the orders come from.
pub struct Orders {
    // Before the link, which closes the descriptor.
    pub listed: Listing,
    pub link: Arc<Link>,
}

/// `configuration` is what has run of it. Returns the exit status of this process: of the fork
/// server, or of a worker.
pub fn carry_out(
    py: Python<'_>,
    orders: Orders,
    mut configuration: Option<Py<PyAny>>,
) -> PyResult<u8> {
    let Orders { listed, link } = orders;
    let mut server = None;
    loop {
        let waiting: &Link = &link;
        let (message, fds) = match py.detach(|| waiting.wait())? {
            Received::Message(message, fds) => (message, fds),
            Received::Nothing => continue,
            Received::Closed => return Ok(0),
        };
        let next = match (message, &mut server) {
            (ToForkServer::Evaluate(order), None) if order.is_script() => {
                return script::run(py, Orders { listed, link }, order);
            }
            (ToForkServer::Evaluate(order), None) => {
                evaluate(py, &link, &order, &mut configuration)
            }
            (ToForkServer::Configure(site), None) => {
                configure(py, &link, *site, fds, configuration.take(), &mut server)?
            }
            (ToForkServer::Spawn(spawn), Some(server)) => server.spawn(py, &link, spawn, fds)?,
            (ToForkServer::WorkerGone { worker, pid }, Some(server)) => {
                server.tell(|hooks| hooks.worker_is_gone(py, worker, pid));
                Next::WaitForOrder
            }
            (ToForkServer::CountChanged(count), Some(server)) => {
                server.tell(|hooks| hooks.count_changed(py, count));
                Next::WaitForOrder
            }
            (ToForkServer::PreExec, Some(server)) => {
                let hooks = server.hooks.as_ref();
                let succeeded = hooks.is_none_or(|hooks| hooks.program_is_executed(py));
                // If the master is gone, nobody waits for it.
                let _ = link.send(&FromForkServer::PreExecCalled { succeeded }, &[]);
                Next::WaitForOrder
            }
            (ToForkServer::ServiceEnds, Some(server)) => {
                server.tell(|hooks| hooks.service_ends(py));
                Next::Exit(0)
            }
            (
                ToForkServer::WorkerGone { .. }
                | ToForkServer::CountChanged(_)
                | ToForkServer::PreExec
                | ToForkServer::ServiceEnds,
                None,
            ) => Next::WaitForOrder,
            (ToForkServer::Evaluate(_) | ToForkServer::Configure(_), Some(_))
            | (ToForkServer::Spawn(_), None) => {
                return Err(PyRuntimeError::new_err(
                    "the master sent Configure twice, or Spawn before it",
                ));
            }
        };
        match next {
            Next::WaitForOrder => {}
            Next::Exit(status) => return Ok(status),
            Next::BecomeWorker(worker) => {
                // These belong to the fork server, above all its end of the link.
                drop((server, listed, link));
                return worker.run(py);
            }
        }
    }
}

#[expect(unsafe_code, reason = "a descriptor that was inherited is a number")]
fn inherited_link() -> PyResult<Link> {
    // SAFETY: nothing in this process has used descriptor 3 yet, and nothing
    // else will own it: this runs once, as the first thing. Whether it is open,
    // and a link, is looked at before it is used.
    let fd = unsafe { OwnedFd::from_raw_fd(FORK_SERVER_FD) };
    if rustix::net::sockopt::socket_type(&fd) != Ok(SocketType::SEQPACKET) {
        // Not ours, so it must not be closed either.
        std::mem::forget(fd);
        return Err(PyRuntimeError::new_err(
            "this is started by the rgunicorn master, not by hand",
        ));
    }
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC).map_err(std::io::Error::from)?;
    Ok(Link::from_fd(fd))
}

/// Runs the configuration in Python.
fn evaluate(
    py: Python<'_>,
    link: &Link,
    order: &Evaluate,
    configuration: &mut Option<Py<PyAny>>,
) -> Next {
    python_log::begin(py, &order.python_log);
    let spare = SpareLink::of(link);
    let evaluated = configuration::evaluate(py, order);
    spare.check(link, &order.program);
    match evaluated {
        Ok((finished, evaluation)) => {
            *configuration = Some(finished);
            match tell(link, order, evaluation) {
                Some(status) => Next::Exit(status),
                None => Next::WaitForOrder,
            }
        }
        Err(failed) => {
            // If the master is gone, there is nowhere to report to.
            let _ = link.send(&failed, &[]);
            Next::Exit(application::FAILED_TO_BOOT)
        }
    }
}

/// Tells the master what the configuration sets. Gives the exit status if there is nothing
/// more to do.
pub fn tell(link: &Link, order: &Evaluate, evaluation: Evaluation) -> Option<u8> {
    match link.send(&FromForkServer::Evaluated(Box::new(evaluation)), &[]) {
        Ok(()) => None,
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            let too_long = FromForkServer::EvaluationFailed {
                summary: format!(
                    "{}: the values of its settings take more than {} KiB, most likely those of \
                     raw_env; put long values into files",
                    order.program,
                    LONGEST / 1024
                ),
                traceback: String::new(),
            };
            // If the master is gone, there is nowhere to report to.
            let _ = link.send(&too_long, &[]);
            Some(application::FAILED_TO_BOOT)
        }
        // The master is gone, and with it the reason to be here.
        Err(_) => Some(0),
    }
}

/// A copy of the link, kept while a configuration runs.
pub struct SpareLink(Option<OwnedFd>);

impl SpareLink {
    pub fn of(link: &Link) -> Self {
        Self(rustix::io::fcntl_dupfd_cloexec(link, SPARE_LINK_FD).ok())
    }

    /// Ends the process if the configuration has closed the link, or put something else in
    /// its place.
    pub fn check(self, link: &Link, program: &Program) {
        if is_link_lost(link, self.0.as_ref()) {
            give_up_without_link(program, self.0);
        }
    }
}

fn is_link_lost(link: &Link, spare: Option<&OwnedFd>) -> bool {
    let Ok(found) = rustix::fs::fstat(link) else {
        return true;
    };
    let expected = spare.and_then(|spare| rustix::fs::fstat(spare).ok());
    expected.is_some_and(|expected| expected.st_ino != found.st_ino)
}

/// Says why, as long as there is a way, and ends the process.
fn give_up_without_link(program: &Program, spare: Option<OwnedFd>) -> ! {
    let summary = format!(
        "{program}: it has closed descriptor {FORK_SERVER_FD}, over which rgunicorn talks to its \
         interpreter; it must not close descriptors that it has not opened (os.close, os.closerange)"
    );
    let failed = FromForkServer::EvaluationFailed {
        summary: summary.clone(),
        traceback: String::new(),
    };
    let is_sent = match spare {
        Some(spare) if rustix::fs::fstat(&spare).is_ok() => {
            Link::from_fd(spare).send(&failed, &[]).is_ok()
        }
        // Closed as well: it must not be closed again.
        spare => {
            std::mem::forget(spare);
            false
        }
    };
    if !is_sent {
        eprintln!("{summary}");
    }
    // Nothing is dropped: descriptors that are closed already would be closed again.
    std::process::exit(application::FAILED_TO_BOOT.into());
}

fn configure(
    py: Python<'_>,
    link: &Arc<Link>,
    site: Site,
    fds: Vec<OwnedFd>,
    configuration: Option<Py<PyAny>>,
    server: &mut Option<ForkServer>,
) -> PyResult<Next> {
    let Some(scoreboard) = fds.into_iter().next() else {
        return Err(PyRuntimeError::new_err(
            "Configure came without the scoreboard",
        ));
    };
    let scoreboard = Arc::new(Scoreboard::open(scoreboard)?);
    let listed = close_on_fork::list(&*scoreboard);
    process::set_title(&format!("rgunicorn: fork server [{}]", site.proc_name));
    python_log::begin(py, &site.python_log);
    if let Some(account) = &site.account {
        if let Err(error) = change_to(account) {
            let summary = format!("the fork server cannot give up root: {error}");
            return Ok(refuse(link, application::failure(summary)));
        }
    }
    if let Some(umask) = site.umask {
        rustix::process::umask(Mode::from_bits_truncate(umask));
    }
    if let Some(surroundings) = &site.surroundings {
        if let Err(error) = configuration::go_to(py, surroundings) {
            return Ok(refuse(link, application::explain(py, &error)));
        }
    }
    application::prepare(py, &site)?;
    if matches!(site.worker_class, WorkerClass::Gthread { .. }) {
        process::prepare_exit(py)?;
    }
    let reporter = Reporter::new(Arc::clone(link), site.loglevel, Sender::ForkServer);
    if site.configures_logging {
        let settings = &site.gunicorn_settings;
        let configured =
            python_log::configure(py, settings, configuration.as_ref(), reporter.clone());
        if let Err(failure) = configured {
            return Ok(refuse(link, failure));
        }
    }
    let hooks = match (configuration, &site.hooks) {
        (Some(configuration), Some(told)) => {
            let settings = &site.gunicorn_settings;
            match Hooks::new(configuration.bind(py), told, settings, reporter.clone()) {
                Ok(hooks) => Some((hooks, told.moment)),
                Err(failure) => return Ok(refuse(link, failure)),
            }
        }
        _ => None,
    };
    if let Some((hooks, moment)) = &hooks {
        if let Err(failure) = hooks.generation_begins(py, *moment) {
            return Ok(refuse(link, failure));
        }
    }
    let mut app = None;
    if site.preload {
        // Those of the configuration are not the application's.
        let threads_before = count_threads(py)?;
        match application::load(py, &site) {
            Ok(loaded) => {
                if let Some((hooks, _)) = &hooks {
                    hooks.application_is_loaded(py, &loaded);
                }
                app = Some(loaded);
            }
            Err(failure) => return Ok(refuse(link, failure)),
        }
        warn_of_threads(py, threads_before, &reporter)?;
    }
    if let Some((hooks, moment)) = &hooks {
        if let Err(failure) = hooks.generation_is_ready(py, *moment) {
            return Ok(refuse(link, failure));
        }
    }
    garbage::keep_what_is_loaded(py)?;
    *server = Some(ForkServer {
        site: Arc::new(site),
        _listed: listed,
        scoreboard,
        app,
        hooks: hooks.map(|(hooks, _)| hooks),
    });
    Ok(match link.send(&FromForkServer::Ready, &[]) {
        Ok(()) => Next::WaitForOrder,
        // The master is gone, and with it the reason to be here.
        Err(_) => Next::Exit(0),
    })
}

/// Gives root up for good.
fn change_to(account: &AccountIds) -> nix::Result<()> {
    let others: Vec<_> = account.others.iter().copied().map(Gid::from_raw).collect();
    nix::unistd::setgroups(&others)?;
    nix::unistd::setgid(Gid::from_raw(account.group))?;
    nix::unistd::setuid(Uid::from_raw(account.user))?;
    // The kernel has forgotten these.
    nix::sys::prctl::set_dumpable(true)?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
}

fn refuse(link: &Link, failure: LoadFailure) -> Next {
    let status = failure.status;
    // If the master is gone, there is nowhere to report to.
    let _ = link.send(&FromForkServer::LoadFailed(failure), &[]);
    Next::Exit(status)
}

/// A thread does not survive a fork: an application that starts one while it
/// is loaded will miss it in the workers.
fn warn_of_threads(py: Python<'_>, before: usize, reporter: &Reporter) -> PyResult<()> {
    let count = count_threads(py)?.saturating_sub(before);
    if count > 0 {
        let text = format!(
            "The preloaded application started {count} threads; they do not exist in the workers. \
             Start them later, or set preload = false"
        );
        reporter.log(Level::Warning, text);
    }
    Ok(())
}

fn count_threads(py: Python<'_>) -> PyResult<usize> {
    py.import("threading")?
        .call_method0("active_count")?
        .extract()
}

impl ForkServer {
    /// Tells the hooks, if there are any.
    fn tell(&self, what: impl FnOnce(&Hooks)) {
        if let Some(hooks) = &self.hooks {
            what(hooks);
        }
    }

    /// Forks a worker. Returns in the fork server and in the worker.
    fn spawn(
        &self,
        py: Python<'_>,
        link: &Link,
        spawn: Spawn,
        fds: Vec<OwnedFd>,
    ) -> PyResult<Next> {
        let mut fds = fds.into_iter();
        let Some(worker_link) = fds.next() else {
            return Err(PyRuntimeError::new_err(
                "Spawn came without the worker's link",
            ));
        };
        let group = spawn.has_group.then(|| fds.next()).flatten();
        let os = py.import("os")?;
        let mut pid_pipe = None;
        if let Some(hooks) = &self.hooks {
            hooks.worker_is_forked(py, spawn.worker);
            // Without it, hooks do not see this worker among the others.
            pid_pipe = pipe_with(PipeFlags::CLOEXEC).ok();
        }
        let forking = ForkingWorker::begin();
        let blocked = BlockedSignals::begin()?;
        // Twice, and the intermediate process exits at once: the worker becomes
        // the child of the master, which has made itself the subreaper.
        let intermediate: i32 = match os.call_method0("fork").and_then(|pid| pid.extract()) {
            Ok(pid) => pid,
            Err(error) => {
                let reason = error.value(py).to_string();
                let worker = spawn.worker;
                let _ = link.send(&FromForkServer::ForkFailed { worker, reason }, &[]);
                return Ok(Next::WaitForOrder);
            }
        };
        if intermediate > 0 {
            match os.call_method1("waitpid", (intermediate, 0)) {
                // Where the application ignores SIGCHLD, or reaps all children itself,
                // there is nothing to wait for.
                Err(error) if error.is_instance_of::<PyChildProcessError>(py) => {}
                waited => drop(waited?),
            }
            if let (Some(hooks), Some((reader, writer))) = (&self.hooks, pid_pipe) {
                drop(writer);
                if let Some(pid) = read_pid(&reader) {
                    hooks.worker_has_pid(py, spawn.worker, pid);
                }
            }
            return Ok(Next::WaitForOrder);
        }
        match os.call_method0("fork").and_then(|pid| pid.extract::<i32>()) {
            Ok(0) => {}
            Ok(pid) => {
                if let Some((_, writer)) = &pid_pipe {
                    let _ = rustix::io::write(writer, &pid.to_ne_bytes());
                }
                leave(py, 0)?;
            }
            Err(error) => {
                let reason = error.value(py).to_string();
                let worker = spawn.worker;
                let _ = link.send(&FromForkServer::ForkFailed { worker, reason }, &[]);
                leave(py, 1)?;
            }
        }
        drop(pid_pipe);
        // Before it takes memory for the application, which stays counted where it was taken.
        let group = match group.map(|procs| rustix::io::write(&procs, b"0")) {
            Some(Ok(_)) => Group::Own,
            Some(Err(error)) => Group::NotMoved(error),
            None => Group::Shared,
        };
        if let Some(stdout) = fds.next() {
            rustix::stdio::dup2_stdout(&stdout).map_err(std::io::Error::from)?;
        }
        if let Some(stderr) = fds.next() {
            rustix::stdio::dup2_stderr(&stderr).map_err(std::io::Error::from)?;
        }
        drop(forking);
        forking::forget_children();
        Ok(Next::BecomeWorker(Worker {
            number: spawn.worker,
            row: spawn.row,
            site: Arc::clone(&self.site),
            scoreboard: Arc::clone(&self.scoreboard),
            link: Arc::new(Link::from_fd(worker_link)),
            group,
            app: self.app.as_ref().map(|app| app.clone_ref(py)),
            hooks: self.hooks.as_ref().map(|hooks| hooks.clone_ref(py)),
            blocked,
        }))
    }
}

/// Ends the process without running anything that belongs to the fork server.
fn leave(py: Python<'_>, status: i32) -> PyResult<()> {
    py.import("os")?.call_method1("_exit", (status,))?;
    Ok(())
}

/// What the intermediate process has written of the worker; `None` if it could not fork it.
fn read_pid(reader: &OwnedFd) -> Option<i32> {
    let mut pid = [0; size_of::<i32>()];
    let read = rustix::io::retry_on_intr(|| rustix::io::read(reader, &mut pid[..]));
    (read == Ok(pid.len())).then(|| i32::from_ne_bytes(pid))
}
