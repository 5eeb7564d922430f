//! Python before there is a master: a fork server that runs the configuration's program,
//! or tries to load the application.

use super::error::{StartError, system};
use crate::account;
use crate::config::{Config, ConfigError, ConfigErrors, Loaded, Settled, Sources};
use crate::log::{self, events};
use crate::pool::{ExitStatus, GenerationId, Order};
use crate::process::{self, ForkServerProcess, Launch, OutputTo, PipeState, WorkerFolder};
use crate::signals::{Meaning, Signals};
use rgunicorn_link::protocol::{AccountIds, Evaluation, FromForkServer, LoadFailure};
use rgunicorn_link::{Received, Scoreboard};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;
use std::io;
use std::time::{Duration, Instant};
use tracing::info;

/// A configuration that is complete.
pub struct Complete {
    pub config: Config,
    /// What may be a mistake in it.
    pub warnings: Vec<String>,
    /// What has run its program, and is to be told what to serve.
    pub evaluated: Option<ForkServerProcess>,
    /// What that has set.
    pub evaluation: Option<Evaluation>,
    /// What Python was to run in, as far as it was known before, if not in our own.
    pub account: Option<AccountIds>,
}

/// Runs the program that has a say in the configuration, if there is one.
pub fn complete(
    sources: &Sources,
    loaded: Loaded,
    folder: &WorkerFolder,
    signals: &mut Signals,
    purpose: Purpose<'_>,
) -> Result<Complete, StartError> {
    let account = account_of(loaded.provisional(), purpose)?;
    let unfinished = match loaded {
        Loaded::Complete(config) => {
            return Ok(Complete {
                config: *config,
                warnings: Vec::new(),
                evaluated: None,
                evaluation: None,
                account,
            });
        }
        Loaded::Unfinished(unfinished) => unfinished,
    };
    let provisional = unfinished.provisional();
    let launch = Launch {
        config: provisional,
        start: &sources.start,
        folder,
        output: purpose.output(),
        account: account.as_ref(),
    };
    let mut server = ForkServerProcess::start_unconfigured(GenerationId(1), launch)
        .map_err(system("start Python"))?;
    let until = (provisional.boot_timeout.get()).and_then(|time| Instant::now().checked_add(time));
    let answer = answer_of(
        &mut server,
        signals,
        purpose,
        until,
        |message| match message {
            FromForkServer::Evaluated(evaluation) => Some(Ok(evaluation)),
            FromForkServer::EvaluationFailed { summary, traceback } => {
                let error = ConfigError::Program { summary, traceback };
                Some(Err(StartError::Config(error.into())))
            }
            message => failure(message).map(|failure| Err(StartError::Application(failure))),
        },
    )?;
    let evaluation = *answer?;
    let Settled { config, warnings } = unfinished.settle(&evaluation)?;
    server.changes_to = match (&account, account_of(&config, purpose)?) {
        // Only the program itself knew.
        (None, found) => found,
        (Some(known), Some(found)) if *known == found => None,
        (Some(_), _) => return Err(StartError::Config(account::named_twice(&config).into())),
    };
    Ok(Complete {
        config,
        warnings,
        evaluated: Some(server),
        evaluation: Some(evaluation),
        account,
    })
}

/// The account that Python is to run in, if this process runs in another one. What is only
/// looked at need not be possible.
pub fn account_of(
    config: &Config,
    purpose: Purpose<'_>,
) -> Result<Option<AccountIds>, ConfigErrors> {
    match purpose {
        Purpose::Serve(_) => account::to_change_to(config),
        Purpose::Look => Ok(account::to_change_to(config).unwrap_or_default()),
    }
}

/// Loads the application as a fork server with `preload` would.
pub fn try_application(
    sources: &Sources,
    complete: Complete,
    folder: &WorkerFolder,
    signals: &mut Signals,
) -> Result<Config, StartError> {
    let mut config = complete.config;
    config.preload = true;
    let launch = Launch {
        config: &config,
        start: &sources.start,
        folder,
        output: Purpose::Look.output(),
        account: complete.account.as_ref(),
    };
    let scoreboard = Scoreboard::create().map_err(system("make shared memory"))?;
    let mut server = match complete.evaluated {
        Some(mut server) => {
            let configured = server.configure(&config, &scoreboard, None);
            configured.map_err(system("configure Python"))?;
            server
        }
        None => ForkServerProcess::start(GenerationId(1), launch, &scoreboard)
            .map_err(system("start Python"))?,
    };
    let purpose = Purpose::Look;
    answer_of(
        &mut server,
        signals,
        purpose,
        None,
        |message| match message {
            FromForkServer::Ready => Some(Ok(())),
            message => failure(message).map(|failure| Err(StartError::Application(failure))),
        },
    )??;
    Ok(config)
}

fn failure(message: FromForkServer) -> Option<LoadFailure> {
    match message {
        FromForkServer::LoadFailed(failure) => Some(failure),
        FromForkServer::Evaluated(_)
        | FromForkServer::EvaluationFailed { .. }
        | FromForkServer::Ready
        | FromForkServer::PreExecCalled { .. }
        | FromForkServer::ForkFailed { .. }
        | FromForkServer::Log(_) => None,
    }
}

