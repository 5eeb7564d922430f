//! Settings: what only the units of systemd have.

macro_rules! rows {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => { $next! { [$($rest),*] $($before)*
    Units {
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
    }};
}

pub(super) use rows;
