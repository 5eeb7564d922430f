//! From the command line to a running master, or to the reason why there is none.

use crate::account;
use crate::cli::{self, Task};
use crate::config::{self, Binds, Config, ConfigError, ConfigErrors, Origin, Sources};
use crate::control::{self, Server};
use crate::listeners::{self, Activated, ListenerError, Origin as OpenedBy, Sockets};
use crate::log::events;
use crate::log::{self, Sink};
use crate::master::{Master, Parts, find_folder, idle_exit_allowed};
use crate::pool::{ExitStatus, GenerationId, Order};
use crate::process::{self, ForkServerProcess, Launch, NoWorkerFolder};
use crate::signals::{Meaning, Signals};
use crate::status;
use crate::systemd::{self, Notifier, PressureWatch, State, watchdog};
use crate::usage::Stop;
use rgunicorn_link::protocol::{FromForkServer, Level, LoadFailure};
use rgunicorn_link::{Received, Scoreboard, descriptors};
use rustix::event::{PollFd, PollFlags};
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tracing::{debug, warn};

const PROGRAM: &str = "rgunicorn";

/// Why there is no master. Each is one thing that an operator can act on.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),

    #[error(transparent)]
    Listeners(#[from] ListenerError),

    /// With the place of the address in front.
    #[error("{0}")]
    Bind(String),

    #[error(transparent)]
    Worker(#[from] NoWorkerFolder),

    /// With the place of the path in front.
    #[error("{0}")]
    Control(String),

    #[error("cannot {what}: {source}")]
    System {
        what: &'static str,
        source: io::Error,
    },

    /// `--check-config`: the application cannot be loaded.
    #[error("the application cannot be loaded: {}", events::in_full(.0))]
    Application(LoadFailure),

    /// `--check-config`: there is no Python to load it.
    #[error("the fork server died: {0}")]
    Interpreter(String),
}

impl StartError {
    /// Gunicorn's 3 and 4 for an application that cannot be loaded, else the
    /// numbers of sysexits.h.
    fn exit_code(&self) -> u8 {
        const BOOT_FAILED: u8 = 3;
        const OS_ERROR: u8 = 71;
        const CONFIG: u8 = 78;
        match self {
            Self::Config(error) => error.exit_code(),
            Self::Worker(_) => CONFIG,
            Self::Listeners(_) | Self::Bind(_) | Self::Control(_) | Self::System { .. } => OS_ERROR,
            Self::Application(failure) => failure.status,
            Self::Interpreter(_) => BOOT_FAILED,
        }
    }

    /// Logs each of its `texts`.
    fn log(&self, texts: &[String]) {
        match self {
            Self::Config(_) => texts
                .iter()
                .for_each(|text| events::configuration_refused(text)),
            Self::Listeners(_)
            | Self::Bind(_)
            | Self::Worker(_)
            | Self::Control(_)
            | Self::System { .. }
            | Self::Application(_)
            | Self::Interpreter(_) => texts.iter().for_each(|text| events::start_failed(text)),
        }
    }

    /// What an operator reads: a text for each mistake in the configuration, and
    /// one for anything else.
    fn texts(&self) -> Vec<String> {
        match self {
            Self::Config(errors) => errors.lines(),
            error => vec![with_causes(error)],
        }
    }
}

/// The error and all its causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// The program.
pub fn main() -> ExitCode {
    let arguments = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    if let Some(words) = cli::to_explain(arguments) {
        return explain(&words);
    }
    let line = match cli::parse() {
        Ok(line) => line,
        Err(stop) => {
            if let Stop::UsageError(lines) = &stop {
                notify_of_failure(&lines.join("; "));
            }
            return stop.finish(PROGRAM);
        }
    };
    let serves = matches!(line.task, Task::Serve);
    let watchdog = watchdog_period();
    if let (true, Some(period)) = (serves, watchdog) {
        watchdog::limit_start(period);
    }
    let log = match log::init(Sink::detect(PROGRAM), Level::Info) {
        Ok(log) => log,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{PROGRAM}: cannot open the log: {error}");
            return ExitCode::from(71);
        }
    };
    let done = config::load(&line.sources)
        .map_err(StartError::from)
        .and_then(|config| match line.task {
            Task::PrintConfig => print(&config),
            Task::CheckConfig => check(&line.sources, &config),
            Task::Serve => serve(line.sources, config, log.clone()),
        });
    match done {
        Ok(status) => {
            watchdog::cancel_alarm();
            if serves && watchdog.is_some() {
                allow_time_for_the_log();
            }
            log.finish();
            ExitCode::from(status)
        }
        Err(error) => {
            let texts = error.texts();
            if serves {
                // The status has one line: all mistakes, in the order of the log.
                notify_of_failure(&texts.join("; "));
            }
            let in_journal = log.has_fields();
            if in_journal {
                error.log(&texts);
            }
            if !log.finish() || !in_journal {
                for text in texts {
                    // If stderr is closed, nobody is left to be told.
                    let _ = writeln!(io::stderr(), "{PROGRAM}: {text}");
                }
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Gives `systemctl status` the reason.
fn notify_of_failure(reason: &str) {
    let status = status::failed_start(reason);
    // If this fails, the log still gets the reason.
    let _ = notify_once(&[State::Status(&status)]);
}

/// The loop, which resets the watchdog, is over. Writing the log may take longer
/// than one of its periods, but not than this.
fn allow_time_for_the_log() {
    let usec = u32::try_from(2 * log::FINISH.as_micros()).unwrap_or(u32::MAX);
    // If this fails, systemd may end the process before all is written.
    let _ = notify_once(&[State::WatchdogUsec(usec), State::Watchdog]);
}

fn notify_once(states: &[State<'_>]) -> io::Result<()> {
    Notifier::from_env()?.notify(states)
}

/// systemd's watchdog. With a period of 0 the master would do nothing but notify.
fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|period| !period.is_zero())
}

/// What could not be understood is in the text, too, and the exit status says so.
fn explain(words: &[String]) -> ExitCode {
    if words.is_empty() {
        let remedy = "rgunicorn --explain-unit -- gunicorn -w 4 shop:app";
        let line = format!("--explain-unit needs a command line, such as `{remedy}`");
        return Stop::usage_error(line).finish(PROGRAM);
    }
    let explanation = crate::explain::explain(words);
    // If the reader has closed its end, nobody is left to be told.
    let _ = io::stdout().write_all(explanation.text.as_bytes());
    if explanation.mistakes.is_empty() {
        return ExitCode::SUCCESS;
    }
    Stop::UsageError(explanation.mistakes).finish(PROGRAM)
}

fn print(config: &Config) -> Result<u8, StartError> {
    let printed = io::stdout().write_all(config::print(config).as_bytes());
    printed.map(|()| 0).map_err(system("print"))
}

/// Loads the application as a fork server would.
fn check(sources: &Sources, config: &Config) -> Result<u8, StartError> {
    let folder = find_folder(config)?;
    let scoreboard = Scoreboard::create().map_err(system("make shared memory"))?;
    let launch = Launch {
        config,
        start: &sources.start,
        folder: &folder,
        read_output: false,
    };
    // The fork server ignores Ctrl-C, so it has to be ended from here.
    let mut signals = take_over_signals()?;
    let server = ForkServerProcess::start(GenerationId(1), launch, &scoreboard, true)
        .map_err(system("start Python"))?;
    match try_application(&server, &mut signals)? {
        Verdict::Good => {
            let app = config.app.as_str();
            let printed = writeln!(
                io::stdout(),
                "configuration and application {app} are valid"
            );
            printed.map(|()| 0).map_err(system("print"))
        }
        Verdict::Bad(failure) => Err(StartError::Application(failure)),
        Verdict::Died(exit) => Err(StartError::Interpreter(server.describe_exit(exit))),
        Verdict::Interrupted => {
            const INTERRUPTED: u8 = 130;
            let killed = server.handle.signal(rustix::process::Signal::KILL);
            killed.map(|()| INTERRUPTED).map_err(system("end Python"))
        }
    }
}

/// The outcome of loading the application.
enum Verdict {
    Good,
    Bad(LoadFailure),
    /// Python ended without reporting anything.
    Died(ExitStatus),
    Interrupted,
}

fn try_application(
    server: &ForkServerProcess,
    signals: &mut Signals,
) -> Result<Verdict, StartError> {
    let mut exit = None;
    while let Some(link) = &server.link {
        let closed = match link.receive().map_err(system("read from Python"))? {
            Received::Message(FromForkServer::Ready, _) => return Ok(Verdict::Good),
            Received::Message(FromForkServer::LoadFailed(failure), _) => {
                return Ok(Verdict::Bad(failure));
            }
            Received::Message(FromForkServer::Log(record), _) => {
                events::relayed(server.app_process(), &record);
                continue;
            }
            Received::Message(FromForkServer::ForkFailed { .. }, _) => continue,
            Received::Nothing => false,
            Received::Closed => true,
        };
        // Everything it sent before its end has been read.
        if let Some(exit) = exit.take() {
            return Ok(Verdict::Died(exit));
        }
        let signal = signals.next().map_err(io::Error::from);
        match signal.map_err(system("read signals"))? {
            Some((_, Meaning::Order(Order::Reload | Order::Stop | Order::StopNow))) => {
                return Ok(Verdict::Interrupted);
            }
            Some((
                _,
                Meaning::Order(
                    Order::OneWorkerMore
                    | Order::OneWorkerFewer
                    | Order::Scale(_)
                    | Order::Replace(_),
                )
                | Meaning::Nothing,
            )) => {}
            Some((_, Meaning::ChildEnded)) => {
                while let Some(reaped) = process::reap()
                    .map_err(io::Error::from)
                    .map_err(system("reap Python"))?
                {
                    if reaped.pid == server.handle.pid {
                        exit = Some(reaped.exit);
                    }
                }
            }
            None => {
                let mut sources = vec![PollFd::new(&*signals, PollFlags::IN)];
                if !closed {
                    sources.push(PollFd::new(link, PollFlags::IN));
                }
                match rustix::event::poll(&mut sources, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(system("wait for Python")(errno.into())),
                }
            }
        }
    }
    Ok(Verdict::Interrupted)
}

fn take_over_signals() -> Result<Signals, StartError> {
    Signals::take_over()
        .map_err(io::Error::from)
        .map_err(system("take over signals"))
}

fn serve(sources: Sources, config: Config, log: log::Handle) -> Result<u8, StartError> {
    log.set_level(config.loglevel.level());
    account::check(&config).map_err(ConfigErrors::from)?;
    let folder = find_folder(&config)?;
    let mut notifier = Notifier::from_env().map_err(system("reach the service manager"))?;
    let signals = take_over_signals()?;
    // The fork servers' children, the workers, become children of the master.
    nix::sys::prctl::set_child_subreaper(true)
        .map_err(io::Error::from)
        .map_err(system("become the parent of workers"))?;
    make_room_for_descriptors(&config);
    let (sockets, control) = open_sockets(&config, fd_store_capacity(&notifier))?;
    idle_exit_allowed(&config, &sockets.listeners)
        .map_err(|error| StartError::Config(error.into()))?;
    // A thread, so not before: the environment was changed until here.
    log.start().map_err(system("start the log"))?;
    // Nothing is logged before this: a start that is refused prints its errors
    // and nothing else.
    events::started(env!("CARGO_PKG_VERSION"), &source(&sources));
    for listener in &sockets.listeners {
        events::listening(&listener.name, &listener.address, listener.origin.opener());
    }
    // PORT says what holds if nobody else says anything.
    let is_configured = !matches!(config.origin("bind"), Origin::Environment(_));
    if is_configured && !sockets.ignored.is_empty() {
        events::bind_ignored(&sockets.ignored);
    }
    if let Err(error) = store_listeners(&mut notifier, &sockets) {
        events::notify_failed(&error);
    }
    if let Some(unused) = account::unused(&config) {
        events::unit_settings_unused(&unused.settings, unused.remedy);
    }
    let parts = Parts {
        sources,
        config,
        folder,
        log,
        notifier,
        watchdog: watchdog_period(),
        signals,
        listeners: sockets.listeners,
        control,
        pressure: watch_pressure(),
    };
    let status = Master::begin(parts)
        .and_then(Master::run)
        .map_err(system("run"))?;
    if status == 0 {
        events::stopped();
    }
    Ok(status)
}

/// A service that cannot be told of memory pressure serves all the same.
fn watch_pressure() -> Option<PressureWatch> {
    match PressureWatch::from_env() {
        Ok(Some(watch)) => {
            debug!("Memory pressure is watched");
            Some(watch)
        }
        Ok(None) => None,
        Err(error) => {
            warn!("Memory pressure is not watched: {}", with_causes(&error));
            None
        }
    }
}

/// How many listeners systemd keeps open while the service restarts.
fn fd_store_capacity(notifier: &Notifier) -> usize {
    let capacity = std::env::var(systemd::FDSTORE).ok();
    let capacity = capacity.and_then(|capacity| capacity.parse().ok());
    capacity.filter(|_| notifier.is_enabled()).unwrap_or(0)
}

/// Lets systemd keep the listeners that it has not, and close those that are not used.
fn store_listeners(notifier: &mut Notifier, sockets: &Sockets) -> io::Result<()> {
    for name in &sockets.forgotten {
        notifier.forget(name)?;
    }
    for listener in &sockets.listeners {
        match &listener.origin {
            OpenedBy::Stored {
                name,
                is_back: false,
            } => notifier.store(name, &listener.fd)?,
            OpenedBy::Stored { is_back: true, .. }
            | OpenedBy::Systemd
            | OpenedBy::Inherited
            | OpenedBy::Own(_) => {}
        }
    }
    Ok(())
}

fn open_sockets(config: &Config, capacity: usize) -> Result<(Sockets, Option<Server>), StartError> {
    let activated = Activated::from_env()?;
    let configured = config.bind.as_ref().map_or(&[][..], Binds::addresses);
    let backlog = u16::try_from(config.backlog.get()).unwrap_or(u16::MAX);
    let mut sockets = listeners::open(activated, configured, &Binds::loopback(), backlog, capacity)
        .map_err(|error| refused_bind(config.origin("bind"), error))?;
    let control = match (sockets.control.take(), &config.control_socket) {
        (Some(fd), _) => Some(Server::inherited(fd).map_err(system("use the control socket"))?),
        (None, Some(path)) => {
            let origin = config.origin("control_socket");
            let opened = match origin {
                Origin::Environment("RUNTIME_DIRECTORY") => {
                    Server::bind_in_runtime_directory(path.as_path())
                }
                _ => Server::bind(path.as_path()),
            };
            Some(opened.map_err(|error| refused_control(origin, path.as_path(), &error))?)
        }
        (None, None) => None,
    };
    Ok((sockets, control))
}

fn refused_bind(origin: &Origin, error: ListenerError) -> StartError {
    match (origin, error) {
        (Origin::Default, error) => StartError::Listeners(error),
        (origin, error @ ListenerError::Twice(_)) => {
            let error = ConfigError::Unusable {
                key: "bind",
                origin: origin.clone(),
                problem: error.to_string(),
            };
            StartError::Config(error.into())
        }
        (origin, error) => StartError::Bind(origin.describe("bind", &with_causes(&error))),
    }
}

fn refused_control(origin: &Origin, path: &Path, error: &dyn Display) -> StartError {
    let problem = format!(
        "cannot open the control socket {}: {error}; another path can be set with control_socket",
        path.display()
    );
    StartError::Control(origin.describe("control_socket", &problem))
}

/// Each worker costs the master a link, a pidfd, a pipe, and perhaps two more. The 256 are for
/// everything else, among them streams that outlive their workers.
fn descriptors_needed(config: &Config) -> u64 {
    let workers = config.workers.count() + usize::try_from(config.surge.get()).unwrap_or(0);
    u64::try_from(workers * 2 * 6 + control::MOST_CLIENTS + 256).unwrap_or(u64::MAX)
}

fn make_room_for_descriptors(config: &Config) {
    let needed = descriptors_needed(config);
    if let Err(allowed) = descriptors::allow(needed) {
        warn!(
            "{needed} file descriptors may be needed, but only {allowed} are allowed; raise \
             LimitNOFILE= of the unit, or `ulimit -n`"
        );
    }
}

/// For the first line of the log: "configured by …".
fn source(sources: &Sources) -> String {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match &sources.file {
        Some(file) => file.display().to_string(),
        None if words.is_empty() => "rgunicorn.toml".into(),
        None => "the command line".into(),
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listeners::BindAddress;

    fn address() -> BindAddress {
        "127.0.0.1:1".parse().unwrap()
    }

    #[test]
    fn an_address_that_cannot_be_bound_is_not_an_error_of_the_configuration() {
        let refused = |origin| refused_bind(&origin, ListenerError::NotLocal(address()));

        let from_flag = refused(Origin::CommandLine("--bind"));
        assert_eq!(from_flag.exit_code(), 71);
        assert!(from_flag.to_string().starts_with("--bind: 127.0.0.1:1 is"));
        assert_eq!(refused(Origin::Default).exit_code(), 71);
    }

    #[test]
    fn descriptors_are_allowed_for_as_many_control_clients_as_are_accepted() {
        let start = config::Start::here();
        let words = ["rgunicorn", "-w", "1", "shop:app"];
        let line = cli::parse_from(words, start).unwrap();
        let config = config::load(&line.sources).unwrap();

        let spare = descriptors_needed(&config) - 12 * (1 + u64::from(config.surge.get()));

        assert!(spare >= control::MOST_CLIENTS as u64 + 256, "{spare}");
    }

    #[test]
    fn an_address_that_is_listed_twice_is_an_error_of_the_configuration() {
        let refused = |origin| refused_bind(&origin, ListenerError::Twice(address()));

        assert_eq!(refused(Origin::CommandLine("--bind")).exit_code(), 64);
        assert_eq!(refused(Origin::Environment("BIND")).exit_code(), 78);
    }
}
