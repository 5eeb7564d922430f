//! An upgrade in place, from the side of the loop: the new program is tried, and executed
//! when nothing is under way. What it is for is told in [`crate::upgrade`].

use super::Master;
use crate::log::events;
use crate::pool::{Event, ExitStatus, GenerationId, ReloadId};
use crate::sys::handed_over::HandedOver;
use crate::upgrade::program::Identity;
use crate::upgrade::state::FORMAT;
use crate::upgrade::{AfterUsr2, Program, State, Trial};
use rgunicorn_link::protocol::{ToForkServer, VERSION as PROTOCOL, millis};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const PRE_EXEC: &str = "pre_exec";

/// How long the hook may take. The fork server does nothing else meanwhile.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the log and systemd may take to take what waits for them.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// How soon it is looked again whether they have.
const WRITE_INTERVAL: Duration = Duration::from_millis(20);

/// What the master knows of upgrades.
pub(super) struct Upgrade {
    program: Program,
    stage: Stage,
    pub(super) after_usr2: AfterUsr2,
    /// The reload by which this program replaces the workers that it has adopted.
    own_reload: Option<ReloadId>,
}

/// How far it is.
#[derive(Debug)]
enum Stage {
    /// None is under way.
    Nothing,
    /// The new program is tried.
    Trial(Trial),
    /// The hook of this generation is called.
    PreExec {
        generation: GenerationId,
        tried: Identity,
        until: Instant,
    },
    /// It can take over as soon as nothing waits to be written.
    Writing { tried: Identity, until: Instant },
}

impl Upgrade {
    pub(super) fn new(program: Program) -> Self {
        Self {
            program,
            stage: Stage::Nothing,
            after_usr2: AfterUsr2::default(),
            own_reload: None,
        }
    }

    /// This program has taken over.
    pub(super) fn adopted(program: Program, state: &State) -> Self {
        Self {
            after_usr2: AfterUsr2::from_expected(state.expected),
            own_reload: Some(state.pool.upgrade()),
            ..Self::new(program)
        }
    }

    /// Whether this is the reload by which this program has put its own workers into the place
    /// of those that it has adopted.
    pub(super) fn is_own_reload(&self, reload: ReloadId) -> bool {
        self.own_reload == Some(reload)
    }

    /// The application's output waits in its pipes, for the program that takes over.
    pub(super) fn leaves_output(&self) -> bool {
        matches!(self.stage, Stage::Writing { .. })
    }

    /// When [`Master::continue_upgrade`] has something to do.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        match &self.stage {
            Stage::Nothing => None,
            Stage::Trial(trial) => trial.deadline(),
            Stage::PreExec { until, .. } => Some(*until),
            Stage::Writing { .. } => Some(now + WRITE_INTERVAL),
        }
    }
}

impl Master {
    /// The arbiter wants the program that lies where this one did.
    pub(super) fn begin_upgrade(&mut self, now: Instant) {
        events::upgrade_began(&self.upgrade.program.path());
        let trial = self.state(&mut HandedOver::default(), now);
        let trial = trial
            .ok_or_else(|| io::Error::other("no upgrade is under way"))
            .and_then(|state| Trial::start(&self.upgrade.program, &state, now));
        match trial {
            Ok(trial) => self.upgrade.stage = Stage::Trial(trial),
            Err(error) => self.refuse_upgrade(&format!("it cannot be run: {error}")),
        }
    }

    /// A child has ended. Returns whether it was the new program's trial.
    pub(super) fn trial_ended(&mut self, pid: u32, exit: ExitStatus) -> bool {
        match std::mem::replace(&mut self.upgrade.stage, Stage::Nothing) {
            Stage::Trial(trial) if trial.is_process(pid) => {
                match trial.ended(exit) {
                    Ok(tried) => self.call_pre_exec(tried),
                    Err(why) => self.refuse_upgrade(&why),
                }
                true
            }
            other => {
                self.upgrade.stage = other;
                false
            }
        }
    }

    /// The new program can take over. The hook may have something to say.
    fn call_pre_exec(&mut self, tried: Identity) {
        let now = Instant::now();
        let generation = self.arbiter.summary().generation;
        let mut hooks = self.current.config.hooks();
        let is_told = hooks.any(|(name, _)| name == PRE_EXEC)
            && (self.processes).tell_hooks(generation, &ToForkServer::PreExec);
        self.upgrade.stage = if is_told {
            Stage::PreExec {
                generation,
                tried,
                until: now + HOOK_TIMEOUT,
            }
        } else {
            Stage::Writing {
                tried,
                until: now + WRITE_TIMEOUT,
            }
        };
    }

