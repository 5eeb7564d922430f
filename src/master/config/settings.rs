//! The table of settings: each one once. What an operator reads about a
//! setting, in `--help` and in the manual, is the comment above its row.

use super::origin::{Origin, Origins};
use super::value::{Refusal, Takes, Value};
use super::values::{
    App, Binds, BodyLimit, Directory, Environment, LogLevel, Peers, ProcName, Python, PythonPath,
    Seconds, Timeout, Within, Workers,
};
use toml::de::DeValue;

/// When a changed value is heeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// At the next reload.
    Reload,
    /// When the master is started anew.
    Restart,
}

/// What settings have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What is served.
    Application,
    /// Where it listens.
    Sockets,
    /// Who does the work.
    Workers,
    /// What clients may do.
    Limits,
    /// The server itself.
    Server,
}

impl Group {
    /// The heading over its settings.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Application => "Application",
            Self::Sockets => "Sockets",
            Self::Workers => "Workers",
            Self::Limits => "Limits for clients",
            Self::Server => "Server",
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// Its name in a file.
    pub key: &'static str,
    /// Its flags: `-x` and `--long`; the first long one is shown. The setting
    /// without any is the positional one.
    pub flags: &'static [&'static str],
    /// What help calls its value.
    pub value_name: &'static str,
    /// How many words it takes on the command line.
    pub takes: Takes,
    /// Where it is listed.
    pub group: Group,
    /// When a change is heeded.
    pub applies: Applies,
    /// What may stand there.
    pub expects: fn() -> String,
    /// Its default in the notation of a file; `None` when it has none.
    pub default: fn() -> Option<toml::Value>,
    /// What holds when it has no default and is not set; else empty.
    pub otherwise: &'static str,
    /// A value for an example, in the notation of a file; empty when the
    /// default is one.
    pub example: &'static str,
    /// What it does: a first line that is enough for most, then the rest.
    pub help: &'static [&'static str],
}

impl Setting {
    /// The row of this name.
    pub fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// What to call it on the command line.
    pub fn flag(&self) -> &'static str {
        self.long_flags().next().unwrap_or(self.value_name)
    }

    /// Its long flags, with their dashes.
    pub fn long_flags(&self) -> impl Iterator<Item = &'static str> {
        self.flags
            .iter()
            .copied()
            .filter(|flag| flag.starts_with("--"))
    }

    /// Its flag of one letter, without the dash.
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

macro_rules! settings {
    ($($group:ident { $(
        $(#[doc = $help:literal])+
        $key:ident: $type:ty $(= $default:expr)?, $flags:expr, $value_name:literal, $applies:ident
            $(, otherwise $otherwise:literal)? $(, example $example:literal)?;
    )+ })+) => {
        /// The configuration: each setting has a value, and none an unusable one.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config {
            $($($(#[doc = $help])+ pub $key: $type,)+)+
            pub(super) origins: Origins,
        }

        /// What one source says: some settings, or all, or none.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Partial {
            $($($key: Option<$type>,)+)+
            origins: Origins,
        }

        /// Every setting, once. The command line, `--help`, `--print-config`,
        /// the manual pages and the example file are made from this list.
        pub static SETTINGS: &[Setting] = &[$($(Setting {
            key: stringify!($key),
            flags: &$flags,
            value_name: $value_name,
            takes: <$type as Value>::TAKES,
            group: Group::$group,
            applies: Applies::$applies,
            expects: <$type as Value>::expects,
            default: || {
                let default: Option<$type> = None$(.or(Some($default)))?;
                default.as_ref().and_then(Value::to_toml)
            },
            otherwise: concat!($($otherwise)?),
            example: concat!($($example)?),
            help: &[$($help),+],
        },)+)+];

        impl Partial {
            /// What holds when no source says anything.
            pub(super) fn defaults() -> Self {
                Self {
                    $($($key: None$(.or(Some($default)))?,)+)+
                    origins: Origins::default(),
                }
            }

            /// Takes the value of one setting from a file.
            pub(super) fn set_from_file(
                &mut self,
                setting: &'static Setting,
                value: &DeValue<'_>,
                origin: Origin,
            ) -> Result<(), Refusal> {
                match setting.key {
                    $($(stringify!($key) => self.$key = Some(Value::from_toml(value)?),)+)+
                    _ => {}
                }
                self.origins.set(setting.key, origin);
                Ok(())
            }

            /// Takes the value of one setting from the words given for it.
            pub(crate) fn set_from_words(
                &mut self,
                setting: &'static Setting,
                words: &[String],
            ) -> Result<(), String> {
                match setting.key {
                    $($(stringify!($key) => self.$key = Some(Value::from_words(words)?),)+)+
                    _ => {}
                }
                self.origins.set(setting.key, Origin::CommandLine(setting.flag()));
                Ok(())
            }

            /// This with what a stronger source says over it.
            #[must_use]
            pub(super) fn overlaid(self, stronger: Self) -> Self {
                let mut origins = self.origins;
                $($(if stronger.$key.is_some() {
                    let key = stringify!($key);
                    origins.set(key, stronger.origins.get(key).clone());
                })+)+
                Self {
                    $($($key: self.$key.overlaid(stronger.$key),)+)+
                    origins,
                }
            }

            /// The configuration, or the key of a setting that nothing was said of.
            pub(super) fn complete(self) -> Result<Config, &'static str> {
                Ok(Config {
                    $($($key: self.$key.ok_or(stringify!($key))?,)+)+
                    origins: self.origins,
                })
            }
        }

        impl Config {
            /// Each setting with its value in the notation of a file; `None`
            /// when it is not set.
            pub fn values(&self) -> Vec<(&'static Setting, Option<toml::Value>)> {
                let values = [$($(self.$key.to_toml(),)+)+];
                SETTINGS.iter().zip(values).collect()
            }

            /// The settings that differ in `new` and need a restart to change.
            pub fn needing_restart(&self, new: &Self) -> Vec<&'static Setting> {
                let changed = [$($(self.$key != new.$key,)+)+];
                SETTINGS
                    .iter()
                    .zip(changed)
                    .filter(|(setting, changed)| *changed && setting.applies == Applies::Restart)
                    .map(|(setting, _)| setting)
                    .collect()
            }
        }
    };
}

