//! Workers that have more memory than they may, and memory that is short.

use crate::harness::{
    Closing, Load, Running, Server,
    processes::{self, Pid, pid_in},
};
use nix::{sys::stat::Mode, unistd::mkfifo};
use std::{
    fs,
    io::Write,
    os::unix::net::{UnixListener, UnixStream},
    time::Duration,
};

fn limited(workers: u16) -> Server {
    Server::running("growing:app")
        .workers(workers)
        .setting("keepalive", 60)
        .setting("worker_memory_max", "80M")
}

#[test]
fn workers_that_grow_too_large_are_replaced_without_losing_a_request() {
    let server = limited(2).start();
    let before = server.wait_for_workers(2);

    let traffic = server.under(Load {
        path: "/fill/100",
        closing: Closing::Forbidden,
        pause: Duration::from_millis(50),
        ..Load::default()
    });
    server.wait_until("both workers are replaced", || {
        let workers = server.worker_pids();
        workers.is_disjoint(&before) && workers.len() >= 2
    });

    assert_eq!(traffic.finish(), [] as [String; 0]);
    for pid in before {
        let replaced =
            format!("more than worker_memory_max (80.0 MiB), and is replaced (pid {pid})");
        assert_eq!(server.log_count(&replaced), 1, "{}", server.stderr());
    }
}

#[test]
fn the_request_of_a_worker_that_is_too_large_is_finished_while_another_serves() {
    let server = limited(1).start();
    let old = *server.wait_for_workers(1).first().unwrap();
    let running = server.get_in_background("/fill/100/go");
    server.wait_until("the worker has grown", || {
        !server.read("go.started").is_empty()
    });

    server.wait_for_log("more than worker_memory_max");
    server.wait_until("another one serves", || server.worker_pids().len() == 2);
    assert_ne!(pid_in(&server.get("/").text()), old);
    server.write("go", "");

    let answer = running.join().unwrap().unwrap();
    assert_eq!((answer.status, pid_in(&answer.text())), (200, old));
    server.wait_until("the large one has left", || !processes::runs(old));
}

#[test]
fn what_workers_share_after_preload_does_not_count() {
    let server = Server::running("shop:app")
        .workers(2)
        .setting("worker_memory_max", "80M")
        .setting("preload", true)
        .file(
            "shop.py",
            "import growing, os\nheld = os.urandom(1 << 20) * 200\napp = growing.app\n",
        )
        .start();
    let before = server.wait_for_workers(2);
    for pid in &before {
        assert!(processes::own_memory(*pid).unwrap() > 200 << 10);
    }

    let grown = pid_in(&server.get("/fill/100").text());
    server.wait_until("it is replaced", || {
        let workers = server.worker_pids();
        workers.len() == 2 && !workers.contains(&grown)
    });

    assert_eq!(server.log_count("more than worker_memory_max"), 1);
    assert_eq!(server.worker_pids().intersection(&before).count(), 1);
}

#[test]
fn a_reload_brings_another_limit() {
    let server = limited(1).start();

    server.set("worker_memory_max", "120M");
    server.reload();
    server.get("/fill/140");

    server.wait_for_log("more than worker_memory_max (120.0 MiB)");
    assert_eq!(server.log_count("(80.0 MiB)"), 0);
}

/// Starts `server` with a FIFO in place of the file by which the kernel tells of memory
/// pressure.
fn with_a_fifo(server: Server) -> Running {
    let fifo = server.path("pressure");
    mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
    let server = server
        .setting("loglevel", "debug")
        .env("MEMORY_PRESSURE_WATCH", &fifo);
    server.start()
}

/// Two workers, each of which has made garbage of 60 MiB as it loaded the application.
fn littered(class: &str) -> Running {
    let server = Server::running("shop:app")
        .workers(2)
        .setting("keepalive", 60)
        .setting("worker_class", class)
        .setting("threads", if class == "sync" { 1 } else { 2 })
        .file(
            "shop.py",
            "import growing\ngrowing.litter(60)\napp = growing.app\n",
        );
    let server = with_a_fifo(server);
    for pid in server.wait_for_workers(2) {
        assert!(own_mib(pid) > 60, "{} MiB", own_mib(pid));
    }
    server
}

/// The kernel would tell so of memory pressure.
fn report_pressure(server: &Running) {
    fs::write(server.folder().join("pressure"), "x").unwrap();
}

fn own_mib(pid: Pid) -> u64 {
    processes::own_memory(pid).unwrap_or(0) / 1024
}

#[test]
fn when_memory_is_short_the_workers_collect_their_garbage() {
    for class in ["sync", "gthread"] {
        let server = littered(class);

        report_pressure(&server);

        server.wait_for_log("Memory is short");
        for pid in server.worker_pids() {
            server.wait_until("the garbage is collected", || own_mib(pid) < 60);
            server.wait_for_log(&format!("MiB (pid {pid})"));
        }
        assert_eq!(server.get("/").status, 200);
    }
}

#[test]
fn workers_collect_between_requests_and_no_request_is_lost() {
    for class in ["sync", "gthread"] {
        let server = littered(class);
        let traffic = server.under(Load {
            closing: Closing::Forbidden,
            ..Load::default()
        });
        traffic.wait_for_answers(100);

        report_pressure(&server);
        for pid in server.worker_pids() {
            server.wait_until("the garbage is collected", || own_mib(pid) < 60);
        }
        traffic.wait_for_answers(100);

        assert_eq!(traffic.finish(), [] as [String; 0]);
    }
}

#[test]
fn pressure_may_come_over_a_socket_which_may_end() {
    let server = Server::running("growing:app").workers(1);
    let path = server.path("pressure");
    let listener = UnixListener::bind(&path).unwrap();
    let server = server
        .env("MEMORY_PRESSURE_WATCH", &path)
        .env("MEMORY_PRESSURE_WRITE", "aGVsbG8=")
        .start();
    let (mut manager, _): (UnixStream, _) = listener.accept().unwrap();
    server.wait_for_workers(1);

    manager.write_all(b"x").unwrap();

    server.wait_for_log("Memory is short");
    drop(manager);
    server.wait_for_log("Memory pressure is not watched any more");
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_service_that_cannot_be_told_of_pressure_serves_all_the_same() {
    let server = Server::running("growing:app")
        .workers(1)
        .env("MEMORY_PRESSURE_WATCH", "/nowhere/pressure")
        .start();

    server.wait_for_log("Memory pressure is not watched: cannot watch /nowhere/pressure: No such");
    assert_eq!(server.get("/").status, 200);
}
