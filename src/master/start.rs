//! From the command line to a running master, or to the reason why there is none.

mod adopt;
mod background;
mod error;
mod log_files;
mod opening;
mod python;

use crate::account;
use crate::cli::{self, Task};
use crate::config::{self, Config, ConfigError, Loaded, Origin, Sources};
use crate::control;
use crate::listeners::{Listener, Origin as OpenedBy, Sockets};
use crate::log::events;
use crate::log::{self, Sink};
use crate::master::{Master, Parts, find_folder, idle_exit_allowed};
use crate::session;
use crate::signals::Signals;
use crate::status;
use crate::systemd::{self, Notifier, PressureWatch, State, watchdog};
use crate::units::why_withheld;
use crate::upgrade;
use crate::usage::Stop;
pub use background::Background;
use background::Side;
use error::{StartError, system, with_causes};
use opening::{OpeningFiles, open_error_log, write_pid_file};
use python::{Complete, Purpose};
use rgunicorn_link::descriptors;
use rgunicorn_link::protocol::{AccountIds, Level};
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use tracing::{debug, info, warn};

const PROGRAM: &str = "rgunicorn";

/// The program.
pub fn main() -> ExitCode {
    if let Some((state, line)) = upgrade::to_check(std::env::args_os()) {
        return adopt::check(state, line);
    }
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
    if let (true, Some(state)) = (serves, upgrade::program::handed_over()) {
        return end(
            adopt::serve(line, state, watchdog, log.clone()),
            watchdog,
            &log,
        );
    }
    // The file is that of another account then, which this one may not be able to read.
    let refused = if serves { why_withheld() } else { None };
    let done = refused
        .map_or_else(|| config::read(&line.sources), Err)
        .map_err(StartError::from)
        .and_then(|loaded| match line.task {
            Task::PrintConfig => print(&line.sources, loaded, config::print),
            Task::Convert => print(&line.sources, loaded, config::convert),
            Task::CheckConfig => check(&line.sources, loaded),
            Task::Serve => serve(line.sources, loaded, log.clone()),
        });
    if serves {
        return end(done, watchdog, &log);
    }
    match done {
        Ok(status) => {
            log.finish();
            ExitCode::from(status)
        }
        Err(error) => {
            let texts = error.texts();
            fail(&error, &texts, &log)
        }
    }
}

/// The service has ended, or has not begun.
fn end(done: Result<u8, StartError>, watchdog: Option<Duration>, log: &log::Handle) -> ExitCode {
    match done {
        Ok(status) => {
            watchdog::cancel_alarm();
            if watchdog.is_some() {
                allow_time_for_the_log();
            }
            log.finish();
            if status != 0 {
                point_to_file(log, status);
            }
            ExitCode::from(status)
        }
        Err(error) => {
            let texts = error.texts();
            // The status has one line: all mistakes, in the order of the log.
            notify_of_failure(&texts.join("; "));
            fail(&error, &texts, log)
        }
    }
}

fn fail(error: &StartError, texts: &[String], log: &log::Handle) -> ExitCode {
    let in_journal = log.has_fields();
    if in_journal || log.file_path().is_some() {
        error.log(texts);
    }
    if !log.finish() || !in_journal {
        for text in texts {
            // If stderr is closed, nobody is left to be told.
            let _ = writeln!(io::stderr(), "{PROGRAM}: {text}");
        }
    }
    ExitCode::from(error.exit_code())
}

