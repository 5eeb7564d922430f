//! The text for Prometheus.

use crate::machine::{Machine, fill, line, usual, wait_until};
use rgunicorn_control::metrics::names;
use rgunicorn_control::protocol::{Answer, Request, Summary, Workers};
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[track_caller]
fn has(text: &str, sample: &str) {
    assert!(text.lines().any(|line| line == sample), "{sample}: {text}");
}

/// The text when these sites have answered: on a machine that stands still for two seconds,
/// they count as down.
#[track_caller]
fn text_with(machine: &Machine, up: &[&str]) -> String {
    let mut text = String::new();
    wait_until("the sites answer in time", || {
        text = machine.get("/metrics").body;
        let is_up = |name: &&str| text.contains(&format!("rgunicorn_up{{site=\"{name}\"}} 1\n"));
        up.iter().all(is_up)
    });
    text
}

#[test]
fn all_sites_are_in_one_text_and_those_that_hang_cost_the_others_nothing() {
    let mut machine = Machine::new();
    let sites: Vec<_> = (0..120).map(|number| format!("site{number}")).collect();
    let _servers: Vec<_> = sites.iter().map(|name| machine.working(name)).collect();
    // They accept and say nothing, do not accept, have a full queue, or are gone.
    let _mute = machine.server("mute", |_| {
        loop {
            thread::park();
        }
    });
    let _hanging: Vec<_> = (0..30)
        .map(|number| machine.control(&format!("hangs{number}")))
        .collect();
    let _full = machine.control("full");
    let _taken = fill(&machine.path().join("full/control"));
    drop(machine.control("gone"));
    machine.start(600);

    let response = machine.get("/metrics");

    assert_eq!(response.status, 200);
    assert!(response.head.contains("text/plain; version=0.0.4"));
    let sites: Vec<&str> = sites.iter().map(String::as_str).collect();
    let text = &text_with(&machine, &sites);
    assert!(text.ends_with('\n'));
    for name in names() {
        for kind in ["HELP", "TYPE"] {
            assert_eq!(text.matches(&format!("# {kind} {name} ")).count(), 1);
        }
    }
    for number in 0..120 {
        has(text, &format!("rgunicorn_up{{site=\"site{number}\"}} 1"));
        let busy = format!("rgunicorn_workers{{site=\"site{number}\",state=\"busy\"}} 1");
        has(text, &busy);
        has(text, &busy.replace("busy", "idle"));
    }
    for name in ["mute", "hangs0", "hangs29", "full", "gone"] {
        has(text, &format!("rgunicorn_up{{site=\"{name}\"}} 0"));
        let version = format!("rgunicorn_info{{site=\"{name}\"");
        assert!(!text.contains(&version), "{text}");
    }
}

#[test]
fn a_server_that_answers_nonsense_or_without_end_is_down_and_alone() {
    let mut machine = Machine::new();
    let _working = machine.working("working");
    let _servers = [
        machine.server("nonsense", |_| b"HTTP/1.1 400 Bad Request\r\n".to_vec()),
        machine.server("silent", |_| b"\n".to_vec()),
        machine.server("refuses", |_| line(&Answer::Failed("you may not".into()))),
        machine.server("floods", |_| vec![b'x'; 4096]),
        machine.server("other", |_| line(&Answer::Summary(Summary::default()))),
        // There is always one more worker.
        machine.server("endless", |request| match request {
            Request::Workers { from } => line(&Answer::Workers(Workers {
                next: Some(from + 1),
                ..Workers::default()
            })),
            other => line(&usual(other)),
        }),
        // As many as fit into an answer.
        machine.server("crowded", |request| match request {
            Request::Workers { .. } => listed("workers", "{}", 5000),
            other => line(&usual(other)),
        }),
        machine.server("everywhere", |request| match request {
            Request::Listeners { .. } => listed("listeners", "{\"kind\":\"tcp\"}", 300),
            other => line(&usual(other)),
        }),
    ];
    machine.start(600);

    let text = text_with(&machine, &["working"]);

    for name in [
        "nonsense",
        "silent",
        "refuses",
        "floods",
        "other",
        "endless",
        "crowded",
        "everywhere",
    ] {
        has(&text, &format!("rgunicorn_up{{site=\"{name}\"}} 0"));
    }
}

