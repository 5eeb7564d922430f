//! The pool: every decision about fork servers and workers, and nothing else.
//!
//! The [`Arbiter`] is told what happened and says what to do. It has no clock,
//! no descriptor, no process, no log: the loop has those.
//!
//! ```text
//!   signals, control ──▶ Order ─┐                        ┌─▶ Spawn, Lend, Retire, Quit, Abort, Kill
//!   links            ──▶ Ready ─┤      ┌─────────┐       ├─▶ StartForkServer, StopForkServer, …
//!   pidfds           ──▶ Gone  ─┼─────▶│ Arbiter │───────┼─▶ ReadConfig, AdoptConfig, ReloadFinished
//!   deadline()       ──▶ Tick  ─┘  now └─────────┘       ├─▶ Announce, Report
//!                                                        └─▶ Exit
//! ```
//!
//! An event changes what is known (`arbiter.rs`), an order what is wanted. Then
//! one step (`reconcile.rs`) compares the two. A worker (`worker.rs`) and a
//! fork server (`generation.rs`) are state machines of their own.
//!
//! # The whole
//!
//! ```text
//!            first worker ready      all wanted ready, or one failed
//! Starting ────────────────────▶ Filling ──────────▶ Serving
//!     │ anything fails              │ Stop              │ Stop
//!     └─────────────────────────────┴───────────────────┴─▶ Stopping ──▶ Exit
//! ```
//!
//! *Starting.* Nothing has served yet, so nothing is lost by giving up: the first
//! failure ends the service with the application's own error and status.
//!
//! *Filling.* At least one worker has loaded the application, so it can be
//! loaded. `Ready` is announced when all wanted workers serve: a service that
//! says it is ready gets the whole load. One worker that fails now must not keep
//! it from saying so for ever: then one worker that serves is enough.
//!
//! *Serving.* From here on nothing but an order ends the service. Workers that
//! die are replaced at once; those that keep dying, or cannot load, after pauses
//! that grow. So is the fork server: its workers do not need it, but their
//! successors do, so a new generation follows it.
//!
//! *Stopping.* Everything is asked to leave, workers first, and killed when it
//! had its time.
//!
//! # A next generation
//!
//! ```text
//!           ConfigRead              ForkServerReady, first WorkerReady
//! Reading ─────────────▶ Trying ─────────────────────────────────────▶ rolling ──▶ done
//!     │ ConfigRefused       │ anything fails                              │
//!     ▼                     ▼                                             ▼ 5 workers failed
//!   failed: nothing has changed                                         failed: see below
//! ```
//!
//! Until its first worker is ready, a candidate costs the generation that serves
//! nothing. With that worker it is promoted: its configuration is adopted, the
//! old fork server leaves. Then it rolls: a new worker is ordered while there
//! is room (`wanted + surge`), and one of the old is retired for each that is ready
//! beyond `wanted`. So capacity is never lost by a reload.
//!
//! New workers that fail while it rolls are tried again after growing pauses, and
//! the old ones serve until they are replaced. Those who wait for the reload
//! are not made to wait for ever: after five failures they are told that it
//! failed. The new generation stays promoted (it does serve) and the rest is
//! still tried, until it succeeds or the next reload brings better code.
//!
//! A reload that is ordered while another is under way begins after it, so that
//! whoever ordered it gets the code of that moment. All that are ordered until
//! then share it.
//!
//! # What the loop owes
//!
//! * Actions are carried out in order, and `ReadConfig` is always answered.
//! * Every `StartForkServer` ends in one `ForkServerGone`, even if no process came
//!   of it; every `Spawn` in one `WorkerGone` or one `ForkFailed`. A worker that
//!   never started is gone when its link is closed: by the fork server's death
//!   (told first) or by `Kill`.
//! * `Tick` comes at [`Arbiter::deadline`]. News may be late or come twice: what
//!   is told of the unknown is ignored, and a number is never used again.

mod action;
mod arbiter;
mod event;
mod failure;
mod generation;
mod pause;
mod reconcile;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod stories;
mod summary;
mod wanted;
mod worker_state;

pub use action::{Action, Announcement, Fact, Reason, ReloadId};
pub use arbiter::Arbiter;
pub use event::{Event, Heartbeat, Order};
pub use generation::{ForkServer, GenerationId};
pub use summary::{Phase, Summary};
pub use wanted::{MOST_WORKERS, Wanted};
pub use worker_state::{State, Worker, WorkerId};
