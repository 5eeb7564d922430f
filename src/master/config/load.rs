//! Puts the sources together: defaults, then the environment, a program in Python, the
//! file, the variables with words of a command line, the command line itself.

use super::error::{ConfigError, ConfigErrors};
use super::file::{self, Contents};
use super::origin::Origin;
use super::settings::{Config, Partial, SETTINGS};
use super::unfinished::Unfinished;
use super::value::Value;
use super::values::{AccessLog, App, ConfigProgram, Directory, ErrorLog, Python};
use crate::installation;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The file that is read when none is named and there is one.
const USUAL_FILE: &str = "rgunicorn.toml";

/// The program that is run when neither is there.
const USUAL_PROGRAM: &str = "gunicorn.conf.py";

/// The variables that have words of a command line, the weaker one first.
pub const ARGUMENT_VARIABLES: [&str; 2] = [GUNICORN_ARGUMENTS, "RGUNICORN_CMD_ARGS"];

/// The one that Gunicorn reads, too.
pub const GUNICORN_ARGUMENTS: &str = "GUNICORN_CMD_ARGS";

/// What a reload takes from the start of the master, and not from what its
/// environment may have become since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    pub directory: PathBuf,
    /// `PATH`.
    pub search_path: OsString,
    /// `RUNTIME_DIRECTORY`, which systemd sets.
    pub runtime_directory: Option<PathBuf>,
    /// The Python that pip has installed this program for, beside it.
    pub python: Option<PathBuf>,
    /// The variables that settings are read from, as far as they are set.
    pub variables: BTreeMap<&'static str, OsString>,
}

impl Start {
    /// As it is now, in this process.
    pub fn here() -> Self {
        let runtime_directory = env::var_os("RUNTIME_DIRECTORY")
            .and_then(|list| env::split_paths(&list).next())
            .filter(|first| first.is_absolute());
        let variables = SETTINGS.iter().filter_map(|setting| setting.variable);
        let installations = installation::by_pip(&installation::program()).into_iter();
        Self {
            // From a directory that was removed, absolute paths still work.
            directory: env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            search_path: env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
            runtime_directory,
            python: installations.filter_map(|found| found.python).next_back(),
            variables: variables
                .chain(ARGUMENT_VARIABLES)
                .filter_map(|name| Some((name, env::var_os(name)?)))
                .collect(),
        }
    }
}

/// Where a configuration comes from; the same for as long as the master runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    pub start: Start,
    /// The file that was named.
    pub file: Option<NamedFile>,
    /// If the file is a script: what that has as `sys.argv` behind its name.
    pub script_arguments: Vec<OsString>,
    /// From [`GUNICORN_ARGUMENTS`]: not for scripts, which read it themselves or not at all.
    pub gunicorn_arguments: Partial,
    /// From the other one of [`ARGUMENT_VARIABLES`].
    pub arguments: Partial,
    /// What is wrong in these variables.
    pub mistakes: Vec<Mistake>,
    pub command_line: Partial,
    /// Nothing is served: it does not matter if nothing names an application.
    pub needs_no_app: bool,
}

/// What `--config` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// As it was named.
    pub name: PathBuf,
    pub origin: Origin,
}

/// A configuration that was read.
#[derive(Debug)]
pub enum Loaded {
    Complete(Box<Config>),
    /// A program in Python has a say in it.
    Unfinished(Box<Unfinished>),
}

impl Loaded {
    /// What is known of it: enough to start Python with.
    pub fn provisional(&self) -> &Config {
        match self {
            Self::Complete(config) => config,
            Self::Unfinished(unfinished) => unfinished.provisional(),
        }
    }
}

/// What is wrong with a word of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The setting that it was for, if that is known.
    pub key: Option<&'static str>,
    /// For the operator, with the flag in front.
    pub line: String,
}