/// Waits for the message that `answer` takes for one. What it sends to the log is logged.
/// After `until` it is made to dump its stacks and die.
fn answer_of<T>(
    server: &mut ForkServerProcess,
    signals: &mut Signals,
    purpose: Purpose<'_>,
    until: Option<Instant>,
    answer: impl Fn(FromForkServer) -> Option<T>,
) -> Result<T, StartError> {
    let mut exit = None;
    let mut limit = Limit::Abort(until);
    loop {
        let Some(link) = &server.link else {
            return Err(StartError::Interrupted);
        };
        let received = link.receive().map_err(system("read from Python"))?;
        purpose.read_output(server);
        let closed = match received {
            Received::Message(FromForkServer::Log(record), _) => {
                events::relayed(server.app_process(), &record);
                continue;
            }
            Received::Message(message, _) => match answer(message) {
                Some(answer) => return Ok(answer),
                None => continue,
            },
            Received::Nothing => false,
            Received::Closed => true,
        };
        // Everything it sent before its end has been read.
        if let Some(exit) = exit.take() {
            return Err(StartError::Interpreter(server.describe_exit(exit)));
        }
        let signal = signals.next().map_err(io::Error::from);
        match signal.map_err(system("read signals"))? {
            // It is being read.
            Some((_, Meaning::Order(Order::Reload))) if purpose.serves() => {}
            Some((name, Meaning::Order(Order::Reload | Order::Stop | Order::StopNow))) => {
                if purpose.serves() {
                    info!(
                        signal = name,
                        "Got {name} before the configuration was complete"
                    );
                }
                let killed = server.handle.signal(Signal::KILL);
                killed.map_err(system("end Python"))?;
                return Err(StartError::Interrupted);
            }
            Some((_, Meaning::ChildEnded)) => exit = exit.or(reap(server)?),
            Some((_, Meaning::Order(_) | Meaning::ReopenLogs | Meaning::Nothing)) => {}
            None => {
                let now = Instant::now();
                limit = limit.apply(server, now).map_err(system("end Python"))?;
                let mut sources = vec![PollFd::new(&*signals, PollFlags::IN)];
                if !closed {
                    if let Some(link) = &server.link {
                        sources.push(PollFd::new(link, PollFlags::IN));
                    }
                }
                let outputs = server.pipes.iter().flatten();
                let outputs = outputs.filter(|_| !closed);
                sources.extend(outputs.map(|(_, output)| PollFd::new(output, PollFlags::IN)));
                let timeout = limit.due().map(|due| due.saturating_duration_since(now));
                wait(&mut sources, timeout).map_err(system("wait for Python"))?;
            }
        }
    }
}

/// Ends a fork server that is not needed.
pub fn end(server: &ForkServerProcess, signals: &mut Signals) -> Result<(), StartError> {
    let killed = server.handle.signal(Signal::KILL);
    killed.map_err(system("end Python"))?;
    while reap(server)?.is_none() {
        let mut sources = [PollFd::new(&*signals, PollFlags::IN)];
        wait(&mut sources, None).map_err(system("wait for Python"))?;
        let signal = signals.next().map_err(io::Error::from);
        signal.map_err(system("read signals"))?;
    }
    Ok(())
}

/// What Python is started for.
#[derive(Debug, Clone, Copy)]
pub enum Purpose<'a> {
    /// To serve. What it prints goes into this log.
    Serve(&'a log::Handle),
    /// To print or check something. What Python prints must not get into that.
    Look,
}

impl Purpose<'_> {
    fn serves(self) -> bool {
        matches!(self, Self::Serve(_))
    }

    fn output(self) -> OutputTo {
        match self {
            Self::Serve(log) => OutputTo::of(log),
            Self::Look => OutputTo::Stderr,
        }
    }

    /// Its pipes are small: nobody else reads them before there is a master.
    fn read_output(self, server: &mut ForkServerProcess) {
        let Self::Serve(log) = self else {
            return;
        };
        let process = server.app_process();
        for (stream, output) in server.pipes.iter_mut().flatten() {
            // What cannot be read is an error of the master's, which goes on with it.
            while let Ok(read) = output.read(Instant::now()) {
                for record in read.records {
                    log.output(process, *stream, record);
                }
                if read.pipe != PipeState::MoreToRead {
                    break;
                }
            }
        }
    }
}

/// What becomes of a process that takes too long, and when.
#[derive(Debug, Clone, Copy)]
enum Limit {
    /// It dumps its stacks; `None`: it may take as long as it likes.
    Abort(Option<Instant>),
    Kill(Instant),
    Nothing,
}

impl Limit {
    fn due(self) -> Option<Instant> {
        match self {
            Self::Abort(due) => due,
            Self::Kill(due) => Some(due),
            Self::Nothing => None,
        }
    }

    fn apply(self, server: &ForkServerProcess, now: Instant) -> io::Result<Self> {
        const TO_DUMP: Duration = Duration::from_secs(2);
        if self.due().is_none_or(|due| due > now) {
            return Ok(self);
        }
        if let Self::Abort(_) = self {
            server.handle.signal(Signal::ABORT)?;
            return Ok(Self::Kill(now + TO_DUMP));
        }
        server.handle.signal(Signal::KILL)?;
        Ok(Self::Nothing)
    }
}

/// Reaps every child that has ended, and tells how the fork server has.
fn reap(server: &ForkServerProcess) -> Result<Option<ExitStatus>, StartError> {
    let mut exit = None;
    while let Some(reaped) = process::reap()
        .map_err(io::Error::from)
        .map_err(system("reap Python"))?
    {
        if reaped.pid == server.handle.pid {
            exit = Some(reaped.exit);
        }
    }
    Ok(exit)
}

fn wait(sources: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    // One that is too long for the kernel is none.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match rustix::event::poll(sources, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