/// Whoever started it in a terminal sees nothing of what is in a file.
fn point_to_file(log: &log::Handle, status: u8) {
    if let Some(path) = log.file_path().filter(|_| !log.has_fields()) {
        let path = path.display();
        // If stderr is closed, nobody is left to be told.
        let _ = writeln!(io::stderr(), "{PROGRAM}: exit status {status}; see {path}");
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

fn print(
    sources: &Sources,
    loaded: Loaded,
    shown: fn(&Config) -> String,
) -> Result<u8, StartError> {
    let config = match loaded {
        Loaded::Complete(config) => *config,
        Loaded::Unfinished(_) => {
            let folder = find_folder(loaded.provisional())?;
            let mut signals = take_over_signals()?;
            let complete = python::complete(sources, loaded, &folder, &mut signals, Purpose::Look)?;
            warn_of(&complete.warnings);
            complete.config
        }
    };
    let printed = io::stdout().write_all(shown(&config).as_bytes());
    printed.map(|()| 0).map_err(system("print"))
}

/// Loads the application as a fork server would.
fn check(sources: &Sources, loaded: Loaded) -> Result<u8, StartError> {
    let folder = find_folder(loaded.provisional())?;
    // The fork server ignores Ctrl-C, so it has to be ended from here.
    let mut signals = take_over_signals()?;
    let complete = python::complete(sources, loaded, &folder, &mut signals, Purpose::Look)?;
    warn_of(&complete.warnings);
    let config = python::try_application(sources, complete, &folder, &mut signals)?;
    let app = config.app.as_str();
    let printed = writeln!(
        io::stdout(),
        "configuration and application {app} are valid"
    );
    printed.map(|()| 0).map_err(system("print"))
}

fn warn_of(warnings: &[String]) {
    for warning in warnings {
        warn!("{warning}");
    }
}

fn take_over_signals() -> Result<Signals, StartError> {
    Signals::take_over()
        .map_err(io::Error::from)
        .map_err(system("take over signals"))
}

fn serve(sources: Sources, loaded: Loaded, log: log::Handle) -> Result<u8, StartError> {
    log.set_level(loaded.provisional().loglevel.level());
    let mut signals = take_over_signals()?;
    if loaded.provisional().daemon {
        return match leave_terminal(loaded.provisional(), &mut signals, &log)? {
            Side::Server(background) => serve_here(sources, loaded, log, signals, Some(background)),
            Side::Foreground(status) => Ok(status),
        };
    }
    serve_here(sources, loaded, log, signals, None)
}

/// Goes on in the background, with `daemon`.
fn leave_terminal(
    config: &Config,
    signals: &mut Signals,
    log: &log::Handle,
) -> Result<Side, StartError> {
    if session::is_service() {
        let error = ConfigError::Unusable {
            key: "daemon",
            origin: config.origin("daemon").clone(),
            problem: "systemd has its services in the background by itself; remove daemon, and \
                      use Type=notify in the unit"
                .to_owned(),
        };
        return Err(StartError::Config(error.into()));
    }
    if !config.enable_stdio_inheritance {
        log.collect_output();
    }
    background::enter(signals).map_err(system("go on in the background"))
}

/// The server, in the background or not.
fn serve_here(
    sources: Sources,
    loaded: Loaded,
    log: log::Handle,
    mut signals: Signals,
    background: Option<Background>,
) -> Result<u8, StartError> {
    let purpose = Purpose::Serve(&log);
    let folder = find_folder(loaded.provisional())?;
    let mut notifier = Notifier::from_env().map_err(system("reach the service manager"))?;
    // The fork servers' children, the workers, become children of the master.
    nix::sys::prctl::set_child_subreaper(true)
        .map_err(io::Error::from)
        .map_err(system("become the parent of workers"))?;
    let Complete {
        config,
        warnings,
        evaluated,
        evaluation,
        account: program_ran_as,
    } = match python::complete(&sources, loaded, &folder, &mut signals, purpose) {
        // There was nothing to end yet.
        Err(StartError::Interrupted) => return Ok(0),
        completed => completed?,
    };
    if config.daemon && background.is_none() {
        // Its parent has to be the server: it is of no use any more.
        if let Some(evaluated) = &evaluated {
            python::end(evaluated, &mut signals)?;
        }
        return match leave_terminal(&config, &mut signals, &log)? {
            Side::Server(background) => {
                let loaded = config::read(&sources)?;
                serve_here(sources, loaded, log, signals, Some(background))
            }
            Side::Foreground(status) => Ok(status),
        };
    }
    log.set_level(config.loglevel.level());
    make_room_for_descriptors(&config);
    let account = python::account_of(&config, purpose)?;
    if account.is_none() {
        // What is refused from here on is in it, too.
        log.use_file(open_error_log(&config)?);
    }
    let opening = OpeningFiles {
        config: &config,
        program_ran_as: program_ran_as.as_ref(),
        owner: account.as_ref(),
    };
    let (sockets, control) = opening.sockets(fd_store_capacity(&notifier))?;
    let pid_file = opening.of("pidfile", || write_pid_file(&config))?;
    if let Some(account) = &account {
        opening.prepare_logs(account);
        account::change_to(account).map_err(system("give up root"))?;
        // By the account that is to open it anew later, and may own the directory.
        log.use_file(open_error_log(&config)?);
    }
    idle_exit_allowed(&config, &sockets.listeners)
        .map_err(|error| StartError::Config(error.into()))?;
    // A thread, so not before: the environment was changed until here.
    log.start().map_err(system("start the log"))?;
    log.use_remotes(config.syslog(), config.statsd());
    // Nothing is logged before this: a start that is refused prints its errors
    // and nothing else.
    events::started(env!("CARGO_PKG_VERSION"), &source(&sources, &config));
    warn_of(&warnings);
    if let Some(AccountIds { user, group, .. }) = account {
        if user == 0 {
            warn!("The group is {group} from here on, and the user is still root");
        } else {
            info!("Root was given up: the user is {user} from here on, and the group {group}");
        }
    }
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
    warn_of_settings(&config, &sockets.listeners);
    let parts = Parts {
        program: upgrade::Program::of_this_process(&sources.start),
        sources,
        config,
        evaluation,
        folder,
        evaluated,
        log,
        notifier,
        watchdog: watchdog_period(),
        signals,
        listeners: sockets.listeners,
        pid_file,
        control,
        background,
        pressure: watch_pressure(),
    };
    run(Master::begin(parts))
}

fn run(master: io::Result<Master>) -> Result<u8, StartError> {
    let status = master.and_then(Master::run).map_err(system("run"))?;
    if status == 0 {
        events::stopped();
    }
    Ok(status)
}

/// What has another effect than one may think.
fn warn_of_settings(config: &Config, listeners: &[Listener]) {
    let is_opened = |listener: &Listener| matches!(listener.origin, OpenedBy::Systemd);
    if config.reuse_port && listeners.iter().any(is_opened) {
        let reason = "systemd opened the sockets; set ReusePort= in the socket unit";
        let place = config.origin("reuse_port").to_string();
        events::setting_ignored("reuse_port", &place, reason);
    }
    for (ignored, origin) in config.ignored() {
        events::setting_ignored(ignored.key, &origin.to_string(), ignored.reason);
    }
    if config.reload && session::is_service() {
        warn!(
            "reload is for development: each change of a file becomes a reload while a deployment \
             is under way; use `systemctl reload` after it"
        );
    }
    let dangerous = config.dangerous();
    if !dangerous.is_empty() {
        events::dangerous_settings(&dangerous);
    }
    if let Some(unused) = account::unused(config) {
        events::unit_settings_unused(&unused.settings, unused.remedy);
    }
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
fn source(sources: &Sources, config: &Config) -> String {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match (&sources.file, &config.config) {
        (Some(file), _) => file.name.display().to_string(),
        (None, Some(program)) => program.program().to_string(),
        (None, None) if words.is_empty() => "rgunicorn.toml".into(),
        (None, None) => "the command line".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_allowed_for_as_many_control_clients_as_are_accepted() {
        let start = config::Start::here();
        let words = ["rgunicorn", "-w", "1", "shop:app"];
        let line = cli::parse_from(words, start).unwrap();
        let config = config::load(&line.sources).unwrap();

        let spare = descriptors_needed(&config) - 12 * (1 + u64::from(config.surge.get()));

        assert!(spare >= control::MOST_CLIENTS as u64 + 256, "{spare}");
    }
}
