//! The table of settings: each one once. The comment above a row is what an
//! operator reads about the setting, in `--help` and in the manual.

use super::origin::{Origin, Origins};
use super::value::{Refusal, Takes, Value};
use super::values::{
    Account, App, Binds, BodyLimit, CpuQuota, Credentials, Directory, Environment, HealthPath,
    LogLevel, MemoryLimit, Peers, ProcName, Python, PythonPath, Seconds, TasksLimit, TimeSpan,
    Timeout, UnitPaths, Within, WorkerClassChoice, Workers,
};
use toml::de::DeValue;

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
    /// is the positional argument, or one of [`Group::Units`].
    pub flags: &'static [&'static str],
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
        self.group != Group::Units
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

/// What stands once or not at all in a row.
const fn optional(given: &'static [&'static str]) -> Option<&'static str> {
    match given {
        [] => None,
        [one, ..] => Some(one),
    }
}

macro_rules! settings {
    ($($group:ident { $(
        $(#[doc = $help:literal])+
        $key:ident: $type:ty $(= $default:expr)?, $flags:expr, $value_name:literal, $applies:ident
            $(, variable $variable:literal)? $(, otherwise $otherwise:literal)? $(, example $example:literal)?;
    )+ })+) => {
        /// The complete configuration.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config {
            $($($(#[doc = $help])+ pub $key: $type,)+)+
            pub(super) origins: Origins,
        }

        /// The settings of one source.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Partial {
            $($(pub(crate) $key: Option<$type>,)+)+
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
            variable: optional(&[$($variable)?]),
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

            pub(super) fn set_from_file(
                &mut self,
                setting: &'static Setting,
                value: &DeValue<'_>,
                origin: Origin,
            ) -> Result<(), Vec<Refusal>> {
                match setting.key {
                    $($(stringify!($key) => self.$key = Some(Value::from_toml(value)?),)+)+
                    _ => {}
                }
                self.origins.set(setting.key, origin);
                Ok(())
            }

            pub(super) fn set_from_variable(
                &mut self,
                setting: &'static Setting,
                value: &str,
                origin: Origin,
            ) -> Result<(), String> {
                match setting.key {
                    $($(stringify!($key) => self.$key = Some(Value::from_variable(value)?),)+)+
                    _ => {}
                }
                self.origins.set(setting.key, origin);
                Ok(())
            }

            /// From the words of the command line.
            pub(crate) fn set_from_words(
                &mut self,
                setting: &'static Setting,
                words: &[String],
                origin: Origin,
            ) -> Result<(), String> {
                match setting.key {
                    $($(stringify!($key) => self.$key = Some(Value::from_words(words)?),)+)+
                    _ => {}
                }
                self.origins.set(setting.key, origin);
                Ok(())
            }

            /// These settings, where `stronger` does not set others.
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

            /// Each setting with its value; `None` when it is not set.
            pub(crate) fn values(&self) -> Vec<(&'static Setting, Option<toml::Value>)> {
                let values = [$($(self.$key.as_ref().and_then(Value::to_toml),)+)+];
                SETTINGS.iter().zip(values).collect()
            }

            pub(crate) fn origin(&self, key: &str) -> &Origin {
                self.origins.get(key)
            }

            pub(super) fn set_origin(&mut self, key: &'static str, origin: Origin) {
                self.origins.set(key, origin);
            }

            /// Fails with the key of a setting that has no default and is not set.
            pub(super) fn complete(self) -> Result<Config, &'static str> {
                Ok(Config {
                    $($($key: self.$key.ok_or(stringify!($key))?,)+)+
                    origins: self.origins,
                })
            }
        }

        impl Config {
            /// Each setting with its value; `None` when it is not set.
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
                    .filter(|(setting, changed)| *changed && setting.applies != Applies::Reload)
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
        /// `module` alone stands for `module:application`.
        /// `module:factory("argument")` is called once, with Python literals
        /// as arguments, and has to return the application.
        app: App, [], "APP_MODULE", Reload, example r#""shop:app""#;

        /// The Python interpreter that runs the application.
        ///
        /// For an application in a virtual environment, the one in there;
        /// nothing needs to be installed for rgunicorn. Python 3.10 or later.
        /// A name without a slash is looked for in PATH, a relative path
        /// starts from `chdir`. If pip has installed rgunicorn into a
        /// virtual environment, the default is the Python in there.
        python: Python = Python::python3(), ["--python"], "PROGRAM", Reload,
            example r#""/srv/shop/venv/bin/python""#;

        /// The directory to run the application in.
        ///
        /// Its modules are looked for there first. A relative path starts
        /// from the directory in which rgunicorn was started.
        chdir: Directory = Directory::here(), ["--chdir"], "DIRECTORY", Reload,
            example r#""/srv/shop""#;

        /// More directories to look for modules in, separated by commas.
        ///
        /// They come before Python's own. Relative paths start from `chdir`.
        /// In a file, this may be a list.
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
        /// still loads new code.
        preload: bool = false, ["--preload"], "", Reload;
    }

    Sockets {
        /// An address to listen on; may be repeated.
        ///
        /// One of `HOST`, `HOST:PORT`, `:PORT`, `[IPV6]:PORT`, `unix:PATH`,
        /// `unix:@NAME` for the abstract namespace, and `fd://NUMBER` for a
        /// socket that is open already. In a file this is a string or a list.
        /// Not needed if systemd passes sockets. In a file of /etc/rgunicorn,
        /// systemd listens there, too (`ListenStream=` of the socket unit): on
        /// numeric addresses and absolute paths. A unix socket gets the mode 0666:
        /// restrict access with the mode of its directory. The variable PORT, as
        /// platforms that run containers set it, stands for `0.0.0.0:PORT`.
        bind: Option<Binds> = None, ["-b", "--bind"], "ADDRESS", Restart, variable "PORT",
            otherwise "systemd's sockets, else 127.0.0.1:8000",
            example r#"["127.0.0.1:8000", "unix:/run/shop.sock"]"#;

        /// How many connections may wait to be accepted on each socket.
        ///
        /// In a file of /etc/rgunicorn, this is `Backlog=` of the socket unit.
        backlog: Within<1, 65535> = Within::nearest(2048), ["--backlog"], "NUMBER", Restart;

        /// A path that is answered without the application, for a balancer.
        ///
        /// GET and HEAD requests for it get 200 while the pool serves, also when
        /// all workers are busy, and 503 as soon as it is told to stop. They do
        /// not count as requests. A query is ignored. To answer them, busy
        /// workers accept connections: the requests of these wait in a worker,
        /// and are lost with it if it crashes or is killed.
        health_path: Option<HealthPath> = None, ["--health-path"], "PATH", Reload,
            otherwise "none", example r#""/health""#;
    }

    Workers {
        /// How many workers to run, or `auto`.
        ///
        /// `auto` is one for each processor that the service may use, as
        /// limited by CPU affinity, cpuset and the CPU quota of its control
        /// groups (`CPUQuota=`). At a start, one loads the application alone and
        /// serves as soon as it can; the others follow, as many at a time as
        /// there are such processors, or with `preload` all at once.
        workers: Workers = Workers::ONE, ["-w", "--workers"], "NUMBER", Reload;

        /// How a worker runs requests: `sync`, `gthread` or `auto`.
        ///
        /// `sync` runs one at a time, `gthread` each in one of its `threads`.
        /// `auto` is `gthread` if there is more than one thread, else `sync`; so
        /// is `sync`, as with Gunicorn.
        worker_class: WorkerClassChoice = WorkerClassChoice::Auto,
            ["-k", "--worker-class"], "CLASS", Reload;

        /// How many threads a worker runs requests in.
        ///
        /// The application has to be safe to call in several threads at once.
        /// A connection that waits for its next request takes no thread.
        threads: Within<1, 1024> = Within::nearest(1), ["--threads"], "NUMBER", Reload;

        /// The most connections that one worker holds.
        ///
        /// New ones wait or go to workers that have room. If none has, the
        /// connection that has been idle longest is closed for the next one.
        worker_connections: Within<1, 1_000_000> = Within::nearest(1000),
            ["--worker-connections"], "NUMBER", Reload;

        /// Seconds after which a worker stuck in a request is killed; 0 = never.
        ///
        /// The stacks of its threads are logged before, and another worker
        /// replaces it. With `gthread`, that is when all of its threads are
        /// stuck; a single request that takes as long is logged with its stack.
        timeout: Timeout = Timeout::nearest(30), ["-t", "--timeout"], "SECONDS", Reload;

        /// Seconds after which a request is answered with 503; 0 = never.
        ///
        /// That is how long it may wait for the application, and then how long
        /// the application may take before it sends anything. A response that
        /// was begun is broken off. The stack is logged, and the application's
        /// answer discarded; its worker is replaced only after `timeout`.
        request_timeout: Timeout = Timeout::nearest(0), ["--request-timeout"], "SECONDS", Reload;

        /// Seconds that running requests have to finish before a worker exits.
        ///
        /// At a reload and at a graceful stop. Longer requests are aborted.
        graceful_timeout: Seconds<0> = Seconds::nearest(30),
            ["--graceful-timeout"], "SECONDS", Reload;

        /// Seconds to serve on after TERM before the stop begins.
        ///
        /// Meanwhile `health_path` is answered 503 and each response closes its
        /// connection, so that a balancer turns to other servers before
        /// connections are refused. `graceful_timeout` counts from the end.
        /// Another TERM, INT or QUIT ends it. Not needed where systemd holds the
        /// sockets.
        drain_time: Seconds<0> = Seconds::nearest(0), ["--drain-time"], "SECONDS", Reload;

        /// Seconds a worker may take to load the application; 0 = no limit.
        boot_timeout: Timeout = Timeout::nearest(300), ["--boot-timeout"], "SECONDS", Reload;

        /// How many additional workers may run during a reload.
        ///
        /// A higher number makes reloads faster and needs more memory. Without
        /// `preload`, no more workers than there are processors load the
        /// application at the same time.
        surge: Within<1, 1024> = Within::nearest(1), ["--surge"], "NUMBER", Reload;

        /// Replace a worker that has more memory of its own than this; 0 = no limit.
        ///
        /// In bytes, or with K, M or G. Its own are the pages that it shares with
        /// no other process, and what of them is swapped out; its child processes
        /// do not count. The master looks every 5 seconds, and replaces one
        /// worker at a time, the largest first: another one serves before it
        /// leaves, and its requests have `graceful_timeout` to finish.
        ///
        /// Until then a request may take more. Under systemd, where each worker has
        /// a control group of its own, the kernel kills a worker that has twice as
        /// much, with its child processes and what of files cannot be dropped from
        /// memory; the request is in the log. `memory_max` limits all processes
        /// of the site together.
        worker_memory_max: BodyLimit = BodyLimit::NONE, ["--worker-memory-max"], "BYTES", Reload;
    }

    Limits {
        /// Seconds a kept-alive connection may wait for its next request.
        ///
        /// 0 closes each connection after its response.
        keepalive: Seconds<0> = Seconds::nearest(2), ["--keep-alive"], "SECONDS", Reload;

        /// Seconds before a connection to a slow client is closed.
        ///
        /// The time to send the head of a request, and the longest pause in
        /// sending a body or in reading a response.
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
        /// commas, or `*` for all. Clients of a unix socket are always
        /// believed. In a file, this may be a list.
        forwarded_allow_ips: Peers = Peers::this_machine(),
            ["--forwarded-allow-ips"], "ADDRESSES", Reload, variable "FORWARDED_ALLOW_IPS";
    }

    Server {
        /// The lowest level to log: debug, info, warning, error or critical.
        loglevel: LogLevel = LogLevel::INFO, ["--log-level"], "LEVEL", Reload;

        /// Exit when there was no connection for this long; 0 = never.
        ///
        /// A number of seconds, or a time such as `5min` or `1h 30min`. Only
        /// with the sockets of a socket unit: the next connection starts the
        /// service again, and none is lost. A connection that is kept alive
        /// counts as long as it is open. The checks of a balancer, each on a
        /// connection of its own, do not keep the service.
        idle_exit: TimeSpan = TimeSpan::NEVER, ["--idle-exit"], "TIME", Reload;

        /// The name of the processes in a process listing.
        proc_name: Option<ProcName> = None, ["-n", "--name"], "NAME", Reload,
            otherwise "the name of the application", example r#""shop""#;

        /// The unix socket that rgunicornctl connects to.
        control_socket: Option<Directory> = None, ["--control-socket"], "PATH", Restart,
            otherwise "$RUNTIME_DIRECTORY/control under systemd, else none",
            example r#""/run/rgunicorn/shop/control""#;

        /// The folder with the worker's Python files and extension module.
        worker_dir: Option<Directory> = None, ["--worker-dir"], "DIRECTORY", Reload,
            otherwise "next to the program, /usr/lib/rgunicorn/VERSION/worker, or where pip has put it",
            example r#""/opt/rgunicorn/worker""#;
    }

    Units {
        /// The account that the site runs in.
        ///
        /// A name or a number. An account that does not exist is made while the
        /// site runs. `User=` of the service.
        user: Option<Account> = None, [], "", DaemonReload,
            otherwise "an account of the site's own, made while it runs", example r#""shop""#;

        /// The group that the site runs in.
        ///
        /// A name or a number. `Group=` of the service.
        group: Option<Account> = None, [], "", DaemonReload,
            otherwise "the account's own group", example r#""www-data""#;

        /// Files of `KEY=VALUE` lines for the application's environment.
        ///
        /// A path or a list; one with `-` in front may be missing. systemd reads
        /// them as root when the service starts: root alone needs to be able to.
        /// `EnvironmentFile=` of the service.
        env_file: Option<UnitPaths> = None, [], "", DaemonReload,
            otherwise "no files", example r#""/etc/rgunicorn/shop.env""#;

        /// Files with secrets, for the application alone.
        ///
        /// A table of names and paths. systemd reads the files as root when the
        /// service starts, and the application finds them by these names in
        /// `$CREDENTIALS_DIRECTORY`. `LoadCredential=` of the service.
        credentials: Option<Credentials> = None, [], "", DaemonReload,
            otherwise "no files", example r#"{ secret_key = "/etc/rgunicorn/shop.secret_key" }"#;

        /// Directories below which the site may write.
        ///
        /// A path or a list; one with `-` in front may be missing. Those in
        /// `$STATE_DIRECTORY` and `$CACHE_DIRECTORY` are writable anyway.
        /// `ReadWritePaths=` of the service.
        read_write_paths: Option<UnitPaths> = None, [], "", DaemonReload,
            otherwise "no others", example r#"["/srv/shop/media"]"#;

        /// How much memory the site may use before it is slowed down.
        ///
        /// `MemoryHigh=` of the service: above it, the kernel takes memory back
        /// and holds the processes up.
        memory_high: Option<MemoryLimit> = None, [], "", DaemonReload,
            otherwise "no limit", example r#""800M""#;

        /// How much memory the site may use at most.
        ///
        /// `MemoryMax=` of the service. At the limit the kernel kills a worker,
        /// which is replaced.
        memory_max: Option<MemoryLimit> = None, [], "", DaemonReload,
            otherwise "no limit", example r#""1G""#;

        /// How much processor time the site may use.
        ///
        /// `CPUQuota=` of the service: `"150%"` is one and a half processors.
        cpu_quota: Option<CpuQuota> = None, [], "", DaemonReload,
            otherwise "no limit", example r#""200%""#;

        /// How many processes and threads the site may have.
        ///
        /// `TasksMax=` of the service. A master needs one, a fork server one, a
        /// worker two and its `threads`.
        tasks_max: Option<TasksLimit> = None, [], "", DaemonReload,
            otherwise "systemd's limit for services", example "512";
    }
}

impl Config {
    /// Where the value of a setting came from, to name it in a message:
    /// `config.origin("bind").describe("bind", "address already in use")`.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key)
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
