//! A fork server: one Python process for each generation.

use super::output::{self, Pipes};
use super::site::{python_log, site};
use super::{Handle, WorkerFolder};
use crate::config::{self, Config, Start};
use crate::log;
use crate::log::events::AppProcess;
use crate::pool::{ExitStatus, GenerationId};
use crate::sys::handed_over::{HandedOver, Number};
use crate::sys::run_as::run_as;
use crate::systemd::PRIVATE_VARIABLES;
use crate::upgrade::state::ForkServerState;
use command_fds::{CommandFdExt, FdMapping};
use rgunicorn_link::protocol::{
    AccountIds, Evaluate, HELD_FILES, HookSite, ListenAddress, LogDestination, MASTER_VERSION,
    Moment, Program, Site, Surroundings, ToForkServer,
};
use rgunicorn_link::{FORK_SERVER_FD, Link, Scoreboard};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tracing::warn;

/// The processes overwrite their command line with a title, which can be no longer
/// than the command line was.
const TITLE_ROOM: usize = 96;

/// All that a fork server is started with.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The configuration of its generation.
    pub config: &'a Config,
    /// What was true when the master started.
    pub start: &'a Start,
    pub folder: &'a WorkerFolder,
    pub output: OutputTo,
    /// `None`: that of this process.
    pub account: Option<&'a AccountIds>,
}

/// Where its output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputTo {
    /// Into the journal, through pipes that the master reads.
    Pipes,
    /// Into another log, through pipes as well.
    Lines,
    /// Where the master's goes.
    Inherited,
    /// All of it to the master's standard error.
    Stderr,
}

impl OutputTo {
    /// That of a server with this log.
    pub fn of(log: &log::Handle) -> Self {
        if log.has_fields() {
            Self::Pipes
        } else if log.collects_output() {
            Self::Lines
        } else {
            Self::Inherited
        }
    }
}

/// A fork server's process, from the master's side.
#[derive(Debug)]
pub struct ForkServerProcess {
    pub generation: GenerationId,
    pub handle: Handle,
    /// `None` once it is closed, by us to make the process leave, or by itself.
    pub link: Option<Link>,
    /// Its output, if that is read.
    pub pipes: Pipes,
    /// Whether it has said that it can fork.
    pub ready: bool,
    /// The interpreter.
    python: PathBuf,
    stage: Stage,
    output: OutputTo,
    has_hooks: bool,
    /// Where the output of its workers goes.
    pub worker_output: OutputTo,
    /// Its hooks have been told that the service ends.
    pub is_ending: bool,
    /// The account that it is to change to; `None` where it runs in the right one.
    pub changes_to: Option<AccountIds>,
}

/// Why there is a new generation, and what it is to serve.
#[derive(Debug)]
pub struct Occasion {
    pub moment: Moment,
    /// Where the service listens.
    pub addresses: Vec<ListenAddress>,
    /// How many workers are wanted.
    pub count: usize,
}

/// What it does before it can fork.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// Runs the configuration, which stands in this program.
    Evaluating(Program),
    Configured {
        /// It loads the application itself.
        preload: bool,
    },
}

impl ForkServerProcess {
    /// Starts Python. If a program in Python has a say in the configuration, it is run;
    /// [`Self::configure`] follows when that has told what it sets. Else that is done here.
    pub fn start(
        generation: GenerationId,
        launch: Launch<'_>,
        scoreboard: &Scoreboard,
    ) -> io::Result<Self> {
        let mut process = Self::start_unconfigured(generation, launch)?;
        if let Stage::Configured { .. } = process.stage {
            process.configure(launch.config, scoreboard, None)?;
        }
        Ok(process)
    }