/// Reads the configuration: at the start, and again at each reload. Fails with
/// every mistake that can be found.
pub fn read(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let start = &sources.start;
    let (from_environment, mut errors) = environment(start);
    let mistakes = sources.mistakes.iter().cloned();
    errors.extend(mistakes.map(|Mistake { key, line }| ConfigError::InArguments { key, line }));
    let mut named = Partial::default();
    let file = match chosen(sources) {
        Chosen::Nothing => None,
        Chosen::Toml(name, origin) => Some((name, origin)),
        Chosen::Program(name, origin) => {
            match ConfigProgram::from_text(&name.to_string_lossy()) {
                Ok(program) => {
                    let program = program.with_arguments(&sources.script_arguments);
                    named.config = Some(Some(program));
                }
                Err(problem) => errors.push(ConfigError::Unusable {
                    key: "config",
                    origin: origin.clone(),
                    problem,
                }),
            }
            named.set_origin("config", origin);
            None
        }
    };
    let mut from_file = Contents::default();
    if let Some((name, origin)) = &file {
        match file::read(&start.directory.join(name), name, origin) {
            Ok(contents) => from_file = contents,
            // Nothing is known of the file: more would be guesses.
            Err(error) => {
                errors.push(error);
                return Err(ConfigErrors::sorted(errors));
            }
        }
    }
    errors.extend(from_file.errors);
    let mut weaker = Partial::defaults()
        .overlaid(from_installation(start))
        .overlaid(from_environment);
    let mut stronger = from_file.settings.overlaid(named);
    let mut programs = stronger.config.iter().flatten();
    if !programs.any(|program| program.served_by_script().is_some()) {
        stronger = stronger.overlaid(sources.gunicorn_arguments.clone());
    }
    let stronger = stronger
        .overlaid(sources.arguments.clone())
        .overlaid(sources.command_line.clone());
    let name = file.map_or(Path::new(USUAL_FILE), |(name, _)| name);
    let mut settings = made_absolute(weaker.clone().overlaid(stronger.clone()), start);
    serve_paste(&mut settings, &mut errors);
    check(&settings, start, &mut errors);
    let Some(program) = settings.config.clone().flatten() else {
        let config = complete(settings, name, errors)?;
        return Ok(Loaded::Complete(Box::new(config)));
    };
    let no_app = || App::from_text("application").ok();
    if let Some(served) = program.served_by_script() {
        let others = [
            ("app", stronger.app.is_some()),
            ("paste", matches!(stronger.paste, Some(Some(_)))),
        ];
        for (key, _) in others.into_iter().filter(|(_, is_set)| *is_set) {
            errors.push(ConfigError::Unusable {
                key,
                origin: stronger.origin(key).clone(),
                problem: format!(
                    "{} serves an application of its own; remove this one",
                    program.program()
                ),
            });
        }
        settings.app = Some(served.clone());
        weaker.app = Some(served);
    } else if settings.app.is_none() {
        settings.app = no_app();
        if sources.needs_no_app {
            weaker.app = no_app();
        }
    }
    Ok(Loaded::Unfinished(Box::new(Unfinished {
        program,
        weaker,
        stronger,
        start: start.clone(),
        provisional: complete(settings, name, errors)?,
    })))
}

