//! The metrics of servers, as Prometheus reads them.

use super::*;
use crate::memory::Memory;
use crate::protocol::{Listener, Summary, Worker};
use crate::queue_length::Queues;
use crate::site::Silence;

fn site(name: Option<&str>) -> Site {
    let worker = |state: &str, busy_ms| Worker {
        state: state.into(),
        busy_ms,
        connections: 2,
        ..Worker::default()
    };
    let memory = Memory {
        pss: Some(1000),
        rss: None,
        group: None,
    };
    let scrape = Scrape {
        summary: Summary {
            version: "1.2.3".into(),
            state: "serving".into(),
            requests: 5_000_000_000,
            worker_exits: [("died".to_owned(), 2)].into(),
            ..Summary::default()
        },
        master: Memory::default(),
        workers: vec![
            (worker("busy", Some(1500)), memory),
            (worker("idle", None), memory),
        ],
        queues: vec![
            ("unix:/a\\b\"c\nd".into(), Some(3)),
            ("unix:/a\\b\"c\nd".into(), Some(4)),
            (":80".into(), None),
        ],
    };
    Site {
        name: name.map(str::to_owned),
        state: State::Answered(scrape.into()),
    }
}

#[test]
fn samples_have_the_values_of_the_server() {
    let text = text(&[site(None)]);
    for line in [
        "rgunicorn_up 1",
        "rgunicorn_socket_only 0",
        "rgunicorn_info{version=\"1.2.3\"} 1",
        "rgunicorn_state{state=\"serving\"} 1",
        "rgunicorn_state{state=\"stopping\"} 0",
        "rgunicorn_workers{state=\"busy\"} 1",
        "rgunicorn_workers{state=\"killed\"} 0",
        "rgunicorn_connections 4",
        "rgunicorn_oldest_request_seconds 1.5",
        "rgunicorn_listener_queue_length{listener=\"unix:/a\\\\b\\\"c\\nd\"} 3",
        "rgunicorn_requests_total 5000000000",
        "rgunicorn_worker_exits_total{cause=\"died\"} 2",
        "rgunicorn_reloads_total{result=\"failure\"} 0",
        "rgunicorn_last_reload_successful 1",
        "rgunicorn_memory_bytes{of=\"workers\"} 2000",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!text.contains(":80"), "{text}");
    assert_eq!(text.matches("rgunicorn_listener_queue_length{").count(), 1);
    assert!(!text.contains("master"), "{text}");
}

#[test]
fn several_servers_are_told_apart_by_their_names() {
    let text = text(&[site(Some("shop")), site(Some("blog"))]);

    assert_eq!(
        text.matches("# TYPE rgunicorn_connections gauge").count(),
        1
    );
    for line in [
        "rgunicorn_connections{site=\"shop\"} 4",
        "rgunicorn_connections{site=\"blog\"} 4",
        "rgunicorn_workers{site=\"blog\",state=\"busy\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[test]
fn the_manual_page_has_every_metric() {
    let page = include_str!("../../../man/rgunicornctl.1");
    for name in names() {
        assert!(page.contains(name), "{name}");
    }
}

#[test]
fn the_dashboard_uses_metrics_and_labels_that_exist() {
    let text = include_str!("../../../packaging/examples/grafana-dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(text).unwrap();
    let is_part = |letter: char| letter == '_' || letter.is_ascii_alphanumeric();
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("rgunicorn_") {
        let rest = &text[at..];
        used.insert(&rest[..rest.find(|letter| !is_part(letter)).unwrap()]);
    }
    let known: BTreeSet<_> = names().collect();
    assert!(used.len() > 10, "{used:?}");
    assert!(used.is_subset(&known), "{:?}", used.difference(&known));

    let page = super::text(&[site(Some("shop"))]);
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let in_parentheses = expression.split(['(', ')', '{', '}']);
            for label in in_parentheses.flat_map(|part| part.split(',')) {
                let Some((label, _)) = label.split_once(['=', '!']) else {
                    continue;
                };
                let is_known = page.contains(&format!("{label}=\""));
                assert!(is_known, "{label} in {expression}");
            }
        }
    }
}

#[test]
fn a_site_that_does_not_answer_or_does_not_run_has_no_figures() {
    let named = |name: &str, state| Site {
        name: Some(name.to_owned()),
        state,
    };
    let text = text(&[
        named("hangs", State::Silent(Silence::NoAnswer)),
        named("sleeps", State::Waiting),
    ]);

    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        samples,
        [
            "rgunicorn_up{site=\"hangs\"} 0",
            "rgunicorn_socket_only{site=\"hangs\"} 0",
            "rgunicorn_socket_only{site=\"sleeps\"} 1",
        ]
    );
}

#[test]
fn labels_have_values_that_are_known() {
    let mut site = site(None);
    let State::Answered(scrape) = &mut site.state else {
        panic!();
    };
    scrape.summary.worker_exits = [("died", 2), ("x1", 3), ("x2", 4), ("other", 5)]
        .map(|(cause, count)| (cause.to_owned(), count))
        .into();
    let text = |site: &Site| text(std::slice::from_ref(site));
    let exits = text(&site);
    let exits: Vec<_> = (exits.lines())
        .filter(|line| line.starts_with("rgunicorn_worker_exits_total"))
        .collect();
    assert_eq!(
        exits,
        [
            "rgunicorn_worker_exits_total{cause=\"died\"} 2",
            "rgunicorn_worker_exits_total{cause=\"other\"} 12",
        ]
    );

    for (version, shown) in [
        ("0.1.0", "0.1.0"),
        ("1.2.3-rc.1+deb13~1", "1.2.3-rc.1+deb13~1"),
        ("", "other"),
        ("1", "other"),
        ("shop.example", "other"),
        ("1 2", "other"),
        ("1\"", "other"),
        (&*"1".repeat(33), "other"),
    ] {
        if let State::Answered(scrape) = &mut site.state {
            scrape.summary.version = version.to_owned();
        }
        let line = format!("rgunicorn_info{{version=\"{shown}\"}} 1");
        assert!(text(&site).lines().any(|each| each == line), "{version}");
    }
}

#[test]
fn a_socket_has_one_sample_under_however_many_addresses() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = |port: u16| Listener {
        address: format!(":{port}"),
        kind: "tcp".into(),
        inode: rustix::fs::fstat(&socket).unwrap().st_ino,
        ..Listener::default()
    };
    let scrape = Scrape::new(
        Summary::default(),
        Memory::default(),
        Vec::new(),
        vec![listener(1), listener(2), listener(3)],
        &Queues::read(),
    );
    let state = State::Answered(scrape.into());

    let text = text(&[Site { name: None, state }]);

    assert_eq!(text.matches("listener=\"").count(), 1, "{text}");
}

#[test]
fn what_a_server_makes_up_is_bounded() {
    let mut site = site(Some("shop"));
    let State::Answered(scrape) = &mut site.state else {
        panic!();
    };
    scrape.summary.version = "v".repeat(1 << 20);
    scrape.summary.worker_exits = (0..10_000).map(|cause| (cause.to_string(), 1)).collect();
    scrape.queues = (0..10_000)
        .map(|port| (format!("{port}:{}", "x".repeat(1 << 10)), Some(0)))
        .collect();

    let text = text(&[site]);

    assert!(text.len() < 64 * 1024, "{} bytes", text.len());
}
