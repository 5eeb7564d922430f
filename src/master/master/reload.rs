//! A reload, apart from the processes: the configuration is read again, is a
//! candidate while its generation is tested, and replaces the current one or not.
//! When that is, the arbiter decides (`pool/reload.rs`).

use super::{Master, wanted};
use crate::config::{self, Applies, Config, ConfigError};
use crate::control::protocol::{Answer, Outcome};
use crate::control::{Awaited, READER, Server};
use crate::installation;
use crate::listeners::{Listener, Origin};
use crate::log::events;
use crate::pool::{Event, GenerationId, Reason, ReloadId};
use crate::process::{self, WorkerFolder};
use std::time::Instant;
use tracing::warn;

/// What a generation is started from.
pub(super) struct Deployment {
    pub(super) config: Config,
    pub(super) folder: WorkerFolder,
}

/// What is known of the reload under way and the last one.
pub(super) struct ReloadState {
    /// What the next generation is started from.
    pub(super) candidate: Option<Deployment>,
    pub(super) began: Instant,
    /// Every mistake of the configuration that was read last, a line for each.
    mistakes: String,
    /// Why the last reload failed, if it did.
    pub(super) failure: Option<String>,
}

impl ReloadState {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            candidate: None,
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
        let read = config::load(&self.sources)
            .map_err(|errors| {
                for line in errors.lines() {
                    events::configuration_refused(&line);
                }
                self.reload.mistakes = errors.to_string();
                errors.summary()
            })
            .and_then(|config| {
                if let Err(error) = idle_exit_allowed(&config, self.processes.listeners()) {
                    events::configuration_refused(&error.to_string());
                    return Err(error.to_string());
                }
                let folder = find_folder(&config)
                    .or_else(|missing| missing.or_held(&self.current.folder))
                    .map_err(|error| error.to_string())?;
                Ok(Deployment { config, folder })
            });
        self.pending.push_back(match read {
            Ok(deployment) => {
                let wanted = wanted(&deployment.config);
                self.reload.candidate = Some(deployment);
                Event::ConfigRead(wanted)
            }
            Err(reason) => Event::ConfigRefused(reason),
        });
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
                    Applies::DaemonReload => "after `systemctl daemon-reload` and a restart",
                    Applies::Reload | Applies::Restart => "at the next restart",
                };
                warn!(
                    setting = setting.key,
                    "The new {} takes effect {when}", setting.key
                );
            }
            self.log.set_level(candidate.config.loglevel.level());
            self.current = candidate;
            self.idle_watch.restart(Instant::now());
        }
    }

    pub(super) fn drop_config(&mut self) {
        self.reload.candidate = None;
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
        let answer = match outcome {
            Ok(generation) => Answer::Outcome(Outcome {
                generation: Some(generation.0),
                ..self.outcome(format!("generation {generation} serves"))
            }),
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