/// What `--config` names, or what is there under a usual name.
enum Chosen<'a> {
    Nothing,
    Toml(&'a Path, Origin),
    Program(&'a Path, Origin),
}

fn chosen(sources: &Sources) -> Chosen<'_> {
    let is_there = |name: &str| {
        let found = fs::metadata(sources.start.directory.join(name));
        // One that cannot be looked at is not ignored.
        !found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    match &sources.file {
        Some(NamedFile { name, origin }) if ConfigProgram::is_named_by(name) => {
            Chosen::Program(name, origin.clone())
        }
        Some(NamedFile { name, origin }) => Chosen::Toml(name, origin.clone()),
        None if is_there(USUAL_FILE) => Chosen::Toml(Path::new(USUAL_FILE), Origin::Default),
        None if is_there(USUAL_PROGRAM) => {
            Chosen::Program(Path::new(USUAL_PROGRAM), Origin::Default)
        }
        None => Chosen::Nothing,
    }
}

/// The configuration, unless there are mistakes or nothing says what to serve.
pub(super) fn complete(
    settings: Partial,
    name: &Path,
    mut errors: Vec<ConfigError>,
) -> Result<Config, ConfigErrors> {
    let has_app = settings.app.is_some() || errors.iter().any(|error| error.is_about("app"));
    match settings.complete() {
        Ok(config) if errors.is_empty() => return Ok(config),
        Err(_app) if !has_app => errors.push(ConfigError::NoApp {
            file: name.to_owned(),
        }),
        Ok(_) | Err(_) => {}
    }
    Err(ConfigErrors::sorted(errors))
}

/// Reads a configuration that stands in no program.
#[cfg(test)]
#[expect(clippy::missing_panics_doc, reason = "for tests")]
pub fn load(sources: &Sources) -> Result<Config, ConfigErrors> {
    match read(sources)? {
        Loaded::Complete(config) => Ok(*config),
        Loaded::Unfinished(unfinished) => panic!("{unfinished:?}"),
    }
}

/// Whoever has installed the server into a virtual environment wants to serve that.
fn from_installation(start: &Start) -> Partial {
    let mut settings = Partial::default();
    if let Some(python) = &start.python {
        settings.python = Some(Python::at(python));
        settings.set_origin("python", Origin::Installation);
    }
    settings
}

fn environment(start: &Start) -> (Partial, Vec<ConfigError>) {
    let mut settings = Partial::default();
    let mut errors = Vec::new();
    for setting in SETTINGS {
        let Some(variable) = setting.variable else {
            continue;
        };
        let Some(value) = start.variables.get(variable) else {
            continue;
        };
        let origin = Origin::Environment(variable);
        let set = match value.to_str() {
            Some(value) => settings.set_from_variable(setting, value, origin.clone()),
            None => Err(format!("{value:?} is not valid UTF-8")),
        };
        errors.extend(set.err().map(|problem| ConfigError::Unusable {
            key: setting.key,
            origin,
            problem,
        }));
    }
    (settings, errors)
}

pub(super) fn made_absolute(mut settings: Partial, start: &Start) -> Partial {
    let from_start = |path: Directory| path.seen_from(&start.directory);
    settings.chdir = settings.chdir.map(from_start);
    let chdir = settings.chdir.as_ref();
    settings.config =
        (settings.config).map(|program| program.map(|program| program.seen_from(&start.directory)));
    let home = chdir.map_or(&*start.directory, Directory::as_path);
    settings.python = settings.python.map(|python| python.seen_from(home));
    settings.pythonpath = settings.pythonpath.map(|entries| entries.seen_from(home));
    let from_home = |log: AccessLog| log.seen_from(home);
    let seen = |path: Option<Directory>| path.map(|path| path.seen_from(home));
    settings.logconfig = settings.logconfig.map(seen);
    settings.logconfig_json = settings.logconfig_json.map(seen);
    settings.accesslog = settings.accesslog.map(|log| log.map(from_home));
    settings.reload_extra_files = (settings.reload_extra_files).map(|files| files.seen_from(home));
    settings.errorlog = settings.errorlog.map(|log| log.seen_from(home));
    settings.syslog_addr = settings.syslog_addr.map(|address| address.seen_from(home));
    settings.statsd_host = settings.statsd_host.map(|host| host.seen_from(home));
    settings.tmp_upload_dir =
        (settings.tmp_upload_dir).map(|path| path.map(|path| path.seen_from(home)));
    settings.worker_dir = settings.worker_dir.map(|path| path.map(from_start));
    settings.control_socket = settings.control_socket.map(|path| path.map(from_start));
    settings.pidfile = settings.pidfile.map(|path| path.map(from_start));
    settings.paste = (settings.paste).map(|file| file.map(|file| file.seen_from(&start.directory)));
    let is_set = matches!(settings.control_socket, Some(Some(_)));
    if let (false, Some(directory)) = (is_set, &start.runtime_directory) {
        settings.control_socket = Some(Some(Directory::control_socket_in(directory)));
        settings.set_origin("control_socket", Origin::Environment("RUNTIME_DIRECTORY"));
    }
    settings
}

/// Serves what the file of `paste` describes, if that is set: as with Gunicorn, whatever else
/// names an application.
pub(super) fn serve_paste(settings: &mut Partial, errors: &mut Vec<ConfigError>) {
    let Some(Some(file)) = &settings.paste else {
        return;
    };
    let globals = settings.raw_paste_global_conf.clone();
    settings.app = Some(file.app(&globals.unwrap_or_default()));
    match (&settings.logconfig, file.logging()) {
        (_, Err(problem)) => errors.push(ConfigError::Unusable {
            key: "paste",
            origin: settings.origin("paste").clone(),
            problem,
        }),
        (None | Some(None), Ok(Some(logging))) => settings.logconfig = Some(Some(logging)),
        (_, Ok(_)) => {}
    }
}

/// Looks whether what the settings name is there.
pub(super) fn check(settings: &Partial, start: &Start, errors: &mut Vec<ConfigError>) {
    let is_reported = |errors: &[ConfigError], key| errors.iter().any(|error| error.is_about(key));
    let Some(chdir) = &settings.chdir else { return };
    // After a mistake the setting holds its default, which is not checked.
    if !is_reported(errors, "chdir") {
        errors.extend(enter(chdir, settings.origin("chdir")).err());
    }
    if let Some(Some(uploads)) = &settings.tmp_upload_dir {
        let is_missing = |problem| ConfigError::Unusable {
            key: "tmp_upload_dir",
            origin: settings.origin("tmp_upload_dir").clone(),
            problem,
        };
        if !is_reported(errors, "tmp_upload_dir") && !is_reported(errors, "chdir") {
            errors.extend(uploads.check().map_err(is_missing).err());
        }
    }
    if let Some(Some(program)) = &settings.config {
        let is_missing = |(path, cause): (&Path, _)| ConfigError::Unreadable {
            file: path.to_owned(),
            origin: settings.origin("config").clone(),
            cause,
        };
        errors.extend(program.check().map_err(is_missing).err());
    }
    if let Some(python) = &settings.python {
        // Below a directory that is not there, nothing else is.
        let follows = is_reported(errors, "chdir") && python.as_path().starts_with(chdir.as_path());
        if !is_reported(errors, "python") && !follows {
            errors.extend(find(python, settings.origin("python"), start).err());
        }
    }
    let logs = [
        (
            "accesslog",
            settings
                .accesslog
                .iter()
                .flatten()
                .map(AccessLog::check)
                .next(),
        ),
        ("errorlog", settings.errorlog.as_ref().map(ErrorLog::check)),
    ];
    for (key, checked) in logs {
        if !is_reported(errors, key) && !is_reported(errors, "chdir") {
            let problem = checked.and_then(Result::err);
            errors.extend(problem.map(|problem| ConfigError::Unusable {
                key,
                origin: settings.origin(key).clone(),
                problem,
            }));
        }
    }
}

fn enter(chdir: &Directory, origin: &Origin) -> Result<(), ConfigError> {
    chdir.check().map_err(|problem| ConfigError::Unusable {
        key: "chdir",
        origin: origin.clone(),
        problem,
    })
}

fn find(python: &Python, origin: &Origin, start: &Start) -> Result<PathBuf, ConfigError> {
    let found = python.find(&start.search_path);
    found.map_err(|problem| ConfigError::Unusable {
        key: "python",
        origin: origin.clone(),
        problem,
    })
}

impl Config {
    /// Whether what the application prints goes to the file of the error log.
    pub fn captures_output(&self) -> bool {
        self.capture_output && self.errorlog.file().is_some()
    }

    /// The interpreter to start. Looked for again each time, and so is the
    /// directory it starts in: both may have changed since the configuration
    /// was read.
    pub fn interpreter(&self, start: &Start) -> Result<PathBuf, ConfigError> {
        enter(&self.chdir, self.origin("chdir"))?;
        find(&self.python, self.origin("python"), start)
    }
}

#[cfg(test)]
mod tests;
