//! Names that are not settings or flags, but nearly: misspelled ones, and
//! Gunicorn's.

use super::former::Former;
use super::gunicorn::{Unsupported, our_name};
use super::gunicorn_settings::THEIRS;
use super::hooks::HOOKS;
use super::ignored::Ignored;
use super::setting::Setting;
use super::settings::SETTINGS;

/// How like two names have to be for one to be suggested for the other.
const ALIKE: f64 = 0.8;

/// What to say of a name, and the setting that was probably meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    pub(super) problem: String,
    pub(super) meant: Option<&'static str>,
}

impl Unknown {
    fn suggesting(problem: String, setting: &'static Setting) -> Self {
        Self {
            problem,
            meant: Some(setting.key),
        }
    }

    fn saying(problem: String) -> Self {
        Self {
            problem,
            meant: None,
        }
    }
}

/// What to say of a key that is not a setting's.
pub(super) fn unknown_key(key: &str) -> Unknown {
    if let Some(known) = known_elsewhere(key) {
        return known;
    }
    let ours = SETTINGS.iter().map(|setting| setting.key);
    let theirs = THEIRS.iter().map(|setting| setting.key);
    let nearest = nearest(key, theirs.chain(ours));
    if let Some(setting) = nearest.and_then(setting_of) {
        return did_you_mean(key, setting);
    }
    Unknown::saying(match nearest.and_then(Unsupported::by_key) {
        Some(theirs) => format!(
            "unknown setting {key:?}; Gunicorn's {:?} {}",
            theirs.key,
            theirs.advice()
        ),
        None => match nearest {
            Some(theirs) => format!("unknown setting {key:?}; Gunicorn has {theirs:?}"),
            None => format!("unknown setting {key:?}; see rgunicorn.toml(5)"),
        },
    })
}

/// What to say of a table whose name is not a setting's.
pub(super) fn unknown_table(key: &str) -> Unknown {
    if let Some(known) = known_elsewhere(key) {
        return known;
    }
    let name = key.escape_debug();
    let setting = nearest(key, ["env"].into_iter()).and_then(Setting::find);
    match setting {
        Some(setting) => Unknown::suggesting(
            format!("unknown table [{name}]; did you mean [{}]?", setting.key),
            setting,
        ),
        None => Unknown::saying(format!(
            "unknown table [{name}]; remove this line, settings are written without a table"
        )),
    }
}

/// A setting that only Gunicorn has, or a name that is a flag and not a key.
fn known_elsewhere(key: &str) -> Option<Unknown> {
    let flag = format!("--{}", key.replace('_', "-"));
    let mut settings = SETTINGS.iter();
    let ours = settings.find(|setting| setting.flags.contains(&flag.as_str()));
    if let Some(setting) = ours {
        return Some(did_you_mean(key, setting));
    }
    if HOOKS.contains(&key) {
        return Some(Unknown::saying(format!(
            "{key:?} is a function in a gunicorn.conf.py; name that file with `config`"
        )));
    }
    if let Some(theirs) = Unsupported::by_key(key) {
        let problem = format!("Gunicorn's setting {key:?} {}", theirs.advice());
        return Some(Unknown::saying(problem));
    }
    if let Some(former) = Former::by_key(key) {
        return Some(Unknown::saying(format!("{key:?} {}", former.advice())));
    }
    let theirs = Unsupported::by_flag(&flag)?;
    Some(Unknown::saying(format!(
        "unknown setting {key:?}; Gunicorn's {:?} {}",
        theirs.key,
        theirs.advice()
    )))
}

/// The setting that has this name, or has it with Gunicorn.
fn setting_of(name: &str) -> Option<&'static Setting> {
    Setting::find(our_name(name))
}

fn did_you_mean(key: &str, setting: &'static Setting) -> Unknown {
    let problem = format!("unknown setting {key:?}; did you mean {:?}?", setting.key);
    Unknown::suggesting(problem, setting)
}

/// What does the same as a flag of Gunicorn that there is not; `None` if Gunicorn has
/// no such flag.
pub(crate) fn foreign_flag(flag: &str) -> Option<String> {
    let refused = Unsupported::by_flag(flag).map(Unsupported::advice);
    refused.or_else(|| Ignored::by_flag(flag).map(Ignored::advice))
}

/// What to say of a flag that there is not.
pub(crate) fn unknown_flag(flag: &str) -> String {
    if let Some(theirs) = Unsupported::by_flag(flag) {
        return format!("Gunicorn's option {flag} {}", theirs.advice());
    }
    if let Some(former) = Former::by_flag(flag) {
        return format!("{flag} {}", former.advice());
    }
    let ours: Vec<&str> = SETTINGS
        .iter()
        .flat_map(|setting| setting.long_flags().take(1))
        .chain([
            "--config",
            "--check-config",
            "--print-config",
            "--convert",
            "--explain-unit",
            "--help",
            "--version",
        ])
        .collect();
    let theirs = THEIRS.iter().flat_map(|theirs| theirs.flags).copied();
    let theirs = theirs.filter(|name| !ours.contains(name));
    let possible = ours.iter().copied().chain(theirs);
    let possible: Vec<&str> = possible.filter(|name| name.starts_with(flag)).collect();
    if possible.len() > 1 {
        return format!("{flag} is ambiguous: {}", possible.join(", "));
    }
    match nearest(flag, ours.into_iter()) {
        Some(name) => format!("unknown option {flag}; did you mean {name}?"),
        None => format!("unknown option {flag}; see --help"),
    }
}

