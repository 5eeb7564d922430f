//! Puts the sources together: defaults, then the environment, the file, the
//! command line.

use super::error::{ConfigError, ConfigErrors};
use super::file::{self, Contents};
use super::origin::Origin;
use super::settings::{Config, Partial, SETTINGS};
use super::values::{Directory, Python};
use crate::installation;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The file that is read when none is named and there is one.
const USUAL_FILE: &str = "rgunicorn.toml";

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
                .filter_map(|name| Some((name, env::var_os(name)?)))
                .collect(),
        }
    }
}

/// Where a configuration comes from; the same for as long as the master runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    pub start: Start,
    /// The file that was named, as it was named.
    pub file: Option<PathBuf>,
    pub command_line: Partial,
}

/// Reads the configuration: at the start, and again at each reload. Fails with
/// every mistake that can be found.
pub fn load(sources: &Sources) -> Result<Config, ConfigErrors> {
    let start = &sources.start;
    let usual = Path::new(USUAL_FILE);
    let name = sources.file.as_deref().unwrap_or(usual);
    let path = start.directory.join(name);
    let (from_environment, mut errors) = environment(start);
    let from_file = match fs::metadata(&path) {
        Err(error) if sources.file.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Contents::default()
        }
        Ok(_) | Err(_) => match file::read(&path, name) {
            Ok(contents) => contents,
            // Nothing is known of the file: more would be guesses.
            Err(error) => {
                errors.push(error);
                return Err(ConfigErrors::sorted(errors));
            }
        },
    };
    errors.extend(from_file.errors);
    let settings = Partial::defaults()
        .overlaid(from_installation(start))
        .overlaid(from_environment)
        .overlaid(from_file.settings)
        .overlaid(sources.command_line.clone());
    let settings = made_absolute(settings, start);
    check(&settings, start, &mut errors);
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

fn made_absolute(mut settings: Partial, start: &Start) -> Partial {
    let from_start = |path: Directory| path.seen_from(&start.directory);
    settings.chdir = settings.chdir.map(from_start);
    let chdir = settings.chdir.as_ref();
    let home = chdir.map_or(&*start.directory, Directory::as_path);
    settings.python = settings.python.map(|python| python.seen_from(home));
    settings.pythonpath = settings.pythonpath.map(|entries| entries.seen_from(home));
    settings.worker_dir = settings.worker_dir.map(|path| path.map(from_start));
    settings.control_socket = settings.control_socket.map(|path| path.map(from_start));
    let is_set = matches!(settings.control_socket, Some(Some(_)));
    if let (false, Some(directory)) = (is_set, &start.runtime_directory) {
        settings.control_socket = Some(Some(Directory::control_socket_in(directory)));
        settings.set_origin("control_socket", Origin::Environment("RUNTIME_DIRECTORY"));
    }
    settings
}

