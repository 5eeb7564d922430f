//! Metrics for StatsD, by the names and in the form that Gunicorn gives them.

use crate::remote::RemoteAddress;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The StatsD server that metrics go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statsd {
    pub address: RemoteAddress,
    /// What all names begin with.
    pub prefix: String,
    /// `|#` and the tags, or nothing.
    pub suffix: String,
}

impl Statsd {
    /// `prefix` gets a dot at its end, and `tags` are those of DogStatsD.
    pub fn new(address: RemoteAddress, prefix: &str, tags: &str) -> Self {
        let name = prefix.trim_end_matches('.');
        // Gunicorn adds none to a single letter.
        let prefix = if name.chars().count() < 2 {
            prefix.to_owned()
        } else {
            format!("{name}.")
        };
        let suffix = if tags.is_empty() {
            String::new()
        } else {
            format!("|#{tags}")
        };
        Self {
            address,
            prefix,
            suffix,
        }
    }

    /// One more.
    pub fn increment(&self, name: &str) -> String {
        self.metric(name, "1|c|@1.0")
    }

    pub fn gauge(&self, name: &str, value: usize) -> String {
        self.metric(name, &format!("{value}|g"))
    }

    pub fn histogram(&self, name: &str, value: u64) -> String {
        self.metric(name, &format!("{value}|h"))
    }

    /// What is sent of a request.
    pub fn of_request(&self, status: u16, duration: Duration) -> [String; 3] {
        [
            self.metric(
                "gunicorn.request.duration",
                &format!("{}|ms", milliseconds(duration)),
            ),
            self.increment("gunicorn.requests"),
            self.increment(&format!("gunicorn.request.status.{status}")),
        ]
    }

    fn metric(&self, name: &str, value: &str) -> String {
        let Self { prefix, suffix, .. } = self;
        format!("{prefix}{name}:{value}{suffix}")
    }
}

/// With as many decimals as there are, and at least one, as Python writes it.
fn milliseconds(duration: Duration) -> String {
    let text = format!(
        "{}.{:03}",
        duration.as_millis(),
        duration.subsec_micros() % 1000
    );
    let end = text.trim_end_matches('0');
    let more = if end.ends_with('.') { "0" } else { "" };
    format!("{end}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::IpFamily;

    fn statsd(prefix: &str, tags: &str) -> Statsd {
        let address = RemoteAddress::Udp {
            host: "localhost".to_owned(),
            port: 8125,
            family: IpFamily::V4,
        };
        Statsd::new(address, prefix, tags)
    }

    #[test]
    fn a_prefix_ends_with_one_dot() {
        for (prefix, expected) in [
            ("", ""),
            ("shop", "shop."),
            ("shop.", "shop."),
            ("a.b...", "a.b."),
            // As Gunicorn has it.
            ("s", "s"),
            ("s.", "s."),
        ] {
            assert_eq!(statsd(prefix, "").prefix, expected, "{prefix:?}");
        }
    }

    #[test]
    fn metrics_look_as_those_of_gunicorn() {
        let shop = statsd("shop", "env:test,a:b");
        assert_eq!(
            shop.of_request(200, Duration::from_micros(8403)),
            [
                "shop.gunicorn.request.duration:8.403|ms|#env:test,a:b",
                "shop.gunicorn.requests:1|c|@1.0|#env:test,a:b",
                "shop.gunicorn.request.status.200:1|c|@1.0|#env:test,a:b",
            ]
        );
        let plain = statsd("", "");
        let durations = [
            (1_000_000, "1000.0"),
            (100_020, "100.02"),
            (500, "0.5"),
            (0, "0.0"),
        ];
        for (micros, expected) in durations {
            let [duration, ..] = plain.of_request(500, Duration::from_micros(micros));
            assert_eq!(duration, format!("gunicorn.request.duration:{expected}|ms"));
        }
        assert_eq!(plain.gauge("gunicorn.workers", 4), "gunicorn.workers:4|g");
        assert_eq!(
            plain.histogram("gunicorn.backlog", 2),
            "gunicorn.backlog:2|h"
        );
    }
}
