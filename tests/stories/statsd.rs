//! Metrics for StatsD: those of Gunicorn, and nobody waits for it.

use crate::harness::{LogServer, Running, Server, processes};
use nix::sys::signal::Signal;
use serde_json::Value;

fn sending(to: &str) -> Server {
    Server::running("hello:app").setting("statsd_host", to)
}

fn dropped(server: &Running) -> u64 {
    let status: Value = serde_json::from_str(&server.ctl(&["status", "--json"]).stdout).unwrap();
    status["statsd_metrics_dropped"].as_u64().unwrap()
}

#[test]
fn each_request_is_three_metrics_and_no_line_of_a_log() {
    for (class, threads) in [("sync", 1), ("gthread", 2)] {
        let statsd = LogServer::udp();
        let server = sending(&statsd.address())
            .setting("worker_class", class)
            .setting("threads", threads)
            .setting("statsd_prefix", "shop..")
            .setting("dogstatsd_tags", "env:test,site:shop")
            .start();

        server.get("/a");
        server.request("GET / HTTP/1.1\r\n\r\n");

        let worker = server.worker_pids().into_iter().next().unwrap();
        server.wait_until("the thread is named after what it sends", || {
            processes::thread_names(worker).contains(&"statsd".to_owned())
        });
        let tags = "|#env:test,site:shop";
        statsd.wait_for_count("shop.gunicorn.requests:", 2);
        for status in [200, 400] {
            statsd.wait_for_count(
                &format!("shop.gunicorn.request.status.{status}:1|c|@1.0{tags}"),
                1,
            );
        }
        assert_eq!(
            statsd.with("gunicorn.requests")[0],
            format!("shop.gunicorn.requests:1|c|@1.0{tags}")
        );
        let duration = statsd.wait_for("gunicorn.request.duration");
        let value = duration
            .strip_prefix("shop.gunicorn.request.duration:")
            .unwrap();
        let value = value.strip_suffix(&format!("|ms{tags}")).unwrap();
        assert!(
            value.contains('.') && value.parse::<f64>().unwrap() >= 0.0,
            "{duration}"
        );
        server.stop();
        assert!(!server.stderr().contains("GET /a"), "{}", server.stderr());
    }
}

#[test]
fn the_number_of_workers_is_told_when_it_changes_and_warnings_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("statsd");
    let statsd = LogServer::unix_datagrams(&path);
    let server = sending(&format!("unix://{}", path.display()))
        .workers(2)
        .start();
    statsd.wait_for("gunicorn.workers:2|g");
    assert!(
        statsd.with("gunicorn.log").is_empty(),
        "{:?}",
        statsd.received()
    );

    server.signal(Signal::SIGTTIN);
    statsd.wait_for("gunicorn.workers:3|g");
    let worker = server.wait_for_workers(3).into_iter().next().unwrap();
    processes::signal(worker, Signal::SIGKILL);

    server.wait_for_log("died: killed by SIGKILL");
    statsd.wait_for("gunicorn.log.warning:1|c|@1.0");
    server.stop();
    statsd.wait_for("gunicorn.workers:0|g");
    assert!(statsd.with("gunicorn.backlog").is_empty());
}

#[test]
fn connections_that_wait_are_told_of_each_second_if_that_is_wanted() {
    let statsd = LogServer::udp();
    let server = sending(&statsd.address())
        .setting("enable_backlog_metric", true)
        .start();

    server.wait_until("it was told twice", || {
        statsd.with("gunicorn.backlog:0|h").len() >= 2
    });
    server.set("enable_backlog_metric", false);
    server.reload();
    server.get("/");
    statsd.wait_for("gunicorn.requests");
    server.stop();
}

#[test]
fn metrics_go_with_the_access_log_whatever_its_filter_leaves_out() {
    let statsd = LogServer::udp();
    let server = sending(&statsd.address())
        .setting("accesslog", "access.log")
        .setting("access_log_format", "%(U)s %(s)s")
        .setting("access_log_filter", "errors")
        .start();

    server.get("/a");
    server.request("GET / HTTP/1.1\r\n\r\n");
    server.stop();

    statsd.wait_for_count("gunicorn.requests:1|c", 2);
    assert_eq!(server.read("access.log"), "- 400\n");
}

#[test]
fn a_statsd_that_is_not_there_stops_nobody_and_what_is_lost_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("statsd");
    let server = sending(&format!("unix://{}", path.display())).start();

    assert_eq!(server.get("/").status, 200);

    server.wait_for_log("metrics were not sent: StatsD at unix://");
    server.wait_until("they are counted", || dropped(&server) >= 3);
    let statsd = LogServer::unix_datagrams(&path);
    server.wait_until("it is found", || {
        server.get("/");
        !statsd.with("gunicorn.requests").is_empty()
    });
    // A line about lost metrics must not be the cause of the next one.
    let said = server.log_count("not sent");
    assert!(said < 6, "{}", server.stderr());
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_reload_changes_where_they_go() {
    let (first, second) = (LogServer::udp(), LogServer::udp());
    let server = sending(&first.address()).start();
    first.wait_for("gunicorn.workers:1|g");

    server.set("statsd_host", second.address());
    server.reload();
    server.get("/");

    second.wait_for("gunicorn.requests:1|c");
    second.wait_for("gunicorn.workers:1|g");
    assert!(first.with("gunicorn.requests").is_empty());
    server.stop();
}
