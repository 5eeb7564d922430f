//! `rgunicornctl config`: the settings that the master runs with.

use super::Master;
use crate::config::{Applies, Config, Setting};
use crate::control::protocol;
use rgunicorn_link::shorten;
use serde_json::Value;

/// The longest value that is listed whole, in bytes of JSON. One row has to fit into an
/// answer.
const LONGEST_VALUE: usize = 16 * 1024;

impl Master {
    /// As many settings as fit into an answer, without the first `from`.
    pub(super) fn settings_from(&self, from: u32) -> protocol::Settings {
        let rows = rows(&self.first_config, &self.current.config);
        let (settings, next) = protocol::fitting_from(from, rows);
        protocol::Settings { settings, next }
    }
}

/// `first` is what the master was started with: some settings stay as they are there. What
/// else was changed by reloads is in `current`.
fn rows<'a>(
    first: &'a Config,
    current: &'a Config,
) -> impl Iterator<Item = protocol::Setting> + 'a {
    let settings = first.values().into_iter().zip(current.values());
    settings.map(move |((setting, first_value), (_, current_value))| {
        let (config, value, at_restart) = match setting.applies {
            Applies::Reload => (current, current_value, None),
            Applies::Restart | Applies::DaemonReload if first_value == current_value => {
                (current, current_value, None)
            }
            Applies::Restart | Applies::DaemonReload => (first, first_value, current_value),
        };
        row(setting, config, value, at_restart)
    })
}

fn row(
    setting: &Setting,
    config: &Config,
    value: Option<toml::Value>,
    at_restart: Option<toml::Value>,
) -> protocol::Setting {
    let mut is_cut = false;
    let mut listed = |value: toml::Value| {
        let json = serde_json::to_value(&value).unwrap_or_default();
        if protocol::line(&json).len() <= LONGEST_VALUE {
            return json;
        }
        is_cut = true;
        Value::String(shorten(value.to_string(), LONGEST_VALUE))
    };
    let (value, at_restart) = (value.map(&mut listed), at_restart.map(&mut listed));
    protocol::Setting {
        name: setting.key.to_owned(),
        value,
        origin: shorten(config.origin(setting.key).to_string(), LONGEST_VALUE),
        otherwise: setting.otherwise.to_owned(),
        at_restart,
        is_cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use crate::config::{Start, load};

    fn config(words: &[&str]) -> Config {
        let start = Start {
            directory: "/".into(),
            search_path: std::env::var_os("PATH").unwrap(),
            ..Start::default()
        };
        let words = ["rgunicorn", "site:app"].iter().chain(words);
        let line = cli::parse_from(words, start).unwrap();
        load(&line.sources).unwrap()
    }

    fn find(rows: &[protocol::Setting], name: &str) -> protocol::Setting {
        rows.iter().find(|row| row.name == name).unwrap().clone()
    }

    #[test]
    fn what_needs_a_restart_is_listed_as_it_is_and_as_it_will_be() {
        let first = config(&["--backlog", "100", "-w", "2"]);
        let current = config(&["--backlog", "200", "-w", "3"]);

        let rows: Vec<_> = rows(&first, &current).collect();

        let backlog = find(&rows, "backlog");
        assert_eq!(backlog.value, Some(100.into()));
        assert_eq!(backlog.origin, "--backlog on the command line");
        assert_eq!(backlog.at_restart, Some(200.into()));
        let workers = find(&rows, "workers");
        assert_eq!(workers.value, Some(3.into()));
        assert_eq!(workers.at_restart, None);
        let unset = find(&rows, "worker_dir");
        assert_eq!((unset.value, unset.origin.as_str()), (None, "default"));
        assert!(!unset.otherwise.is_empty());
    }

    #[test]
    fn a_value_of_any_length_fits_into_an_answer() {
        let long = format!("LONG={}", "\u{1}".repeat(100_000));
        let config = config(&["-e", &long]);

        let listed: Vec<_> = rows(&config, &config).collect();

        let env = find(&listed, "env");
        assert!(env.is_cut);
        let (fitting, next) = protocol::fitting((0..).zip(listed.clone()));
        assert_eq!((fitting.len(), next), (listed.len(), None));
    }
}