/// An answer with so many rows.
fn listed(what: &str, row: &str, count: usize) -> Vec<u8> {
    let rows = vec![row; count].join(",");
    format!("{{\"{what}\":{{\"{what}\":[{rows}]}}}}\n").into_bytes()
}

#[test]
fn what_a_server_says_cannot_forge_lines() {
    let mut machine = Machine::new();
    let _server = machine.server("shop", |request| match request {
        Request::Summary => line(&Answer::Summary(Summary {
            version: "\"} 1\nrgunicorn_up{site=\"bank\"} 0\n\\".into(),
            state: "serving\nx 1".into(),
            worker_exits: [("\"\n# TYPE x".to_owned(), 1)].into(),
            ..Summary::default()
        })),
        other => line(&usual(other)),
    });
    machine.start(600);

    let text = text_with(&machine, &["shop"]);

    for line in text.lines() {
        let is_ours = line.starts_with("# HELP rgunicorn_")
            || line.starts_with("# TYPE rgunicorn_")
            || line.contains("{site=\"shop\"");
        assert!(is_ours, "{line}");
    }
}

#[test]
fn sites_come_and_go_and_wait() {
    let mut machine = Machine::new();
    let first = machine.working("first");
    let waiting = UnixListener::bind(machine.path().join("waiting.sock")).unwrap();
    drop(UnixListener::bind(machine.path().join("stale.sock")).unwrap());
    machine.start(600);
    let text = text_with(&machine, &["first"]);
    has(&text, "rgunicorn_socket_only{site=\"first\"} 0");
    has(&text, "rgunicorn_socket_only{site=\"waiting\"} 1");
    assert!(!text.contains("rgunicorn_up{site=\"waiting\"}"), "{text}");
    assert!(!text.contains("stale"), "{text}");

    first.stop();
    drop(waiting);
    let _second = machine.working("second");

    wait_until("only the other site is there", || {
        let text = machine.get("/metrics").body;
        text.contains("rgunicorn_up{site=\"second\"} 1")
            && !text.contains("first")
            && !text.contains("waiting")
    });
}

#[test]
fn many_clients_at_a_time_cost_a_site_no_more_than_one() {
    let mut machine = Machine::new();
    let server = machine.working("shop");
    machine.start(600);
    machine.get("/metrics");
    let (before, began) = (server.asked(), std::time::Instant::now());

    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                assert_eq!(machine.get("/metrics").status, 200);
            });
        }
    });

    // Four questions a look: of the workers there are two parts.
    let looks = (server.asked() - before) / 4;
    assert!(
        looks as u64 <= began.elapsed().as_secs() + 1,
        "{looks} looks"
    );
    text_with(&machine, &["shop"]);
}

#[test]
fn clients_that_leave_at_once_cost_a_site_no_more_than_one_that_waits() {
    let mut machine = Machine::new();
    let looks = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&looks);
    let _server = machine.server("shop", move |request| {
        if request == Request::Summary {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        // Long enough for the client to leave meanwhile.
        thread::sleep(Duration::from_millis(200));
        line(&usual(request))
    });
    machine.start(600);
    machine.get("/metrics");
    let (before, began) = (looks.load(Ordering::Relaxed), Instant::now());

    while began.elapsed() < Duration::from_secs(4) {
        let mut client = machine.connect();
        client
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        thread::sleep(Duration::from_millis(20));
    }

    let looks = looks.load(Ordering::Relaxed) - before;
    assert!(looks <= began.elapsed().as_secs() + 1, "{looks} looks");
    text_with(&machine, &["shop"]);
}
