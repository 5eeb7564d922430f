//! Workers that have more memory than they may.

use crate::harness::{
    Closing, Load, Server,
    processes::{self, pid_in},
};
use std::time::Duration;

fn limited(workers: u16) -> Server {
    Server::running("growing:app")
        .workers(workers)
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
