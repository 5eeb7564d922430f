//! The pool: every decision about fork servers and workers, and nothing else.
//!
//! The [`Arbiter`] takes events and gives actions. It has no clock, no descriptor,
//! no process, no log: the loop has those.
//!
//! ```text
//!   signals, control ──▶ Order ─┐                        ┌─▶ Spawn, Lend, Retire, Quit, Abort, Kill
//!   links            ──▶ Ready ─┤      ┌─────────┐       ├─▶ StartForkServer, StopForkServer, …
//!   waitpid          ──▶ Gone  ─┼─────▶│ Arbiter │───────┼─▶ ReadConfig, AdoptConfig, ReloadFinished
//!   deadline()       ──▶ Tick  ─┘  now └─────────┘       ├─▶ Announce, Report
//!                                                        └─▶ Exit
//! ```
//!
//! An event changes what is known (`arbiter.rs`), an order what is wanted
//! (`reload.rs`). Then one step (`reconcile.rs`) compares the two. A worker
//! (`worker_state.rs`) and a fork server (`generation.rs`) are state machines of
//! their own.
//!
//! # The service as a whole
//!
//! ```text
//!            first worker ready      all wanted ready, or one failed
//! Starting ────────────────────▶ Filling ──────────▶ Serving
//!     │ anything fails              │ Stop              │ Stop
//!     └─────────────────────────────┴───────────────────┴─▶ Stopping ──▶ Exit
//! ```
//!
//! *Starting.* One worker is started alone: it has the whole machine to load the
//! application, and is lent the listeners as soon as it has. Nothing has served yet,
//! so nothing is lost by giving up: a failure ends the service with the
//! application's own error and status. That a
//! worker was killed from outside is no exception: systemd starts the service again
//! if its unit says so, and counts how often.
//!
//! *Filling.* At least one worker has loaded the application, so it can be
//! loaded. The others follow while it serves, as many at a time as there are
//! processors; with `preload`, where they have nothing to load, all at once. `Ready`
//! is announced when all wanted workers serve: a service that
//! says it is ready gets the whole load. If one fails now, one worker that serves is
//! enough: otherwise a single bad worker would keep the service from being ready.
//!
//! *Serving.* From here on nothing but an order ends the service. Workers that die
//! are replaced (`respawn.rs` says when): at once if they had served, after growing
//! pauses if they never got ready. The fork server is replaced, too: its workers do
//! not need it, but their successors do, so a new generation is started.
//!
//! *Stopping.* Everything is asked to leave, workers first, and killed when it has
//! not left in time. A process that three SIGKILLs have not ended hangs in the kernel
//! and is left behind: to wait for it could take for ever.
//!
//! # Memory
//!
//! With `worker_memory_max` the arbiter has the workers measured every few seconds
//! (`memory.rs`), and has one at a time replaced that is too large: like one that an
//! operator replaces, it serves until another does in its place.
//!
//! With `max_requests` or `max_worker_age` the same is done to a worker that has answered
//! as many requests, or is as old (`recycling.rs`).
//!
//! When the kernel reports memory pressure (`pressure.rs`), the workers collect their garbage
//! one after the other. If it goes on, the largest idle one is replaced. The number of
//! workers stays as it is wanted: to serve less is for whoever set it to decide.
//!
//! # A reload
//!
//! ```text
//!           ConfigRead               ForkServerReady, first WorkerReady
//! Reading ─────────────▶ Testing ────────────────────────────────────▶ rollout ──▶ done
//!     │ ConfigRefused       │ anything fails                              │
//!     ▼                     ▼                                             ▼ 5 workers failed
//!   failed: nothing has changed                                         failed: see below
//! ```
//!
//! Until its first worker is ready, a candidate costs the generation that serves
//! nothing. With that worker it is promoted: its configuration is adopted, the
//! old fork server leaves. Then it is rolled out: a new worker is ordered while there
//! is room (`wanted + surge`) and as long as fewer load the application than there are
//! processors, and one of the old is retired for each that is ready beyond `wanted`. So
//! capacity is never lost by a reload.
//!
//! New workers that fail during the rollout are tried again after growing pauses, and
//! the old ones serve until they are replaced. After five failures the reload has
//! failed, so that nobody waits for it for ever. The new generation stays promoted
//! (it does serve), and the workers that are missing are still tried, until they
//! succeed or the next reload brings better code.
//!
//! A new worker that dies in a request, or after one, has shown that the new code
//! can be loaded, so it is not such a failure. Only if such deaths keep
//! every old worker from being replaced for a minute has the reload failed, too.
//!
//! A reload that is ordered while another is under way begins after it, so that
//! whoever ordered it gets the code of that moment. All that are ordered until
//! then share it.
//!
//! # An upgrade
//!
//! The program in this process is replaced by another one, which adopts the pool and goes on
//! with a reload (`handing_over.rs`). It waits for its turn like a reload, and none begins
//! while the loop tries the new program. If that is refused, nothing has changed.
//!
//! # What the loop has to do
//!
//! * Actions are carried out in order, and `ReadConfig` and `MeasureMemory` are always
//!   answered. `Upgrade` is answered with `UpgradeRefused`, or by another program.
//! * Every `StartForkServer` ends in one `ForkServerGone`, even if there never was a
//!   process; every `Spawn` in one `WorkerGone`, `ForkFailed` or `SpawnDeferred`. A
//!   worker that never started is gone when its link is closed: by the fork server's
//!   end, or by `Kill`.
//! * `Tick` comes at [`Arbiter::deadline`]. Events may be late or come twice: those
//!   about unknown workers are ignored, and a number is never used again.

mod action;
mod arbiter;
mod event;
mod exit_status;
mod failure;
mod generation;
mod handing_over;
mod liveness;
mod memory;
mod pause;
mod pressure;
mod reconcile;
mod recycling;
mod relative;
mod reload;
mod respawn;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod stories;
mod summary;
mod wanted;
mod worker_state;

pub use action::{Action, Announcement, Reason, ReloadId, Report};
pub use arbiter::Arbiter;
pub use event::{Check, Event, Heartbeat, MemoryUse, Order, Requester};
pub use exit_status::{ExitStatus, LEFT_BY_ITSELF};
pub use generation::{ForkServer, GenerationId};
pub use handing_over::PoolState;
pub use liveness::{Sign, Silence, works};
pub use summary::{Phase, Summary};
pub use wanted::{MOST_WORKERS, Wanted};
pub use worker_state::{State, Worker, WorkerId};
