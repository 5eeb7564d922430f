//! The account that the application runs in. The units of systemd are made of it; else a
//! master that root has started changes to it, for good, when it has opened what only root
//! can.

use crate::config::{Account, Config, ConfigError, ConfigErrors, Group, Origin};
use crate::session;
use crate::units::{MARK, digest};
use nix::unistd::{self, Gid, Uid};
use rgunicorn_link::protocol::AccountIds;
use std::env;
use std::ffi::CString;
use std::io;

const ROOT: u32 = 0;

/// Settings that have no effect, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unused {
    pub(crate) settings: String,
    pub(crate) remedy: &'static str,
}

/// The account to change to; `None` where this process runs in the configured one, or none
/// is. Fails where it cannot change to it: files would belong to the wrong account, or
/// rights be those of another.
pub(crate) fn to_change_to(config: &Config) -> Result<Option<AccountIds>, ConfigErrors> {
    wanted(config).map_err(ConfigErrors::from)
}

fn wanted(config: &Config) -> Result<Option<AccountIds>, ConfigError> {
    let own_user = rustix::process::geteuid().as_raw();
    let own_group = rustix::process::getegid().as_raw();
    let refused = |key: &'static str, problem: String| ConfigError::Unusable {
        key,
        origin: config.origin(key).clone(),
        problem,
    };
    let user = (config.user.as_ref()).filter(|user| !is_user(user, own_user));
    let group = (config.group.as_ref()).filter(|group| !is_group(group, own_group));
    if own_user != ROOT {
        let cannot = |key, account: &Account, own: u32| {
            let name = account.as_str();
            let remedy = if session::is_service() {
                "run `systemctl daemon-reload` and restart the service"
            } else {
                "start rgunicorn as root, or as that account with `runuser`"
            };
            let problem =
                format!("rgunicorn runs as {own} and cannot change to {name:?}; {remedy}");
            Err(refused(key, problem))
        };
        return match (user, group) {
            (Some(user), _) => cannot("user", user, own_user),
            (None, Some(group)) => cannot("group", group, own_group),
            (None, None) => Ok(None),
        };
    }
    if user.is_none() && group.is_none() {
        return Ok(None);
    }
    let user = match user {
        Some(user) => Some((user, find_user(user).map_err(|why| refused("user", why))?)),
        None => None,
    };
    let group = match (config.group.as_ref(), &user) {
        (Some(group), _) => find_group(group).map_err(|why| refused("group", why))?,
        (
            None,
            Some((
                _,
                User {
                    group: Some(group), ..
                },
            )),
        ) => *group,
        (None, Some((user, User { group: None, .. }))) => {
            let problem = format!(
                "no user has the number {}, so its group is not known; name it with `group`",
                user.as_str()
            );
            return Err(refused("user", problem));
        }
        (None, None) => own_group,
    };
    let name = user.as_ref().and_then(|(_, user)| user.name.clone());
    let others = match name.filter(|_| config.initgroups) {
        Some(name) => all_groups(name, group)
            .map_err(|error| refused("initgroups", format!("cannot list groups: {error}")))?,
        None => Vec::new(),
    };
    Ok(Some(AccountIds {
        user: user.map_or(own_user, |(_, user)| user.number),
        group,
        others,
    }))
}

/// The account is not the one that the configuration in Python was run in.
pub(crate) fn named_twice(config: &Config) -> ConfigError {
    let is_of_program = |key: &&str| matches!(config.origin(key), Origin::Program { .. });
    let keys = ["user", "group", "initgroups"];
    let key = keys.into_iter().find(is_of_program).unwrap_or("user");
    ConfigError::Unusable {
        key,
        origin: config.origin(key).clone(),
        problem: "user, group and initgroups have to be set in the same place: all on the command \
                  line or in a TOML file, or all in here"
            .to_owned(),
    }
}

/// A user, as far as the machine knows it.
#[derive(Debug, PartialEq, Eq)]
struct User {
    number: u32,
    name: Option<String>,
    /// Its own group.
    group: Option<u32>,
}

fn find_user(wanted: &Account) -> Result<User, String> {
    let found = match wanted.number() {
        Some(number) => unistd::User::from_uid(Uid::from_raw(number)),
        None => unistd::User::from_name(wanted.as_str()),
    };
    let found = found.map_err(|error| format!("cannot look up {:?}: {error}", wanted.as_str()))?;
    match (found, wanted.number()) {
        (Some(user), _) => Ok(User {
            number: user.uid.as_raw(),
            group: Some(user.gid.as_raw()),
            name: Some(user.name),
        }),
        (None, Some(number)) => Ok(User {
            number,
            name: None,
            group: None,
        }),
        (None, None) => Err(format!(
            "there is no user {:?} on this machine",
            wanted.as_str()
        )),
    }
}

