//! How many workers there are, and what happens to one that dies, hangs, or is
//! sent a signal.

use crate::harness::{Broken, Running, Server, client::Connection, processes};
use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use std::{
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const DEAF: &str = "\
import os, signal, time
def app(environ, start_response):
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    open('deaf', 'w').write(str(os.getpid()))
    time.sleep(3600)
";

/// Held by the story with a bound on time and by the one that starts hundreds of
/// processes: together on a small machine they would tell more about the machine.
static MACHINE: Mutex<()> = Mutex::new(());

/// `/crash` ends the worker.
const CRASHING: &str = "\
import hello, os
def app(environ, start_response):
    if environ['PATH_INFO'] == '/crash':
        os.abort()
    return hello.app(environ, start_response)
";

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

/// The worker that runs a request, by the file it leaves.
fn pid_in(text: &str) -> processes::Pid {
    text.trim().parse().unwrap()
}

#[test]
fn as_many_workers_serve_as_are_wanted() {
    let server = Server::running("hello:app").workers(3).start();

    server.wait_for_workers(3);

    let others = server.other_pids();
    assert_eq!(others.len(), 1, "one fork server: {others:?}");
}

#[test]
fn two_signals_change_the_number_of_workers() {
    let server = Server::running("hello:app").workers(1).start();

    server.signal(Signal::SIGTTIN);
    server.wait_for_workers(2);
    server.signal(Signal::SIGTTIN);
    server.wait_for_workers(3);
    server.signal(Signal::SIGTTOU);
    server.wait_for_workers(2);
}

#[test]
fn the_last_worker_cannot_be_taken_away() {
    let server = Server::running("hello:app").workers(1).start();
    let before = server.worker_pids();

    server.signal(Signal::SIGTTOU);
    server.wait_for_log("SIGTTOU");
    server.signal(Signal::SIGTTIN);

    server.wait_for_workers(2);
    assert!(server.worker_pids().is_superset(&before));
}

#[test]
fn a_worker_that_has_to_go_finishes_its_request() {
    let server = Server::running("slow:app").workers(2).start();
    server.wait_for_workers(2);
    let mut running = Vec::new();
    for count in 1..=2 {
        running.push(server.get_in_background("/until/go"));
        server.wait_until("another worker is busy", || {
            server.read("go.started").lines().count() == count
        });
    }

    server.signal(Signal::SIGTTOU);
    server.wait_for_log("SIGTTOU");
    server.write("go", "");

    for request in running {
        assert_eq!(request.join().unwrap().unwrap().status, 200);
    }
    server.wait_for_workers(1);
}

#[test]
fn a_worker_that_dies_is_replaced() {
    let server = Server::running("hello:app").workers(2).start();
    let before = server.wait_for_workers(2);
    let victim = *before.first().unwrap();

    processes::signal(victim, Signal::SIGKILL);

    server.wait_until("two workers serve again", || {
        let now = server.worker_pids();
        now.len() == 2 && !now.contains(&victim)
    });
    server.wait_for_log(&victim.to_string());
    assert!(
        server.worker_pids().intersection(&before).count() == 1,
        "the other worker was replaced too"
    );
}

#[test]
fn a_request_that_crashes_its_worker_hurts_only_itself() {
    let server = Server::running("shop:app")
        .workers(2)
        .file(
            "shop.py",
            "import hello, os\ndef app(environ, start_response):\n    if environ['PATH_INFO'] == '/crash':\n        \
             os.abort()\n    return hello.app(environ, start_response)\n",
        )
        .start();

    server
        .connect()
        .send("GET /crash HTTP/1.1\r\nHost: a\r\n\r\n")
        .try_receive()
        .unwrap_err();

    assert_eq!(server.get("/").status, 200);
    server.wait_for_workers(2);
    server.wait_for_log("SIGABRT");
}

/// What other clients saw while one URL kept crashing workers.
#[derive(Debug, Default)]
struct Seen {
    answered: usize,
    slowest: Duration,
    /// What became of requests that got no answer.
    lost: Vec<Broken>,
}

/// Lets six clients, each request on a connection of its own, work for 20 seconds
/// while another one requests `/crash` every half second.
fn serve_while_crashing(server: &Running) -> Seen {
    const CRASHES: u32 = 40;
    let address = server.address();
    let over = AtomicBool::new(false);
    let seen = Mutex::new(Seen::default());
    let get = |path: &str| {
        let asked = Instant::now();
        let mut connection = Connection::open(&address).unwrap();
        let answer = connection
            .try_send(format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            ))
            .map_err(Broken::from)
            .and_then(|()| connection.try_receive());
        (asked.elapsed(), answer)
    };
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let (time, answer) = get("/");
                    let mut seen = seen.lock().unwrap();
                    match answer {
                        Ok(_) => seen.answered += 1,
                        Err(broken) => seen.lost.push(broken),
                    }
                    seen.slowest = seen.slowest.max(time);
                    drop(seen);
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        for _ in 0..CRASHES {
            let (_, answer) = get("/crash");
            answer.unwrap_err();
            thread::sleep(Duration::from_millis(500));
        }
        over.store(true, Ordering::SeqCst);
    });
    seen.into_inner().unwrap()
}

