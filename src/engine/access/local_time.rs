//! The time in a record, rendered once a second.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// The length of `[22/Nov/2026:05:47:46 +0000]`.
const LENGTH: usize = 28;

#[derive(Debug)]
pub(super) struct LocalTime {
    second: i64,
    text: [u8; LENGTH],
}

impl Default for LocalTime {
    fn default() -> Self {
        Self {
            second: i64::MIN,
            text: [b'-'; LENGTH],
        }
    }
}

impl LocalTime {
    /// Now. `offset`: the difference of local time to UTC at a time, in seconds.
    pub(super) fn now(&mut self, offset: fn(i64) -> i32) -> &[u8; LENGTH] {
        let second = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
        if second != self.second {
            self.second = second;
            self.text = render(second, offset(second));
        }
        &self.text
    }
}

fn render(second: i64, offset: i32) -> [u8; LENGTH] {
    let local = u64::try_from(second + i64::from(offset)).unwrap_or(0);
    // `Sun, 22 Nov 2026 05:47:46 GMT`
    let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(local));
    let part = |from: usize, to: usize| date.get(from..to).unwrap_or_default();
    let minutes = offset.unsigned_abs() / 60;
    let text = format!(
        "[{}/{}/{}:{} {}{:02}{:02}]",
        part(5, 7),
        part(8, 11),
        part(12, 16),
        part(17, 25),
        if offset < 0 { '-' } else { '+' },
        minutes / 60,
        minutes % 60,
    );
    text.as_bytes().try_into().unwrap_or([b'-'; LENGTH])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_local_with_its_difference_to_utc() {
        let text = |second, offset| String::from_utf8(render(second, offset).to_vec()).unwrap();

        assert_eq!(text(1_795_326_466, 0), "[22/Nov/2026:05:47:46 +0000]");
        assert_eq!(text(1_795_326_466, 19_800), "[22/Nov/2026:11:17:46 +0530]");
        assert_eq!(text(0, 3600), "[01/Jan/1970:01:00:00 +0100]");
        assert_eq!(text(1_795_326_466, -28_800), "[21/Nov/2026:21:47:46 -0800]");
    }
}
