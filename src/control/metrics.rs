//! The state of servers in the text format of Prometheus. Names, labels and units do not
//! change; they are listed in the manual page.

use crate::protocol::exit_cause;
use crate::site::{Scrape, Site, State};
use rgunicorn_link::shorten;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

#[cfg(test)]
mod tests;

/// The states that a server can be in, and those that a worker can.
const STATES: [&str; 5] = ["starting", "serving", "reloading", "draining", "stopping"];
const WORKER_STATES: [&str; 7] = [
    "starting", "idle", "busy", "retiring", "leaving", "aborted", "killed",
];

/// The most samples of a server in one family, and the longest value of a label, in bytes.
/// The answers may be those of an application that has taken the place of its server.
const MOST_SAMPLES: usize = 64;
const LONGEST_LABEL: usize = 256;

/// A family of samples, each of a `T`.
struct Metric<T> {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&T) -> Vec<Sample>,
}

/// A label, if it needs one, and a value.
type Sample = (Option<(&'static str, String)>, f64);

/// Of all servers.
const OF_SITES: [Metric<State>; 2] = [
    Metric {
        name: "rgunicorn_up",
        kind: "gauge",
        help: "Whether the server has answered; left out where only a socket waits.",
        samples: |state| match state {
            State::Answered(_) => plain(true),
            State::Silent(_) => plain(false),
            State::Waiting => Vec::new(),
        },
    },
    Metric {
        name: "rgunicorn_socket_only",
        kind: "gauge",
        help: "1 if the service does not run and its socket waits for a connection, else 0.",
        samples: |state| plain(matches!(state, State::Waiting)),
    },
];

/// Of those that have answered.
const OF_SERVERS: [Metric<Scrape>; 22] = [
    Metric {
        name: "rgunicorn_info",
        kind: "gauge",
        help: "The version of the running server; always 1.",
        samples: |scrape| vec![labelled("version", version(&scrape.summary.version), 1)],
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
        samples: |scrape| exits(&scrape.summary.worker_exits),
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
        name: "rgunicorn_access_log_records_dropped_total",
        kind: "counter",
        help: "Records of the access log that could not be written in time.",
        samples: |scrape| plain(scrape.summary.access_records_dropped),
    },
    Metric {
        name: "rgunicorn_error_log_records_missing_total",
        kind: "counter",
        help: "Records that the file of errorlog did not take; they went to the journal or the terminal.",
        samples: |scrape| plain(scrape.summary.error_log_records_missing),
    },
    Metric {
        name: "rgunicorn_syslog_records_dropped_total",
        kind: "counter",
        help: "Records of the server's own log that syslog did not get.",
        samples: |scrape| plain(scrape.summary.syslog_records_dropped),
    },
    Metric {
        name: "rgunicorn_statsd_metrics_dropped_total",
        kind: "counter",
        help: "Metrics that StatsD did not get.",
        samples: |scrape| plain(scrape.summary.statsd_metrics_dropped),
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

/// What takes the place of a cause that this version does not know, and of a version that has
/// not the form of one. Each value of a label is a series of its own for Prometheus, which keeps
/// it for long. The addresses of listeners, one for each socket, and the digits of the version are
/// what the server says.
const OTHER: &str = "other";

/// A version as it can be: digits, dots and perhaps a suffix.
fn version(text: &str) -> &str {
    const LONGEST: usize = 32;
    let is_part = |c: char| c.is_ascii_alphanumeric() || ".+-~".contains(c);
    let has_number = text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('.');
    let is_version = has_number && text.len() <= LONGEST && text.chars().all(is_part);
    if is_version { text } else { OTHER }
}

/// By cause. A later version may have more of them.
fn exits(counted: &BTreeMap<String, u64>) -> Vec<Sample> {
    let known = |cause: &String| exit_cause::ALL.contains(&cause.as_str());
    let (known, others): (Vec<_>, Vec<_>) = counted.iter().partition(|(cause, _)| known(cause));
    let mut samples: Vec<_> = (known.into_iter())
        .map(|(cause, count)| labelled("cause", cause, *count))
        .collect();
    if !others.is_empty() {
        let counts = others.into_iter().map(|(_, count)| *count);
        samples.push(labelled(
            "cause",
            OTHER,
            counts.fold(0, u64::saturating_add),
        ));
    }
    samples
}

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
pub fn text(sites: &[Site]) -> String {
    let mut text = String::new();
    for metric in OF_SITES {
        let states = sites.iter().map(|site| (site.name.as_deref(), &site.state));
        write(&mut text, &metric, states);
    }
    for metric in OF_SERVERS {
        let scrapes = sites.iter().filter_map(|site| match &site.state {
            State::Answered(scrape) => Some((site.name.as_deref(), &**scrape)),
            State::Silent(_) | State::Waiting => None,
        });
        write(&mut text, &metric, scrapes);
    }
    text
}

/// The names of all metrics.
pub fn names() -> impl Iterator<Item = &'static str> {
    let of_sites = OF_SITES.map(|metric| metric.name);
    of_sites
        .into_iter()
        .chain(OF_SERVERS.map(|metric| metric.name))
}

fn write<'a, T: 'a>(
    text: &mut String,
    metric: &Metric<T>,
    servers: impl Iterator<Item = (Option<&'a str>, &'a T)>,
) {
    let Metric {
        name,
        kind,
        help,
        samples,
    } = metric;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}");
    let _ = writeln!(text, "# TYPE {name} {kind}");
    for (site, server) in servers {
        let mut written = BTreeSet::new();
        for (label, value) in samples(server).into_iter().take(MOST_SAMPLES) {
            let site = site.map(|site| ("site", site.to_owned()));
            let labels: Vec<String> = (site.into_iter().chain(label))
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            let labels = match labels.join(",") {
                none if none.is_empty() => none,
                some => format!("{{{some}}}"),
            };
            // Two of the same labels would be an error.
            if written.insert(labels.clone()) {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
    }
}

/// The value of a label: an address may have any characters in it.
fn escaped(value: String) -> String {
    shorten(value, LONGEST_LABEL)
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
