//! Settings: the server's log and the access log.

macro_rules! rows {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => { $next! { [$($rest),*] $($before)*
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
    }
    }};
}

pub(super) use rows;
