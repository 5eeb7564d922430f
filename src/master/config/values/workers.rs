//! How many workers.

use super::Within;
use crate::config::value::{Value, misfit, number_or_text};
use std::num::NonZero;
use std::thread::available_parallelism;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One for each processor that may be used here.
    Auto,
    Exactly(Within<1, 1024>),
}

impl Workers {
    pub const ONE: Self = Self::Exactly(Within::nearest(1));

    /// The number, with `auto` counted on this machine, now.
    pub fn count(self) -> usize {
        match self {
            Self::Auto => {
                let processors = u32::try_from(processors()).unwrap_or(u32::MAX);
                Within::<1, 1024>::nearest(processors).count()
            }
            Self::Exactly(count) => count.count(),
        }
    }
}

/// How many processors the service may use, now.
///
/// This respects affinity and cpuset, and the CPU quotas of the control groups (both
/// versions) rounded down: a worker that shares a processor with others' quota is
/// throttled in its requests.
pub fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

impl Value for Workers {
    fn expects() -> String {
        r#""auto" or a whole number between 1 and 1024"#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        match self {
            Self::Auto => Some("auto".into()),
            Self::Exactly(count) => count.to_toml(),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        Err(misfit::<Self>(&format!("{text:?}")))
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        Within::try_from(number)
            .map(Self::Exactly)
            .map_err(|_| misfit::<Self>(&number.to_string()))
    }

    fn from_word(word: &str) -> Result<Self, String> {
        number_or_text(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    #[test]
    fn auto_is_no_more_than_what_affinity_allows() {
        let counted = std::thread::spawn(|| {
            let this_thread = Pid::from_raw(0);
            let allowed = sched_getaffinity(this_thread).unwrap();
            let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu).unwrap());
            let mut one = CpuSet::new();
            one.set(first.unwrap()).unwrap();
            sched_setaffinity(this_thread, &one).unwrap();
            Workers::Auto.count()
        });
        assert_eq!(counted.join().unwrap(), 1);
    }

    #[test]
    fn workers_are_a_number_or_auto() {
        assert_eq!(Workers::from_word("4").map(Workers::count), Ok(4));
        assert_eq!(Workers::from_word("auto"), Ok(Workers::Auto));
        assert_eq!(
            Workers::from_integer(0),
            Err(r#"must be "auto" or a whole number between 1 and 1024, not 0"#.into())
        );
        assert_eq!(
            Workers::from_text("four"),
            Err(r#"must be "auto" or a whole number between 1 and 1024, not "four""#.into())
        );
    }
}
