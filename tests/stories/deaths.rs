//! Workers that die, in requests, while they load, or by a signal.

use crate::harness::{Broken, Running, Server, client::Connection, processes};
use nix::sys::signal::Signal;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Held by the story with a bound on time and by those that start hundreds of
/// processes: on a small machine they would slow down the first.
pub(super) static MACHINE: Mutex<()> = Mutex::new(());

/// `/crash` ends the worker.
const CRASHING: &str = "\
import hello, os
def app(environ, start_response):
    if environ['PATH_INFO'] == '/crash':
        os.abort()
    return hello.app(environ, start_response)
";

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
fn a_request_that_crashes_its_worker_fails_no_other_request() {
    let server = Server::running("shop:app")
        .workers(2)
        .file("shop.py", CRASHING)
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
    /// The longest that a thread which does nothing had to wait for a processor.
    standstill: Duration,
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
        scope.spawn(|| {
            const TICK: Duration = Duration::from_millis(5);
            while !over.load(Ordering::SeqCst) {
                let began = Instant::now();
                thread::sleep(TICK);
                let late = began.elapsed().saturating_sub(TICK);
                let mut seen = seen.lock().unwrap();
                seen.standstill = seen.standstill.max(late);
            }
        });
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
fn a_url_that_crashes_a_worker_twice_a_second_does_not_delay_other_clients() {
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
            standstill,
            lost,
        } = serve_while_crashing(&server);

        let summary = format!(
            "{workers} workers: {answered} answered, slowest {slowest:?}, standstill {standstill:?}"
        );
        println!("{summary}");
        assert!(lost.is_empty(), "{summary}, lost: {lost:?}");
        assert!(slowest < Duration::from_secs(1) + standstill, "{summary}");
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
fn workers_that_keep_dying_while_they_load_are_started_at_growing_intervals() {
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
fn a_death_is_logged_with_the_request_if_the_worker_was_in_one() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import hello, os, signal\ndef app(environ, start_response):\n    \
             if environ['PATH_INFO'] == '/end':\n        os.kill(os.getpid(), signal.SIGKILL)\n    \
             return hello.app(environ, start_response)\n",
        )
        .start();
    let idle = *server.worker_pids().first().unwrap();

    processes::signal(idle, Signal::SIGKILL);
    server.wait_for_log("died: killed by SIGKILL");
    assert_eq!(server.log_count(", in "), 0, "{}", server.stderr());

    let ended = server
        .connect()
        .send("GET /end?secret HTTP/1.1\r\nHost: a\r\n\r\n")
        .try_receive();
    ended.unwrap_err();
    server.wait_for_log(", after 0 requests, in GET /end");
    assert_eq!(server.log_count("secret"), 0, "{}", server.stderr());
}

#[test]
fn a_sigkill_that_somebody_sends_is_not_reported_as_out_of_memory() {
    let server = Server::running("hello:app").workers(1).start();

    processes::signal(*server.worker_pids().first().unwrap(), Signal::SIGKILL);

    server.wait_for_log("died: killed by SIGKILL (pid");
    server.wait_for_workers(1);
    assert_eq!(server.log_count("memory"), 0, "{}", server.stderr());
}

#[test]
fn dead_workers_are_reaped() {
    let server = Server::running("hello:app").workers(2).start();
    for _ in 0..5 {
        let victim = *server.wait_for_workers(2).first().unwrap();
        processes::signal(victim, Signal::SIGKILL);
        server.wait_until("the worker is reaped", || {
            processes::state(victim).is_none()
        });
    }
}

/// The master learns that a child has ended, and only then reads the message in which
/// the child says that it is a worker.
#[test]
fn a_worker_that_ends_before_the_master_knows_its_pid_is_reported_with_how_it_ended() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import os\nif os.path.exists('end'):\n    os._exit(9)\nfrom hello import app\n",
        )
        .start();
    let fork_server = *server.other_pids().first().unwrap();
    let master = server.pid();
    server.write("end", "");
    processes::signal(fork_server, Signal::SIGSTOP);
    server.signal(Signal::SIGTTIN);
    server.wait_until("another worker is ordered", || {
        let status = server.ctl(&["status"]).stdout;
        status.contains("1 worker ready of 2")
    });

    // The master's signals get readable before the worker's link does, and both are
    // by the time it looks.
    server.signal(Signal::SIGSTOP);
    server.wait_until("the master stands still", || {
        processes::state(master) == Some('T')
    });
    server.signal(Signal::SIGUSR1);
    processes::signal(fork_server, Signal::SIGCONT);
    server.wait_until("the worker has ended", || {
        !processes::zombies(master).is_empty()
    });
    server.signal(Signal::SIGCONT);

    server.wait_for_log("Worker 2 ended before it was ready: exit status 9");
    assert_eq!(server.log_count("pidfd"), 0, "{}", server.stderr());
    std::fs::remove_file(server.folder().join("end")).unwrap();
    server.wait_for_workers(2);
}
