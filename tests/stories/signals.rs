//! Signals to the whole service: bursts of all kinds, and the one that has all workers
//! leave. Those to single processes are in `orders.rs`.

use super::deaths::MACHINE;
use crate::harness::{Running, Server, processes};
use nix::sys::signal::Signal;
use std::sync::PoisonError;

#[test]
fn sigwinch_has_all_workers_finish_and_leave_and_clients_wait_until_there_are_others() {
    let server = Server::running("slow:app").workers(2).start();
    server.wait_for_workers(2);
    let mut running = server.begin_until("go");

    server.signal(Signal::SIGWINCH);
    server.wait_for_log("All workers finish their requests and leave (SIGWINCH)");
    server.write("go", "");
    assert_eq!(running.receive().status, 200);
    server.wait_until("no worker is left", || server.worker_pids().is_empty());
    let waiting = server.get_in_background("/");
    let status = server.ctl(&["status"]).stdout;
    assert!(
        status.contains("all workers were told to leave"),
        "{status}"
    );
    // One fewer than none is none.
    server.signal(Signal::SIGTTOU);
    server.signal(Signal::SIGTTIN);

    assert_eq!(waiting.join().unwrap().unwrap().status, 200);
    server.wait_for_workers(1);
    server.signal(Signal::SIGWINCH);
    server.wait_until("no worker is left again", || {
        server.worker_pids().is_empty()
    });
    server.reload();
    server.wait_for_workers(2);
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.stop(), 0);
}

/// There the kernel sends it when somebody changes the size of a window.
#[test]
fn sigwinch_is_no_order_for_a_server_that_systemd_has_not_started() {
    let server = Server::running("hello:app")
        .env("NOTIFY_SOCKET", "")
        .launch();
    server.wait_for_workers(1);
    let before = server.worker_pids();

    server.signal(Signal::SIGWINCH);
    server.wait_for_log("Got SIGWINCH, which is ignored: it counts only under systemd");

    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.worker_pids(), before);
}

/// What a burst may send to the master, without an end of the service.
const TO_MASTER: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGUSR1,
    Signal::SIGCHLD,
    Signal::SIGURG,
    Signal::SIGWINCH,
];

/// Of these, TERM alone means a worker.
const TO_WORKER: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGCHLD,
    Signal::SIGTERM,
];

/// For the master only, and harmless to all others, such as the fork server, and workers that
/// load the application or leave.
pub const TO_OTHERS: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// Sends some signals, one right after the other, and never leaves the service without
/// workers.
fn burst(server: &Running, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..12) {
        match random.usize(0..6) {
            0..=3 => server.signal(*random.choice(&TO_MASTER).unwrap()),
            4 => {
                if let Some(worker) = random.choice(server.worker_pids()) {
                    processes::signal(worker, *random.choice(&TO_WORKER).unwrap());
                }
            }
            _ => {
                if let Some(other) = random.choice(server.other_pids()) {
                    processes::signal(other, *random.choice(&TO_OTHERS).unwrap());
                }
            }
        }
    }
    server.signal(Signal::SIGTTIN);
}

#[test]
fn hundreds_of_signals_in_any_order_lose_no_request() {
    const BURSTS: usize = 60;
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::running("hello:app").workers(2).start();
    server.wait_for_workers(2);
    let traffic = server.under_load();
    let mut random = fastrand::Rng::with_seed(8);

    for _ in 0..BURSTS {
        burst(&server, &mut random);
        traffic.wait_for_answers(5);
    }
    // Orders that came before it share it, or have a reload of their own.
    server.ctl(&["reload"]);
    server.wait_for_workers(2);
    traffic.wait_for_answers(50);

    assert_eq!(traffic.finish(), [] as [&str; 0]);
    let log = server.stderr();
    assert!(
        !log.contains("killed by") && !log.contains("failed"),
        "{log}"
    );
    assert_eq!(server.stop(), 0);
}
