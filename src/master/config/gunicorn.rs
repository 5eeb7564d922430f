//! Gunicorn settings that rgunicorn does not have, and what to use instead.

/// Gunicorn's settings that have another name here; theirs is understood in a file, too.
pub const RENAMED: &[(&str, &str)] = &[
    ("wsgi_app", "app"),
    ("preload_app", "preload"),
    ("raw_env", "env"),
    ("default_proc_name", "proc_name"),
];

/// A name in the manner of Gunicorn for a setting that is not Gunicorn's.
const OTHER_NAMES: &[(&str, &str)] = &[("max_worker_memory", "worker_memory_max")];

/// What we call the setting that is called `name` here or with Gunicorn.
pub(super) fn our_name(name: &str) -> &str {
    let mut other_names = RENAMED.iter().chain(OTHER_NAMES);
    let renamed = other_names.find(|(theirs, _)| *theirs == name);
    renamed.map_or(name, |(_, ours)| ours)
}

/// Settings of Gunicorn that are options on the command line here: they choose the
/// configuration, or what is done with it.
pub const OPTIONS: [&str; 3] = ["config", "check_config", "print_config"];

/// A setting of Gunicorn that rgunicorn does not have.
#[derive(Debug)]
pub struct Unsupported {
    pub key: &'static str,
    pub flags: &'static [&'static str],
    /// What does the same here, or why it is not needed.
    pub instead: &'static str,
}

impl Unsupported {
    pub(super) fn by_key(key: &str) -> Option<&'static Self> {
        UNSUPPORTED.iter().find(|setting| setting.key == key)
    }

    pub(super) fn by_flag(flag: &str) -> Option<&'static Self> {
        UNSUPPORTED
            .iter()
            .find(|setting| setting.flags.contains(&flag))
    }

    /// What follows the setting's or the flag's name in a message.
    pub fn advice(&self) -> String {
        format!("is not supported; {}", self.instead)
    }
}

const fn row(
    key: &'static str,
    flags: &'static [&'static str],
    instead: &'static str,
) -> Unsupported {
    Unsupported {
        key,
        flags,
        instead,
    }
}

const TLS: &str = "let a proxy in front terminate TLS";

pub static UNSUPPORTED: &[Unsupported] = &[
    row("certfile", &["--certfile"], TLS),
    row(
        "dirty_apps",
        &["--dirty-app"],
        "run what takes long in a service of its own, such as the workers of a task queue",
    ),
    row("keyfile", &["--keyfile"], TLS),
    row(
        "logconfig_dict",
        &[],
        "write it in a gunicorn.conf.py, which `config` names, or as JSON in a file that logconfig_json names",
    ),
    row(
        "protocol",
        &["--protocol"],
        "workers speak HTTP alone: in nginx, write proxy_pass in place of uwsgi_pass",
    ),
];
