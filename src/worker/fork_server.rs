//! The fork server: one process for each generation. It reads orders, loads the
//! application if told to preload it, and forks workers. It accepts no
//! connections.

use crate::forking::{self, ForkingWorker};
use crate::signals::{self, BlockedSignals};
use crate::worker::Worker;
use crate::{application, process};
use nix::sys::signal::{SigSet, Signal};
use pyo3::exceptions::{PyChildProcessError, PyRuntimeError};
use pyo3::prelude::*;
use rgunicorn_engine::close_on_fork::{self, Listing};
use rgunicorn_link::protocol::{
    FromForkServer, Level, LoadFailure, Site, Spawn, ToForkServer, WorkerClass,
};
use rgunicorn_link::{FORK_SERVER_FD, Link, Received, Scoreboard};
use rgunicorn_serving::{Reporter, Sender};
use rustix::io::FdFlags;
use rustix::net::SocketType;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;

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
    // The master's signals are blocked there, and a blocked signal stays blocked
    // through fork and exec. Unblock them only now that the handlers are installed:
    // one that was sent to every process meanwhile (`systemctl kill -s HUP`) is
    // pending here, and would kill.
    SigSet::empty()
        .thread_set_mask()
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let mut server = None;
    loop {
        let waiting: &Link = &link;
        let (message, fds) = match py.detach(|| waiting.wait())? {
            Received::Message(message, fds) => (message, fds),
            Received::Nothing => continue,
            Received::Closed => return Ok(0),
        };
        let next = match (message, &mut server) {
            (ToForkServer::Configure(site), None) => configure(py, &link, *site, fds, &mut server)?,
            (ToForkServer::Spawn(spawn), Some(server)) => server.spawn(py, &link, spawn, fds)?,
            (ToForkServer::Configure(_), Some(_)) | (ToForkServer::Spawn(_), None) => {
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

fn configure(
    py: Python<'_>,
    link: &Arc<Link>,
    site: Site,
    fds: Vec<OwnedFd>,
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
    application::prepare(py, &site)?;
    if matches!(site.worker_class, WorkerClass::Gthread { .. }) {
        process::prepare_exit(py)?;
    }
    let mut app = None;
    if site.preload {
        match application::load(py, &site) {
            Ok(loaded) => app = Some(loaded),
            Err(failure) => return Ok(refuse(link, failure)),
        }
        // What is loaded now is never garbage: keep the collector from writing
        // to it, so that the workers go on sharing its memory.
        let gc = py.import("gc")?;
        gc.call_method0("collect")?;
        gc.call_method0("freeze")?;
        warn_of_threads(
            py,
            &Reporter::new(Arc::clone(link), site.loglevel, Sender::ForkServer),
        )?;
    }
    *server = Some(ForkServer {
        site: Arc::new(site),
        _listed: listed,
        scoreboard,
        app,
    });
    Ok(match link.send(&FromForkServer::Ready, &[]) {
        Ok(()) => Next::WaitForOrder,
        // The master is gone, and with it the reason to be here.
        Err(_) => Next::Exit(0),
    })
}

fn refuse(link: &Link, failure: LoadFailure) -> Next {
    let status = failure.status;
    // If the master is gone, there is nowhere to report to.
    let _ = link.send(&FromForkServer::LoadFailed(failure), &[]);
    Next::Exit(status)
}

/// A thread does not survive a fork: an application that starts one while it
/// is loaded will miss it in the workers.
fn warn_of_threads(py: Python<'_>, reporter: &Reporter) -> PyResult<()> {
    let count: usize = py
        .import("threading")?
        .call_method0("active_count")?
        .extract()?;
    if count > 1 {
        let text = format!(
            "The preloaded application started {} threads; they do not exist in the workers. \
             Start them later, or set preload = false",
            count - 1
        );
        reporter.log(Level::Warning, text);
    }
    Ok(())
}

impl ForkServer {
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
            return Ok(Next::WaitForOrder);
        }
        match os.call_method0("fork").and_then(|pid| pid.extract::<i32>()) {
            Ok(0) => {}
            Ok(_) => leave(py, 0)?,
            Err(error) => {
                let reason = error.value(py).to_string();
                let worker = spawn.worker;
                let _ = link.send(&FromForkServer::ForkFailed { worker, reason }, &[]);
                leave(py, 1)?;
            }
        }
        if let Some(group) = group {
            // Before it takes memory for the application, which stays counted where it was
            // taken. If this fails, the worker is counted with the fork server.
            let _ = rustix::io::write(&group, b"0");
        }
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
            app: self.app.as_ref().map(|app| app.clone_ref(py)),
            blocked,
        }))
    }
}

/// Ends the process without running anything that belongs to the fork server.
fn leave(py: Python<'_>, status: i32) -> PyResult<()> {
    py.import("os")?.call_method1("_exit", (status,))?;
    Ok(())
}