    /// Starts Python, and has it run the program that has a say in the configuration, if
    /// there is one. [`Self::configure`] follows.
    pub fn start_unconfigured(generation: GenerationId, launch: Launch<'_>) -> io::Result<Self> {
        let process = Self::spawn(generation, launch)?;
        if let Stage::Evaluating(program) = &process.stage {
            let program = program.clone();
            let names = config::names_in_programs();
            let python_log = python_log(generation, launch.config, process.log_destination());
            let order = Evaluate {
                program,
                names,
                python_log,
            };
            let sent = process.send_first(&ToForkServer::Evaluate(order), &[]);
            sent.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidInput => io::Error::other(
                    "the arguments of the script take too much room; put long ones into files",
                ),
                _ => error,
            })?;
        }
        Ok(process)
    }

    /// Tells it what to serve; `occasion` where hooks want to know.
    pub fn configure(
        &mut self,
        config: &Config,
        scoreboard: &Scoreboard,
        occasion: Option<Occasion>,
    ) -> io::Result<()> {
        let surroundings = match &self.stage {
            Stage::Evaluating(_) => Some(Surroundings {
                chdir: config.chdir.as_path().to_owned(),
                environment: (config.env.iter())
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
            }),
            Stage::Configured { .. } => None,
        };
        self.stage = Stage::Configured {
            preload: config.preload,
        };
        self.has_hooks = config.has_hooks();
        if self.output == OutputTo::Inherited && config.captures_output() {
            self.worker_output = OutputTo::Lines;
        }
        let hooks = occasion
            .filter(|_| self.has_hooks)
            .map(|occasion| HookSite {
                moment: occasion.moment,
                addresses: occasion.addresses,
                count: occasion.count,
            });
        let marks_output = (self.pipes.iter().flatten()).all(|(_, output)| output.is_in_packets());
        let gunicorn_settings = if hooks.is_some() || config.configures_logging() {
            config.as_gunicorn_has_it()
        } else {
            serde_json::Map::new()
        };
        let site = Site {
            surroundings,
            gunicorn_settings,
            account: self.changes_to.take(),
            hooks,
            marks_output: self.output == OutputTo::Pipes && marks_output,
            ..site(self.generation, config, self.log_destination())
        };
        let sent = self.send_first(
            &ToForkServer::Configure(Box::new(site)),
            &[scoreboard.as_fd()],
        );
        sent.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => io::Error::other(
                "the settings take too much room, most likely env; put long values into files",
            ),
            _ => error,
        })
    }

    /// Tells its hooks what has happened, if it has any. Returns whether they are told: not
    /// if it does not read its link, since it is stuck and will be replaced.
    pub fn tell(&self, what: &ToForkServer) -> bool {
        if !self.has_hooks || !self.ready || self.link.is_none() {
            return false;
        }
        match self.send(what, &[]) {
            Ok(()) => true,
            Err(error) => {
                warn!(
                    "The hooks of generation {} miss a call: {error}",
                    self.generation
                );
                false
            }
        }
    }

    /// Whether it runs the configuration, and was not told yet what to serve.
    pub fn is_evaluating(&self) -> bool {
        matches!(self.stage, Stage::Evaluating(_))
    }

    fn send(&self, message: &ToForkServer, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        match &self.link {
            Some(link) => link.send(message, fds),
            None => Ok(()),
        }
    }

    /// Sends what it needs to begin. If it has ended, that is no error here: how it did, and
    /// what it sent before, says why.
    fn send_first(&self, message: &ToForkServer, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        match self.send(message, fds) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => sent,
        }
    }

    fn spawn(generation: GenerationId, launch: Launch<'_>) -> io::Result<Self> {
        let Launch {
            config,
            start,
            folder,
            output: output_to,
            account,
        } = launch;
        let (ours, theirs) = Link::wide_pair()?;
        let python = config.interpreter(start).map_err(io::Error::other)?;
        let title = format!("[{}]", config.process_name());
        let mut command = Command::new(&python);
        let mut descriptors = vec![FdMapping {
            parent_fd: theirs.into(),
            child_fd: FORK_SERVER_FD,
        }];
        // The file, not the folder: to run a folder, Python imports `runpy`, which
        // takes half a MiB in each process of a site.
        let mut main = folder.as_path().join("__main__.py");
        command.env_remove(HELD_FILES);
        if let Some(files) = folder.without_names() {
            let passed = files.pass(FORK_SERVER_FD + 1)?;
            command.env(HELD_FILES, &passed.list);
            descriptors.extend(passed.descriptors);
            main = passed.main;
        }
        command
            .arg(main)
            .arg(format!("{title:TITLE_ROOM$}"))
            .current_dir(config.chdir.as_path())
            .envs(config.env.iter())
            .stdin(Stdio::null());
        for variable in PRIVATE_VARIABLES {
            command.env_remove(variable);
        }
        command.env(MASTER_VERSION, env!("CARGO_PKG_VERSION"));
        let mut pipes = None;
        match output_to {
            OutputTo::Pipes | OutputTo::Lines => {
                let (ends, [stdout, stderr]) = output::pipes()?;
                command.stdout(stdout).stderr(stderr);
                pipes = Some(ends);
            }
            OutputTo::Inherited => {}
            OutputTo::Stderr => {
                command.stdout(io::stderr().as_fd().try_clone_to_owned()?);
            }
        }
        if let Some(account) = account {
            run_as(&mut command, account);
        }
        command.fd_mappings(descriptors).map_err(io::Error::other)?;
        let child = command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy();
            io::Error::new(error.kind(), format!("cannot run {program}: {error}"))
        })?;
        let stage = match &config.config {
            Some(program) => Stage::Evaluating(program.program().clone()),
            None => Stage::Configured {
                preload: config.preload,
            },
        };
        Ok(Self {
            generation,
            handle: Handle::of(child.id())?,
            link: Some(ours),
            pipes,
            ready: false,
            python,
            stage,
            output: output_to,
            has_hooks: false,
            worker_output: output_to,
            is_ending: false,
            changes_to: None,
        })
    }

    /// For the program that takes over.
    pub fn hand_over<'a>(&'a self, fds: &mut HandedOver<'a>) -> ForkServerState {
        ForkServerState {
            generation: self.generation.0,
            pid: self.handle.pid,
            link: self.link.as_ref().map(|link| fds.add(link.as_fd())),
            pipes: output::hand_over(&self.pipes, fds),
            ready: self.ready,
            python: self.python.clone(),
            stage: self.stage.clone(),
            worker_output: self.worker_output,
            has_hooks: self.has_hooks,
            is_ending: self.is_ending,
        }
    }

    pub fn adopt(state: &ForkServerState, output: OutputTo) -> io::Result<Self> {
        let link = state.link.map(Number::take).transpose()?;
        Ok(Self {
            generation: GenerationId(state.generation),
            handle: Handle::adopt(state.pid),
            link: link.map(Link::from_fd),
            pipes: output::adopt(state.pipes.as_ref())?,
            ready: state.ready,
            python: state.python.clone(),
            stage: state.stage.clone(),
            output,
            worker_output: state.worker_output,
            has_hooks: state.has_hooks,
            is_ending: state.is_ending,
            changes_to: None,
        })
    }

    /// How it ended, for the log; with a hint where an operator needs one.
    pub fn describe_exit(&self, exit: ExitStatus) -> String {
        if self.ready {
            exit.to_string()
        } else {
            died_early(exit, &self.python, &self.stage)
        }
    }

    /// Where the log is that its processes may write to.
    fn log_destination(&self) -> LogDestination {
        match self.output {
            OutputTo::Pipes => LogDestination::Journal,
            OutputTo::Lines | OutputTo::Inherited | OutputTo::Stderr => LogDestination::Stderr,
        }
    }

    /// As log records name it.
    pub fn app_process(&self) -> AppProcess {
        AppProcess::ForkServer {
            pid: self.handle.pid,
            generation: self.generation.0,
        }
    }
}

