//! The table of settings: each one once. The comment above a row is what an
//! operator reads about the setting, in `--help` and in the manual.

use super::ignored::Ignored;
use super::origin::{Origin, Origins};
use super::setting::{Applies, Group, Setting};
use super::table::{optional, settings};
use super::value::{Refusal, Value};
use super::values::{
    AccessLog, AccessLogFilter, AccessLogFormat, Account, App, Binds, BodyLimit, ConfigProgram,
    CpuQuota, Credentials, Directory, Environment, ErrorLog, ExtraFiles, HeadLimit, HeaderMap,
    HeaderNames, HealthPath, LogLevel, LoggerClass, MemoryLimit, Peers, ProcName, ProxyProtocol,
    Python, PythonPath, SchemeHeaders, Seconds, Sendfile, TasksLimit, TimeSpan, Timeout, Umask,
    UnitPaths, Within, WorkerClassChoice, Workers,
};
use std::collections::BTreeMap;
use toml::de::DeValue;

settings! {
    Application {
        /// The application, as `module:callable`.
        ///
        /// `module` alone stands for `module:application`.
        /// `module:factory("argument")` is called once, with Python literals
        /// as arguments, and has to return the application.
        app: App, [], "APP_MODULE", Reload, example r#""shop:app""#;

        /// A configuration in Python, as Gunicorn has it.
        ///
        /// A path such as `gunicorn.conf.py`, or `python:MODULE`. The application's
        /// interpreter runs it at each start and each reload, in the directory in
        /// which rgunicorn was started. What it sets is weaker than this file and the
        /// command line. On the command line it is given with `--config`, in the
        /// place of this file.
        config: Option<ConfigProgram> = None, [], "", Reload,
            otherwise "./gunicorn.conf.py if that exists and ./rgunicorn.toml does not",
            example r#""/srv/shop/gunicorn.conf.py""#;

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
        /// numeric addresses and absolute paths. A unix socket gets the mode 0666 without
        /// the bits of `umask`: restrict access with the mode of its directory. The variable PORT, as
        /// platforms that run containers set it, stands for `0.0.0.0:PORT`.
        bind: Option<Binds> = None, ["-b", "--bind"], "ADDRESS", Restart, variable "PORT",
            otherwise "systemd's sockets, else 127.0.0.1:8000",
            example r#"["127.0.0.1:8000", "unix:/run/shop.sock"]"#;

        /// How many connections may wait to be accepted on each socket.
        ///
        /// In a file of /etc/rgunicorn, this is `Backlog=` of the socket unit.
        backlog: Within<1, 65535> = Within::nearest(2048), ["--backlog"], "NUMBER", Restart;

        /// Let other servers of the same account listen on the same port.
        ///
        /// The kernel shares the connections out among the servers (`SO_REUSEPORT`).
        /// For the TCP addresses of `bind` that rgunicorn opens itself.
        reuse_port: bool = false, ["--reuse-port"], "", Restart;

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
        workers: Workers = Workers::ONE, ["-w", "--workers"], "NUMBER", Reload,
            variable "WEB_CONCURRENCY";

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
        ///
        /// The other name, `max_worker_memory`, is understood, too.
        worker_memory_max: BodyLimit = BodyLimit::NONE,
            ["--worker-memory-max", "--max-worker-memory"], "BYTES", Reload;

        /// Replace a worker that has answered so many requests; 0 = never.
        ///
        /// Each second the master looks how many it were, and replaces one worker
        /// at a time: another one serves before it leaves. It finishes its
        /// requests, and no connection is closed.
        max_requests: Within<0, 2_000_000_000> = Within::nearest(0),
            ["--max-requests"], "NUMBER", Reload;

        /// The most requests by which workers may differ in `max_requests`.
        ///
        /// To the limit of each worker, a number of its own up to this is added.
        max_requests_jitter: Within<0, 2_000_000_000> = Within::nearest(0),
            ["--max-requests-jitter"], "NUMBER", Reload;

        /// Replace a worker that has served for this long; 0 = never.
        ///
        /// A number of seconds, or a time such as `12h`. Up to a tenth is added,
        /// for each worker another part, and one is replaced at a time: another
        /// one serves before it leaves.
        max_worker_age: TimeSpan = TimeSpan::NEVER, ["--max-worker-age"], "TIME", Reload;
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

        /// The longest request line, in bytes; 0 = no limit below 1 MiB.
        ///
        /// A longer one is answered 414.
        limit_request_line: HeadLimit<1_048_576> = HeadLimit::nearest(4094),
            ["--limit-request-line"], "BYTES", Reload;

        /// The most header fields in a request; 0 = no limit below 32768.
        ///
        /// More are answered 431.
        limit_request_fields: HeadLimit<32_768> = HeadLimit::nearest(100),
            ["--limit-request-fields"], "NUMBER", Reload;

        /// The longest header field, in bytes; 0 = no limit below 1 MiB.
        ///
        /// A longer one is answered 431, and so are fields that together take
        /// more than 64 KiB, or more than this limit if that is larger. With
        /// Gunicorn, 0 stands for 8190.
        limit_request_field_size: HeadLimit<1_048_576> = HeadLimit::nearest(8190),
            ["--limit-request-field_size", "--limit-request-field-size"], "BYTES", Reload;

        /// The largest request body, in bytes or like `10M`; 0 = no limit.
        ///
        /// K, M and G are powers of 1024.
        limit_request_body: BodyLimit = BodyLimit::GIBIBYTE,
            ["--limit-request-body"], "BYTES", Reload;

        /// The directory for request bodies that are not kept in memory.
        ///
        /// A body of more than 128 KiB, and one in chunks that becomes so large,
        /// is stored in a file without a name while it is received. A relative
        /// path starts from `chdir`.
        tmp_upload_dir: Option<Directory> = None, ["--tmp-upload-dir"], "DIRECTORY", Reload,
            otherwise "$TMPDIR, else /tmp", example r#""/var/tmp""#;

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

        /// The PROXY protocol at the start of connections: off, v1, v2 or auto.
        ///
        /// `auto` is either version, and so is the flag without a value. The
        /// proxy (HAProxy with `send-proxy` or `send-proxy-v2`, or a load
        /// balancer of a cloud) says whom it speaks for: `REMOTE_ADDR` and
        /// `REMOTE_PORT` are its client's for all requests of the connection,
        /// and `PROXY_PROTOCOL`, `PROXY_ADDR` and `PROXY_PORT` say what the
        /// client connected to. Where it speaks for itself, or does not know its
        /// client, `REMOTE_ADDR` stays its own. `forwarded_allow_ips` is about
        /// the proxy's own address all the same.
        proxy_protocol: ProxyProtocol = ProxyProtocol::Off, ["--proxy-protocol"], "VERSION", Reload;

        /// Proxies that may speak the PROXY protocol.
        ///
        /// Written like `forwarded_allow_ips`. Clients of a unix socket always
        /// may. Others that begin with such a header are answered 403.
        proxy_allow_ips: Peers = Peers::this_machine(), ["--proxy-allow-from"], "ADDRESSES", Reload;

        /// Refuse connections that begin without the PROXY protocol.
        ///
        /// Without it, as with Gunicorn, such a connection is served as that of
        /// its peer: through a proxy that does not send the header, a client can
        /// send one and pretend to be anybody. With it, only `proxy_allow_ips`
        /// are served; the checks of a balancer need the header, too.
        proxy_protocol_required: bool = false, ["--proxy-protocol-required"], "", Reload;

        /// The headers by which a proxy says that its client spoke TLS.
        ///
        /// A table of names and values: `wsgi.url_scheme` is `https` if a header
        /// has its value, in upper or lower case. They count only from
        /// `forwarded_allow_ips`. A request in which two of them contradict each
        /// other is answered 400.
        secure_scheme_headers: SchemeHeaders = SchemeHeaders::usual(),
            ["--secure-scheme-header"], "NAME=VALUE", Reload,
            example r#"{ X-FORWARDED-PROTO = "https" }"#;

        /// What becomes of headers with an underscore: drop, refuse or dangerous.
        ///
        /// To the application, `X_Real_IP` looks like `X-Real-IP`: a proxy that
        /// sets or removes the one may let a client send the other. `drop`
        /// leaves such headers out, `refuse` answers 400, and `dangerous` passes
        /// them on. `forwarder_headers` from a trusted proxy are passed on
        /// anyway.
        header_map: HeaderMap = HeaderMap::Drop, ["--header-map"], "ACTION", Reload;

        /// Headers with an underscore that a trusted proxy may send.
        ///
        /// Names separated by commas, or `*` for all; in a file, this may be a
        /// list. They count only from `forwarded_allow_ips`. `SCRIPT_NAME` says
        /// where the application is mounted, whatever `header_map` is: from
        /// anybody else, and if it is not in this list, it never does.
        forwarder_headers: HeaderNames = HeaderNames::script_name_and_path_info(),
            ["--forwarder-headers"], "NAMES", Reload;

        /// Accept headers that go on in the next line.
        ///
        /// Such lines begin with a space or a tab; they are joined by one space.
        /// HTTP has given this up, and proxies read it in different ways, so
        /// that a client may get past them: only for a client that cannot be
        /// changed. Without it, they are answered 400.
        permit_obsolete_folding: bool = false, ["--permit-obsolete-folding"], "", Reload;

        /// Accept blanks before the colon of a header.
        ///
        /// They are removed. Proxies read such headers in different ways, so
        /// that a client may get past them. Without it, they are answered 400.
        strip_header_spaces: bool = false, ["--strip-header-spaces"], "", Reload;

        /// Accept any token as a method.
        ///
        /// Without it, a method has 3 to 20 characters, no lower-case letters
        /// and no `#`; others are answered 400. CONNECT is answered 501 always.
        permit_unconventional_http_method: bool = false,
            ["--permit-unconventional-http-method"], "", Reload;

        /// Accept requests of other versions than HTTP/1.
        ///
        /// HTTP/0.x is read as HTTP/1.0, all others as HTTP/1.1, and
        /// `SERVER_PROTOCOL` says that. Without it, they are answered 505.
        permit_unconventional_http_version: bool = false,
            ["--permit-unconventional-http-version"], "", Reload;

        /// Turn methods into upper case.
        ///
        /// Methods with lower-case letters are refused before that, as with
        /// Gunicorn, unless `permit_unconventional_http_method` is on, too.
        casefold_http_method: bool = false, ["--casefold-http-method"], "", Reload;
    }

    Server {
        /// The lowest level to log: debug, info, warning, error or critical.
        loglevel: LogLevel = LogLevel::INFO, ["--log-level"], "LEVEL", Reload;

        /// The class of the log that hooks write to, as `module.Class`.
        ///
        /// Derived from gunicorn.glogging.Logger. It is made before the application is
        /// loaded, and may change the handlers of `gunicorn.error`. Neither the server's own
        /// records nor the access log pass through it: its `access` is not called.
        logger_class: LoggerClass = LoggerClass::gunicorns(), ["--logger-class"], "CLASS", Reload,
            example r#""shop.logs.Logger""#;

        /// A file for Python's `logging`, as `logging.config.fileConfig` reads it.
        ///
        /// Before the application is loaded, in the processes that run Python. Neither the
        /// server's own records nor the access log pass through it. Relative paths start
        /// from `chdir`.
        logconfig: Option<Directory> = None, ["--log-config"], "FILE", Reload,
            otherwise "none", example r#""/srv/shop/logging.ini""#;

        /// The same as JSON, for `logging.config.dictConfig`.
        ///
        /// Stronger than `logconfig`. What it leaves out is as Gunicorn has it. In a
        /// `gunicorn.conf.py`, `logconfig_dict` is stronger still.
        logconfig_json: Option<Directory> = None, ["--log-config-json"], "FILE", Reload,
            otherwise "none", example r#""/srv/shop/logging.json""#;

        /// A file for the server's own log; `-` = standard error, or the journal.
        ///
        /// A line has time, pid and level. Relative paths start from `chdir`. USR1 and
        /// reloads open the file anew. What the application prints goes there with
        /// `capture_output` alone. Under systemd, the journal still has the errors. What the
        /// file does not take goes where it went without a file, and is counted.
        errorlog: ErrorLog = ErrorLog::Standard,
            ["--error-logfile", "--log-file"], "FILE", Reload;

        /// Write what the application prints to `errorlog`, too.
        ///
        /// To its standard output and error. Without `errorlog` it is in the journal
        /// anyway, or in the terminal.
        capture_output: bool = false, ["--capture-output"], "", Reload;

        /// Where a line for each request goes: a file, `-`, or `journal`.
        ///
        /// `-` is standard output, or the journal if the server's log goes there. In
        /// the journal, a record has fields: `journalctl HTTP_STATUS=500`. Relative
        /// paths start from `chdir`. USR1 and reloads open a file anew. Workers never
        /// wait for it: what cannot be written is dropped, counted and reported. Requests
        /// for `health_path` are left out.
        accesslog: Option<AccessLog> = None, ["--access-logfile"], "FILE", Reload,
            otherwise "none", example r#""-""#;

        /// What a line of the access log looks like.
        ///
        /// `%(h)s` address of the client, `%(u)s` user of basic authorization, `%(t)s` time,
        /// `%(r)s` request line, `%(m)s` method, `%(U)s` path, `%(q)s` query, `%(H)s`
        /// protocol, `%(s)s` status, `%(b)s` or `%(B)s` bytes of the body that were sent,
        /// `%(f)s` referer, `%(a)s` user agent, `%(T)s` `%(M)s` `%(D)s` duration in seconds,
        /// milliseconds, microseconds, `%(L)s` in seconds with decimals, `%(p)s` pid,
        /// `%(l)s` a dash, `%({name}i)s` header of the request, `%({name}o)s` of the
        /// response, `%({name}e)s` variable of the environ. What is missing is `-`. The
        /// duration is from the complete request to the end of the response.
        access_log_format: AccessLogFormat = AccessLogFormat::combined(),
            ["--access-logformat"], "FORMAT", Reload;

        /// Which requests the access log has: `all`, `errors`, `slow:MS`, `1/N`.
        ///
        /// `errors` are those with a status of 400 or more, and responses that were broken
        /// off; `slow:500` those of 500 ms and more; `1/100` each hundredth of a worker.
        /// Of several, separated by commas, one has to be true.
        access_log_filter: AccessLogFilter = AccessLogFilter::all(),
            ["--access-log-filter"], "CONDITIONS", Reload;

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

        /// Send the files of `wsgi.file_wrapper` with sendfile(2).
        ///
        /// The flag turns it off: files are read block by block then, as they may
        /// have to be on some file systems. The variable SENDFILE turns it off,
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
        initgroups: bool = false, ["--initgroups"], "", DaemonReload;

        /// The unix socket that rgunicornctl connects to.
        control_socket: Option<Directory> = None, ["--control-socket"], "PATH", Restart,
            otherwise "$RUNTIME_DIRECTORY/control under systemd, else one in $XDG_RUNTIME_DIR/rgunicorn",
            example r#""/run/rgunicorn/shop/control""#;

        /// The folder with the worker's Python files and extension module.
        worker_dir: Option<Directory> = None, ["--worker-dir"], "DIRECTORY", Reload,
            otherwise "next to the program, /usr/lib/rgunicorn/VERSION/worker, or where pip has put it",
            example r#""/opt/rgunicorn/worker""#;
    }

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
