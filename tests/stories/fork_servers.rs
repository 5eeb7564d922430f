//! Fork servers that die or stop working, and the workers they forked.

use crate::harness::{Server, processes};
use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::{os::unix::net::UnixStream, path::Path};

/// As soon as there is a file `close`, the fork server finds its link closed; a
/// thread keeps its process alive.
const CLOSING_ITS_LINK: &str = "\
import os, socket, threading, time
def close():
    while not os.path.exists('close'):
        time.sleep(0.01)
    if not os.path.exists('closed'):
        open('closed', 'w').close()
        socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RDWR)
    time.sleep(3600)
threading.Thread(target=close).start()
from hello import app
";

#[test]
fn a_fork_server_that_dies_is_replaced_and_no_request_fails() {
    let server = Server::running("hello:app").workers(2).start();
    let workers = server.wait_for_workers(2);
    let fork_server = *server.other_pids().first().unwrap();
    let traffic = server.under_load();

    processes::signal(fork_server, Signal::SIGKILL);
    server.wait_until("there is another fork server", || {
        let others = server.other_pids();
        !others.is_empty() && !others.contains(&fork_server) && server.worker_pids().len() >= 2
    });
    traffic.wait_for_answers(50);
    server.wait_for_log("fork server of generation 1 is lost: killed by SIGKILL");

    assert_eq!(traffic.finish(), [] as [&str; 0]);
    // It can fork: a worker that dies now is replaced.
    let victim = *server.worker_pids().first().unwrap();
    processes::signal(victim, Signal::SIGKILL);
    server.wait_until("the worker is replaced", || {
        let now = server.worker_pids();
        now.len() == 2 && !now.contains(&victim)
    });
    drop(workers);
}

#[test]
fn a_fork_server_that_closes_its_link_and_stays_is_replaced() {
    let server = Server::running("shop:app")
        .workers(2)
        .setting("preload", true)
        .file("shop.py", CLOSING_ITS_LINK)
        .start();
    server.wait_for_workers(2);
    let fork_server = *server.other_pids().first().unwrap();

    server.write("close", "");

    server.wait_until("another fork server is there", || {
        let others = server.other_pids();
        !others.is_empty() && !others.contains(&fork_server)
    });
    server.wait_until("all workers are of the new generation", || {
        server
            .ctl(&["status"])
            .stdout
            .contains("generation 2: 2 workers ready")
    });
    let victim = *server.worker_pids().first().unwrap();
    processes::signal(victim, Signal::SIGKILL);
    server.wait_until("a worker that dies is replaced", || {
        let now = server.worker_pids();
        now.len() == 2 && !now.contains(&victim)
    });
}

/// The numbers that a process can still give to descriptors under this limit.
fn free_descriptors(pid: processes::Pid, limit: u64) -> usize {
    (0..limit)
        .filter(|fd| !Path::new(&format!("/proc/{pid}/fd/{fd}")).exists())
        .count()
}

#[test]
fn a_worker_for_which_the_master_has_no_free_descriptor_does_not_cost_the_fork_server() {
    let server = Server::running("hello:app").workers(1).start();
    let fork_server = *server.other_pids().first().unwrap();
    let master = Pid::from_raw(server.pid());
    processes::signal(fork_server, Signal::SIGSTOP);
    // The order takes two for a moment, and one of them to the end.
    let current = (0..1 << 16).find(|limit| free_descriptors(server.pid(), *limit) == 2);
    let limit = current.unwrap();
    let maximum = getrlimit(Resource::Nofile).maximum;
    let before = prlimit(master, Resource::Nofile, Rlimit { current, maximum }).unwrap();
    server.signal(Signal::SIGTTIN);
    server.wait_until("the worker is ordered", || {
        free_descriptors(server.pid(), limit) == 1
    });
    // A client takes the last one.
    let client = UnixStream::connect(server.folder().join("run/control")).unwrap();
    server.wait_until("there is none left", || {
        free_descriptors(server.pid(), limit) == 0
    });

    processes::signal(fork_server, Signal::SIGCONT);
    server.wait_for_log("Too many open files");
    prlimit(master, Resource::Nofile, before).unwrap();
    drop(client);

    server.wait_until("two workers are ready", || {
        server.ctl(&["status"]).stdout.contains("2 workers ready")
    });
    assert!(server.other_pids().contains(&fork_server));
}

#[test]
fn an_application_that_ignores_sigchld_can_be_preloaded() {
    let server = Server::running("shop:app")
        .workers(2)
        .setting("preload", true)
        .file(
            "shop.py",
            "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nfrom hello import app\n",
        )
        .start();
    let victim = *server.wait_for_workers(2).first().unwrap();
    let fork_server = server.other_pids();

    processes::signal(victim, Signal::SIGKILL);

    server.wait_until("the worker is replaced", || {
        let now = server.worker_pids();
        now.len() == 2 && !now.contains(&victim)
    });
    assert_eq!(server.other_pids(), fork_server);
    server.wait_for_log_count("died", 1);
}
