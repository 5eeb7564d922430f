//! How many descriptors a process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process open at least `needed` descriptors. `Err`: the number that its hard
/// limit (`LimitNOFILE=`) allows.
///
/// The usual limit of 1024 is there for programs that use select(2), which an
/// application may be; so it is raised only as far as is asked for.
pub fn allow(needed: u64) -> Result<(), u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is no limit.
    let Some(before) = current.filter(|limit| *limit < needed) else {
        return Ok(());
    };
    let allowed = maximum.map_or(needed, |most| most.min(needed));
    let raised = Rlimit {
        current: Some(allowed),
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) if allowed == needed => Ok(()),
        Ok(()) => Err(allowed),
        Err(_) => Err(before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_above_the_hard_limit_is_reported() {
        assert_eq!(allow(1), Ok(()));

        match getrlimit(Resource::Nofile).maximum {
            Some(most) => assert_eq!(allow(most + 1), Err(most)),
            None => assert_eq!(allow(1_000_000), Ok(())),
        }
    }
}
