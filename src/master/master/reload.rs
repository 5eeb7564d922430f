//! A reload, apart from the processes: the configuration is read again, is a
//! candidate while its generation is tested, and replaces the current one or not.
//! When that is, the arbiter decides (`pool/reload.rs`).

use super::{Master, wanted};
use crate::config::{
    self, Applies, Config, ConfigError, ConfigErrors, Directory, Loaded, Settled, Unfinished,
};
use crate::control::protocol::{Answer, Outcome};
use crate::control::{Awaited, READER, Server};
use crate::installation;
use crate::listeners::{Listener, Origin};
use crate::log::{ErrorFile, events};
use crate::pid_file::PidFile;
use crate::pool::{Event, GenerationId, Reason, ReloadId};
use crate::process::{self, WorkerFolder};
use crate::session;
use rgunicorn_link::protocol::{Evaluation, Moment};
use std::time::Instant;
use tracing::warn;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a generation is started from.
pub(super) struct Deployment {
    pub(super) config: Config,
    pub(super) folder: WorkerFolder,
    /// What a program in Python has set, if one has a say in the configuration.
    pub(super) evaluation: Option<Evaluation>,
}

/// What is known of the reload under way and the last one.
pub(super) struct ReloadState {
    /// What the next generation is started from.
    pub(super) candidate: Option<Deployment>,
    /// What its configuration lacks, if a program in Python has a say in that.
    unfinished: Option<AwaitedProgram>,
    pub(super) began: Instant,
    /// Every mistake of the configuration that was read last, a line for each.
    mistakes: String,
    /// Why the last reload failed, if it did.
    pub(super) failure: Option<String>,
}

/// A program in Python that is to complete the candidate's configuration.
struct AwaitedProgram {
    unfinished: Box<Unfinished>,
    /// Whose fork server runs it, once that is started.
    by: Option<GenerationId>,
}

impl ReloadState {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            candidate: None,
            unfinished: None,
            began: now,
            mistakes: String::new(),
            failure: None,
        }
    }
}

impl Master {
    /// The order that was just given belongs to this reload.
    pub(super) fn reload_accepted(&mut self, reload: ReloadId) {
        if let (Some(control), Some(client)) = (&mut self.control, self.ordering_client.take()) {
            control.wait_for(client, Awaited::Reload(reload));
        }
    }

    pub(super) fn read_config(&mut self, now: Instant) {
        self.reload.began = now;
        self.reload.mistakes.clear();
        self.admit_reader();
        let read = config::read(&self.sources)
            .map_err(|errors| self.refuse_config(&errors))
            .and_then(|loaded| {
                let (config, unfinished) = match loaded {
                    Loaded::Complete(config) => (*config, None),
                    Loaded::Unfinished(unfinished) => {
                        (unfinished.provisional().clone(), Some(unfinished))
                    }
                };
                self.allow_idle_exit(&config)?;
                let folder = find_folder(&config)
                    .or_else(|missing| missing.or_held(&self.current.folder))
                    .map_err(|error| error.to_string())?;
                let deployment = Deployment {
                    config,
                    folder,
                    evaluation: None,
                };
                Ok((deployment, unfinished))
            });
        self.pending.push_back(match read {
            Ok((deployment, unfinished)) => {
                let wanted = wanted(&deployment.config);
                self.reload.candidate = Some(deployment);
                self.reload.unfinished = unfinished.map(|unfinished| AwaitedProgram {
                    unfinished,
                    by: None,
                });
                Event::ConfigRead(wanted)
            }
            Err(reason) => Event::ConfigRefused(reason),
        });
    }

    /// Logs every mistake, and gives what the one who waits is told.
    fn refuse_config(&mut self, errors: &ConfigErrors) -> String {
        for line in errors.lines() {
            events::configuration_refused(&line);
        }
        self.reload.mistakes = errors.to_string();
        errors.summary()
    }

