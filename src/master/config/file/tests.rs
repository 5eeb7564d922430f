//! What files of settings say, and where their mistakes are.

use super::*;
use crate::config::error::ConfigErrors;

/// The lines that the mistakes in `text` are reported in.
fn complaints(text: &str) -> Vec<String> {
    let errors = match parse(text, Path::new("/etc/rgunicorn/site.toml")) {
        Ok(contents) => ConfigErrors::sorted(contents.errors),
        Err(error) => error.into(),
    };
    assert_eq!(errors.exit_code(), 78);
    errors.to_string().lines().map(str::to_owned).collect()
}

/// Each text has this one mistake.
fn assert_complaints(complained: &[(&str, &str)]) {
    for (text, says) in complained {
        assert_eq!(
            complaints(text),
            [format!("/etc/rgunicorn/site.toml:{says}")],
            "{text}"
        );
    }
}

#[test]
fn a_file_full_of_mistakes_is_refused_within_seconds() {
    let began = std::time::Instant::now();
    let list = format!("bind = [{}]", "\":x\",".repeat(200_000));
    let keys: Vec<_> = (0..80_000).map(|n| format!("x{n} = 1")).collect();

    for text in [list, keys.join("\n")] {
        let lines = complaints(&text);
        assert_eq!(lines.len(), 51);
        assert_eq!(lines[50], "at least 950 more mistakes");
    }

    assert!(began.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn mistakes_are_reported_in_file_order() {
    let told = complaints(
        "workers = 0\nzzz = 1\nbind = [\":x\", \":80\", \":y\"]\n[env]\nB = 1\ntimeout = 2\nA = 3",
    );
    let places: Vec<_> = told
        .iter()
        .map(|line| {
            let rest = line.strip_prefix("/etc/rgunicorn/site.toml:").unwrap();
            rest.split_once(' ').unwrap().0
        })
        .collect();
    assert_eq!(
        places,
        ["1:11:", "2:1:", "3:9:", "3:22:", "5:5:", "6:1:", "7:5:"],
        "{told:#?}"
    );
}

#[test]
fn broken_syntax_is_refused_where_it_breaks() {
    assert_complaints(&[
        ("workers = 1\nworkers = 2", "2:1: duplicate key"),
        ("workers 4", "1:9: key with no value, expected `=`"),
        (
            "workers =",
            "1:10: string values must be quoted, expected literal string",
        ),
        (
            "app = site:app",
            "1:7: string values must be quoted, expected literal string",
        ),
        ("app = \"x", "1:9: invalid basic string, expected `\"`"),
    ]);
}

#[test]
fn an_unknown_name_is_refused_where_it_stands() {
    assert_complaints(&[
        (
            "post_fork = \"x\"\n",
            "1:1: \"post_fork\" is a function in a gunicorn.conf.py; name that file with `config`",
        ),
        (
            "wokers = 4\n",
            "1:1: unknown setting \"wokers\"; did you mean \"workers\"?",
        ),
        (
            "\n# x\n  wokers = 4\n",
            "3:3: unknown setting \"wokers\"; did you mean \"workers\"?",
        ),
        (
            "workers = 4\ndirty_apps = 4",
            "2:1: Gunicorn's setting \"dirty_apps\" is not supported; run what takes long in a service of its own, such as the workers of a task queue",
        ),
        (
            "[server]\nworkers = 4",
            "1:2: unknown table [server]; remove this line, settings are written without a table",
        ),
        (
            "[environment]\nA = \"1\"",
            "1:2: unknown table [environment]; did you mean [env]?",
        ),
    ]);
}

#[test]
fn gunicorns_name_of_a_setting_is_understood_and_only_one_of_both() {
    let contents = parse(
        "wsgi_app = \"a:b\"\npreload_app = true",
        Path::new("x.toml"),
    )
    .unwrap();
    let table = parse("[raw_env]\nA = \"1\"", Path::new("x.toml")).unwrap();

    assert!(contents.errors.is_empty() && table.errors.is_empty());
    assert_eq!(contents.settings.preload, Some(true));
    assert!(contents.settings.app.is_some() && table.settings.env.is_some());
    assert_complaints(&[(
        "app = \"a:b\"\nwsgi_app = \"a:b\"",
        "2:1: app and wsgi_app are the same setting; remove one",
    )]);
    // With Gunicorn, the second is weaker.
    for text in [
        "proc_name = \"a\"\ndefault_proc_name = \"b\"",
        "default_proc_name = \"b\"\nproc_name = \"a\"",
    ] {
        let contents = parse(text, Path::new("x.toml")).unwrap();
        assert!(contents.errors.is_empty(), "{:?}", contents.errors);
        let name = contents.settings.proc_name.flatten();
        assert_eq!(name.unwrap().as_str(), "a");
    }
}

#[test]
fn an_unusable_value_is_refused_where_it_stands() {
    const WORKERS: &str =
        "1:11: workers: must be \"auto\" or a whole number between 1 and 1024, not";
    const TIMEOUT: &str =
        "1:11: timeout: must be a whole number of seconds up to 31536000, or 0 for no limit, not";
    for (value, shown) in [
        ("0", "0"),
        ("1.5", "1.5"),
        ("\"4\"", "\"4\""),
        ("99999999999999999999", "99999999999999999999"),
        ("[4]", "a list"),
        ("{ count = 4 }", "a table"),
    ] {
        // A table is blamed where its key is.
        let says = format!("{WORKERS} {shown}");
        let says = if shown == "a table" {
            says.replacen("1:11", "1:1", 1)
        } else {
            says
        };
        assert_complaints(&[(&format!("workers = {value}"), &says)]);
    }
    for (value, shown) in [
        ("\"30\"", "\"30\""),
        ("2026-01-01", "2026-01-01"),
        ("-1", "-1"),
    ] {
        assert_complaints(&[(&format!("timeout = {value}"), &format!("{TIMEOUT} {shown}"))]);
    }
    assert_complaints(&[
        (
            "\nworkers = 0\n",
            "2:11: workers: must be \"auto\" or a whole number between 1 and 1024, not 0",
        ),
        (
            "preload = \"yes\"",
            "1:11: preload: must be true or false, not \"yes\"",
        ),
        (
            "app = true",
            "1:7: app: must be \"module:callable\" as Python would import it, not true",
        ),
    ]);
}

#[test]
fn an_unusable_part_of_a_value_is_refused_where_it_stands() {
    assert_complaints(&[
        (
            "bind = [\":80\",\n  8000]",
            "2:3: bind: must be HOST, HOST:PORT, unix:PATH or fd://NUMBER, or a list of these, not a list with a number",
        ),
        (
            "bind = [\":80\",\n  \":x\"]",
            "2:3: bind: \"x\" is not a port; it must be a number from 0 to 65535",
        ),
        (
            "bind = []",
            "1:8: bind: must be HOST, HOST:PORT, unix:PATH or fd://NUMBER, or a list of these, not an empty list",
        ),
        (
            "pythonpath = [\"\"]",
            "1:15: pythonpath: must be directories separated by commas, or a list of them, not \"\"",
        ),
        (
            "[env]\nA = \"1\"\nB = 2",
            "3:5: env: the value of B must be a string, not a number: put it in quotes",
        ),
        (
            "[env]\n\"A=B\" = \"1\"",
            "2:1: env: \"A=B\" is not a valid variable name",
        ),
        (
            "[env]\nA = \"1\"\nworkers = 4",
            "3:1: env: workers is a setting, not a variable: move it above [env]",
        ),
        (
            "env = [\"A\"]",
            "1:8: env: must be KEY=VALUE, or in a file a table of strings, not \"A\"",
        ),
        (
            "forwarded_allow_ips = [\"*\", \"x\"]",
            "1:29: forwarded_allow_ips: must be IP addresses or networks such as 10.0.0.0/8, separated by commas, or *, not \"x\"",
        ),
    ]);
}

#[test]
fn a_file_may_have_settings_of_every_type() {
    let text = r#"
            app = "site:app"
            bind = ["[::1]:80", "unix:/run/x"]
            workers = 0x10
            timeout = 0
            limit_request_body = "10M"
            forwarded_allow_ips = "10.0.0.0/8, ::1"
            [env]
            A = "1"
        "#;

    let config = Partial::defaults()
        .overlaid(parse(text, Path::new("x.toml")).unwrap().settings)
        .complete()
        .unwrap();

    assert_eq!(config.workers.count(), 16);
    assert_eq!(config.timeout.get(), None);
    assert_eq!(config.limit_request_body.bytes(), 10 << 20);
    assert_eq!(
        config.bind.as_ref().map(|bind| bind.addresses().len()),
        Some(2)
    );
    assert_eq!(config.env.iter().collect::<Vec<_>>(), [("A", "1")]);
    assert_eq!(config.origin("workers").to_string(), "x.toml:4:23");
    assert_eq!(config.origin("env").to_string(), "x.toml:8:14");
    assert_eq!(config.origin("surge").to_string(), "default");
}

#[test]
fn the_examples_set_what_can_be_set() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/examples");
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let contents = read_contents(&path).unwrap();
            assert!(contents.errors.is_empty(), "{contents:?}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let complaint = |path: &Path| read_contents(path).unwrap_err().to_string();
    assert_eq!(
        complaint(Path::new("/nowhere/x.toml")),
        "cannot read /nowhere/x.toml: No such file or directory"
    );
    assert_eq!(
        complaint(Path::new("/etc")),
        "cannot read /etc: Is a directory"
    );
}

#[test]
fn a_file_in_another_encoding_is_refused_at_the_first_invalid_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    fs::write(&path, b"# ok\nproc_name = \"Gr\xfc\xdfe\"\n").unwrap();
    assert_eq!(
        read(&path, Path::new("x.toml"), &Origin::Default)
            .unwrap_err()
            .to_string(),
        "x.toml:2:16: not valid UTF-8; save the file in that encoding"
    );
}
