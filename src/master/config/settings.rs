//! The table of settings: each one once, in a file for its subject. The comment above
//! a row is what an operator reads about the setting, in `--help` and in the manual.
//!
//! A struct cannot be written in several places. So the macro of each file adds its rows
//! to those before it, and calls the next macro with them; the last is [`settings`]. The
//! types that the rows name are those imported here.

mod application;
mod leniency;
mod limits;
mod log;
mod log_servers;
mod proxies;
mod server;
mod sockets;
mod units;
mod workers;

use super::ignored::Ignored;
use super::origin::{Origin, Origins};
use super::setting::{Applies, Group, Setting};
use super::table::{optional, settings};
use super::value::{Refusal, Value};
use super::values::{
    AccessLog, AccessLogFilter, AccessLogFormat, Account, App, Binds, BodyLimit, ConfigProgram,
    CpuQuota, Credentials, Directory, Environment, ErrorLog, ExtraFiles, HeadLimit, HeaderMap,
    HeaderNames, HealthPath, LogLevel, LoggerClass, MemoryLimit, PasteFile, PasteGlobals, Peers,
    ProcName, ProxyProtocol, Python, PythonPath, RecordText, SchemeHeaders, Seconds, Sendfile,
    StatsdHost, SyslogAddress, SyslogFacility, TasksLimit, TimeSpan, Timeout, Umask, UnitPaths,
    Within, WorkerClassChoice, Workers,
};
use std::collections::BTreeMap;
use toml::de::DeValue;

application::rows! {
    [
        sockets::rows,
        workers::rows,
        limits::rows,
        proxies::rows,
        leniency::rows,
        log::rows,
        log_servers::rows,
        server::rows,
        units::rows,
        settings
    ]
}

impl Config {
    /// Where the value of a setting came from, to name it in a message:
    /// `config.origin("bind").describe("bind", "address already in use")`.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key)
    }

    /// Gunicorn's settings that have no effect here, and where they are set.
    pub fn ignored(&self) -> impl Iterator<Item = (&'static Ignored, &Origin)> {
        let found = self.ignored.iter();
        found.filter_map(|(key, origin)| Some((Ignored::by_key(key)?, origin)))
    }

    pub fn process_name(&self) -> &str {
        self.proc_name
            .as_ref()
            .map_or_else(|| self.app.as_str(), ProcName::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;
    use std::collections::HashSet;
    use std::path::Path;

    #[test]
    fn keys_and_flags_are_unique() {
        let mut names = HashSet::new();
        for setting in SETTINGS {
            assert!(names.insert(setting.key), "{}", setting.key);
            for flag in setting.flags {
                assert!(names.insert(flag), "{flag}");
            }
        }
    }

    #[test]
    fn each_default_is_a_value_that_could_be_given() {
        let given = SETTINGS.iter().filter_map(|setting| {
            (setting.default)().map(|value| format!("{} = {value}\n", setting.key))
        });
        let text: String = given.chain(["app = \"site\"\n".to_owned()]).collect();
        let said = file::parse(&text, Path::new("defaults")).unwrap().settings;
        let app = file::parse("app = \"site\"", Path::new("defaults"));
        let app = app.unwrap().settings;
        let values = |partial: Partial| partial.complete().unwrap().values();

        let written = values(Partial::defaults().overlaid(said));

        for ((setting, one), (_, other)) in written
            .iter()
            .zip(values(Partial::defaults().overlaid(app)))
        {
            assert_eq!(one, &other, "{}", setting.key);
        }
    }

    #[test]
    fn a_setting_has_a_default_or_a_text_about_what_holds_without_one() {
        for setting in SETTINGS.iter().filter(|setting| setting.key != "app") {
            let has_default = (setting.default)().is_some();
            assert_ne!(
                has_default,
                !setting.otherwise.is_empty(),
                "{}",
                setting.key
            );
        }
    }

    #[test]
    fn the_first_line_of_help_is_a_short_sentence() {
        for setting in SETTINGS {
            assert!(setting.help[0].trim_end().ends_with('.'), "{}", setting.key);
            assert!(
                setting.help.get(1).is_none_or(|line| line.is_empty()),
                "{}",
                setting.key
            );
            assert!(setting.summary().len() <= 75, "{}", setting.key);
        }
    }
}
