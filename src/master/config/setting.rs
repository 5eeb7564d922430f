//! What is known of a setting apart from its value: its names, its type, its help.

use super::origin::Origin;
use super::settings::{Partial, SETTINGS};
use super::value::Takes;

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    Reload,
    Restart,
    /// When the units are read again, and then at a restart.
    DaemonReload,
}

/// The headings that settings are listed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Application,
    Sockets,
    Workers,
    Limits,
    Server,
    /// What `rgunicorn-generator` writes into units, and nothing else uses.
    Units,
}

impl Group {
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Application => "Application",
            Self::Sockets => "Sockets",
            Self::Workers => "Workers",
            Self::Limits => "Limits for clients",
            Self::Server => "Server",
            Self::Units => "Only for the units of systemd",
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    pub key: &'static str,
    /// `-x` and `--long`; the first long one is shown. The setting without any
    /// is the positional argument, or stands only in files.
    pub flags: &'static [&'static str],
    /// Empty for a flag without a value, and for what stands only in files.
    pub value_name: &'static str,
    pub takes: Takes,
    pub group: Group,
    pub applies: Applies,
    /// The environment variable that sets it; weaker than a file.
    pub variable: Option<&'static str>,
    /// [`Value::expects`] of its type.
    pub expects: fn() -> String,
    pub default: fn() -> Option<toml::Value>,
    /// What holds when it has no default and is not set; else empty.
    pub otherwise: &'static str,
    /// A value in TOML for the example file; empty when the default is one.
    pub example: &'static str,
    /// The lines of the comment above its row: a first one that is enough for
    /// `--help`, then the rest.
    pub help: &'static [&'static str],
}

impl Setting {
    pub fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// Whether it can be given on the command line.
    pub fn is_argument(&self) -> bool {
        !self.flags.is_empty() || !self.value_name.is_empty()
    }

    /// The value that these words of a command line give it.
    pub(crate) fn value_of(&'static self, words: &[String]) -> Result<Option<toml::Value>, String> {
        let mut partial = Partial::default();
        partial.set_from_words(self, words, Origin::Default)?;
        let mut values = partial.values().into_iter();
        let own = values.find(|(setting, _)| setting.key == self.key);
        Ok(own.and_then(|(_, value)| value))
    }

    /// The name it has in messages about the command line.
    pub fn flag(&self) -> &'static str {
        self.long_flags().next().unwrap_or(self.value_name)
    }

    pub fn long_flags(&self) -> impl Iterator<Item = &'static str> {
        self.flags
            .iter()
            .copied()
            .filter(|flag| flag.starts_with("--"))
    }

    /// Without the dash.
    pub fn short_flag(&self) -> Option<char> {
        self.flags
            .iter()
            .find(|flag| !flag.starts_with("--"))
            .and_then(|flag| flag.chars().nth(1))
    }

    /// The first line of its help, without the full stop.
    pub fn summary(&self) -> &'static str {
        let line = self.help.first().map_or("", |line| line.trim());
        line.strip_suffix('.').unwrap_or(line)
    }

    /// All of its help, a string for each paragraph.
    pub fn paragraphs(&self) -> Vec<String> {
        self.help
            .split(|line| line.trim().is_empty())
            .map(|lines| {
                lines
                    .iter()
                    .map(|line| line.trim())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    }
}
