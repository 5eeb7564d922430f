//! The processes, and what they share with the master: links, listeners, the
//! scoreboard.

mod fork_servers;
mod memory;
mod scoreboard;
mod workers;

use super::outputs::Outliving;
use crate::listeners::Listener;
use crate::pool::{GenerationId, WorkerId};
use crate::process::{ControlGroups, ForkServerProcess, OomKills, OutputTo, WorkerProcess};
use crate::status::Totals;
use crate::sys::handed_over::HandedOver;
use crate::upgrade::state::{ListenerState, LostState, ProcessesState};
use crate::wakeups::Wakeups;
use rgunicorn_link::protocol::ToForkServer;
use rgunicorn_link::{HandoverSockets, Scoreboard};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;
pub(super) use workers::SpawnError;

pub(super) struct Processes {
    pub(super) fork_servers: BTreeMap<GenerationId, ForkServerProcess>,
    pub(super) workers: BTreeMap<WorkerId, WorkerProcess>,
    scoreboard: Scoreboard,
    listeners: Vec<Listener>,
    /// By this eventfd workers wake each other when connections wait.
    nudge: OwnedFd,
    /// By these they give connections to each other. Here as well, so that those on their
    /// way outlive the workers.
    handover: HandoverSockets,
    /// Where the application's output goes.
    output: OutputTo,
    /// What the hooks are to be told when there is a fork server again.
    missed_calls: VecDeque<ToForkServer>,
    pub(super) outliving: Outliving,
    /// What workers that are gone have counted.
    past: Totals,
    /// `None`: the workers have none of their own.
    groups: Option<ControlGroups>,
    oom_kills: OomKills,
    /// A worker's memory could not be measured, which was logged.
    is_memory_hidden: bool,
}

impl Processes {
    pub(super) fn new(
        listeners: Vec<Listener>,
        output: OutputTo,
        now: Instant,
    ) -> io::Result<Self> {
        let groups = ControlGroups::take_over();
        let oom_kills = OomKills::new(groups.as_ref().map(ControlGroups::service), now);
        Ok(Self {
            fork_servers: BTreeMap::new(),
            workers: BTreeMap::new(),
            scoreboard: Scoreboard::create()?,
            listeners,
            nudge: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            handover: HandoverSockets::pair()?,
            output,
            missed_calls: VecDeque::new(),
            outliving: Outliving::default(),
            past: Totals::default(),
            groups,
            oom_kills,
            is_memory_hidden: false,
        })
    }

    /// For the program that takes over.
    pub(super) fn hand_over<'a>(
        &'a self,
        fds: &mut HandedOver<'a>,
        now: Instant,
    ) -> (ProcessesState, Vec<ListenerState>) {
        let listeners = self.listeners.iter();
        let listeners = listeners.map(|listener| listener.hand_over(fds)).collect();
        let state = ProcessesState {
            fork_servers: (self.fork_servers.values())
                .map(|server| server.hand_over(fds))
                .collect(),
            workers: (self.workers.values())
                .map(|worker| worker.hand_over(fds, now))
                .collect(),
            scoreboard: fds.add(self.scoreboard.as_fd()),
            nudge: fds.add(self.nudge.as_fd()),
            give: fds.add(self.handover.give.as_fd()),
            take: fds.add(self.handover.take.as_fd()),
            missed_calls: self.missed_calls.iter().cloned().collect(),
            outliving: self.outliving.hand_over(fds),
            past: (self.past.requests, self.past.errors, self.past.bytes),
            past_lost: LostState {
                access: self.past.access_lost,
                metrics: self.past.metrics_lost,
                syslog: self.past.syslog_lost,
            },
        };
        (state, listeners)
    }

    pub(super) fn adopt_all(
        state: ProcessesState,
        listeners: Vec<Listener>,
        output: OutputTo,
        wakeups: &Wakeups,
        now: Instant,
    ) -> io::Result<Self> {
        let groups = ControlGroups::take_over();
        let oom_kills = OomKills::new(groups.as_ref().map(ControlGroups::service), now);
        let (requests, errors, bytes) = state.past;
        let mut processes = Self {
            fork_servers: BTreeMap::new(),
            workers: BTreeMap::new(),
            scoreboard: Scoreboard::open(state.scoreboard.take()?)?,
            listeners,
            nudge: state.nudge.take()?,
            handover: HandoverSockets {
                give: state.give.take()?,
                take: state.take.take()?,
            },
            output,
            missed_calls: state.missed_calls.into(),
            outliving: Outliving::adopt(&state.outliving, wakeups)?,
            past: Totals {
                requests,
                errors,
                bytes,
                access_lost: state.past_lost.access,
                metrics_lost: state.past_lost.metrics,
                syslog_lost: state.past_lost.syslog,
                busy: 0,
            },
            groups,
            oom_kills,
            is_memory_hidden: false,
        };
        for server in &state.fork_servers {
            processes.watch(ForkServerProcess::adopt(server, output)?, wakeups)?;
        }
        for worker in &state.workers {
            processes.watch_worker(WorkerProcess::adopt(worker, now)?, wakeups)?;
        }
        Ok(processes)
    }

    /// Closes what the workers close as well, once they have accepted what waits there:
    /// from then on clients are refused, and turn to another server at once. What systemd
    /// has stored it keeps open for the next start, and at a stop until the unit has ended.
    pub(super) fn close_own_listeners(&mut self) {
        self.listeners.retain(|listener| !listener.closes_at_stop());
    }

    /// Whether a connection waits to be accepted. If that cannot be found out, one may.
    pub(super) fn has_waiting_connections(&self) -> bool {
        let mut listeners: Vec<_> = (self.listeners.iter())
            .map(|listener| PollFd::new(&listener.fd, PollFlags::IN))
            .collect();
        !matches!(
            rustix::event::poll(&mut listeners, Some(&Timespec::default())),
            Ok(0)
        )
    }

    pub(super) fn listeners(&self) -> &[Listener] {
        &self.listeners
    }
}
