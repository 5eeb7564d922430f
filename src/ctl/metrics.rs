//! The state of servers in the text format of Prometheus. Names, labels and units do not
//! change; they are listed in the manual page.

use crate::memory::Memory;
use rgunicorn::control::protocol::{Summary, Worker};
use std::fmt::Write;

/// What one server says of itself.
pub struct Scrape {
    /// The name of its instance, if it has one.
    pub site: Option<String>,
    pub summary: Summary,
    pub master: Memory,
    pub workers: Vec<(Worker, Memory)>,
    /// The address of each listener, and how many connections wait there, if that is known.
    pub queues: Vec<(String, Option<u64>)>,
}

/// The states that a server can be in, and those that a worker can.
const STATES: [&str; 5] = ["starting", "serving", "reloading", "draining", "stopping"];
const WORKER_STATES: [&str; 7] = [
    "starting", "idle", "busy", "retiring", "leaving", "aborted", "killed",
];

/// A family of samples.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&Scrape) -> Vec<Sample>,
}

/// A label, if it needs one, and a value.
type Sample = (Option<(&'static str, String)>, f64);

const METRICS: [Metric; 18] = [
    Metric {
        name: "rgunicorn_info",
        kind: "gauge",
        help: "The version of the running server; always 1.",
        samples: |scrape| vec![labelled("version", &scrape.summary.version, 1)],
    },
    Metric {
        name: "rgunicorn_start_time_seconds",
        kind: "gauge",
        help: "When the server started, in seconds since 1970.",
        samples: |scrape| plain(scrape.summary.started_at),
    },
    Metric {
        name: "rgunicorn_state",
        kind: "gauge",
        help: "Whether the server is in this state: 1 for one of them, 0 for the others.",
        samples: |scrape| {
            let is = |state: &str| u64::from(scrape.summary.state == state);
            STATES
                .iter()
                .map(|state| labelled("state", state, is(state)))
                .collect()
        },
    },
    Metric {
        name: "rgunicorn_generation",
        kind: "gauge",
        help: "The generation that serves; each reload starts another.",
        samples: |scrape| plain(scrape.summary.generation),
    },
    Metric {
        name: "rgunicorn_workers_wanted",
        kind: "gauge",
        help: "How many workers there should be.",
        samples: |scrape| plain(scrape.summary.workers_wanted),
    },
    Metric {
        name: "rgunicorn_workers",
        kind: "gauge",
        help: "How many workers are in this state.",
        samples: |scrape| {
            let workers = || scrape.workers.iter().map(|(worker, _)| worker);
            let count = |state: &str| workers().filter(|worker| worker.state == state).count();
            WORKER_STATES
                .iter()
                .map(|state| labelled("state", state, count(state) as u64))
                .collect()
        },
    },
    Metric {
        name: "rgunicorn_connections",
        kind: "gauge",
        help: "Connections that workers hold, with those that are kept alive.",
        samples: |scrape| {
            let held = scrape.workers.iter().map(|(worker, _)| worker.connections);
            plain(held.fold(0, u64::saturating_add))
        },
    },
    Metric {
        name: "rgunicorn_oldest_request_seconds",
        kind: "gauge",
        help: "For how long the oldest request that is under way has been; 0 without one.",
        samples: |scrape| {
            let ages = scrape
                .workers
                .iter()
                .filter_map(|(worker, _)| worker.busy_ms);
            vec![(None, float(ages.max().unwrap_or(0)) / 1000.0)]
        },
    },
    Metric {
        name: "rgunicorn_listener_queue_length",
        kind: "gauge",
        help: "Connections that wait to be accepted; left out where that is not known.",
        samples: |scrape| {
            let known = |(address, length): &(String, Option<u64>)| {
                length.map(|length| labelled("listener", address, length))
            };
            scrape.queues.iter().filter_map(known).collect()
        },
    },
    Metric {
        name: "rgunicorn_requests_total",
        kind: "counter",
        help: "Requests answered.",
        samples: |scrape| plain(scrape.summary.requests),
    },
    Metric {
        name: "rgunicorn_request_errors_total",
        kind: "counter",
        help: "Requests answered with a status of 500 or more, or cut off.",
        samples: |scrape| plain(scrape.summary.errors),
    },
    Metric {
        name: "rgunicorn_sent_bytes_total",
        kind: "counter",
        help: "Bytes sent to clients.",
        samples: |scrape| plain(scrape.summary.sent_bytes),
    },
    Metric {
        name: "rgunicorn_worker_exits_total",
        kind: "counter",
        help: "Workers that have ended, by cause.",
        samples: |scrape| {
            let exits = scrape.summary.worker_exits.iter();
            exits
                .map(|(cause, count)| labelled("cause", cause, *count))
                .collect()
        },
    },
    Metric {
        name: "rgunicorn_reloads_total",
        kind: "counter",
        help: "Reloads that have ended, by result.",
        samples: |scrape| {
            let reloads = scrape.summary.reloads;
            vec![
                labelled("result", "success", reloads.succeeded),
                labelled("result", "failure", reloads.failed),
            ]
        },
    },
    Metric {
        name: "rgunicorn_last_reload_successful",
        kind: "gauge",
        help: "Whether the last reload succeeded; 1 if there was none.",
        samples: |scrape| plain(scrape.summary.last_reload_failure.is_none()),
    },
    Metric {
        name: "rgunicorn_last_reload_timestamp_seconds",
        kind: "gauge",
        help: "When the last reload ended, in seconds since 1970; left out if there was none.",
        samples: |scrape| scrape.summary.reloads.last_at.map_or(Vec::new(), plain),
    },
    Metric {
        name: "rgunicorn_log_records_dropped_total",
        kind: "counter",
        help: "Log records that were dropped because nobody took them in time.",
        samples: |scrape| plain(scrape.summary.log_records_dropped),
    },
    Metric {
        name: "rgunicorn_memory_bytes",
        kind: "gauge",
        help: "Proportional set size; left out where it must not be read.",
        samples: |scrape| {
            let workers = scrape.workers.iter().filter_map(|(_, memory)| memory.pss);
            let workers = workers.reduce(|sum, more| sum + more);
            [("master", scrape.master.pss), ("workers", workers)]
                .into_iter()
                .filter_map(|(of, bytes)| Some(labelled("of", of, bytes?)))
                .collect()
        },
    },
];

fn plain(value: impl Into<u64>) -> Vec<Sample> {
    vec![(None, float(value.into()))]
}

fn labelled(label: &'static str, value: &str, number: u64) -> Sample {
    (Some((label, value.to_owned())), float(number))
}

/// As Prometheus keeps numbers.
#[expect(
    clippy::cast_precision_loss,
    reason = "a counter beyond 2^53 is off by one in 10^16"
)]
fn float(number: u64) -> f64 {
    number as f64
}