#[test]
fn a_url_that_crashes_a_worker_twice_a_second_holds_up_nobody_else() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    for workers in [4, 2] {
        let server = Server::running("shop:app")
            .workers(workers)
            .file("shop.py", CRASHING)
            .start();
        server.wait_for_workers(workers.into());

        let Seen {
            answered,
            slowest,
            lost,
        } = serve_while_crashing(&server);

        let summary = format!("{workers} workers: {answered} answered, slowest {slowest:?}");
        println!("{summary}");
        assert!(lost.is_empty(), "{summary}, lost: {lost:?}");
        assert!(slowest < Duration::from_secs(1), "{summary}");
        assert!(answered > 1000, "{summary}");
        assert!(server.runs());
        server.wait_for_workers(workers.into());
    }
}

#[test]
fn workers_that_die_as_soon_as_they_are_ready_are_not_forked_in_a_hot_loop() {
    let server = Server::running("shop:app")
        .workers(2)
        .file("shop.py", "from hello import app\n")
        .start();
    server.write(
        "shop.py",
        "import os, threading\nopen('attempts', 'a').write('x')\n\
         threading.Timer(0.01, os.abort).start()\nfrom hello import app\n",
    );
    let victim = *server.wait_for_workers(2).first().unwrap();

    let began = Instant::now();
    processes::signal(victim, Signal::SIGKILL);
    server.wait_until("it was tried twenty times", || {
        server.read("attempts").len() >= 20
    });

    // Ten at once, then four a second; as fast as possible would be dozens a second.
    assert!(
        began.elapsed() > Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_fork_server_that_closes_its_link_and_stays_is_replaced() {
    let server = Server::running("shop:app")
        .workers(2)
        .setting("preload", true)
        .file("shop.py", CLOSING_ITS_LINK)
        .start();
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
    let current = (0..).find(|limit| free_descriptors(server.pid(), *limit) == 2);
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
    let fork_server = server.other_pids();
    let victim = *server.wait_for_workers(2).first().unwrap();

    processes::signal(victim, Signal::SIGKILL);

    server.wait_until("the worker is replaced", || {
        let now = server.worker_pids();
        now.len() == 2 && !now.contains(&victim)
    });
    assert_eq!(server.other_pids(), fork_server);
    assert_eq!(server.log_count("died"), 1, "{}", server.stderr());
}

#[test]
fn a_server_whose_parent_ignores_sigchld_replaces_workers() {
    let server = Server::running("hello:app")
        .workers(2)
        .ignoring("CHLD")
        .start();
    let victim = *server.wait_for_workers(2).first().unwrap();

    processes::signal(victim, Signal::SIGKILL);

    server.wait_until("the worker is replaced", || {
        let now = server.worker_pids();
        now.len() == 2 && !now.contains(&victim)
    });
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_worker_that_a_real_time_signal_ends_is_replaced() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import hello, os, signal\ndef app(environ, start_response):\n    \
             if environ['PATH_INFO'] == '/end':\n        os.kill(os.getpid(), signal.SIGRTMIN)\n    \
             return hello.app(environ, start_response)\n",
        )
        .start();

    let ended = server
        .connect()
        .send("GET /end HTTP/1.1\r\nHost: a\r\n\r\n")
        .try_receive();

    ended.unwrap_err();
    assert_eq!(server.get("/").status, 200);
    server.wait_for_log("died: killed by signal 34");
}

#[test]
fn hundreds_of_workers_can_be_started() {
    const WORKERS: u16 = 400;
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::running("hello:app")
        .workers(WORKERS)
        .setting("preload", true)
        .start();

    server.wait_for_workers(WORKERS.into());

    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_worker_that_somebody_kills_is_not_said_to_have_run_out_of_memory() {
    let server = Server::running("hello:app").workers(1).start();

    processes::signal(*server.worker_pids().first().unwrap(), Signal::SIGKILL);

    server.wait_for_log("died: killed by SIGKILL (pid");
    server.wait_for_workers(1);
    assert_eq!(server.log_count("memory"), 0, "{}", server.stderr());
}

#[test]
fn a_fork_server_that_dies_is_replaced_and_costs_no_worker() {
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
fn a_worker_that_hangs_is_killed_and_says_where_it_hung() {
    let server = Server::running("slow:app")
        .workers(2)
        .setting("timeout", 2)
        .start();
    let before = server.wait_for_workers(2);
    let hanging = server.get_in_background("/stuck");
    server.wait_until("the request runs", || {
        !server.read("stuck.started").is_empty()
    });
    let stuck = pid_in(&server.read("stuck.started"));

    server.wait_until("the worker is gone", || !processes::runs(stuck));

    hanging.join().unwrap().unwrap_err();
    server.wait_for_log("in stuck_here");
    server.wait_for_workers(2);
    assert_eq!(server.worker_pids().intersection(&before).count(), 1);
}

#[test]
fn a_worker_that_spins_is_killed_and_says_where_it_spun() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("timeout", 2)
        .start();
    let _spinning = server.get_in_background("/spin");
    server.wait_until("the request runs", || {
        !server.read("spin.started").is_empty()
    });
    let spinning = pid_in(&server.read("spin.started"));

    server.wait_until("the worker is gone", || !processes::runs(spinning));

    server.wait_for_log("slow.py");
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn the_stacks_of_all_threads_are_in_the_log_of_a_worker_that_hung() {
    let server = Server::running("shop:app")
        .setting("timeout", 2)
        .file(
            "shop.py",
            "import threading, time, slow\ndef wait_in_the_background():\n    time.sleep(3600)\n\
             threading.Thread(target=wait_in_the_background, daemon=True).start()\napp = slow.app\n",
        )
        .start();
    let _hanging = server.get_in_background("/stuck");

    server.wait_for_log("in stuck_here");
    server.wait_for_log("in wait_in_the_background");
}

#[test]
fn a_worker_that_hears_nothing_is_killed() {
    let server = Server::running("shop:app")
        .workers(1)
        .setting("timeout", 2)
        .file("shop.py", DEAF)
        .start();
    let _hanging = server.get_in_background("/");
    server.wait_until("the request runs", || !server.read("deaf").is_empty());
    let deaf = pid_in(&server.read("deaf"));

    server.wait_until("the worker is gone", || !processes::runs(deaf));

    server.wait_until("another one serves", || {
        let workers = server.worker_pids();
        workers.len() == 1 && !workers.contains(&deaf)
    });
}

#[test]
fn a_worker_that_was_stopped_by_a_signal_is_replaced() {
    let server = Server::running("hello:app")
        .workers(2)
        .setting("timeout", 2)
        .start();
    let stopped = *server.wait_for_workers(2).first().unwrap();

    processes::signal(stopped, Signal::SIGSTOP);

    server.wait_until("it is replaced", || {
        let workers = server.worker_pids();
        workers.len() == 2 && !workers.contains(&stopped)
    });
}

#[test]
fn a_worker_that_is_only_idle_is_left_alone() {
    let server = Server::running("slow:app")
        .workers(2)
        .setting("timeout", 1)
        .start();
    let before = server.wait_for_workers(2);

    // Three times the timeout, one worker never having anything to do.
    for _ in 0..6 {
        assert_eq!(server.get("/sleep/0.5").status, 200);
    }

    assert_eq!(server.worker_pids(), before);
}

#[test]
fn a_worker_that_never_finishes_loading_is_given_up() {
    let server = Server::running("shop:app")
        .setting("boot_timeout", 2)
        .file(
            "shop.py",
            "import slow\nslow.app({'PATH_INFO': '/stuck'}, print)\n",
        )
        .launch();

    let status = server.wait_for_exit();

    assert_eq!(status, 3);
    server.wait_for_log("in stuck_here");
}

#[test]
fn signals_for_the_master_do_not_hurt_a_worker() {
    let server = Server::running("hello:app").workers(1).start();
    let before = server.worker_pids();
    let worker = *before.first().unwrap();

    for signal in [
        Signal::SIGHUP,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGPIPE,
    ] {
        processes::signal(worker, signal);
        assert_eq!(server.get("/").status, 200, "after {signal}");
    }

    assert_eq!(server.worker_pids(), before);
    assert_eq!(server.notices(), [] as [&str; 0]);
}

#[test]
fn signals_for_the_master_do_not_hurt_a_fork_server() {
    let server = Server::running("hello:app").workers(1).start();
    let before = server.other_pids();
    let fork_server = *before.first().unwrap();

    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
    ] {
        processes::signal(fork_server, signal);
    }
    server.signal(Signal::SIGTTIN);

    server.wait_for_workers(2);
    assert_eq!(server.other_pids(), before);
}

#[test]
fn a_worker_that_is_told_to_leave_finishes_and_is_replaced() {
    let server = Server::running("slow:app").workers(1).start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());
    let worker = pid_in(&server.read("go.started"));

    processes::signal(worker, Signal::SIGTERM);
    server.write("go", "");

    assert_eq!(running.join().unwrap().unwrap().status, 200);
    server.wait_until("another one serves", || {
        let workers = server.worker_pids();
        workers.len() == 1 && !workers.contains(&worker)
    });
}

#[test]
fn a_worker_that_is_told_to_leave_at_once_does() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let server = Server::running("slow:app").workers(1).start();
        let running = server.get_in_background("/stuck");
        server.wait_until("the request runs", || {
            !server.read("stuck.started").is_empty()
        });
        let worker = pid_in(&server.read("stuck.started"));

        processes::signal(worker, signal);

        server.wait_until("it is gone", || !processes::runs(worker));
        let _ = running.join();
        server.wait_for_workers(1);
    }
}

