//! What the server tells its service manager.

use crate::harness::{Running, Server, let_pass, processes};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn ready_is_sent_when_a_worker_can_answer_and_not_before() {
    for preload in [false, true] {
        let server = Server::running("shop:app")
            .setting("preload", preload)
            .file(
                "shop.py",
                "import slow\nslow.app({'PATH_INFO': '/until/go'}, print)\nfrom hello import app\n",
            )
            .launch();
        server.wait_until("the app is loading", || {
            !server.read("go.started").is_empty()
        });

        assert_eq!(server.notices(), [] as [&str; 0]);

        server.write("go", "");
        server.wait_for_notice("READY=1");
        // The notice may arrive here before the listeners arrive there.
        server.wait_for_workers(1);
        assert_eq!(server.get("/").status, 200);
    }
}

#[test]
fn ready_is_sent_once() {
    let server = Server::running("hello:app").workers(3).start();
    server.wait_for_workers(3);
    server.get("/");

    assert_eq!(
        server
            .datagrams()
            .iter()
            .filter(|datagram| datagram.contains("READY=1"))
            .count(),
        1
    );
}

#[test]
fn an_app_that_loads_slowly_is_given_time() {
    let server = Server::running("shop:app")
        .file(
            "shop.py",
            "import slow\nslow.app({'PATH_INFO': '/until/go'}, print)\nfrom hello import app\n",
        )
        .launch();
    server.wait_until("the app is loading", || {
        !server.read("go.started").is_empty()
    });

    server.wait_until("more time is asked for, twice", || {
        server.notified("EXTEND_TIMEOUT_USEC").len() >= 2
    });

    for value in server.notified("EXTEND_TIMEOUT_USEC") {
        assert!(value.parse::<u64>().unwrap() >= 1_000_000, "{value}");
    }
    server.write("go", "");
    server.wait_for_notice("READY=1");
}

#[test]
fn a_reload_says_when_it_began_on_the_clock_that_systemd_compares() {
    let server = Server::running("hello:app").start();
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    let before = now();

    server.reload();

    let datagrams = server.datagrams();
    let reloading = datagrams
        .iter()
        .find(|datagram| datagram.contains("RELOADING=1"))
        .unwrap();
    let began = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="))
        .unwrap();
    let began = Duration::from_micros(began.parse().unwrap());
    // In whole microseconds.
    let slack = Duration::from_micros(1);
    assert!(
        before.saturating_sub(slack) <= began && began <= now(),
        "{began:?}, not after {before:?}"
    );
}

#[test]
fn stopping_is_sent_at_the_beginning_of_the_stop() {
    let server = Server::running("slow:app").start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    server.signal(Signal::SIGTERM);
    server.wait_for_notice("STOPPING=1");

    assert!(server.runs());
    server.write("go", "");
    assert_eq!(running.join().unwrap().unwrap().status, 200);
    assert_eq!(server.wait_for_exit(), 0);
    assert_eq!(server.notices(), ["STOPPING=1"]);
}

#[test]
fn the_status_is_a_line_an_operator_wants() {
    let server = Server::running("hello:app").workers(2).start();

    server.wait_until("the status tells of two workers", || {
        server
            .notified("STATUS")
            .last()
            .is_some_and(|status| status.contains("2 workers"))
    });
    server.reload();

    server.wait_until("the status tells of the second generation", || {
        server
            .notified("STATUS")
            .last()
            .is_some_and(|status| status.contains("generation 2") && status.contains("2 workers"))
    });
}

#[test]
fn the_last_status_of_a_failed_start_is_the_reason() {
    for (key, value, reason) in [
        ("wokers", "3", "wokers"),
        ("app", "nowhere:app", "No module named 'nowhere'"),
        ("python", "/nowhere/python", "/nowhere/python"),
    ] {
        let server = Server::running("hello:app").setting(key, value).launch();

        assert_ne!(server.wait_for_exit(), 0);

        server.wait_until("the last status is the reason", || {
            let statuses = server.notified("STATUS");
            statuses
                .last()
                .is_some_and(|last| last.starts_with("cannot start: ") && last.contains(reason))
        });
    }
}

