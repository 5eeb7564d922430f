//! One file of a site, read for its units.

use super::drop_ins::{self, DropIns};
use super::instance::Instance;
use super::{trust, withheld};
use crate::config::{Contents, Partial, parse_contents, read_contents};
use std::path::Path;

/// Whose units they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// PID 1.
    System,
    /// That of a user, for `systemctl --user`.
    User,
}

impl Manager {
    /// `what` others can write to.
    fn distrust(self, what: &str) -> String {
        let account = match self {
            Self::System => "root",
            Self::User => "its user",
        };
        format!(
            "its settings for units have no effect, as others than {account} can write to {what}; \
             give it to {account}, and take write permission from group and others"
        )
    }
}

/// What a file says about the units of its instance.
#[derive(Debug)]
pub struct Site {
    pub instance: Instance,
    pub drop_ins: DropIns,
    /// Every mistake in the file, also those that units do not care about. What
    /// could be read of the rest is in the drop-ins.
    pub problems: Vec<String>,
}

/// The drop-ins that a file with that text would give the site of that name.
pub(crate) fn preview(name: &str, text: &str) -> DropIns {
    match (Instance::new(name), parse_contents(text)) {
        (Ok(instance), Ok(contents)) => {
            drop_ins::make(&instance, &contents.settings, Manager::System).0
        }
        (Err(_), _) | (_, Err(_)) => DropIns::default(),
    }
}

impl Site {
    /// Reads the file at `path`; `None` if it is not for a site. `owner` is the
    /// account that the manager runs in.
    pub fn read(path: &Path, manager: Manager, owner: u32) -> Option<Result<Self, String>> {
        let named = |problem: &dyn ToString| format!("{}: {}", path.display(), problem.to_string());
        let instance = match Instance::of_file(path)? {
            Ok(instance) => instance,
            Err(bad) => return Some(Err(named(&bad))),
        };
        let (contents, mut problems, is_read) = match read_contents(path) {
            Ok(contents) => (contents, Vec::new(), true),
            // The message begins with the file.
            Err(error) => (Contents::default(), vec![error.to_string()], false),
        };
        problems.extend(contents.errors.iter().map(ToString::to_string));
        let mut is_account_known = is_read && withheld::says_account(&contents);
        // Who writes the file, or puts another in its place, could otherwise have
        // systemd read any file, and run the site in any account.
        let foreign = if trust::is_written_only_by(owner, contents.owner, contents.mode) {
            trust::foreign_directory(path, owner).map(|directory| directory.display().to_string())
        } else {
            Some("it".to_owned())
        };
        let is_socket_known = is_read && foreign.is_none();
        let mut settings = contents.settings;
        if let Some(what) = foreign {
            if drop_ins::has_any(&settings) {
                problems.push(named(&manager.distrust(&what)));
            }
            is_account_known &= !withheld::names_account(&settings);
            settings = Partial::default();
        }
        if manager == Manager::System && !is_account_known {
            let consequence = withheld::consequence(&instance, is_socket_known);
            if let Some(problem) = problems.first_mut() {
                *problem = format!("{problem}; {consequence}");
            }
        }
        let (drop_ins, refused) = if manager == Manager::System && !is_account_known {
            drop_ins::without_account(&instance, &settings, path)
        } else {
            drop_ins::make(&instance, &settings, manager)
        };
        problems.extend(refused.iter().map(|problem| named(problem)));
        Some(Ok(Self {
            instance,
            drop_ins,
            problems,
        }))
    }
}
