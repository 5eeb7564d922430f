//! A fork server: one Python process for each generation.

use super::output::{self, Pipes};
use super::{Handle, WorkerFolder};
use crate::config::{Config, Start, WorkerClass};
use crate::log::events::AppProcess;
use crate::pool::{ExitStatus, GenerationId};
use crate::systemd::PRIVATE_VARIABLES;
use command_fds::{CommandFdExt, FdMapping};
use rgunicorn_link::protocol::{self, HELD_FILES, MASTER_VERSION, Site, ToForkServer, millis};
use rgunicorn_link::{FORK_SERVER_FD, Link, Scoreboard};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

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
    /// Whether its output is read through pipes.
    pub read_output: bool,
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
    /// Whether it loads the application itself.
    preload: bool,
}

impl ForkServerProcess {
    /// Starts Python and tells it what to serve.
    pub fn start(
        generation: GenerationId,
        launch: Launch<'_>,
        scoreboard: &Scoreboard,
        preload: bool,
    ) -> io::Result<Self> {
        let Launch {
            config,
            start,
            folder,
            read_output,
        } = launch;
        let (ours, theirs) = Link::pair()?;
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
        if read_output {
            let (ends, [stdout, stderr]) = output::pipes()?;
            command.stdout(stdout).stderr(stderr);
            pipes = Some(ends);
        }
        command.fd_mappings(descriptors).map_err(io::Error::other)?;
        let child = command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy();
            io::Error::new(error.kind(), format!("cannot run {program}: {error}"))
        })?;
        let configure = ToForkServer::Configure(Box::new(site(generation, config, preload)));
        let process = Self {
            generation,
            handle: Handle::of(child.id())?,
            link: Some(ours),
            pipes,
            ready: false,
            python,
            preload,
        };
        if let Some(link) = &process.link {
            link.send(&configure, &[scoreboard.as_fd()])?;
        }
        Ok(process)
    }

    /// How it ended, for the log; with a hint where an operator needs one.
    pub fn describe_exit(&self, exit: ExitStatus) -> String {
        if self.ready {
            exit.to_string()
        } else {
            died_early(exit, &self.python, self.preload)
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
fn died_early(exit: ExitStatus, python: &Path, preload: bool) -> String {
    let python = python.display();
    let when = if preload {
        "while it loaded the application"
    } else {
        "before it could fork a worker"
    };
    let hint = match exit {
        ExitStatus::Code(_) => " (python has to be CPython 3.10 or newer)",
        ExitStatus::Signal { .. } | ExitStatus::OutOfMemory | ExitStatus::NeverStarted => "",
    };
    format!("{exit}, {when}, run by {python}{hint}")
}

/// What a fork server and its workers have to know of the configuration.
fn site(generation: GenerationId, config: &Config, preload: bool) -> Site {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Site {
        generation: generation.0,
        app: config.app.as_str().to_owned(),
        pythonpath: config.pythonpath.entries().to_vec(),
        preload,
        proc_name: config.process_name().to_owned(),
        worker_class: worker_class(config),
        multiprocess: config.workers.count() > 1,
        timeout_ms: config.timeout.get().map_or(0, millis),
        request_timeout_ms: config.request_timeout.get().map_or(0, millis),
        beat_ms: beat(config),
        loglevel: config.loglevel.level(),
        keepalive_ms: millis(config.keepalive.get()),
        client_timeout_ms: millis(config.client_timeout.get()),
        worker_connections: count(config.worker_connections.get()),
        limit_request_line: count(config.limit_request_line.get()),
        limit_request_fields: count(config.limit_request_fields.get()),
        limit_request_field_size: count(config.limit_request_field_size.get()),
        limit_request_body: config.limit_request_body.bytes(),
        limit_response_buffer: config.limit_response_buffer.bytes(),
        health_path: config
            .health_path
            .as_ref()
            .map(|path| path.as_str().to_owned()),
        forwarded_allow_ips: config
            .forwarded_allow_ips
            .all()
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

fn worker_class(config: &Config) -> protocol::WorkerClass {
    let threads = config.threads.get();
    match config.worker_class.resolve(threads) {
        WorkerClass::Sync => protocol::WorkerClass::Sync,
        WorkerClass::Gthread => protocol::WorkerClass::Gthread {
            threads: usize::try_from(threads).unwrap_or(usize::MAX),
        },
    }
}

/// Several heartbeats within the timeout, and at least one a second.
fn beat(config: &Config) -> u64 {
    let timeout = config.timeout.get().unwrap_or(Duration::MAX);
    millis((timeout / 4).clamp(Duration::from_millis(50), Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_that_ends_at_once_is_named_with_what_it_has_to_be() {
        assert_eq!(
            died_early(ExitStatus::Code(1), Path::new("/bin/false"), false),
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
            died_early(exit, Path::new("/usr/bin/python3"), true),
            "killed by SIGHUP, while it loaded the application, run by /usr/bin/python3"
        );
    }
}
