//! The configuration file: TOML in, settings out, each with its place.

use super::error::{ConfigError, MAX_MISTAKES};
use super::gunicorn::our_name;
use super::gunicorn_settings::Theirs;
use super::hooks::HOOKS;
use super::origin::{Origin, Place};
use super::setting::Setting;
use super::settings::Partial;
use super::support::Foreign;
use super::unknown::{unknown_key, unknown_table};
use nix::fcntl::OFlag;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// What could be read of a file, and every mistake in the rest.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) settings: Partial,
    pub(crate) errors: Vec<ConfigError>,
    /// Whether `user` or `group` may stand in what was not used of the file: in a table, or
    /// behind so many mistakes that the rest was not looked at. No mistake names it then.
    pub(crate) may_hide_account: bool,
    /// The account that it belongs to.
    pub(crate) owner: u32,
    /// Its mode.
    pub(crate) mode: u32,
}

/// Reads `text` as the contents of a file.
pub(crate) fn parse_contents(text: &str) -> Result<Contents, ConfigError> {
    parse(text, Path::new("rgunicorn.toml"))
}

/// Reads the file at `path`. Fails when nothing can be read of it.
pub(crate) fn read_contents(path: &Path) -> Result<Contents, ConfigError> {
    read(path, path, &Origin::Default)
}

/// Reads the file at `path`, which the operator calls `name`. Fails when
/// nothing can be read of it.
pub(super) fn read(path: &Path, name: &Path, origin: &Origin) -> Result<Contents, ConfigError> {
    let (bytes, metadata) = bytes_of(path).map_err(|cause| ConfigError::Unreadable {
        file: name.to_owned(),
        origin: origin.clone(),
        cause,
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Contents {
            owner: metadata.uid(),
            mode: metadata.mode(),
            ..parse(&text, name)?
        }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            Err(ConfigError::InFile {
                place: Place::at(name, &text, valid),
                problem: "not valid UTF-8; save the file in that encoding".into(),
                meant: None,
            })
        }
    }
}

/// The bytes of a regular file of a sane size: a pipe in its place must not hold
/// up a master that reads it at a reload, nor a huge one fill its memory. What is
/// known of the file is that of the one that was read.
fn bytes_of(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    const LARGEST: u64 = 1024 * 1024;
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let is_file = |metadata: &Metadata| match metadata {
        directory if directory.is_dir() => Err(Errno::ISDIR.into()),
        file if file.is_file() => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )),
    };
    // Not opened at all: opening some devices does something.
    is_file(&fs::metadata(path)?)?;
    let mut options = fs::File::options();
    let file = match options
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
    {
        // A regular file, of which another process has to give a lease back first.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            options.custom_flags(0).open(path)?
        }
        opened => opened?,
    };
    let metadata = file.metadata()?;
    is_file(&metadata)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return refused("larger than 1 MiB");
    }
    Ok((bytes, metadata))
}

/// Reads `text`, the contents of the file called `name`. After a
/// syntax error the rest cannot be interpreted, so it is reported alone.
pub(super) fn parse(text: &str, name: &Path) -> Result<Contents, ConfigError> {
    let place = |at: Range<usize>| Place::at(name, text, at.start);
    let table = DeTable::parse(text).map_err(|error| ConfigError::InFile {
        place: place(error.span().unwrap_or(0..0)),
        problem: one_line(error.message()) + if_python(name).as_str(),
        meant: None,
    })?;

    let mut contents = Contents::default();
    let mut given = BTreeMap::new();
    for (key, value) in table.get_ref() {
        if contents.errors.len() >= MAX_MISTAKES {
            contents.may_hide_account = true;
            break;
        }
        let name = our_name(key.get_ref());
        let hides_account = has_account_in_tables(value.get_ref());
        let Some(setting) = Setting::find(name) else {
            let theirs = Theirs::by_key(name);
            match theirs.map(|theirs| theirs.in_file(&plain(value.get_ref()))) {
                Some(Foreign::Silent) if !hides_account && !HOOKS.contains(&name) => continue,
                Some(Foreign::Ignored(ignored)) if !hides_account => {
                    let origin = Origin::File(place(key.span()));
                    contents.settings.ignore(ignored, origin);
                    continue;
                }
                Some(Foreign::Silent | Foreign::Ignored(_) | Foreign::Refused(_)) | None => {}
            }
            contents.may_hide_account |= hides_account;
            let unknown = match value.get_ref() {
                DeValue::Table(_) => unknown_table(key.get_ref()),
                _ => unknown_key(key.get_ref()),
            };
            contents.errors.push(ConfigError::InFile {
                place: place(key.span()),
                problem: unknown.problem,
                meant: unknown.meant,
            });
            continue;
        };
        let other = given.insert(setting.key, key.get_ref());
        // Gunicorn has two names for these, and one of them is weaker.
        let is_weaker = key.get_ref().as_ref() == "default_proc_name";
        if is_weaker && other.is_some_and(|other| other.as_ref() == "proc_name") {
            continue;
        }
        let other = other.filter(|other| other.as_ref() != "default_proc_name");
        if let Some(other) = other {
            contents.may_hide_account |= hides_account;
            contents.errors.push(ConfigError::InFile {
                place: place(key.span()),
                problem: format!(
                    "{other} and {} are the same setting; remove one",
                    key.get_ref()
                ),
                meant: Some(setting.key),
            });
            continue;
        }
        // A table has no place of its own where it is written as `[key]`.
        let at = if value.get_ref().is_table() {
            key.span()
        } else {
            value.span()
        };
        let origin = Origin::File(place(at.clone()));
        let set = contents
            .settings
            .set_from_file(setting, value.get_ref(), origin);
        contents.may_hide_account |= set.is_err() && hides_account;
        let room = MAX_MISTAKES - contents.errors.len();
        let refused = set.err().into_iter().flatten().take(room);
        contents
            .errors
            .extend(refused.map(|refusal| ConfigError::Unusable {
                key: setting.key,
                origin: Origin::File(place(refusal.part.unwrap_or(at.clone()))),
                problem: refusal.problem,
            }));
    }
    Ok(contents)
}

/// Whether a table in this value has a key that says, elsewhere, in which account the site
/// runs: TOML takes all that is written below a table's name for a part of it.
fn has_account_in_tables(value: &DeValue<'_>) -> bool {
    let mut values = vec![value];
    while let Some(value) = values.pop() {
        match value {
            DeValue::Table(table) => {
                for (key, value) in table {
                    if ["user", "group"].contains(&our_name(key.get_ref())) {
                        return true;
                    }
                    values.push(value.get_ref());
                }
            }
            DeValue::Array(items) => values.extend(items.iter().map(toml::Spanned::get_ref)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
    false
}

/// Gunicorn takes any file for a program.
fn if_python(name: &Path) -> String {
    if name
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        return String::new();
    }
    format!(
        "; if it is a configuration in Python, name it as file:{}",
        name.display()
    )
}

/// As far as it matters for what the default of a setting may be.
fn plain(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.to_string().into(), toml::Value::from),
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| plain(item.get_ref()));
            items.collect::<Vec<_>>().into()
        }
        DeValue::Table(table) => {
            let pairs = table.iter();
            let pairs =
                pairs.map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref())));
            pairs.collect::<toml::Table>().into()
        }
        DeValue::Float(number) => number.to_string().into(),
        DeValue::Datetime(moment) => moment.to_string().into(),
    }
}

fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
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
        const TIMEOUT: &str = "1:11: timeout: must be a whole number of seconds up to 31536000, or 0 for no limit, not";
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
}
