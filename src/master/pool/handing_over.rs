//! An upgrade in place: what the arbiter knows, handed over to that of another program which
//! goes on in the same process.
//!
//! ```text
//!          Action::Upgrade                    hand_over            adopt
//! waiting ────────────────▶ Upgrading ──────────────────▶ exec ─────────▶ Reading, as a reload
//!                              │ UpgradeRefused
//!                              ▼
//!                           failed: nothing has changed
//! ```
//!
//! Whoever reads this may be of another release: times are milliseconds from now on, or
//! until now, and nothing here is what it is for the sake of the code. What only paces the
//! arbiter (pauses after failures, the next check of something) begins anew.

use super::arbiter::Lifecycle;
use super::generation::{ForkServer, GenerationId};
use super::relative::{Left, Passed, Relative, relative};
use super::reload::{Next, PendingReload};
use super::respawn::Cause;
use super::wanted::{MOST_WORKERS, Wanted};
use super::worker_state::{State, Worker, WorkerId};
use super::{Action, Announcement, Arbiter, ReloadId, Requester};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// What is known of a pool that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolState {
    count: usize,
    announced: Announced,
    /// The generation that serves.
    current: u32,
    /// The reload that the upgrade is.
    upgrade: Pending,
    /// The one that follows it.
    waiting: Option<Pending>,
    /// The upgrade that follows it.
    waiting_upgrade: Option<Pending>,
    fork_servers: Vec<(u32, ForkServerState)>,
    workers: Vec<(u32, WorkerState)>,
    last_generation: u32,
    last_worker: u32,
    last_reload: u32,
}

/// What the service manager was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Announced {
    /// All workers were lost before it could be told anything.
    Nothing,
    Ready,
    Reloading,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    reload: u32,
    by: By,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum By {
    Signal(String),
    Control { pid: u32 },
    Idle { seconds: u64 },
    FileChange,
}

