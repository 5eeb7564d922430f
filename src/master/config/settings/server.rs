//! Settings: the processes of the server.

macro_rules! rows {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => { $next! { [$($rest),*] $($before)*
    Server {
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

        /// A file for the master's process id.
        ///
        /// It is written when the server listens, and removed when it ends. One
        /// that another server has written, which still runs, is an error. Not
        /// needed under systemd. A relative path starts from the directory in
        /// which rgunicorn was started.
        pidfile: Option<Directory> = None, ["-p", "--pid"], "PATH", Reload,
            otherwise "none", example r#""/run/shop.pid""#;

        /// Reload when a file of the application has changed: for development.
        ///
        /// The directories of all modules that it has imported are watched, also of
        /// those that follow later, for changes of `*.py` files and extension modules.
        /// If the new code cannot be loaded, the log says why, and the old code serves
        /// on until the next change. A change of the settings does not count.
        reload: bool = false, ["--reload"], "", Reload;

        /// More files to watch for `reload`, such as templates; may be repeated.
        ///
        /// Paths or patterns such as `templates/*.html`, also of files that are made
        /// later. A directory stands for the files in it. Relative paths start from
        /// `chdir`. In a file, this is a list.
        reload_extra_files: ExtraFiles = ExtraFiles::default(),
            ["--reload-extra-file"], "FILE", Reload, example r#"["templates/*.html"]"#;

        /// Log each line of Python that a worker executes: for debugging.
        ///
        /// As `module:line: text`, from the import of the application on. It makes
        /// everything many times slower.
        spew: bool = false, ["--spew"], "", Reload;

        /// Send files of `wsgi.file_wrapper` with sendfile(2); the flag: do not.
        ///
        /// With the flag, files are read block by block, as they may have to be on some file
        /// systems. The variable SENDFILE turns it off,
        /// too, unless it is 1, y, yes or true.
        sendfile: Sendfile = Sendfile::ON, ["--no-sendfile"], "", Reload, variable "SENDFILE";

        /// Serve in the background.
        ///
        /// The command returns when the server is ready, with its errors and exit
        /// status if it cannot start. Then it has no terminal: its log goes to
        /// `errorlog`, and nowhere without one. Under systemd, which has its
        /// services in the background anyway, it is an error. If only a
        /// `gunicorn.conf.py` says so, that is run again in the background.
        daemon: bool = false, ["-D", "--daemon"], "", Restart;

        /// Keep standard output and error in the background.
        ///
        /// With `daemon` alone; without it, they are /dev/null there.
        enable_stdio_inheritance: bool = false, ["-R", "--enable-stdio-inheritance"], "", Restart;

        /// Which permissions new files of the application do not get.
        ///
        /// As umask(2) has it; Gunicorn's default of 0 is not the default here. It
        /// also takes permissions from the unix sockets of `bind`, at a start.
        umask: Option<Umask> = None, ["-m", "--umask"], "MASK", Reload,
            otherwise "the one that rgunicorn is started with", example r#""027""#;

        /// The account that the application runs in.
        ///
        /// A name or a number. In a file of /etc/rgunicorn, this is `User=` of the
        /// service, and an account that does not exist is made while the site runs.
        /// Elsewhere rgunicorn has to be started as root: it opens its sockets and
        /// writes `pidfile`, and then gives root up for good, before the application
        /// and what it starts with are loaded. Its environment stays as it is. A
        /// `gunicorn.conf.py` that is the only one to say this runs as root, once, at
        /// the start.
        user: Option<Account> = None, ["-u", "--user"], "USER", DaemonReload,
            otherwise "under systemd an account of the site's own, made while it runs; else the one that starts rgunicorn",
            example r#""shop""#;

        /// The group that the application runs in.
        ///
        /// A name or a number. In a file of /etc/rgunicorn, this is `Group=` of the
        /// service. Elsewhere it needs root, as `user` does.
        group: Option<Account> = None, ["-g", "--group"], "GROUP", DaemonReload,
            otherwise "the account's own group", example r#""www-data""#;

        /// Give the application all groups that `user` is a member of.
        ///
        /// Only where rgunicorn changes the account itself: without it, the
        /// application is in no other group than `group`. Services of systemd
        /// are in all of them anyway.
        initgroups: bool = false, ["--initgroups"], "", Restart;

        /// The unix socket that rgunicornctl connects to.
        control_socket: Option<Directory> = None, ["--control-socket"], "PATH", Restart,
            otherwise "$RUNTIME_DIRECTORY/control under systemd, else one in $XDG_RUNTIME_DIR/rgunicorn",
            example r#""/run/rgunicorn/shop/control""#;

        /// The folder with the worker's Python files and extension module.
        worker_dir: Option<Directory> = None, ["--worker-dir"], "DIRECTORY", Reload,
            otherwise "next to the program, /usr/lib/rgunicorn/VERSION/worker, or where pip has put it",
            example r#""/opt/rgunicorn/worker""#;
    }
    }};
}

pub(super) use rows;
