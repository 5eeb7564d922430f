//! The text of the drop-ins.

use super::escape::{plain, word};
use super::instance::{Instance, checksum};
use super::listen;
use super::site::Manager;
use super::withheld;
use crate::config::{Config, Directory, Group, Partial, Python, Setting, is_unit_path};
use std::fmt::Write;
use std::path::Path;

/// The variable that tells the master which settings its units were made of, as
/// their [`digest`].
pub const MARK: &str = "RGUNICORN_UNIT_SETTINGS";

/// What is added to the units of an instance; empty where nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DropIns {
    pub service: String,
    pub socket: String,
}

/// A checksum of the settings that only units have; `None` if none is set.
pub fn digest(config: &Config) -> Option<String> {
    digest_of(config.values())
}

fn digest_of(values: Vec<(&'static Setting, Option<toml::Value>)>) -> Option<String> {
    let lines = values
        .into_iter()
        .filter(|(setting, _)| setting.group == Group::Units)
        .filter_map(|(setting, value)| Some(format!("{}={}\n", setting.key, value?)));
    let text: String = lines.collect();
    (!text.is_empty()).then(|| format!("{:016x}", checksum(&text)))
}

/// Whether these settings are the business of units.
pub(super) fn has_any(settings: &Partial) -> bool {
    matches!(settings.bind, Some(Some(_)))
        || withheld::names_account(settings)
        || digest_of(settings.values()).is_some()
}

/// The drop-ins, and a line for each setting that units cannot have.
pub(super) fn make(
    instance: &Instance,
    settings: &Partial,
    manager: Manager,
) -> (DropIns, Vec<String>) {
    let mut problems = Vec::new();
    let drop_ins = DropIns {
        service: sections(
            instance,
            &[
                ("Unit", mounts(settings)),
                (
                    "Service",
                    service(instance, settings, manager, &mut problems),
                ),
            ],
        ),
        socket: socket(instance, settings, &mut problems),
    };
    (drop_ins, problems)
}

/// The drop-ins of a site that may not start, as its account is not known.
pub(super) fn without_account(
    instance: &Instance,
    settings: &Partial,
    file: &Path,
) -> (DropIns, Vec<String>) {
    let mut problems = Vec::new();
    let mut lines = Vec::new();
    accounts(instance, &Partial::default(), &mut lines);
    lines.extend(withheld::lines(file));
    let drop_ins = DropIns {
        service: sections(instance, &[("Service", lines)]),
        socket: socket(instance, settings, &mut problems),
    };
    (drop_ins, problems)
}

fn socket(instance: &Instance, settings: &Partial, problems: &mut Vec<String>) -> String {
    let mut socket = Vec::new();
    if let Some(Some(binds)) = &settings.bind {
        let own = listen::own_socket(instance);
        let (lines, refused) = listen::lines(binds, Path::new(&own));
        socket.extend(lines);
        problems.extend(refused);
    }
    if let Some(backlog) = settings.backlog {
        socket.push(format!("Backlog={}", backlog.get()));
    }
    sections(instance, &[("Socket", socket)])
}

/// The file systems that the application is on have to be mounted first.
fn mounts(settings: &Partial) -> Vec<String> {
    let chdir = settings.chdir.as_ref().map(Directory::as_path);
    let python = settings.python.as_ref().map(Python::as_path);
    [chdir, python]
        .into_iter()
        .flatten()
        .filter_map(Path::to_str)
        .filter(|path| is_unit_path(path))
        .map(|path| format!("RequiresMountsFor={}", word(path)))
        .collect()
}

fn service(
    instance: &Instance,
    settings: &Partial,
    manager: Manager,
    problems: &mut Vec<String>,
) -> Vec<String> {
    let mut lines = Vec::new();
    match manager {
        Manager::System => accounts(instance, settings, &mut lines),
        Manager::User => {
            for (key, account) in [("user", &settings.user), ("group", &settings.group)] {
                if let Some(Some(_)) = account {
                    problems.push(format!(
                        "{key}: a unit of a user's manager cannot change it; remove it"
                    ));
                }
            }
        }
    }
    if let Some(Some(files)) = &settings.env_file {
        let files = files.entries().iter();
        lines.extend(files.map(|file| format!("EnvironmentFile={}", plain(file))));
    }
    if let Some(Some(credentials)) = &settings.credentials {
        let files = credentials.iter();
        lines.extend(files.map(|(name, file)| format!("LoadCredential={name}:{}", plain(file))));
    }
    if let Some(Some(paths)) = &settings.read_write_paths {
        let paths = paths.entries().iter();
        lines.extend(paths.map(|path| format!("ReadWritePaths={}", word(path))));
    }
    // Where a share may stand, systemd knows no specifiers: a `%` is one.
    if let Some(Some(limit)) = &settings.memory_high {
        lines.push(format!("MemoryHigh={}", limit.as_str()));
    }
    if let Some(Some(limit)) = &settings.memory_max {
        lines.push(format!("MemoryMax={}", limit.as_str()));
    }
    if let Some(Some(quota)) = &settings.cpu_quota {
        lines.push(format!("CPUQuota={}", quota.as_str()));
    }
    if let Some(Some(limit)) = &settings.tasks_max {
        lines.push(format!("TasksMax={}", limit.as_str()));
    }
    if let Some(digest) = digest_of(settings.values()) {
        lines.push(format!("Environment={MARK}={digest}"));
    }
    lines
}

fn accounts(instance: &Instance, settings: &Partial, lines: &mut Vec<String>) {
    match (&settings.user, instance.account()) {
        (Some(Some(user)), _) => {
            lines.push(format!("User={}", plain(user.as_str())));
            // With `DynamicUser=yes` it refuses names that it would not make, also
            // those of accounts that exist.
            if !user.can_be_made() {
                lines.push("DynamicUser=no".to_owned());
            }
        }
        (Some(None) | None, Some(made)) => lines.push(format!("User={made}")),
        (Some(None) | None, None) => {}
    }
    if let Some(Some(group)) = &settings.group {
        lines.push(format!("Group={}", plain(group.as_str())));
    }
}

fn sections(instance: &Instance, sections: &[(&str, Vec<String>)]) -> String {
    if sections.iter().all(|(_, lines)| lines.is_empty()) {
        return String::new();
    }
    let mut text = format!(
        "# Made of {instance}.toml by rgunicorn-generator. To change it, edit that file,\n\
         # then run systemctl daemon-reload, and restart the unit.\n"
    );
    for (name, lines) in sections.iter().filter(|(_, lines)| !lines.is_empty()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n[{name}]\n{}\n", lines.join("\n"));
    }
    text
}

#[cfg(test)]
mod tests;