/// What to say of a name in a configuration in Python that nothing there uses, if it looks
/// like a setting.
pub(super) fn unused(name: &str) -> Option<String> {
    if let Some(former) = Former::by_key(name) {
        return Some(format!("{name} {}", former.advice()));
    }
    let meant = nearest(name, THEIRS.iter().map(|theirs| theirs.key))?;
    Some(format!(
        "{name} is no setting and is not used; did you mean {meant}?"
    ))
}

fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let name = plain(name);
    names
        .map(|candidate| (strsim::jaro_winkler(&name, &plain(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::super::gunicorn::RENAMED;
    use super::*;

    #[test]
    fn the_nearest_setting_is_suggested_for_an_unknown_key() {
        for (key, says, meant) in [
            (
                "wokers",
                r#"unknown setting "wokers"; did you mean "workers"?"#,
                Some("workers"),
            ),
            (
                "limit-request-line",
                r#"unknown setting "limit-request-line"; did you mean "limit_request_line"?"#,
                Some("limit_request_line"),
            ),
            (
                "loglever",
                r#"unknown setting "loglever"; did you mean "loglevel"?"#,
                Some("loglevel"),
            ),
            (
                "preload_app",
                r#"unknown setting "preload_app"; did you mean "preload"?"#,
                Some("preload"),
            ),
            (
                "wsgi_app",
                r#"unknown setting "wsgi_app"; did you mean "app"?"#,
                Some("app"),
            ),
            (
                "dirty_apps",
                r#"Gunicorn's setting "dirty_apps" is not supported; run what takes long in a service of its own, such as the workers of a task queue"#,
                None,
            ),
            (
                "usr",
                r#"unknown setting "usr"; did you mean "user"?"#,
                Some("user"),
            ),
            (
                "logconfig_dict",
                r#"Gunicorn's setting "logconfig_dict" is not supported; write it in a gunicorn.conf.py, which `config` names, or as JSON in a file that logconfig_json names"#,
                None,
            ),
            (
                "worker_clas",
                r#"unknown setting "worker_clas"; did you mean "worker_class"?"#,
                Some("worker_class"),
            ),
            (
                "dirty_aps",
                r#"unknown setting "dirty_aps"; Gunicorn's "dirty_apps" is not supported; run what takes long in a service of its own, such as the workers of a task queue"#,
                None,
            ),
            (
                "logfile",
                r#""logfile" is no setting of Gunicorn any more; write `errorlog`"#,
                None,
            ),
            (
                "zzz",
                r#"unknown setting "zzz"; see rgunicorn.toml(5)"#,
                None,
            ),
            (
                "a\nb",
                r#"unknown setting "a\nb"; see rgunicorn.toml(5)"#,
                None,
            ),
        ] {
            let problem = says.to_owned();
            assert_eq!(unknown_key(key), Unknown { problem, meant });
        }
    }

    #[test]
    fn the_name_of_a_flag_leads_to_its_setting() {
        for (key, meant) in [
            ("name", "proc_name"),
            ("keep_alive", "keepalive"),
            ("log-level", "loglevel"),
            ("access_logfile", "accesslog"),
            ("error_logfile", "errorlog"),
        ] {
            let problem = format!("unknown setting {key:?}; did you mean {meant:?}?");
            assert_eq!(unknown_key(key).problem, problem);
        }
    }

    #[test]
    fn a_table_of_gunicorns_is_named_as_its_setting() {
        for (key, says) in [
            (
                "dirty_apps",
                "Gunicorn's setting \"dirty_apps\" is not supported; run what takes long in a service of its own, such as the workers of a task queue",
            ),
            ("environ", "unknown table [environ]; did you mean [env]?"),
            (
                "gunicorn",
                "unknown table [gunicorn]; remove this line, settings are written without a table",
            ),
        ] {
            assert_eq!(unknown_table(key).problem, says);
        }
    }

    #[test]
    fn the_nearest_flag_is_suggested_for_an_unknown_one() {
        for (flag, says) in [
            (
                "--wokers",
                "unknown option --wokers; did you mean --workers?",
            ),
            (
                "--loglevel",
                "unknown option --loglevel; did you mean --log-level?",
            ),
            (
                "--keyfile",
                "Gunicorn's option --keyfile is not supported; let a proxy in front terminate TLS",
            ),
            (
                "--dirty-app",
                "Gunicorn's option --dirty-app is not supported; run what takes long in a service of its own, such as the workers of a task queue",
            ),
            (
                "--worker",
                "--worker is ambiguous: --workers, --worker-class, --worker-connections, --worker-memory-max, --worker-dir, --worker-tmp-dir",
            ),
            (
                "--debug",
                "--debug is no setting of Gunicorn any more; for development, use `reload`",
            ),
            ("--zzz", "unknown option --zzz; see --help"),
        ] {
            assert_eq!(unknown_flag(flag), says);
        }
    }

    #[test]
    fn no_setting_is_called_unsupported() {
        for setting in SETTINGS {
            assert!(
                Unsupported::by_key(setting.key).is_none(),
                "{}",
                setting.key
            );
            for flag in setting.flags {
                assert!(Unsupported::by_flag(flag).is_none(), "{flag}");
            }
        }
        for (theirs, ours) in RENAMED {
            assert!(Setting::find(theirs).is_none() && Setting::find(ours).is_some());
        }
    }
}
