//! What is tested one by one elsewhere, at the same time: workers that are replaced after a
//! number of requests, an access log that is renamed, deleted and reopened, and reloads.

use crate::harness::{Server, traffic::Load};
use nix::sys::signal::Signal;
use std::fs;

#[test]
fn no_request_is_lost_while_everything_changes() {
    const ROUNDS: usize = 12;
    let server = Server::running("hello:app")
        .workers(2)
        .setting("keepalive", 60)
        .setting("max_requests", 50)
        .setting("max_requests_jitter", 20)
        .setting("accesslog", "access.log")
        .start();
    let log = server.folder().join("access.log");
    let traffic = server.under(Load {
        kept_alive: 4,
        ..Load::default()
    });

    for round in 0..ROUNDS {
        if round % 3 == 0 {
            fs::remove_file(&log).unwrap();
        } else {
            fs::rename(&log, log.with_extension(round.to_string())).unwrap();
        }
        server.signal(Signal::SIGUSR1);
        match round % 4 {
            1 => server.reload(),
            2 => {
                server.signal(Signal::SIGTTIN);
                server.signal(Signal::SIGTTOU);
            }
            _ => {}
        }
        traffic.wait_for_answers(60);
        server.wait_until("there is a log with lines again", || {
            fs::metadata(&log).is_ok_and(|file| file.len() > 0)
        });
    }

    server.wait_until("workers have been replaced after their requests", || {
        server.log_count("is replaced as max_requests says") >= 3
    });
    assert_eq!(traffic.finish(), [""; 0]);
    assert_eq!(server.log_count("died"), 0);
    assert_eq!(server.log_count("did not leave in time"), 0);
    server.wait_for_workers(2);
}