/// All of these servers, each metric once. A server with a name has it in the label `site`.
pub fn text(scrapes: &[Scrape]) -> String {
    let mut text = String::new();
    for metric in METRICS {
        let Metric {
            name,
            kind,
            help,
            samples,
        } = metric;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}");
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for scrape in scrapes {
            for (label, value) in samples(scrape) {
                let site = scrape.site.iter().map(|site| ("site", site.clone()));
                let labels: Vec<String> = site
                    .chain(label)
                    .map(|(label, value)| format!("{label}=\"{}\"", escaped(&value)))
                    .collect();
                let labels = match labels.join(",") {
                    none if none.is_empty() => none,
                    some => format!("{{{some}}}"),
                };
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// The value of a label: an address may have any characters in it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(site: Option<&str>) -> Scrape {
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
        Scrape {
            site: site.map(str::to_owned),
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
            queues: vec![("unix:/a\\b\"c\nd".into(), Some(3)), (":80".into(), None)],
        }
    }

    #[test]
    fn samples_have_the_values_of_the_server() {
        let text = text(&[scrape(None)]);
        for line in [
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
        assert!(!text.contains("master"), "{text}");
    }

    #[test]
    fn several_servers_are_told_apart_by_their_names() {
        let text = text(&[scrape(Some("shop")), scrape(Some("blog"))]);

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
        let page = include_str!("../../man/rgunicornctl.1");
        for metric in METRICS {
            assert!(page.contains(metric.name), "{}", metric.name);
        }
    }
}