/// How a fork server ended that was never ready. If it exited by itself, the
/// interpreter is likely to be the wrong one; if somebody killed it, it is not.
fn died_early(exit: ExitStatus, python: &Path, stage: &Stage) -> String {
    let python = python.display();
    let when = match stage {
        Stage::Evaluating(program) => format!("while it ran {program}"),
        Stage::Configured { preload: true } => "while it loaded the application".to_owned(),
        Stage::Configured { preload: false } => "before it could fork a worker".to_owned(),
    };
    let hint = match exit {
        ExitStatus::Code(_) if matches!(stage, Stage::Evaluating(_)) => "",
        ExitStatus::Code(_) => " (python has to be CPython 3.10 or newer)",
        ExitStatus::Signal { .. } | ExitStatus::OutOfMemory | ExitStatus::NeverStarted => "",
    };
    format!("{exit}, {when}, run by {python}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_that_ends_at_once_is_named_with_what_it_has_to_be() {
        assert_eq!(
            died_early(
                ExitStatus::Code(1),
                Path::new("/bin/false"),
                &Stage::Configured { preload: false }
            ),
            "exit status 1, before it could fork a worker, run by /bin/false \
             (python has to be CPython 3.10 or newer)"
        );
    }

    #[test]
    fn an_interpreter_that_somebody_killed_is_not_blamed() {
        let exit = ExitStatus::Signal {
            number: 1,
            core_dumped: false,
        };

        assert_eq!(
            died_early(
                exit,
                Path::new("/usr/bin/python3"),
                &Stage::Configured { preload: true }
            ),
            "killed by SIGHUP, while it loaded the application, run by /usr/bin/python3"
        );
    }
}