#[test]
fn workers_that_keep_dying_while_they_load_are_tried_at_growing_intervals() {
    let server = Server::running("shop:app")
        .workers(2)
        .file("shop.py", "from hello import app\n")
        .start();
    let before = server.wait_for_workers(2);
    server.write(
        "shop.py",
        "open('attempts', 'a').write('x')\nraise ValueError('sold out')\n",
    );

    processes::signal(*before.first().unwrap(), Signal::SIGKILL);
    server.wait_until("it was tried three times", || {
        server.read("attempts").len() >= 3
    });

    assert!(server.runs());
    assert_eq!(server.get("/").status, 200);
    // Without pauses there would be dozens in this time.
    assert!(
        server.read("attempts").len() < 10,
        "{} attempts",
        server.read("attempts").len()
    );
    server.write("shop.py", "from hello import app\n");
    server.wait_for_workers(2);
}

#[test]
fn nobody_is_left_unreaped() {
    let server = Server::running("hello:app").workers(2).start();
    for _ in 0..5 {
        let victim = *server.wait_for_workers(2).first().unwrap();
        processes::signal(victim, Signal::SIGKILL);
        server.wait_until("the worker is reaped", || {
            processes::state(victim).is_none()
        });
    }
}

#[test]
fn programs_that_the_app_starts_have_a_clean_signal_state() {
    let server = Server::running("children:app").start();

    let found = server.get("/").json();

    // Python itself ignores SIGPIPE and SIGXFSZ; subprocess restores them, the
    // plainer ways do not. What the tests were started with is not the server's.
    let pythons_own = (1 << (Signal::SIGPIPE as u64 - 1))
        | (1 << (Signal::SIGXFSZ as u64 - 1))
        | processes::ignored_signals();
    let mask = |way: &str, set: &str| found[way][set].as_u64().unwrap();
    for way in ["subprocess", "popen", "posix_spawn", "own"] {
        assert_eq!(mask(way, "SigBlk"), 0, "blocked in {way}: {found}");
    }
    for way in ["popen", "posix_spawn"] {
        assert_eq!(
            mask(way, "SigIgn") & !pythons_own,
            0,
            "ignored in {way}: {found}"
        );
    }
    assert_eq!(
        mask("subprocess", "SigIgn") & !processes::ignored_signals(),
        0,
        "{found}"
    );
}

