//! Which requests the access log has. Checked by the master, applied by the workers.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Records that any of the conditions is true for are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessFilter {
    /// `all`
    everything: bool,
    /// `errors`
    errors: bool,
    /// `slow:MS`
    slow_ms: Option<u64>,
    /// `1/N`: each Nth of a worker
    every: Option<u64>,
}

impl AccessFilter {
    pub const ALL: Self = Self {
        everything: true,
        errors: false,
        slow_ms: None,
        every: None,
    };

    pub const NOTHING: Self = Self {
        everything: false,
        ..Self::ALL
    };

    /// `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut filter = Self::NOTHING;
        for condition in text.split(',') {
            let condition = condition.trim();
            match condition {
                "all" => filter.everything = true,
                "errors" => filter.errors = true,
                _ => {
                    if let Some(limit) = condition.strip_prefix("slow:") {
                        filter.slow_ms = Some(number(limit)?);
                    } else {
                        let every = number(condition.strip_prefix("1/")?)?;
                        filter.every = Some(every).filter(|every| *every > 0);
                        filter.every?;
                    }
                }
            }
        }
        Some(filter)
    }

    /// Whether a record may be written of the request with this number.
    pub fn may_want(&self, number: u64) -> bool {
        let depends = self.everything || self.errors || self.slow_ms.is_some();
        depends || self.every.is_some_and(|every| number % every == 0)
    }

    /// Whether a record is written; `number` counts the requests of the worker, from 0.
    pub fn wants(&self, number: u64, is_error: bool, duration: Duration) -> bool {
        let is_slow = |limit: u64| duration >= Duration::from_millis(limit);
        self.everything
            || self.errors && is_error
            || self.slow_ms.is_some_and(is_slow)
            || self.every.is_some_and(|every| number % every == 0)
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_that_any_condition_is_true_for() {
        let wants = |text: &str, number, is_error, ms| {
            let filter = AccessFilter::parse(text).unwrap();
            filter.wants(number, is_error, Duration::from_millis(ms))
        };

        assert!(wants("all", 3, false, 0));
        assert!(!wants("errors", 0, false, 1_000_000));
        assert!(wants("errors", 3, true, 0));
        assert!(!wants("slow:500", 0, true, 499));
        assert!(wants("slow:500", 3, false, 500));
        assert!(wants("1/3", 3, false, 0) && wants("1/3", 0, false, 0));
        assert!(!wants("1/3", 4, true, 1_000_000));
        assert!(wants("errors, slow:500 ,1/100", 1, true, 0));
        assert!(wants("errors,slow:500,1/100", 1, false, 600));
        assert!(!wants("errors,slow:500,1/100", 1, false, 6));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in [
            "", "none", "slow", "slow:", "slow:-1", "slow:1s", "1/0", "1/", "2/3", "0.5", "all,",
            "1/+3",
        ] {
            assert_eq!(AccessFilter::parse(text), None, "{text:?}");
        }
    }
}
