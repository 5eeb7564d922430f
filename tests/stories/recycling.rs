//! Workers that have answered enough requests, or are old enough, are replaced under
//! load: no request is lost, and no connection is closed.

use crate::harness::{
    Server,
    traffic::{Closing, Load},
};
use std::collections::BTreeSet;

/// Clients that want to keep their connections, and others.
const LOAD: Load = Load {
    kept_alive: 6,
    one_shot: 3,
    pipelining: 0,
    uploading: 0,
    path: "/",
    closing: Closing::Forbidden,
    pause: std::time::Duration::from_millis(20),
};

/// The numbers of requests after which workers were replaced.
fn counts(log: &str) -> Vec<u64> {
    let lines = log.lines();
    let said = lines.filter_map(|line| line.split_once(" has answered "));
    let replaced = said.filter(|(_, rest)| rest.contains("is replaced as max_requests says"));
    let number = replaced.filter_map(|(_, rest)| rest.split(' ').next()?.parse().ok());
    number.collect()
}

#[test]
fn workers_that_have_answered_enough_are_replaced_and_no_request_is_lost() {
    let server = Server::running("hello:app")
        .workers(2)
        .setting("keepalive", 60)
        .setting("max_requests", 50)
        .setting("max_requests_jitter", 20)
        .start();
    let first = server.wait_for_workers(2);
    let traffic = server.under(LOAD);

    server.wait_until("six workers have been replaced", || {
        counts(&server.stderr()).len() >= 6
    });
    server.wait_until("the first two have left", || {
        server.children().is_disjoint(&first)
    });

    assert_eq!(traffic.finish(), [] as [&str; 0]);
    let counts = counts(&server.stderr());
    assert!(counts.iter().all(|count| *count >= 50), "{counts:?}");
    server.wait_for_workers(2);
    assert_eq!(server.log_count("died"), 0);
    assert_eq!(server.log_count("did not leave in time"), 0);
}

#[test]
fn threads_of_a_worker_that_has_answered_enough_finish_their_requests() {
    let server = Server::running("hello:app")
        .workers(1)
        .setting("threads", 3)
        .setting("keepalive", 60)
        .setting("max_requests", 30)
        .start();
    let traffic = server.under(LOAD);

    server.wait_until("three workers have been replaced", || {
        counts(&server.stderr()).len() >= 3
    });

    assert_eq!(traffic.finish(), [] as [&str; 0]);
}

#[test]
fn workers_that_are_old_enough_are_replaced_and_no_request_is_lost() {
    let server = Server::running("hello:app")
        .workers(2)
        .setting("keepalive", 60)
        .setting("max_worker_age", "2s")
        .start();
    let first = server.wait_for_workers(2);
    let traffic = server.under(LOAD);

    server.wait_until("the first two have left", || {
        let children: BTreeSet<_> = server.children();
        children.is_disjoint(&first)
    });

    assert_eq!(traffic.finish(), [] as [&str; 0]);
    assert!(server.log_count("and is replaced as max_worker_age says") >= 2);
}

#[test]
fn the_number_of_requests_is_given_as_for_gunicorn() {
    let server = Server::typed("hello:app")
        .argument("--max-requests")
        .argument("1000000")
        .argument("--max-requests-jitter=50")
        .binding_a_port()
        .file("more.toml", "max_worker_memory = \"1G\"\n")
        .env("GUNICORN_CMD_ARGS", "-c more.toml")
        .start();

    let printed = server.ctl(&["config"]).stdout;

    for line in [
        "max_requests = 1000000  # --max-requests on the command line",
        "max_requests_jitter = 50  # --max-requests-jitter on the command line",
        "worker_memory_max = 1073741824  # more.toml:1:21",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
}
