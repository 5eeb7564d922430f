//! A program that takes over from the one that ran in this process before, and the check
//! whether it could: both do the same until the first descriptor is taken.

use super::error::{StartError, system};
use super::{
    make_room_for_descriptors, open_error_log, run, take_over_signals, warn_of, watch_pressure,
};
use crate::cli::{self, CommandLine, Task};
use crate::config::{self, Config, Loaded, Settled, Sources, Start};
use crate::control::Server;
use crate::listeners::Listener;
use crate::log::{self, events};
use crate::master::{Master, Parts, find_folder};
use crate::pid_file::PidFile;
use crate::process::WorkerFolder;
use crate::sys::handed_over::Number;
use crate::systemd::Notifier;
use crate::upgrade::{Program, State, check};
use crate::usage::Stop;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What a program goes on with.
struct Plan {
    sources: Sources,
    config: Config,
    folder: WorkerFolder,
    state: State,
    warnings: Vec<String>,
}

fn plan(line: CommandLine, state: Number) -> Result<Plan, StartError> {
    let state = state.take().map_err(system("read the state"))?;
    let state = State::read(state).map_err(StartError::Upgrade)?;
    let sources = line.sources;
    let Settled { config, warnings } = match config::read(&sources)? {
        Loaded::Complete(config) => Settled {
            config: *config,
            warnings: Vec::new(),
        },
        // What it sets now is known when the new generation has run it.
        Loaded::Unfinished(unfinished) => match &state.evaluation {
            Some(evaluation) => unfinished.settle(evaluation)?,
            None => Settled {
                config: unfinished.provisional().clone(),
                warnings: Vec::new(),
            },
        },
    };
    let folder = find_folder(&config)?;
    Ok(Plan {
        sources,
        config,
        folder,
        state,
        warnings,
    })
}

/// `--check-upgrade`: says whether this program could take over.
pub(super) fn check(state: Number, words: Vec<OsString>) -> ExitCode {
    let problems = match cli::parse_from(words, Start::here()) {
        Ok(line) if line.task == Task::Serve => match plan(line, state) {
            Ok(_) => Vec::new(),
            Err(error) => error.texts(),
        },
        Ok(_) | Err(Stop::Print(_)) => vec!["the command line does not serve".to_owned()],
        Err(Stop::UsageError(lines)) => lines,
    };
    let mut stdout = io::stdout();
    // If nobody reads it, nobody wants to know.
    let _ = if problems.is_empty() {
        writeln!(stdout, "{}", check::answer())
    } else {
        writeln!(stdout, "{}", problems.join("\n"))
    };
    ExitCode::from(u8::from(!problems.is_empty()))
}

/// Goes on where the program before has stopped.
pub(super) fn serve(
    line: CommandLine,
    state: Number,
    watchdog: Option<Duration>,
    log: log::Handle,
) -> Result<u8, StartError> {
    let Plan {
        sources,
        config,
        folder,
        mut state,
        warnings,
    } = plan(line, state)?;
    log.set_level(config.loglevel.level());
    if config.daemon && !config.enable_stdio_inheritance {
        log.collect_output();
    }
    let notifier = Notifier::from_env().map_err(system("reach the service manager"))?;
    let signals = take_over_signals()?;
    make_room_for_descriptors(&config);
    log.use_file(open_error_log(&config)?);
    let listeners = std::mem::take(&mut state.listeners).into_iter();
    let listeners = listeners.map(Listener::adopt).collect::<io::Result<_>>();
    let control = state.control.take();
    let control = control.map(|control| Server::adopt(control, Instant::now()));
    let parts = Parts {
        program: Program::of_this_process(&sources.start),
        sources,
        config,
        evaluation: state.evaluation.take(),
        folder,
        evaluated: None,
        log,
        notifier,
        watchdog,
        signals,
        listeners: listeners.map_err(system("adopt the sockets"))?,
        pid_file: state.pid_file.take().map(PidFile::adopt),
        control: (control.transpose()).map_err(system("adopt the control socket"))?,
        background: None,
        pressure: watch_pressure(),
    };
    parts.log.start().map_err(system("start the log"))?;
    let config = &parts.config;
    parts.log.use_remotes(config.syslog(), config.statsd());
    events::upgraded(&state.release, env!("CARGO_PKG_VERSION"));
    warn_of(&warnings);
    run(Master::adopt(parts, state))
}