relative! {
    enum ForkServerState: ForkServer {
        Starting { left_ms: Option<Left> = until },
        Ready { for_ms: Passed = since },
        Disconnected { for_ms: Option<Passed> = ready_since, left_ms: Left = until },
        Leaving { left_ms: Left = until },
        Killed { times: u32 = times, left_ms: Left = until },
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WorkerState {
    generation: u32,
    stage: Stage,
    /// It takes the place of one that was lost.
    is_successor: bool,
    to_be_replaced: bool,
}

relative! {
    enum Stage: State {
        Ordered { left_ms: Left = until },
        Starting { left_ms: Option<Left> = until },
        Serving { for_ms: Passed = since },
        Retiring { for_ms: Passed = since, left_ms: Left = until },
        Leaving { left_ms: Left = until },
        Aborted { left_ms: Left = until },
        Killed { times: u32 = times, left_ms: Left = until },
    }
}

impl Arbiter {
    /// Whether the order to upgrade is being carried out.
    pub fn is_upgrading(&self) -> bool {
        matches!(self.next, Next::Upgrading(_))
    }

    /// What another program has to know to go on. `None`: no upgrade is under way.
    pub fn hand_over(&self, now: Instant) -> Option<PoolState> {
        let Next::Upgrading(upgrade) = self.next else {
            return None;
        };
        let fork_servers = self.fork_servers.iter();
        let workers = self.workers.iter();
        Some(PoolState {
            count: self.count,
            announced: match self.announced {
                None => Announced::Nothing,
                Some(Announcement::Ready) => Announced::Ready,
                Some(Announcement::Reloading) => Announced::Reloading,
                Some(Announcement::Stopping) => return None,
            },
            current: self.current.0,
            upgrade: upgrade.into(),
            waiting: self.waiting.map(Pending::from),
            waiting_upgrade: self.waiting_upgrade.map(Pending::from),
            fork_servers: fork_servers
                .map(|(id, server)| (id.0, ForkServerState::of(*server, now)))
                .collect(),
            workers: workers
                .map(|(id, worker)| (id.0, WorkerState::of(worker, now)))
                .collect(),
            last_generation: self.last_generation,
            last_worker: self.last_worker,
            last_reload: self.last_reload,
        })
    }

    /// Goes on with a pool. What follows is a reload: its generation is the first of this
    /// program.
    pub fn adopt(state: PoolState, wanted: Wanted, now: Instant) -> (Self, Vec<Action>) {
        let mut arbiter = Self::empty(wanted, now);
        arbiter.count = state.count.min(usize::from(MOST_WORKERS));
        arbiter.lifecycle = Lifecycle::Serving;
        arbiter.current = GenerationId(state.current);
        arbiter.next = Next::Reading(state.upgrade.into());
        arbiter.waiting = state.waiting.map(PendingReload::from);
        arbiter.waiting_upgrade = state.waiting_upgrade.map(PendingReload::from);
        arbiter.announced = match state.announced {
            Announced::Nothing => None,
            Announced::Ready => Some(Announcement::Ready),
            Announced::Reloading => Some(Announcement::Reloading),
        };
        arbiter.last_generation = state.last_generation;
        arbiter.last_worker = state.last_worker;
        arbiter.last_reload = state.last_reload;
        let fork_servers = state.fork_servers.into_iter();
        arbiter.fork_servers = fork_servers
            .map(|(id, server)| (GenerationId(id), server.into_part(now)))
            .collect();
        let workers = state.workers.into_iter();
        arbiter.workers = workers
            .map(|(id, worker)| (WorkerId(id), worker.into_worker(now)))
            .collect();
        (arbiter, vec![Action::ReadConfig])
    }
}

impl PoolState {
    /// The reload that the upgrade is.
    pub fn upgrade(&self) -> ReloadId {
        ReloadId(self.upgrade.reload)
    }

    /// Whether it names these workers and fork servers, and no others.
    pub fn is_about(
        &self,
        workers: impl Iterator<Item = u32>,
        fork_servers: impl Iterator<Item = u32>,
    ) -> bool {
        let own = self.workers.iter().map(|(id, _)| *id);
        let own_servers = self.fork_servers.iter().map(|(id, _)| *id);
        own.eq(workers) && own_servers.eq(fork_servers)
    }
}

impl From<PendingReload> for Pending {
    fn from(pending: PendingReload) -> Self {
        Self {
            reload: pending.reload.0,
            by: match pending.by {
                Requester::Signal(name) => By::Signal(name.to_owned()),
                Requester::Control { pid } => By::Control { pid },
                Requester::Idle(time) => By::Idle {
                    seconds: time.as_secs(),
                },
                Requester::FileChange => By::FileChange,
            },
        }
    }
}

impl From<Pending> for PendingReload {
    fn from(pending: Pending) -> Self {
        Self {
            reload: ReloadId(pending.reload),
            by: match pending.by {
                By::Signal(name) => {
                    Requester::Signal(Signal::from_str(&name).map_or("a signal", Signal::as_str))
                }
                By::Control { pid } => Requester::Control { pid },
                By::Idle { seconds } => Requester::Idle(Duration::from_secs(seconds)),
                By::FileChange => Requester::FileChange,
            },
        }
    }
}

impl WorkerState {
    fn of(worker: &Worker, now: Instant) -> Self {
        Self {
            generation: worker.generation.0,
            stage: Stage::of(worker.state, now),
            is_successor: worker.cause == Cause::Lost,
            to_be_replaced: worker.to_be_replaced,
        }
    }

    fn into_worker(self, now: Instant) -> Worker {
        Worker {
            generation: GenerationId(self.generation),
            state: self.stage.into_part(now),
            cause: if self.is_successor {
                Cause::Lost
            } else {
                Cause::Missing
            },
            to_be_replaced: self.to_be_replaced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(state: State, now: Instant) -> String {
        serde_json::to_string(&Stage::of(state, now)).unwrap()
    }

    fn read(text: &str, now: Instant) -> State {
        let stage: Stage = serde_json::from_str(text).unwrap();
        stage.into_part(now)
    }

    #[test]
    fn what_has_passed_and_what_is_left_are_milliseconds() {
        let since = Instant::now();
        let now = since + Duration::from_millis(500);
        let until = now + Duration::from_millis(1500);
        let pause = Duration::from_secs(1);
        for (state, text) in [
            (
                State::Retiring { since, until },
                r#"{"Retiring":{"for_ms":500,"left_ms":1500}}"#,
            ),
            (
                State::Starting { until: None },
                r#"{"Starting":{"left_ms":null}}"#,
            ),
            (
                State::Killed { times: 2, until },
                r#"{"Killed":{"times":2,"left_ms":1500}}"#,
            ),
        ] {
            assert_eq!(written(state, now), text);
            assert_eq!(read(text, now), state);
        }

        let later = read(r#"{"Leaving":{"left_ms":1500}}"#, now + pause);

        let until = until + pause;
        assert_eq!(later, State::Leaving { until });
    }

    #[test]
    fn a_time_is_not_over_earlier_than_it_was() {
        let now = Instant::now();
        let until = now + Duration::from_nanos(1_000_001);

        let text = written(State::Leaving { until }, now);

        assert_eq!(text, r#"{"Leaving":{"left_ms":2}}"#);
    }
}
