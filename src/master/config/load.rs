//! Puts the sources together: default, then file, then command line.

use super::error::ConfigError;
use super::origin::Origin;
use super::settings::{Config, Partial};
use super::value::{Value, quoted};
use super::values::Directory;
use super::{error, file};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The file that is read when none is named and there is one.
const USUAL_FILE: &str = "rgunicorn.toml";

/// What is remembered of the start, so that a reload sees with its eyes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// The directory rgunicorn was started in.
    pub directory: PathBuf,
    /// `PATH`.
    pub search_path: OsString,
    /// `RUNTIME_DIRECTORY`, which systemd sets.
    pub runtime_directory: Option<PathBuf>,
}

impl Start {
    /// As it is now, in this process.
    pub fn here() -> Self {
        let runtime_directory = env::var_os("RUNTIME_DIRECTORY")
            .and_then(|list| env::split_paths(&list).next())
            .filter(|first| first.is_absolute());
        Self {
            // Whoever stands in a directory that is gone still reaches absolute paths.
            directory: env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            search_path: env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
            runtime_directory,
        }
    }
}

/// Where a configuration comes from; the same for as long as the master runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// What was true when rgunicorn started.
    pub start: Start,
    /// The file that was named, as it was named.
    pub file: Option<PathBuf>,
    /// What the command line says of settings.
    pub command_line: Partial,
}

/// Reads the configuration: at the start, and again at each reload.
pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let start = &sources.start;
    let usual = Path::new(USUAL_FILE);
    let name = sources.file.as_deref().unwrap_or(usual);
    let path = start.directory.join(name);
    let from_file = match fs::metadata(&path) {
        Err(error) if sources.file.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Partial::default()
        }
        Ok(_) | Err(_) => file::read(&path, name)?,
    };
    let mut config = Partial::defaults()
        .overlaid(from_file)
        .overlaid(sources.command_line.clone())
        .complete()
        .map_err(|_app| ConfigError::NoApp {
            file: name.to_owned(),
        })?;
    settle(&mut config, start);
    check(&config, start)?;
    Ok(config)
}

/// Makes what is relative absolute.
fn settle(config: &mut Config, start: &Start) {
    config.chdir = config.chdir.seen_from(&start.directory);
    let home = config.chdir.as_path();
    config.python = config.python.seen_from(home);
    config.pythonpath = config.pythonpath.seen_from(home);
    for path in [&mut config.worker_dir, &mut config.control_socket] {
        *path = path.as_ref().map(|path| path.seen_from(&start.directory));
    }
    if let (None, Some(directory)) = (&config.control_socket, &start.runtime_directory) {
        let control = Directory::from_text("control").map(|name| name.seen_from(directory));
        config.control_socket = control.ok();
        config
            .origins
            .set("control_socket", Origin::Environment("RUNTIME_DIRECTORY"));
    }
}

/// Looks whether what the settings name is there.
fn check(config: &Config, start: &Start) -> Result<(), ConfigError> {
    let unusable = |key: &'static str, problem: String| ConfigError::Unusable {
        key,
        origin: config.origin(key).clone(),
        problem,
    };
    let directory = config.chdir.as_path();
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            let problem = format!("{} is not a directory", quoted(directory));
            return Err(unusable("chdir", problem));
        }
        Err(cause) => {
            let problem = format!(
                "cannot enter {}: {}",
                quoted(directory),
                error::reason(&cause)
            );
            return Err(unusable("chdir", problem));
        }
    }
    config
        .python
        .find(&start.search_path)
        .map(drop)
        .map_err(|problem| unusable("python", problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
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
            runtime_directory: None,
        };
        (folder, start)
    }

    fn loaded(start: &Start, words: &[&str]) -> Result<Config, ConfigError> {
        let words = ["rgunicorn"].iter().chain(words);
        load(&cli::parse_from(words, start.clone()).unwrap().sources)
    }

    fn complaint(start: &Start, words: &[&str]) -> (String, u8) {
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
    fn without_an_application_the_remedy_is_told() {
        let (_folder, start) = folder(&[("site.toml", "workers = 2")]);
        assert_eq!(
            complaint(&start, &[]),
            ("no application to serve: name it on the command line, or write app = \"module:callable\" in rgunicorn.toml".into(), 78)
        );
        assert_eq!(
            complaint(&start, &["-c", "site.toml"]),
            ("no application to serve: name it on the command line, or write app = \"module:callable\" in site.toml".into(), 78)
        );
    }

    #[test]
    fn a_named_file_must_be_there() {
        let (_folder, start) = folder(&[]);
        assert_eq!(
            complaint(&start, &["-c", "site.toml", "a:b"]),
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
            complaint(&start, &["-c", "python.toml"]),
            (
                format!(
                    "python.toml:3:10: python: cannot run \"{here}/venv/bin/python\": No such file or directory; give the path of a Python interpreter"
                ),
                78
            )
        );
        assert_eq!(
            complaint(&start, &["--python", "./file", "a:b"]),
            (
                format!(
                    "--python: cannot run \"{here}/file\": Permission denied; give the path of a Python interpreter"
                ),
                64
            )
        );
        assert_eq!(
            complaint(&start, &["-c", "chdir.toml"]),
            (
                format!(
                    "chdir.toml:2:9: chdir: cannot enter \"{here}/nowhere\": No such file or directory"
                ),
                78
            )
        );
        assert_eq!(
            complaint(&start, &["--chdir", "file", "a:b"]),
            (format!("--chdir: \"{here}/file\" is not a directory"), 64)
        );
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
