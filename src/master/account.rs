//! The settings that are for units only, as the master sees them: whether it was
//! started by units that were made of them. It cannot make up for that itself: it
//! has no rights to change its account or its limits.

use crate::config::{Account, Config, ConfigError, Group};
use crate::units::{MARK, digest};
use std::env;

/// Settings that have no effect, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unused {
    pub(crate) settings: String,
    pub(crate) remedy: &'static str,
}

/// Refuses to run in another account than the configured one: files would belong
/// to the wrong account, or rights be those of another.
pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let refused = |key: &'static str, wanted: &Account, is: u32| ConfigError::Unusable {
        key,
        origin: config.origin(key).clone(),
        problem: format!(
            "rgunicorn runs as {is} and cannot change to {:?}; {}",
            wanted.as_str(),
            remedy(is_service())
        ),
    };
    match &config.user {
        Some(wanted) if !is_user(wanted, user) => return Err(refused("user", wanted, user)),
        Some(_) | None => {}
    }
    match &config.group {
        Some(wanted) if !is_group(wanted, group) => Err(refused("group", wanted, group)),
        Some(_) | None => Ok(()),
    }
}

/// The settings whose place is in units, if this process was not started by units
/// that were made of them.
pub(crate) fn unused(config: &Config) -> Option<Unused> {
    let digest = digest(config)?;
    let mark = env::var(MARK).ok();
    let keys = config.values().into_iter().filter_map(|(setting, value)| {
        let is_meant = setting.group == Group::Units && value.is_some();
        // Those were found to hold.
        let is_checked = ["user", "group"].contains(&setting.key);
        (is_meant && !is_checked).then_some(setting.key)
    });
    let keys: Vec<_> = keys.collect();
    (mark.as_deref() != Some(&digest) && !keys.is_empty()).then(|| Unused {
        settings: keys.join(", "),
        remedy: remedy(is_service()),
    })
}

/// Whether a unit of systemd started this process.
fn is_service() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

fn remedy(is_service: bool) -> &'static str {
    if is_service {
        "run `systemctl daemon-reload` and restart the service"
    } else {
        "such settings are for the units of systemd: start rgunicorn@NAME"
    }
}

/// An account that exists only while it is used is known to systemd's part of the
/// C library, if that is installed, and as `$USER`.
fn is_user(wanted: &Account, id: u32) -> bool {
    if let Some(number) = wanted.number() {
        return number == id;
    }
    match nix::unistd::User::from_name(wanted.as_str()) {
        Ok(Some(user)) => user.uid.as_raw() == id,
        Ok(None) | Err(_) => env::var("USER").is_ok_and(|name| name == wanted.as_str()),
    }
}

/// A group that exists only while it is used has no variable. What cannot be
/// looked up is taken as given.
fn is_group(wanted: &Account, id: u32) -> bool {
    if let Some(number) = wanted.number() {
        return number == id;
    }
    match nix::unistd::Group::from_name(wanted.as_str()) {
        Ok(Some(group)) => group.gid.as_raw() == id,
        Ok(None) | Err(_) => is_service(),
    }
}
