//! `rgunicornctl metrics`, read by the parser of Prometheus' own client.

use crate::compare::venv;
use crate::harness::{Running, Server, processes};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
};

/// Prints each sample with its labels and its value, after the type of its family.
const PARSE: &str = "\
import json, sys
from prometheus_client.parser import text_string_to_metric_families
samples = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation and family.type in ('gauge', 'counter'), family
    for sample in family.samples:
        labels = ','.join('%s=%s' % label for label in sorted(sample.labels.items()))
        key = sample.name + ('{%s}' % labels if labels else '')
        assert key not in samples, key
        samples[key] = [family.type, sample.value]
print(json.dumps(samples))
";

struct Metrics(BTreeMap<String, Value>);

impl Metrics {
    #[track_caller]
    fn of(server: &Running) -> Self {
        let outcome = server.ctl(&["metrics"]);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        let mut python = Command::new(venv().join("bin/python"))
            .args(["-c", PARSE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = python.stdin.take().unwrap();
        input.write_all(outcome.stdout.as_bytes()).unwrap();
        drop(input);
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", outcome.stdout);
        Self(serde_json::from_slice(&output.stdout).unwrap())
    }

    #[track_caller]
    fn value(&self, sample: &str) -> f64 {
        let sample = &self.0[&format!("rgunicorn_{sample}")];
        sample[1].as_f64().unwrap()
    }
}

/// Starts the server when the parser is there: to install it may take longer than any wait
/// for the server.
#[track_caller]
fn start(server: Server) -> Running {
    venv();
    server.start()
}

/// Values of counters are whole numbers.
#[expect(clippy::float_cmp, reason = "whole numbers are compared")]
fn is(metrics: &Metrics, sample: &str, value: f64) -> bool {
    metrics.value(sample) == value
}

const SHOP: &str = "\
import os, slow
def app(environ, start_response):
    if environ['PATH_INFO'] == '/fails':
        start_response('500 Internal Server Error', [('Content-Length', '0')])
        return []
    return slow.app(environ, start_response)
";

#[test]
fn what_the_log_files_do_not_take_is_counted_and_not_forgotten_with_its_worker() {
    let full = "/dev/full";
    let server = start(
        Server::running("hello:app")
            .setting("accesslog", full)
            .setting("errorlog", full)
            .workers(1),
    );
    for _ in 0..3 {
        assert_eq!(server.get("/").status, 200);
    }

    let lost = |metrics: &Metrics| is(metrics, "access_log_records_dropped_total", 3.0);
    server.wait_until("the records are counted", || lost(&Metrics::of(&server)));
    server.set("accesslog", "access.log");
    server.set("errorlog", "error.log");
    server.reload();
    server.wait_until("the old worker has left", || {
        is(
            &Metrics::of(&server),
            "worker_exits_total{cause=retired}",
            1.0,
        )
    });

    let after = Metrics::of(&server);
    assert!(lost(&after), "{:?}", after.0);
    assert!(after.value("error_log_records_missing_total") > 0.0);
}

#[test]
fn the_counters_are_those_of_what_happened_and_survive_reloads() {
    let server = start(Server::running("shop:app").workers(2).file("shop.py", SHOP));
    let before = server.wait_for_workers(2);
    for _ in 0..3 {
        assert_eq!(server.get("/").status, 200);
    }
    assert_eq!(server.get("/fails").status, 500);
    server.wait_until("the requests are counted", || {
        is(&Metrics::of(&server), "requests_total", 4.0)
    });

    let first = Metrics::of(&server);
    for (sample, value) in [
        ("request_errors_total", 1.0),
        ("generation", 1.0),
        ("workers{state=idle}", 2.0),
        ("workers{state=busy}", 0.0),
        ("workers_wanted", 2.0),
        ("state{state=serving}", 1.0),
        ("reloads_total{result=success}", 0.0),
        ("worker_exits_total{cause=died}", 0.0),
        ("last_reload_successful", 1.0),
        ("log_records_dropped_total", 0.0),
        ("access_log_records_dropped_total", 0.0),
        ("error_log_records_missing_total", 0.0),
        ("oldest_request_seconds", 0.0),
    ] {
        assert!(is(&first, sample, value), "{sample}: {:?}", first.0);
    }
    assert!(first.value("memory_bytes{of=workers}") > first.value("memory_bytes{of=master}"));
    assert!(first.value("sent_bytes_total") > 0.0);
    assert_eq!(first.0["rgunicorn_requests_total"][0], "counter");

    server.reload();
    server.wait_until("the old workers have left", || {
        is(
            &Metrics::of(&server),
            "worker_exits_total{cause=retired}",
            2.0,
        )
    });
    let reloaded = Metrics::of(&server);
    for (sample, value) in [
        ("requests_total", 4.0),
        ("request_errors_total", 1.0),
        ("sent_bytes_total", first.value("sent_bytes_total")),
        ("generation", 2.0),
        ("reloads_total{result=success}", 1.0),
    ] {
        assert!(is(&reloaded, sample, value), "{sample}: {:?}", reloaded.0);
    }
    assert!(
        reloaded.value("last_reload_timestamp_seconds") >= reloaded.value("start_time_seconds")
    );

    let now = server.wait_for_workers(2);
    assert!(now.is_disjoint(&before));
    processes::signal(*now.first().unwrap(), Signal::SIGKILL);
    server.wait_until("its death is counted", || {
        is(&Metrics::of(&server), "worker_exits_total{cause=died}", 1.0)
    });

    server.write("shop.py", "raise RuntimeError('not in stock')\n");
    server.reload();
    let failed = Metrics::of(&server);
    assert!(is(&failed, "reloads_total{result=failure}", 1.0));
    assert!(is(&failed, "last_reload_successful", 0.0));
}

#[test]
fn what_is_under_way_and_what_waits_is_measured() {
    let server = start(Server::running("slow:app").binding_a_port());
    let mut running = server.begin_until("go");
    let waiting = [(); 3].map(|()| server.connect());
    let queue = |metrics: &Metrics| {
        let found = (metrics.0.iter())
            .find(|(name, _)| name.starts_with("rgunicorn_listener_queue_length{listener="));
        found.unwrap().1[1].as_f64().unwrap()
    };

    server.wait_until("the worker is busy", || {
        let metrics = Metrics::of(&server);
        // A connection that sends nothing may be taken by the worker meanwhile.
        is(&metrics, "workers{state=busy}", 1.0)
            && metrics.value("oldest_request_seconds") > 0.0
            && queue(&metrics) <= 3.0
    });

    server.write("go", "");
    assert_eq!(running.receive().status, 200);
    drop(waiting);
}

#[test]
fn a_worker_that_hangs_and_one_that_cannot_start_are_counted_as_such() {
    let server = start(
        Server::running("shop:app")
            .file("shop.py", SHOP)
            .setting("timeout", 4),
    );
    let before = server.worker_pids();
    let mut stuck = server.connect();
    stuck.send("GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n");
    server.wait_until("the worker was aborted", || {
        is(
            &Metrics::of(&server),
            "worker_exits_total{cause=timeout}",
            1.0,
        )
    });
    // It must not load what is for the reload.
    server.wait_until("another one serves", || {
        let workers = server.worker_pids();
        workers.len() == 1 && workers.is_disjoint(&before)
    });

    server.write("shop.py", "raise RuntimeError('not in stock')\n");
    server.reload();

    server.wait_until("the new worker has ended", || {
        is(
            &Metrics::of(&server),
            "worker_exits_total{cause=start_failed}",
            1.0,
        )
    });
}