#[test]
fn the_app_can_wait_for_its_own_children() {
    let server = Server::running("children:app").start();

    let found = server.get("/").json();

    assert_eq!(found["exit_status"], 0);
    assert_eq!(found["failure"], 1);
}

#[test]
fn programs_that_the_app_starts_inherit_no_descriptor_of_the_server() {
    let server = Server::running("children:app").start();

    let found = server.get("/").json();

    let lines: Vec<&str> = found["descriptors"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(lines.len() >= 3, "{lines:?}");
    for kind in ["socket:", "anon_inode:", "memfd:", "control"] {
        assert!(!lines.iter().any(|line| line.contains(kind)), "{lines:?}");
    }
}

#[test]
fn a_signal_handler_of_the_app_works() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import signal\nsignal.signal(signal.SIGUSR2, lambda *_: open('handled', 'w').write('x'))\nfrom hello import app\n",
        )
        .start();

    processes::signal(*server.worker_pids().first().unwrap(), Signal::SIGUSR2);

    server.wait_until("the handler ran", || server.read("handled") == "x");
    assert_eq!(server.get("/").status, 200);
}

/// What the application forks is its own business; the worker goes on.
#[test]
fn a_child_of_the_application_never_answers_and_never_serves() {
    let server = Server::running("forking:app")
        .workers(1)
        .setting("keepalive", 30)
        .file(
            "forking.py",
            r#"
import os
import sys
import time


def app(environ, start_response):
    how = environ["PATH_INFO"]
    status = b"-"
    if how != "/plain":
        pid = os.fork()
        if pid == 0:
            if how == "/exit":
                sys.exit(7)
            if how == "/raise":
                raise RuntimeError("raised in the child")
            if how == "/linger":
                time.sleep(20)
                os._exit(0)
        elif how != "/linger":
            status = b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [status]
"#,
        )
        .start();
    let mut connection = server.connect();

    for (path, status) in [("/exit", "7"), ("/raise", "1"), ("/return", "1")] {
        assert_eq!(connection.get(path).text(), status, "{path}");
        for _ in 0..5 {
            assert_eq!(connection.get("/plain").text(), "-", "after {path}");
        }
    }
    assert!(connection.is_open_and_quiet());

    // A child that goes on has copies of the sockets: they end all the same.
    let mut last = server.connect();
    last.send("GET /linger HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(last.receive().text(), "-");
    let began = std::time::Instant::now();
    assert_eq!(last.rest(), Ok(Vec::new()));
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
}