    pub(super) fn pre_exec_called(&mut self, by: GenerationId, succeeded: bool) {
        match self.upgrade.stage {
            Stage::PreExec {
                generation, tried, ..
            } if generation == by => {
                if succeeded {
                    let until = Instant::now() + WRITE_TIMEOUT;
                    self.upgrade.stage = Stage::Writing { tried, until };
                } else {
                    self.refuse_upgrade("the hook pre_exec failed");
                }
            }
            // It comes too late.
            Stage::PreExec { .. } | Stage::Nothing | Stage::Trial(_) | Stage::Writing { .. } => {}
        }
    }

    /// Has the new program take over when it can.
    pub(super) fn continue_upgrade(&mut self, now: Instant) {
        if !self.arbiter.is_upgrading() {
            // The service stops.
            if let Stage::Trial(trial) = &self.upgrade.stage {
                trial.end();
            }
            self.upgrade.stage = Stage::Nothing;
            return;
        }
        match &mut self.upgrade.stage {
            Stage::Trial(trial) => trial.end_if_late(now),
            Stage::PreExec { until, .. } if *until <= now => {
                let seconds = HOOK_TIMEOUT.as_secs();
                self.refuse_upgrade(&format!(
                    "the hook pre_exec has not ended within {seconds} s"
                ));
            }
            Stage::Nothing | Stage::PreExec { .. } => {}
            Stage::Writing { until, .. } if *until <= now => {
                self.refuse_upgrade("the log, or systemd, does not take what waits for it");
            }
            Stage::Writing { tried, .. } => {
                let tried = *tried;
                self.cut_outputs();
                let is_idle = self.pending.is_empty() && self.stacks_deadline().is_none();
                if is_idle && self.log.is_written() && !self.notifications.is_waiting() {
                    let error = self.execute(tried, now);
                    self.refuse_upgrade(&format!("it cannot be executed: {error}"));
                }
            }
        }
    }

    /// Returns only if that is not possible: then nothing has changed.
    fn execute(&self, tried: Identity, now: Instant) -> io::Error {
        let mut fds = HandedOver::default();
        let Some(state) = self.state(&mut fds, now) else {
            return io::Error::other("no upgrade is under way");
        };
        let file = match state.write() {
            Ok(file) => file,
            Err(error) => return error,
        };
        let number = fds.add(file.as_fd());
        match self.upgrade.program.identity() {
            Ok(identity) if identity == tried => {}
            Ok(_) => return io::Error::other("another file was put there after it was tried"),
            Err(error) => return error,
        }
        let error = match fds.keep() {
            Ok(()) => self.upgrade.program.execute(number),
            Err(error) => error,
        };
        // They are open: it cannot fail.
        let _ = fds.close_on_exec();
        error
    }

    fn refuse_upgrade(&mut self, why: &str) {
        self.upgrade.stage = Stage::Nothing;
        let path = self.upgrade.program.path();
        let why = format!("{}: {why}", path.display());
        self.pending.push_back(Event::UpgradeRefused(why));
    }

    /// All that another program needs to go on. `None`: no upgrade is under way.
    fn state<'a>(&'a self, fds: &mut HandedOver<'a>, now: Instant) -> Option<State> {
        let pool = self.arbiter.hand_over(now)?;
        let (mut processes, listeners) = self.processes.hand_over(fds, now);
        let lost = &mut processes.past_lost;
        // The next program begins to count its own anew.
        lost.syslog = lost.syslog.saturating_add(self.log.missed_by_syslog());
        lost.metrics = lost.metrics.saturating_add(self.log.missed_by_statsd());
        Some(State {
            format: FORMAT,
            protocol: PROTOCOL,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            pool,
            processes,
            listeners,
            control: self.control.as_ref().map(|control| control.hand_over(fds)),
            pid_file: self.pid_file.as_ref().map(|file| file.path().to_owned()),
            evaluation: self.current.evaluation.clone(),
            counters: self.counters.hand_over(),
            uptime_ms: millis(now.saturating_duration_since(self.started)),
            reload_failure: self.reload.failure.clone(),
            expected: self.upgrade.after_usr2.expected(),
        })
    }
}