/// Looks whether what the settings name is there.
fn check(settings: &Partial, start: &Start, errors: &mut Vec<ConfigError>) {
    let is_reported = |errors: &[ConfigError], key| errors.iter().any(|error| error.is_about(key));
    let Some(chdir) = &settings.chdir else { return };
    // After a mistake the setting holds its default, which is not checked.
    if !is_reported(errors, "chdir") {
        errors.extend(enter(chdir, settings.origin("chdir")).err());
    }
    if let Some(python) = &settings.python {
        // Below a directory that is not there, nothing else is.
        let follows = is_reported(errors, "chdir") && python.as_path().starts_with(chdir.as_path());
        if !is_reported(errors, "python") && !follows {
            errors.extend(find(python, settings.origin("python"), start).err());
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
    /// The interpreter to start. Looked for again each time, and so is the
    /// directory it starts in: both may have changed since the configuration
    /// was read.
    pub fn interpreter(&self, start: &Start) -> Result<PathBuf, ConfigError> {
        enter(&self.chdir, self.origin("chdir"))?;
        find(&self.python, self.origin("python"), start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use crate::config::WorkerClass;
    use tempfile::TempDir;

    /// A start in a folder of its own, which has these files.
    fn folder(files: &[(&str, &str)]) -> (TempDir, Start) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let start = Start {
            directory: folder.path().to_owned(),
            search_path: env::var_os("PATH").unwrap(),
            ..Start::default()
        };
        (folder, start)
    }

    fn loaded(start: &Start, words: &[&str]) -> Result<Config, ConfigErrors> {
        let words = ["rgunicorn"].iter().chain(words);
        load(&cli::parse_from(words, start.clone()).unwrap().sources)
    }

    fn refusal(start: &Start, words: &[&str]) -> (String, u8) {
        let error = loaded(start, words).unwrap_err();
        (error.to_string(), error.exit_code())
    }

    #[test]
    fn the_command_line_is_stronger_than_the_file_and_the_file_than_the_defaults() {
        let (_folder, start) = folder(&[(
            "rgunicorn.toml",
            "app = \"file:app\"\nworkers = 2\ntimeout = 7\nbind = [\":1\", \":2\"]\n[env]\nA = \"file\"\nB = \"file\"\n",
        )]);

        let config = loaded(&start, &["-w", "3", "-b", ":3", "-e", "B=line", "line:app"]).unwrap();

        assert_eq!(config.app.as_str(), "line:app");
        assert_eq!(config.workers.count(), 3);
        assert_eq!(config.timeout.get().map(|time| time.as_secs()), Some(7));
        assert_eq!(config.backlog.get(), 2048);
        assert_eq!(
            config.bind.as_ref().map(|bind| bind.addresses().len()),
            Some(1)
        );
        assert_eq!(
            config.env.iter().collect::<Vec<_>>(),
            [("A", "file"), ("B", "line")]
        );
        assert_eq!(config.origin("timeout").to_string(), "rgunicorn.toml:3:11");
        assert_eq!(
            config.origin("workers").to_string(),
            "--workers on the command line"
        );
        assert_eq!(config.origin("backlog"), &Origin::Default);
    }

    #[test]
    fn the_python_that_the_program_is_installed_for_is_weaker_than_any_other() {
        let (_folder, mut start) = folder(&[]);
        start.python = Some("/srv/venv/bin/python3.12".into());
        let python = |config: &Config| {
            let path = config.python.as_path().display();
            format!("{path}, {}", config.origin("python"))
        };

        let errors = loaded(&start, &["a:b"]).unwrap_err().to_string();
        let named = loaded(&start, &["--python", "python3", "a:b"]).unwrap();

        assert!(
            errors.starts_with("python (the one that rgunicorn is installed for): cannot run"),
            "{errors}"
        );
        assert_eq!(python(&named), "python3, --python on the command line");
    }

    #[test]
    fn a_named_file_is_read_in_place_of_the_usual_one_and_again_when_it_has_changed() {
        let (folder, start) = folder(&[
            ("rgunicorn.toml", "app = \"usual:app\""),
            ("site.toml", "app = \"site:app\""),
        ]);
        let line = cli::parse_from(["rgunicorn", "-c", "site.toml"], start).unwrap();
        assert_eq!(load(&line.sources).unwrap().app.as_str(), "site:app");

        fs::write(folder.path().join("site.toml"), "app = \"new:app\"").unwrap();

        assert_eq!(load(&line.sources).unwrap().app.as_str(), "new:app");
    }

    #[test]
    fn a_missing_application_is_an_error_with_its_remedy() {
        let (_folder, start) = folder(&[("site.toml", "workers = 2")]);
        assert_eq!(
            refusal(&start, &[]),
            ("no application to serve; name it on the command line, or write app = \"module:callable\" in rgunicorn.toml".into(), 78)
        );
        assert_eq!(
            refusal(&start, &["-c", "site.toml"]),
            ("no application to serve; name it on the command line, or write app = \"module:callable\" in site.toml".into(), 78)
        );
    }

    #[test]
    fn a_named_file_must_be_there() {
        let (_folder, start) = folder(&[]);
        assert_eq!(
            refusal(&start, &["-c", "site.toml", "a:b"]),
            (
                "cannot read site.toml: No such file or directory".into(),
                78
            )
        );
        assert!(loaded(&start, &["a:b"]).is_ok());
    }

    #[test]
    fn what_the_settings_name_must_be_there() {
        let (_folder, start) = folder(&[
            (
                "python.toml",
                "app = \"a:b\"\n\npython = \"venv/bin/python\"\n",
            ),
            ("chdir.toml", "app = \"a:b\"\nchdir = \"nowhere\""),
            ("file", ""),
        ]);
        let here = start.directory.display();
        assert_eq!(
            refusal(&start, &["-c", "python.toml"]),
            (
                format!(
                    "python.toml:3:10: python: cannot run \"{here}/venv/bin/python\": No such file or directory; give the path of a Python interpreter"
                ),
                78
            )
        );
        assert_eq!(
            refusal(&start, &["--python", "./file", "a:b"]),
            (
                format!(
                    "--python: cannot run \"{here}/file\": Permission denied; give the path of a Python interpreter"
                ),
                64
            )
        );
        assert_eq!(
            refusal(&start, &["-c", "chdir.toml"]),
            (
                format!(
                    "chdir.toml:2:9: chdir: cannot enter \"{here}/nowhere\": No such file or directory; create it, or name another directory"
                ),
                78
            )
        );
        assert_eq!(
            refusal(&start, &["--chdir", "file", "a:b"]),
            (
                format!("--chdir: cannot enter \"{here}/file\": Not a directory; name a directory"),
                64
            )
        );
    }

    #[test]
    fn the_mistakes_of_all_sources_are_reported_together_and_none_twice() {
        let (_folder, mut start) = folder(&[(
            "rgunicorn.toml",
            "wsgi_app = \"a:b\"\nworkers = 0\nchdir = \"nowhere\"\npython = \"venv/bin/python\"",
        )]);
        start
            .variables
            .insert("FORWARDED_ALLOW_IPS", "proxy".into());
        let here = start.directory.display();

        let (text, status) = refusal(&start, &[]);

        let expected = [
            "rgunicorn.toml:1:1: unknown setting \"wsgi_app\"; did you mean \"app\"?".to_owned(),
            "rgunicorn.toml:2:11: workers: must be \"auto\" or a whole number between 1 and 1024, not 0".to_owned(),
            format!(
                "rgunicorn.toml:3:9: chdir: cannot enter \"{here}/nowhere\": No such file or directory; create it, or name another directory"
            ),
            "forwarded_allow_ips (from $FORWARDED_ALLOW_IPS): must be IP addresses or networks such as 10.0.0.0/8, separated by commas, or *, not \"proxy\"".to_owned(),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert_eq!(status, 78);
    }

    #[test]
    fn a_variable_is_stronger_than_the_default_and_weaker_than_the_rest() {
        let (_folder, mut start) = folder(&[("file.toml", "forwarded_allow_ips = \"10.0.0.1\"")]);
        let mut peers = |value: &str, words: &[&str]| {
            let value = value.into();
            start.variables.insert("FORWARDED_ALLOW_IPS", value);
            let config = loaded(&start, &[&["a:b"], words].concat()).unwrap();
            let peers = config.forwarded_allow_ips.all().iter();
            let peers: Vec<_> = peers.map(ToString::to_string).collect();
            let origin = config.origin("forwarded_allow_ips").to_string();
            (peers.join(","), origin)
        };
        let variable = || "$FORWARDED_ALLOW_IPS".to_owned();

        assert_eq!(
            peers("192.0.2.1, ::1", &[]),
            ("192.0.2.1,::1".into(), variable())
        );
        assert_eq!(peers("*", &[]), ("*".into(), variable()));
        // As with Gunicorn, an empty value is a list of nobody, not the default.
        assert_eq!(peers("", &[]), (String::new(), variable()));
        assert_eq!(peers("*", &["-c", "file.toml"]).0, "10.0.0.1");
        assert_eq!(peers("*", &["--forwarded-allow-ips", "::2"]).0, "::2");
    }

    #[test]
    fn the_control_socket_lies_in_the_runtime_directory_unless_told_otherwise() {
        let (_folder, mut start) = folder(&[]);
        let socket = |start: &Start, words: &[&str]| {
            let config = loaded(start, words).unwrap();
            config.control_socket.map(|path| path.as_path().to_owned())
        };
        assert_eq!(socket(&start, &["a:b"]), None);
        assert_eq!(
            socket(&start, &["a:b", "--control-socket", "ctl"]),
            Some(start.directory.join("ctl"))
        );

        start.runtime_directory = Some("/run/rgunicorn/site".into());

        assert_eq!(
            socket(&start, &["a:b"]),
            Some("/run/rgunicorn/site/control".into())
        );
        assert_eq!(
            socket(&start, &["a:b", "--control-socket", "/run/x"]),
            Some("/run/x".into())
        );
    }

    #[test]
    fn sync_with_one_thread_is_accepted_as_gunicorn_spells_it() {
        let (_folder, start) = folder(&[("file.toml", "worker_class = \"sync\"\nthreads = 1")]);
        for words in [
            &["a:b"] as &[&str],
            &["a:b", "-k", "sync", "--threads", "1"],
            &["a:b", "--worker-class=gunicorn.workers.sync.SyncWorker"],
            &["a:b", "-c", "file.toml"],
        ] {
            let config = loaded(&start, words).unwrap();
            let class = config.worker_class.resolve(config.threads.get());
            assert_eq!(class, WorkerClass::Sync, "{words:?}");
        }
    }

    #[test]
    fn threads_are_accepted_as_gunicorn_spells_them() {
        let (_folder, start) = folder(&[("file.toml", "worker_class = \"sync\"\nthreads = 2")]);
        for words in [
            &["a:b", "-k", "gthread"] as &[&str],
            &["a:b", "--threads", "4"],
            &["a:b", "-c", "file.toml"],
        ] {
            let config = loaded(&start, words).unwrap();
            let class = config.worker_class.resolve(config.threads.get());
            assert_eq!(class, WorkerClass::Gthread, "{words:?}");
        }
    }

    #[test]
    fn a_changed_socket_needs_a_restart_and_a_changed_worker_count_does_not() {
        let (_folder, start) = folder(&[]);
        let old = loaded(&start, &["a:b"]).unwrap();
        let new = loaded(&start, &["a:b", "-w", "9", "-b", ":1", "--backlog", "5"]).unwrap();
        let keys: Vec<_> = old
            .needing_restart(&new)
            .iter()
            .map(|setting| setting.key)
            .collect();
        assert_eq!(keys, ["bind", "backlog"]);
    }
}