fn find_group(wanted: &Account) -> Result<u32, String> {
    if let Some(number) = wanted.number() {
        return Ok(number);
    }
    let name = wanted.as_str();
    match unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(format!("there is no group {name:?} on this machine")),
        Err(error) => Err(format!("cannot look up {name:?}: {error}")),
    }
}

fn all_groups(user: String, group: u32) -> io::Result<Vec<u32>> {
    let user = CString::new(user)?;
    let groups = unistd::getgrouplist(&user, Gid::from_raw(group))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// Gives root up for good.
pub(crate) fn change_to(account: &AccountIds) -> io::Result<()> {
    set_groups(account)?;
    unistd::setgid(Gid::from_raw(account.group))?;
    unistd::setuid(Uid::from_raw(account.user))?;
    // As for a program that this account has started: its files in /proc are its own.
    nix::sys::prctl::set_dumpable(true)?;
    Ok(())
}

/// What `action` gives, with the account's rights to files in the place of root's. Other
/// rights stay, such as that to low ports.
pub(crate) fn with_rights_to_files_of<T>(
    account: &AccountIds,
    action: impl FnOnce() -> T,
) -> io::Result<T> {
    let own_groups = unistd::getgroups()?;
    set_groups(account)?;
    let is_entered = set_rights_to_files(Uid::from_raw(account.user), Gid::from_raw(account.group));
    let result = is_entered.then(action);
    let is_left = set_rights_to_files(Uid::effective(), Gid::effective());
    unistd::setgroups(&own_groups)?;
    let result = result.filter(|_| is_left);
    result.ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

/// Whether it worked: the kernel says only what held before (setfsuid(2)).
fn set_rights_to_files(user: Uid, group: Gid) -> bool {
    unistd::setfsgid(group);
    unistd::setfsuid(user);
    unistd::setfsgid(group) == group && unistd::setfsuid(user) == user
}

fn set_groups(account: &AccountIds) -> io::Result<()> {
    let others: Vec<_> = account.others.iter().copied().map(Gid::from_raw).collect();
    Ok(unistd::setgroups(&others)?)
}

/// The settings whose place is in units, if this process was not started by units
/// that were made of them.
pub(crate) fn unused(config: &Config) -> Option<Unused> {
    let digest = digest(config)?;
    let mark = env::var(MARK).ok();
    let keys = config.values().into_iter().filter_map(|(setting, value)| {
        (setting.group == Group::Units && value.is_some()).then_some(setting.key)
    });
    let keys: Vec<_> = keys.collect();
    (mark.as_deref() != Some(&digest) && !keys.is_empty()).then(|| Unused {
        settings: keys.join(", "),
        remedy: if session::is_service() {
            "run `systemctl daemon-reload` and restart the service"
        } else {
            "such settings are for the units of systemd: start rgunicorn@NAME"
        },
    })
}

/// An account that exists only while it is used is known to systemd's part of the
/// C library, if that is installed, and as `$USER`.
fn is_user(wanted: &Account, id: u32) -> bool {
    if let Some(number) = wanted.number() {
        return number == id;
    }
    match unistd::User::from_name(wanted.as_str()) {
        Ok(Some(user)) => user.uid.as_raw() == id,
        Ok(None) | Err(_) => {
            id != ROOT && env::var("USER").is_ok_and(|name| name == wanted.as_str())
        }
    }
}

/// A group that exists only while it is used has no variable. What cannot be
/// looked up is taken as given.
fn is_group(wanted: &Account, id: u32) -> bool {
    if let Some(number) = wanted.number() {
        return number == id;
    }
    match unistd::Group::from_name(wanted.as_str()) {
        Ok(Some(group)) => group.gid.as_raw() == id,
        Ok(None) | Err(_) => id != ROOT && session::is_service(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;

    fn account(text: &str) -> Account {
        Account::from_text(text).unwrap()
    }

    #[test]
    fn a_user_is_found_by_its_name_and_its_number_with_its_group() {
        let root = User {
            number: 0,
            name: Some("root".to_owned()),
            group: Some(0),
        };
        assert_eq!(find_user(&account("root")), Ok(root));
        assert_eq!(
            find_user(&account("0")).unwrap().name.as_deref(),
            Some("root")
        );
        assert_eq!(find_group(&account("root")), Ok(0));
    }

    #[test]
    fn a_number_may_be_nobodys_and_a_name_may_not() {
        let nobodys = find_user(&account("3999999999")).unwrap();
        assert_eq!((nobodys.number, nobodys.group), (3_999_999_999, None));
        assert_eq!(find_group(&account("3999999999")), Ok(3_999_999_999));

        let refused = find_user(&account("no-such-account")).unwrap_err();
        assert_eq!(
            refused,
            "there is no user \"no-such-account\" on this machine"
        );
        let refused = find_group(&account("no-such-account")).unwrap_err();
        assert_eq!(
            refused,
            "there is no group \"no-such-account\" on this machine"
        );
    }
}
