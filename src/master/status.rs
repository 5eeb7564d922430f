//! The one line an operator sees in `systemctl status` and from `rgunicornctl status`.

use crate::pool::{Phase, Summary};
use rgunicorn_link::protocol::millis;
use std::time::{Duration, Instant};

/// What the scoreboard says of all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Workers that are in a request.
    pub busy: usize,
    /// Requests answered since the master started.
    pub requests: u64,
    /// Of these, those answered with a status of 500 or more, and those cut off.
    pub errors: u64,
    /// Bytes sent since then.
    pub bytes: u64,
    /// Records of the access log that were lost since then.
    pub access_lost: u64,
    /// Metrics that workers, and masters before an upgrade, could not send to StatsD since then.
    pub metrics_lost: u64,
    /// Records of workers, and of masters before an upgrade, that syslog did not get since then.
    pub syslog_lost: u64,
}

/// `rate` is in requests per second, `failed` is why the last reload failed.
pub fn line(summary: Summary, totals: Totals, rate: u64, failed: Option<&str>) -> String {
    let now = state(summary, totals, rate);
    match failed {
        Some(reason) => format!("{now}; last reload failed: {}", in_one_line(reason)),
        None => now,
    }
}

/// The line of a service that did not start. systemd shows it until the next start.
pub fn failed_start(reason: &str) -> String {
    format!("cannot start: {}", in_one_line(reason))
}

/// An error message of an application may have many lines; a status has the first.
fn in_one_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn state(summary: Summary, totals: Totals, rate: u64) -> String {
    let Summary {
        phase,
        generation,
        wanted,
        ready,
        starting,
        retiring,
    } = summary;
    let workers = if ready == 1 { "worker" } else { "workers" };
    match phase {
        Phase::Starting => {
            format!("generation {generation}: starting, {ready} of {wanted} workers ready")
        }
        Phase::Serving if wanted == 0 => {
            let left = ready + starting + retiring;
            format!(
                "generation {generation}: all workers were told to leave, {left} left; SIGHUP or \
                 SIGTTIN starts them again"
            )
        }
        Phase::Serving => {
            let of = if ready < wanted {
                format!(" of {wanted}")
            } else {
                String::new()
            };
            let leaving = match retiring {
                0 => String::new(),
                _ => format!(", {retiring} retiring"),
            };
            let busy = totals.busy;
            format!(
                "generation {generation}: {ready} {workers} ready{of}, {busy} busy, {rate} req/s{leaving}"
            )
        }
        Phase::Reloading => format!(
            "generation {generation}: reloading, {ready} {workers} ready, {starting} starting, \
             {retiring} retiring"
        ),
        Phase::Draining => format!(
            "generation {generation}: draining, {ready} {workers} ready, {} busy, {rate} req/s",
            totals.busy
        ),
        Phase::Stopping => {
            let left = ready + starting + retiring;
            let workers = if left == 1 { "worker" } else { "workers" };
            format!("generation {generation}: stopping, {left} {workers} left")
        }
    }
}

/// Requests per second, between one update and the next.
#[derive(Debug)]
pub struct Rate {
    since: Instant,
    requests: u64,
    last: u64,
}

impl Rate {
    /// Over a shorter time the rate would jump up and down.
    const LEAST: Duration = Duration::from_secs(2);

    pub fn new(now: Instant) -> Self {
        Self::from(0, now)
    }

    /// After so many requests.
    pub fn from(requests: u64, now: Instant) -> Self {
        Self {
            since: now,
            requests,
            last: 0,
        }
    }

    /// The rate, `requests` being all that were answered so far.
    pub fn update(&mut self, requests: u64, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.since);
        if passed >= Self::LEAST {
            let answered = requests.saturating_sub(self.requests);
            self.last = answered.saturating_mul(1000) / millis(passed).max(1);
            self.since = now;
            self.requests = requests;
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::GenerationId;

    fn summary(phase: Phase, ready: usize) -> Summary {
        Summary {
            phase,
            generation: GenerationId(7),
            wanted: 4,
            ready,
            starting: 1,
            retiring: 0,
        }
    }

    #[test]
    fn the_line_has_generation_workers_and_load() {
        let totals = Totals {
            busy: 1,
            requests: 1000,
            ..Totals::default()
        };

        for (phase, ready, text) in [
            (
                Phase::Serving,
                4,
                "generation 7: 4 workers ready, 1 busy, 120 req/s",
            ),
            (
                Phase::Serving,
                1,
                "generation 7: 1 worker ready of 4, 1 busy, 120 req/s",
            ),
            (
                Phase::Starting,
                0,
                "generation 7: starting, 0 of 4 workers ready",
            ),
            (
                Phase::Reloading,
                4,
                "generation 7: reloading, 4 workers ready, 1 starting, 0 retiring",
            ),
            (
                Phase::Draining,
                4,
                "generation 7: draining, 4 workers ready, 1 busy, 120 req/s",
            ),
            (Phase::Stopping, 0, "generation 7: stopping, 1 worker left"),
        ] {
            assert_eq!(line(summary(phase, ready), totals, 120, None), text);
        }
    }

    #[test]
    fn a_reload_that_failed_is_not_forgotten() {
        let summary = summary(Phase::Serving, 4);
        let failed = Some("ValueError: no goods\n  today");

        assert_eq!(
            line(summary, Totals::default(), 0, failed),
            "generation 7: 4 workers ready, 0 busy, 0 req/s; \
             last reload failed: ValueError: no goods"
        );
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let mut rate = Rate::new(start);

        assert_eq!(rate.update(500, start + Duration::from_secs(1)), 0);
        assert_eq!(rate.update(600, start + Duration::from_secs(5)), 120);
        assert_eq!(rate.update(601, start + Duration::from_secs(6)), 120);
        assert_eq!(rate.update(600, start + Duration::from_secs(10)), 0);
    }
}
