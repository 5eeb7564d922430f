//! States as another process has them: with times in milliseconds from now on, or until now,
//! in the place of moments that only this process knows.

use super::worker_state::later;
use rgunicorn_link::protocol::millis;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What stands for a part of a state.
pub(super) trait Relative: Sized {
    type Part;

    fn of(part: Self::Part, now: Instant) -> Self;

    fn into_part(self, now: Instant) -> Self::Part;
}

/// Milliseconds that have passed since a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Passed(u64);

impl Relative for Passed {
    type Part = Instant;

    fn of(since: Instant, now: Instant) -> Self {
        Self(millis(now.saturating_duration_since(since)))
    }

    fn into_part(self, now: Instant) -> Instant {
        // The machine may have been started later than that.
        now.checked_sub(Duration::from_millis(self.0))
            .unwrap_or(now)
    }
}

/// Milliseconds that are left until a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Left(u64);

impl Relative for Left {
    type Part = Instant;

    /// Rounded up: a time must not be over before it was.
    fn of(until: Instant, now: Instant) -> Self {
        let left = until.saturating_duration_since(now);
        Self(millis(left + Duration::from_nanos(999_999)))
    }

    fn into_part(self, now: Instant) -> Instant {
        later(now, Duration::from_millis(self.0))
    }
}

impl<R: Relative> Relative for Option<R> {
    type Part = Option<R::Part>;

    fn of(part: Self::Part, now: Instant) -> Self {
        part.map(|part| R::of(part, now))
    }

    fn into_part(self, now: Instant) -> Self::Part {
        self.map(|part| part.into_part(now))
    }
}

impl Relative for u32 {
    type Part = Self;

    fn of(part: Self, _now: Instant) -> Self {
        part
    }

    fn into_part(self, _now: Instant) -> Self {
        self
    }
}

/// Makes an enum with the variants of another. Of a variant's fields, the name and the type
/// come first, then the name in the other enum.
macro_rules! relative {
    (enum $name:ident: $state:ident { $(
        $variant:ident { $($field:ident: $type:ty = $part:ident),+ }
    ),+ $(,)? }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        enum $name {
            $($variant { $($field: $type),+ },)+
        }

        impl Relative for $name {
            type Part = $state;

            fn of(state: $state, now: Instant) -> Self {
                match state {
                    $($state::$variant { $($part),+ } => Self::$variant {
                        $($field: Relative::of($part, now)),+
                    },)+
                }
            }

            fn into_part(self, now: Instant) -> $state {
                match self {
                    $(Self::$variant { $($field),+ } => $state::$variant {
                        $($part: $field.into_part(now)),+
                    },)+
                }
            }
        }
    };
}

pub(super) use relative;
