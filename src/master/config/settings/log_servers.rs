//! Settings: syslog and StatsD.

macro_rules! rows {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => { $next! { [$($rest),*] $($before)*
    Server {
        /// Send the server's own log and the access log to syslog, too.
        ///
        /// Records are as Gunicorn sends them: `gunicorn.PREFIX.error: [PID] TEXT`, and
        /// `gunicorn.PREFIX.access` for requests, which need no `accesslog` for that. Nothing
        /// waits for syslog: what it does not take is dropped, counted and reported.
        syslog: bool = false, ["--log-syslog"], "", Reload;

        /// Where syslog listens.
        ///
        /// `udp://HOST:PORT`, `tcp://HOST:PORT`, or `unix://PATH` for a unix socket, which
        /// may be one for datagrams or a stream; with `#dgram` behind the path only the
        /// former. One that cannot be reached is tried again each second.
        syslog_addr: SyslogAddress = SyslogAddress::local(), ["--log-syslog-to"], "ADDRESS", Reload;

        /// The name of the site in syslog: PREFIX in `gunicorn.PREFIX.error`.
        syslog_prefix: Option<RecordText> = None, ["--log-syslog-prefix"], "PREFIX", Reload,
            otherwise "proc_name, or the name of the application", example r#""shop""#;

        /// The facility of records in syslog, such as `daemon` or `local0`.
        syslog_facility: SyslogFacility = SyslogFacility::user(),
            ["--log-syslog-facility"], "FACILITY", Reload;

        /// Do not send the access log to syslog.
        disable_redirect_access_to_syslog: bool = false,
            ["--disable-redirect-access-to-syslog"], "", Reload;

        /// Where StatsD listens: `HOST:PORT` (8125 if left out) or `unix://PATH`.
        ///
        /// It is sent what Gunicorn sends: `gunicorn.requests`, `gunicorn.request.duration`,
        /// `gunicorn.request.status.200` and so on for each request, `gunicorn.workers`, and
        /// `gunicorn.log.error` and `gunicorn.log.warning` for each such record of the
        /// server's own log, one datagram each. Nothing waits for it: what cannot be sent is dropped,
        /// counted and reported. For Prometheus, see rgunicorn-metrics(8).
        statsd_host: StatsdHost = StatsdHost::NONE, ["--statsd-host"], "ADDRESS", Reload,
            otherwise "none", example r#""localhost:8125""#;

        /// What the names of metrics for StatsD begin with; a dot follows.
        statsd_prefix: RecordText = RecordText::default(), ["--statsd-prefix"], "PREFIX", Reload;

        /// Tags that each metric has in the form of DogStatsD, as `env:prod,site:shop`.
        dogstatsd_tags: RecordText = RecordText::default(), ["--dogstatsd-tags"], "TAGS", Reload;

        /// Tell StatsD each second how many connections wait to be accepted.
        ///
        /// As `gunicorn.backlog`: at all TCP sockets together.
        enable_backlog_metric: bool = false, ["--enable-backlog-metric"], "", Reload;
    }
    }};
}

pub(super) use rows;