    fn allow_idle_exit(&self, config: &Config) -> Result<(), String> {
        idle_exit_allowed(config, self.processes.listeners()).map_err(|error| {
            events::configuration_refused(&error.to_string());
            error.to_string()
        })
    }

    /// The fork server of this generation is about to be started from the candidate.
    pub(super) fn candidate_starts(&mut self, generation: GenerationId) {
        if let Some(awaited) = &mut self.reload.unfinished {
            awaited.by.get_or_insert(generation);
        }
    }

    /// The program has run in the fork server of this generation, which waits to be told
    /// what to serve.
    pub(super) fn evaluated(&mut self, generation: GenerationId, evaluation: &Evaluation) {
        let is_by = |awaited: &mut AwaitedProgram| awaited.by == Some(generation);
        let Some(awaited) = self.reload.unfinished.take_if(is_by) else {
            // It replaces one that was lost: what its program sets is new only at a reload.
            let count = self.arbiter.summary().wanted;
            let config = &self.current.config;
            let moment = Moment::Replacement;
            return self.processes.configure(generation, config, moment, count);
        };
        let settled = awaited
            .unfinished
            .settle(evaluation)
            .map_err(|errors| self.refuse_config(&errors))
            .and_then(|settled| {
                self.allow_idle_exit(&settled.config)?;
                Ok(settled)
            });
        let Settled { config, warnings } = match settled {
            Ok(settled) => settled,
            Err(why) => return self.dispatch(Event::ConfigRejected(generation, why)),
        };
        for warning in warnings {
            warn!("{warning}");
        }
        let wanted = wanted(&config);
        let moment = Moment::Reload {
            count_before: self.arbiter.summary().wanted,
        };
        let count = usize::from(wanted.workers);
        self.processes.configure(generation, &config, moment, count);
        if let Some(candidate) = &mut self.reload.candidate {
            candidate.config = config;
            candidate.evaluation = Some(evaluation.clone());
        }
        self.dispatch(Event::ConfigSettled(generation, wanted));
    }

    /// The program could not be run in the fork server of this generation.
    pub(super) fn evaluation_failed(
        &mut self,
        generation: GenerationId,
        summary: String,
        traceback: String,
    ) {
        let errors = ConfigErrors::from(ConfigError::Program { summary, traceback });
        self.refuse_config(&errors);
        let why = errors.summary();
        let why = why.lines().next().unwrap_or_default().to_owned();
        self.dispatch(Event::ConfigRejected(generation, why));
    }

    /// Lets rgunicorn-metrics ask for figures, if its account exists by now.
    pub(super) fn admit_reader(&mut self) {
        if let Some(Err(error)) = self.control.as_mut().map(Server::admit_reader) {
            warn!(
                "The control socket is closed for {READER}: {}",
                config::reason(&error)
            );
        }
    }

    pub(super) fn adopt_config(&mut self) {
        if let Some(candidate) = self.reload.candidate.take() {
            for setting in self.current.config.needing_restart(&candidate.config) {
                let when = match setting.applies {
                    Applies::DaemonReload if session::is_service() => {
                        "after `systemctl daemon-reload` and a restart"
                    }
                    Applies::DaemonReload | Applies::Reload | Applies::Restart => {
                        "at the next restart"
                    }
                };
                warn!(
                    setting = setting.key,
                    "The new {} takes effect {when}", setting.key
                );
            }
            let before: Vec<_> = self.current.config.ignored().collect();
            for (ignored, origin) in candidate.config.ignored() {
                if before.iter().all(|(other, _)| other.key != ignored.key) {
                    events::setting_ignored(ignored.key, &origin.to_string(), ignored.reason);
                }
            }
            let dangerous = candidate.config.dangerous();
            if !dangerous.is_empty() && dangerous != self.current.config.dangerous() {
                events::dangerous_settings(&dangerous);
            }
            self.log.set_level(candidate.config.loglevel.level());
            self.watch_as_configured(&candidate.config);
            self.open_error_log(&candidate.config);
            let config = &candidate.config;
            self.log.use_remotes(config.syslog(), config.statsd());
            self.pool_metrics.restart();
            self.current = candidate;
            let serving = self.arbiter.summary().generation;
            self.processes.tell_missed_calls(serving);
            self.rewrite_pid_file();
            self.idle_watch.restart(Instant::now());
        }
    }

