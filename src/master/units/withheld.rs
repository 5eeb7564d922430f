//! A site whose file does not say in which account it runs, because of a mistake in it.
//! Started in the account that it has without the file, it would make its directories, and
//! what is in them, belong to that one. So its units make no directories, and name the file
//! in a variable, by which the master refuses to start, and `rgunicornctl` to reload.

use super::escape::word;
use super::instance::Instance;
use crate::config::{ConfigError, ConfigErrors, Contents, Partial, read_contents};
use std::env;
use std::io;
use std::path::{Path, PathBuf};

/// The variable that names the file.
pub const WITHHELD: &str = "RGUNICORN_UNIT_WITHHELD";

/// What the generator adds to the problem of such a file. Without `is_socket_known`, `bind` and
/// `backlog` could not be read, or are not trusted.
pub(super) fn consequence(instance: &Instance, is_socket_known: bool) -> String {
    let remedy = "the site does not start until this is corrected and `systemctl daemon-reload` \
                  has been run";
    if is_socket_known {
        remedy.to_owned()
    } else {
        let socket = instance.socket();
        format!("{remedy}; if the file has `bind`, then also `systemctl restart {socket}`")
    }
}

/// Whether what could be read says in which account the site runs, if only by leaving it out.
pub(super) fn says_account(contents: &Contents) -> bool {
    let is_about_account =
        |error: &ConfigError| ["user", "group"].iter().any(|key| error.is_about(key));
    !contents.may_hide_account && !contents.errors.iter().any(is_about_account)
}

/// Whether these settings name an account.
pub(super) fn names_account(settings: &Partial) -> bool {
    let is_set = |account: &Option<_>| matches!(account, Some(Some(_)));
    is_set(&settings.user) || is_set(&settings.group)
}

/// Lines for the section of the service.
pub(super) fn lines(file: &Path) -> Vec<String> {
    // For a reload, too, systemd would give them to another account. That of the control socket
    // stays behind for it when a service stops that still runs; the next start takes it over.
    let directories = ["State", "Cache", "Logs", "Runtime"];
    let mut lines: Vec<_> = (directories.iter())
        .map(|kind| format!("{kind}Directory="))
        .collect();
    // Any value keeps it from starting. The name of a site has no quotes.
    let value = format!("{WITHHELD}={}", file.display()).replace('\\', r"\\");
    lines.push(format!("Environment={}", word(&value)));
    lines
}

/// Why this process may do nothing for its site, if it is of such units.
pub fn why_withheld() -> Option<ConfigErrors> {
    let file = PathBuf::from(env::var_os(WITHHELD)?);
    let contents = read_contents(&file);
    Some(problems(file, contents))
}

fn problems(file: PathBuf, contents: Result<Contents, ConfigError>) -> ConfigErrors {
    match contents {
        // The generator could read it, and has said what is wrong.
        Err(ConfigError::Unreadable { cause, .. })
            if cause.kind() == io::ErrorKind::PermissionDenied =>
        {
            ConfigError::Withheld { file }.into()
        }
        Err(error) => error.into(),
        Ok(contents) if contents.errors.is_empty() => ConfigError::Withheld { file }.into(),
        Ok(contents) => ConfigErrors::sorted(contents.errors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;
    use std::fs;

    #[test]
    fn the_mistake_is_named_and_when_there_is_none_left_what_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.toml");
        let told = |text| {
            fs::write(&file, text).unwrap();
            problems(file.clone(), read_contents(&file)).to_string()
        };

        assert!(told("app = \"shop:app\"\nuser = [\n").contains("shop.toml:2:"));
        assert!(told("user = true\n").contains("shop.toml:1:8: user"));
        assert!(told("user = \"shop\"\n").contains("run `systemctl daemon-reload`"));
    }

    #[test]
    fn a_file_that_only_its_own_account_may_read_is_not_what_is_wrong() {
        let told = |kind: io::ErrorKind| {
            let file = PathBuf::from("/etc/rgunicorn/shop.toml");
            let error = ConfigError::Unreadable {
                file: file.clone(),
                origin: Origin::Default,
                cause: kind.into(),
            };
            problems(file, Err(error)).to_string()
        };

        let text = told(io::ErrorKind::PermissionDenied);
        assert!(
            text.contains("(journalctl -t rgunicorn-generator)"),
            "{text}"
        );
        assert!(told(io::ErrorKind::NotFound).starts_with("cannot read /etc"));
    }
}
