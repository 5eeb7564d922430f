//! Which sources there are, and what becomes of mistakes in them.

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
        "wsgi_ap = \"a:b\"\nworkers = 0\nchdir = \"nowhere\"\npython = \"venv/bin/python\"",
    )]);
    start
        .variables
        .insert("FORWARDED_ALLOW_IPS", "proxy".into());
    let here = start.directory.display();

    let (text, status) = refusal(&start, &[]);

    let expected = [
        "rgunicorn.toml:1:1: unknown setting \"wsgi_ap\"; did you mean \"app\"?".to_owned(),
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
fn words_in_a_variable_are_read_as_a_shell_would_and_name_a_file() {
    let (_folder, mut start) = folder(&[
        ("weak.toml", "app = \"weak:app\"\ntimeout = 1"),
        ("strong.toml", "app = \"strong:app\"\ntimeout = 2"),
    ]);
    let mut said = |gunicorn: &str, ours: &str, words: &[&str]| {
        let variables = [
            ("GUNICORN_CMD_ARGS", gunicorn),
            ("RGUNICORN_CMD_ARGS", ours),
        ];
        let variables = variables.map(|(name, text)| (name, text.into()));
        start.variables = variables.into();
        let config = loaded(&start, words).unwrap();
        let env: Vec<_> = config
            .env
            .iter()
            .map(|(_, value)| value.to_owned())
            .collect();
        (
            config.app.to_string(),
            config.workers.count(),
            env.join(","),
        )
    };

    let quoted = "--thread 2 -c weak.toml  -w3 -e \"A=x y\" --env 'B=it'\\''s'";
    assert_eq!(
        said(quoted, "", &[]),
        ("weak:app".into(), 3, "x y,it's".into())
    );
    assert_eq!(said(quoted, "-c strong.toml", &[]).0, "strong:app");
    assert_eq!(
        said("-c strong.toml", "-w 5", &["-c", "weak.toml"]).0,
        "weak:app"
    );
    assert_eq!(
        said(" ", "-w 5 line:app", &["-w", "6"]),
        ("line:app".into(), 6, String::new())
    );
}

#[test]
fn mistakes_in_a_variable_with_words_name_it_and_come_with_all_others() {
    let (_folder, mut start) = folder(&[("rgunicorn.toml", "app = \"a:b\"\nworkers = 0")]);
    for (text, says) in [
        (
            "-t soon --threads 0",
            &[
                "$GUNICORN_CMD_ARGS: --threads: must be a whole number between 1 and 1024, not 0",
                "$GUNICORN_CMD_ARGS: --timeout: must be a whole number of seconds up to 31536000, or 0 for no limit, not \"soon\"",
            ][..],
        ),
        (
            "--wokers 4",
            &["$GUNICORN_CMD_ARGS: unknown option --wokers; did you mean --workers?"],
        ),
        (
            "-e 'A=1",
            &[
                "$GUNICORN_CMD_ARGS: a quotation mark or a backslash at the end has nothing to go with it",
            ],
        ),
        (
            "--explain-unit",
            &["$GUNICORN_CMD_ARGS: --explain-unit has to be written in full, on the command line"],
        ),
    ] {
        start.variables.insert("GUNICORN_CMD_ARGS", text.into());
        let (text, status) = refusal(&start, &[]);

        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[0].starts_with("rgunicorn.toml:2:11: workers: "),
            "{lines:?}"
        );
        assert_eq!(lines[1..], *says);
        assert_eq!(status, 78);
    }
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