    /// Its file may have another place now, or have been renamed. If it cannot be opened, the
    /// old one is kept.
    fn open_error_log(&self, config: &Config) {
        let Some(path) = config.errorlog.file() else {
            return self.log.use_file(None);
        };
        match ErrorFile::open(path, config.captures_output()) {
            Ok(file) => self.log.use_file(Some(file)),
            Err(error) => events::error_log_not_reopened(path, &error),
        }
    }

    /// The file may have another place now, or have been removed by somebody.
    fn rewrite_pid_file(&mut self) {
        let path = self.current.config.pidfile.as_ref();
        let path = path.map(Directory::as_path);
        let written = match (&self.pid_file, path) {
            (Some(file), Some(path)) if file.is_at(path) => file.renew(),
            (_, Some(path)) => PidFile::write(path).map(|file| self.pid_file = Some(file)),
            (_, None) => {
                self.pid_file = None;
                Ok(())
            }
        };
        if let Err(error) = written {
            warn!("The pid file is not written: {error}");
        }
    }

    pub(super) fn drop_config(&mut self) {
        self.reload.candidate = None;
        self.reload.unfinished = None;
    }

    pub(super) fn reload_finished(
        &mut self,
        reload: ReloadId,
        outcome: Result<GenerationId, Reason>,
    ) {
        self.reload.failure = match &outcome {
            Ok(_) | Err(Reason::Stopping) => None,
            Err(reason) => Some(reason.to_string()),
        };
        match outcome {
            Err(Reason::Stopping) => {}
            Ok(_) | Err(_) => self.counters.reloaded(outcome.is_ok()),
        }
        let is_upgrade = self.upgrade.is_own_reload(reload);
        let answer = match outcome {
            Ok(generation) => {
                let message = if is_upgrade {
                    format!("rgunicorn {VERSION} has taken over: generation {generation} serves")
                } else {
                    format!("generation {generation} serves")
                };
                Answer::Outcome(Outcome {
                    generation: Some(generation.0),
                    ..self.outcome(message)
                })
            }
            Err(reason) if is_upgrade => Answer::Failed(format!(
                "rgunicorn {VERSION} has taken over, but its workers cannot, and those from before \
                 serve on: {reason}"
            )),
            // The client's terminal has room for all of them.
            Err(Reason::Config(_)) if !self.reload.mistakes.is_empty() => {
                Answer::Failed(std::mem::take(&mut self.reload.mistakes))
            }
            Err(reason) => Answer::Failed(reason.to_string()),
        };
        if let Some(control) = &mut self.control {
            control.happened(Awaited::Reload(reload), &answer);
        }
    }
}

/// A service that exits when it is idle needs somebody who starts it again.
pub fn idle_exit_allowed(config: &Config, listeners: &[Listener]) -> Result<(), ConfigError> {
    let is_activated = |listener: &Listener| listener.origin == Origin::Systemd;
    if config.idle_exit.get().is_none() || listeners.iter().all(is_activated) {
        return Ok(());
    }
    Err(ConfigError::Unusable {
        key: "idle_exit",
        origin: config.origin("idle_exit").clone(),
        problem: "needs a socket unit, which starts the service again at the next connection, \
                  and rgunicorn opened a socket itself; start rgunicorn@NAME.socket, or remove \
                  idle_exit"
            .to_owned(),
    })
}

/// The worker folder of a configuration.
pub fn find_folder(config: &Config) -> Result<WorkerFolder, process::NoWorkerFolder> {
    let configured = config.worker_dir.as_ref().map(config::Directory::as_path);
    process::find(configured, &installation::program())
}