#[test]
fn a_mistake_on_the_command_line_is_in_the_status() {
    let server = Server::running("hello:app")
        .argument("--wokers")
        .argument("3")
        .launch();

    assert_eq!(server.wait_for_exit(), 64);

    server.wait_until("the status is the reason", || {
        let statuses = server.notified("STATUS");
        statuses
            .last()
            .is_some_and(|last| last.starts_with("cannot start: ") && last.contains("--wokers"))
    });
}

/// A file whose lease another process holds can be opened when that process gives
/// it back, or after 45 seconds: like one on a file server that does not answer.
#[test]
fn a_start_that_hangs_before_the_application_is_loaded_is_ended_by_the_kernel() {
    const HOLD: &str = "\
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
sys.stdin.read()
";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("held.toml");
    std::fs::write(&path, "app = \"hello:app\"\n").unwrap();
    let mut holder = Command::new("python3")
        .args(["-c", HOLD, path.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(holder.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");

    let server = Server::running("hello:app")
        .env("WATCHDOG_USEC", "500000")
        .argument("--config")
        .argument(path.to_str().unwrap())
        .launch();
    let status = server.wait_for_exit();

    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(status, 128 + Signal::SIGALRM as i32);
}

#[test]
fn the_watchdog_leaves_time_to_write_the_log() {
    let server = Server::running("hello:app")
        .env("WATCHDOG_USEC", "2000000")
        .start();

    assert_eq!(server.stop(), 0);

    server.wait_until("its period is longer than the log may take", || {
        let periods = server.notified("WATCHDOG_USEC");
        periods
            .last()
            .is_some_and(|period| period.parse::<u64>().unwrap() > 10_000_000)
    });
}

#[test]
fn the_status_of_an_idle_server_is_not_repeated() {
    let server = Server::running("hello:app").start();
    server.get("/");
    server.wait_until("there is a status", || {
        !server.notified("STATUS").is_empty()
    });

    let_pass(Duration::from_secs(3));

    assert!(
        server.notified("STATUS").len() < 6,
        "{:#?}",
        server.datagrams()
    );
}

#[test]
fn the_watchdog_is_fed_when_there_is_one() {
    let server = Server::running("hello:app")
        .env("WATCHDOG_USEC", "2000000")
        .start();

    server.wait_until("the watchdog is fed again and again", || {
        server.notified("WATCHDOG").len() >= 4
    });

    assert!(server.notified("WATCHDOG").iter().all(|value| value == "1"));
}

#[test]
fn the_watchdog_is_fed_while_the_app_loads_and_while_it_reloads() {
    let server = Server::running("shop:app")
        .env("WATCHDOG_USEC", "3000000")
        .file("shop.py", "from hello import app\n")
        .start();
    server.write(
        "shop.py",
        "import slow\nslow.app({'PATH_INFO': '/until/go'}, print)\nfrom hello import app\n",
    );
    server.signal(Signal::SIGHUP);
    server.wait_until("the new code is loading", || {
        !server.read("go.started").is_empty()
    });

    let before = server.notified("WATCHDOG").len();

    server.wait_until("the watchdog is fed meanwhile", || {
        server.notified("WATCHDOG").len() >= before + 4
    });
}

#[test]
fn a_pool_that_is_stopped_logs_its_stacks_and_is_restarted_by_the_watchdog() {
    let server = Server::running("slow:app")
        .workers(2)
        .setting("timeout", 0)
        .env("WATCHDOG_USEC", "8000000")
        .start();
    let workers = server.wait_for_workers(2);
    let _hanging = server.get_in_background("/stuck");
    server.wait_until("the request runs", || {
        !server.read("stuck.started").is_empty()
    });

    for worker in &workers {
        processes::signal(*worker, Signal::SIGSTOP);
    }

    server.wait_until("systemd is told to restart the service", || {
        let told = server.notified("WATCHDOG");
        told.last().is_some_and(|told| told == "trigger")
    });
    server.wait_for_log("No worker shows signs of life (2 workers");
    server.wait_for_log("in stuck_here");
    server.wait_until("they are gone", || {
        !workers.iter().any(|worker| processes::runs(*worker))
    });
    assert_eq!(server.worker_pids().len(), 0, "new workers take requests");
}

#[test]
fn one_worker_that_is_not_stopped_keeps_the_watchdog_fed() {
    let server = Server::running("slow:app")
        .workers(2)
        .setting("timeout", 0)
        .env("WATCHDOG_USEC", "6000000")
        .start();
    let stopped = *server.wait_for_workers(2).first().unwrap();

    processes::signal(stopped, Signal::SIGSTOP);

    assert_is_fed_for_longer_than_workers_may_be_silent(&server);
    processes::signal(stopped, Signal::SIGCONT);
}

/// Requests may take any time, and all workers are in one.
#[test]
fn a_pool_that_is_merely_busy_keeps_the_watchdog_fed() {
    let server = Server::running("slow:app")
        .setting("timeout", 0)
        .env("WATCHDOG_USEC", "6000000")
        .start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    assert_is_fed_for_longer_than_workers_may_be_silent(&server);

    server.write("go", "");
    assert_eq!(running.join().unwrap().unwrap().status, 200);
}

#[track_caller]
fn assert_is_fed_for_longer_than_workers_may_be_silent(server: &Running) {
    let before = server.notified("WATCHDOG").len();
    server.wait_until("the watchdog is fed for fifteen seconds", || {
        server.notified("WATCHDOG").len() >= before + 5
    });
    assert!(server.notified("WATCHDOG").iter().all(|value| value == "1"));
}

/// systemd's own watchdog may have forgotten it.
#[test]
fn a_master_that_hangs_is_ended_by_the_kernel() {
    let server = Server::running("shop:app")
        .env("WATCHDOG_USEC", "3000000")
        .file(
            "shop.py",
            "import slow\nslow.app({'PATH_INFO': '/until/go'}, print)\n",
        )
        .launch();
    server.wait_until("the app is loading", || {
        !server.read("go.started").is_empty()
    });
    server.wait_until(
        "the watchdog is fed for longer than the alarm waits",
        || server.notified("WATCHDOG").len() >= 8,
    );

    server.signal(Signal::SIGSTOP);
    server.wait_until("the alarm has gone off", || {
        pending_signals(server.pid()) & (1 << (Signal::SIGALRM as u32 - 1)) != 0
    });
    server.signal(Signal::SIGCONT);

    assert_eq!(server.wait_for_exit(), 128 + Signal::SIGALRM as i32);
}

/// The signals that a process has not taken yet, as bits.
fn pending_signals(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    u64::from_str_radix(mask.unwrap().trim(), 16).unwrap()
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let server = Server::running("hello:app")
        .env("WATCHDOG_USEC", "200000")
        .env("WATCHDOG_PID", "1")
        .start();

    let_pass(Duration::from_secs(2));

    assert_eq!(server.notified("WATCHDOG"), [] as [&str; 0]);
}

#[test]
fn without_a_service_manager_nothing_is_missed() {
    let server = Server::running("hello:app")
        .env("NOTIFY_SOCKET", "")
        .launch();

    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.stop(), 0);
    assert_eq!(server.datagrams(), [] as [&str; 0]);
}

#[test]
fn a_service_manager_that_does_not_listen_harms_nobody() {
    let server = Server::running("hello:app")
        .env("NOTIFY_SOCKET", "/nowhere/notify")
        .launch();

    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.stop(), 0);
}

#[test]
fn what_an_app_writes_cannot_pose_as_a_notice() {
    let server = Server::running("shop:app")
        .file("shop.py", "from hello import app\n")
        .start();
    server.write(
        "shop.py",
        "raise RuntimeError('sold out\\nREADY=1\\nMAINPID=1')\n",
    );

    server.reload();

    for datagram in server.datagrams() {
        assert!(!datagram.contains("MAINPID"), "{datagram}");
    }
}