settings! {
    Application {
        /// The application, as `module:callable`.
        ///
        /// Or `module` alone, whose `application` is taken, or
        /// `module:factory("argument")`, which is called once, with Python
        /// literals, to get the application.
        app: App, [], "APP_MODULE", Reload, example r#""shop:app""#;

        /// The Python interpreter that runs the application.
        ///
        /// Name the one of the application's virtual environment; nothing
        /// needs to be installed there. Any Python from 3.10 on will do. A
        /// name without a slash is looked for in PATH, a relative path starts
        /// from `chdir`.
        python: Python = Python::python3(), ["--python"], "PROGRAM", Reload,
            example r#""/srv/shop/venv/bin/python""#;

        /// The directory to run the application in.
        ///
        /// It is the first place its modules are looked for. A relative path
        /// starts from where rgunicorn was started.
        chdir: Directory = Directory::here(), ["--chdir"], "DIRECTORY", Reload,
            example r#""/srv/shop""#;

        /// More directories to look for modules in, separated by commas.
        ///
        /// They come before those that Python knows itself. Relative ones
        /// start from `chdir`. In a file a list may be given.
        pythonpath: PythonPath = PythonPath::default(), ["--pythonpath"], "DIRECTORIES", Reload,
            example r#"["lib"]"#;

        /// A variable for the application's environment; may be repeated.
        ///
        /// In a file this is a table, `[env]`, or a list of `"KEY=VALUE"`.
        /// Variables on the command line are added to those of the file.
        env: Environment = Environment::default(), ["-e", "--env"], "KEY=VALUE", Reload,
            example r#"{ DJANGO_SETTINGS_MODULE = "shop.settings" }"#;

        /// Load the application once, before the workers are forked.
        ///
        /// The workers then share its memory and start at once. A reload
        /// brings new code all the same.
        preload: bool = false, ["--preload"], "", Reload;
    }

    Sockets {
        /// An address to listen on; may be repeated.
        ///
        /// One of `HOST`, `HOST:PORT`, `:PORT`, `[IPV6]:PORT`, `unix:PATH`,
        /// `unix:@NAME` for the abstract namespace, and `fd://NUMBER` for a
        /// socket that is open already. In a file it is a string or a list.
        /// Not needed when systemd passes sockets. Every user may connect to a
        /// unix socket that is made here (its mode is 0666) and whose directory
        /// lets them through.
        bind: Option<Binds> = None, ["-b", "--bind"], "ADDRESS", Restart,
            otherwise "systemd's sockets, else 127.0.0.1:8000",
            example r#"["127.0.0.1:8000", "unix:/run/shop.sock"]"#;

        /// How many connections may wait to be accepted on each socket.
        ///
        /// For the sockets that rgunicorn opens itself; those of systemd have
        /// `Backlog=` in their unit.
        backlog: Within<1, 65535> = Within::nearest(2048), ["--backlog"], "NUMBER", Restart;
    }

    Workers {
        /// How many workers to run, or `auto`.
        ///
        /// `auto` is one for each processor that may be used here: what the
        /// machine has, what affinity and cpuset allow, what the CPU quota of
        /// the control group pays for.
        workers: Workers = Workers::ONE, ["-w", "--workers"], "NUMBER", Reload;

        /// How many connections one worker holds at most.
        worker_connections: Within<1, 1_000_000> = Within::nearest(1000),
            ["--worker-connections"], "NUMBER", Reload;

        /// Seconds after which a worker stuck in a request is killed; 0 = never.
        ///
        /// What its threads were doing is in the log then, and another worker
        /// takes its place.
        timeout: Timeout = Timeout::nearest(30), ["-t", "--timeout"], "SECONDS", Reload;

        /// Seconds that workers get to finish when they have to leave.
        ///
        /// At a reload and at a graceful stop. What runs longer is cut off.
        graceful_timeout: Seconds<0> = Seconds::nearest(30),
            ["--graceful-timeout"], "SECONDS", Reload;

        /// Seconds a worker may take to load the application; 0 = no limit.
        boot_timeout: Timeout = Timeout::nearest(300), ["--boot-timeout"], "SECONDS", Reload;

        /// How many workers more than wanted may run while a reload rolls.
        ///
        /// More make a reload faster, and need memory for so long.
        surge: Within<1, 1024> = Within::nearest(1), ["--surge"], "NUMBER", Reload;
    }

    Limits {
        /// Seconds a kept-alive connection may wait for its next request.
        ///
        /// 0 closes each connection after its answer.
        keepalive: Seconds<0> = Seconds::nearest(2), ["--keep-alive"], "SECONDS", Reload;

        /// Seconds a client may be slow.
        ///
        /// So long it may take to send a request's head, to send nothing in
        /// the middle of a body, and to take nothing of an answer.
        client_timeout: Seconds<1> = Seconds::nearest(30),
            ["--client-timeout"], "SECONDS", Reload;

        /// The longest request line, in bytes.
        limit_request_line: Within<1, 65536> = Within::nearest(4094),
            ["--limit-request-line"], "BYTES", Reload;

        /// The most header fields in a request.
        limit_request_fields: Within<1, 32768> = Within::nearest(100),
            ["--limit-request-fields"], "NUMBER", Reload;

        /// The longest header field, in bytes.
        limit_request_field_size: Within<1, 65536> = Within::nearest(8190),
            ["--limit-request-field_size", "--limit-request-field-size"], "BYTES", Reload;

        /// The largest request body, in bytes or like `10M`; 0 = no limit.
        ///
        /// K, M and G are powers of 1024.
        limit_request_body: BodyLimit = BodyLimit::GIBIBYTE,
            ["--limit-request-body"], "BYTES", Reload;

        /// The most of an answer kept on disk for a slow client; 0 = no limit.
        ///
        /// In bytes, or with K, M or G. What a client has not taken is kept in
        /// 256 KiB of memory, then in a file in TMPDIR, so that the worker can go
        /// on. When the file is this large, the worker waits for the client.
        limit_response_buffer: BodyLimit = BodyLimit::GIBIBYTE,
            ["--limit-response-buffer"], "BYTES", Reload;

        /// Proxies whose X-Forwarded headers are believed.
        ///
        /// IP addresses and networks such as `10.0.0.0/8`, separated by
        /// commas, or `*` for everyone. Whoever connects through a unix
        /// socket is believed. In a file a list may be given.
        forwarded_allow_ips: Peers = Peers::this_machine(),
            ["--forwarded-allow-ips"], "ADDRESSES", Reload;
    }

    Server {
        /// How much to log: debug, info, warning, error or critical.
        loglevel: LogLevel = LogLevel::Info, ["--log-level"], "LEVEL", Reload;

        /// What the processes are called in a process listing.
        proc_name: Option<ProcName> = None, ["-n", "--name"], "NAME", Reload,
            otherwise "the name of the application", example r#""shop""#;

        /// The unix socket that rgunicornctl speaks to.
        control_socket: Option<Directory> = None, ["--control-socket"], "PATH", Restart,
            otherwise "$RUNTIME_DIRECTORY/control if systemd sets that",
            example r#""/run/rgunicorn/shop/control""#;

        /// The folder with the worker's Python files and extension module.
        worker_dir: Option<Directory> = None, ["--worker-dir"], "DIRECTORY", Reload,
            otherwise "beside the program, or /usr/lib/rgunicorn/worker",
            example r#""/usr/lib/rgunicorn/worker""#;
    }
}

impl Config {
    /// Where the value of a setting came from, to name it in a complaint:
    /// `config.origin("bind").blame("bind", "address already in use")`.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key)
    }

    /// What the processes are called: `proc_name`, else the application.
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
    fn no_key_and_no_flag_is_there_twice() {
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
        let said = file::parse(&text, Path::new("defaults")).unwrap();
        let app = file::parse("app = \"site\"", Path::new("defaults")).unwrap();
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
    fn a_setting_has_a_default_or_says_what_holds_without_one() {
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
    fn the_first_line_of_help_stands_for_itself() {
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
