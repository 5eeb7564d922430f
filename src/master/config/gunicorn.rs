//! Gunicorn settings that rgunicorn does not have, and what to use instead.

/// Gunicorn's settings that go by another name here.
pub const RENAMED: &[(&str, &str)] = &[
    ("wsgi_app", "app"),
    ("preload_app", "preload"),
    ("raw_env", "env"),
    ("limit_request_field", "limit_request_fields"),
    ("default_proc_name", "proc_name"),
];

/// A setting of Gunicorn that rgunicorn does not have.
#[derive(Debug)]
pub struct Unsupported {
    /// Empty where only the flags are not supported.
    pub key: &'static str,
    pub flags: &'static [&'static str],
    /// What does the same here, or why it is not needed; empty where nothing does.
    pub instead: &'static str,
}

impl Unsupported {
    pub(super) fn by_key(key: &str) -> Option<&'static Self> {
        UNSUPPORTED
            .iter()
            .find(|setting| !key.is_empty() && setting.key == key)
    }

    pub(super) fn by_flag(flag: &str) -> Option<&'static Self> {
        UNSUPPORTED
            .iter()
            .find(|setting| setting.flags.contains(&flag))
    }

    /// What follows the setting's or the flag's name in a message.
    pub(super) fn advice(&self) -> String {
        match self.instead {
            "" => "is not supported yet; remove it".to_owned(),
            instead => format!("is not supported; {instead}"),
        }
    }
}

const fn row(
    key: &'static str,
    flags: &'static [&'static str],
    instead: &'static str,
) -> Unsupported {
    Unsupported {
        key,
        flags,
        instead,
    }
}

const NOTHING: &str = "";
const LOG: &str = "the log goes to the journal, or outside systemd to standard error";
const OUTPUT: &str = "what the application prints is always in the log";
const RELOAD: &str = "after a change, run `systemctl reload` or send SIGHUP";
const TLS: &str = "let a proxy in front terminate TLS";

pub static UNSUPPORTED: &[Unsupported] = &[
    row("access_log_format", &["--access-logformat"], NOTHING),
    row("accesslog", &["--access-logfile"], NOTHING),
    row(
        "asgi_disconnect_grace_period",
        &["--asgi-disconnect-grace-period"],
        NOTHING,
    ),
    row("asgi_lifespan", &["--asgi-lifespan"], NOTHING),
    row("asgi_loop", &["--asgi-loop"], NOTHING),
    row("ca_certs", &["--ca-certs"], TLS),
    row("capture_output", &["--capture-output"], OUTPUT),
    row("casefold_http_method", &["--casefold-http-method"], NOTHING),
    row("cert_reqs", &["--cert-reqs"], TLS),
    row("certfile", &["--certfile"], TLS),
    row("child_exit", &[], NOTHING),
    row("ciphers", &["--ciphers"], TLS),
    row(
        "control_socket_disable",
        &["--no-control-socket"],
        "there is a control socket only in systemd's RuntimeDirectory= and where `control_socket` says",
    ),
    row(
        "control_socket_mode",
        &["--control-socket-mode"],
        "only the user of the server and root can use the control socket",
    ),
    row(
        "daemon",
        &["-D", "--daemon"],
        "systemd runs a service in the background",
    ),
    row("dirty_apps", &["--dirty-app"], NOTHING),
    row(
        "dirty_graceful_timeout",
        &["--dirty-graceful-timeout"],
        NOTHING,
    ),
    row("dirty_post_fork", &[], NOTHING),
    row("dirty_threads", &["--dirty-threads"], NOTHING),
    row("dirty_timeout", &["--dirty-timeout"], NOTHING),
    row("dirty_worker_exit", &[], NOTHING),
    row("dirty_worker_init", &[], NOTHING),
    row("dirty_workers", &["--dirty-workers"], NOTHING),
    row(
        "disable_redirect_access_to_syslog",
        &["--disable-redirect-access-to-syslog"],
        NOTHING,
    ),
    row(
        "do_handshake_on_connect",
        &["--do-handshake-on-connect"],
        TLS,
    ),
    row("dogstatsd_tags", &["--dogstatsd-tags"], NOTHING),
    row(
        "enable_backlog_metric",
        &["--enable-backlog-metric"],
        NOTHING,
    ),
    row(
        "enable_stdio_inheritance",
        &["-R", "--enable-stdio-inheritance"],
        OUTPUT,
    ),
    row("errorlog", &["--error-logfile", "--log-file"], LOG),
    row("forwarder_headers", &["--forwarder-headers"], NOTHING),
    row(
        "",
        &["-g", "--group"],
        "write `group` in /etc/rgunicorn/NAME.toml of a site that systemd runs, or start it with `runuser -g`",
    ),
    row("header_map", &["--header-map"], NOTHING),
    row("http2_cleartext", &["--http2-cleartext"], NOTHING),
    row(
        "http2_initial_window_size",
        &["--http2-initial-window-size"],
        NOTHING,
    ),
    row(
        "http2_max_concurrent_streams",
        &["--http2-max-concurrent-streams"],
        NOTHING,
    ),
    row("http2_max_frame_size", &["--http2-max-frame-size"], NOTHING),
    row(
        "http2_max_header_list_size",
        &["--http2-max-header-list-size"],
        NOTHING,
    ),
    row("http_parser", &["--http-parser"], NOTHING),
    row("http_protocols", &["--http-protocols"], NOTHING),
    row(
        "initgroups",
        &["--initgroups"],
        "systemd sets the groups of User=, and those of SupplementaryGroups=",
    ),
    row("keyfile", &["--keyfile"], TLS),
    row("logconfig", &["--log-config"], LOG),
    row("logconfig_dict", &[], LOG),
    row("logconfig_json", &["--log-config-json"], LOG),
    row("logger_class", &["--logger-class"], LOG),
    row("max_requests", &["--max-requests"], NOTHING),
    row("max_requests_jitter", &["--max-requests-jitter"], NOTHING),
    row("nworkers_changed", &[], NOTHING),
    row("on_dirty_starting", &[], NOTHING),
    row("on_exit", &[], NOTHING),
    row("on_reload", &[], NOTHING),
    row("on_starting", &[], NOTHING),
    row("paste", &["--paste", "--paster"], NOTHING),
    row(
        "permit_obsolete_folding",
        &["--permit-obsolete-folding"],
        NOTHING,
    ),
    row(
        "permit_unconventional_http_method",
        &["--permit-unconventional-http-method"],
        NOTHING,
    ),
    row(
        "permit_unconventional_http_version",
        &["--permit-unconventional-http-version"],
        NOTHING,
    ),
    row(
        "pidfile",
        &["-p", "--pid"],
        "`systemctl show --property=MainPID` prints the process id",
    ),
    row("post_fork", &[], NOTHING),
    row("post_request", &[], NOTHING),
    row("post_worker_init", &[], NOTHING),
    row("pre_exec", &[], NOTHING),
    row("pre_fork", &[], NOTHING),
    row("pre_request", &[], NOTHING),
    row("protocol", &["--protocol"], NOTHING),
    row("proxy_allow_ips", &["--proxy-allow-from"], NOTHING),
    row("proxy_protocol", &["--proxy-protocol"], NOTHING),
    row("raw_paste_global_conf", &["--paste-global"], NOTHING),
    row("reload", &["--reload"], RELOAD),
    row("reload_engine", &["--reload-engine"], RELOAD),
    row("reload_extra_files", &["--reload-extra-file"], RELOAD),
    row("reuse_port", &["--reuse-port"], NOTHING),
    row("root_path", &["--root-path"], NOTHING),
    row(
        "secure_scheme_headers",
        &[],
        "X-Forwarded-Proto: https, X-Forwarded-Protocol: ssl and X-Forwarded-Ssl: on are believed \
         from `forwarded_allow_ips`",
    ),
    row("sendfile", &["--no-sendfile"], NOTHING),
    row("spew", &["--spew"], NOTHING),
    row("ssl_context", &[], TLS),
    row("ssl_version", &["--ssl-version"], TLS),
    row("statsd_host", &["--statsd-host"], NOTHING),
    row("statsd_prefix", &["--statsd-prefix"], NOTHING),
    row("strip_header_spaces", &["--strip-header-spaces"], NOTHING),
    row("suppress_ragged_eofs", &["--suppress-ragged-eofs"], TLS),
    row("syslog", &["--log-syslog"], LOG),
    row("syslog_addr", &["--log-syslog-to"], LOG),
    row("syslog_facility", &["--log-syslog-facility"], LOG),
    row("syslog_prefix", &["--log-syslog-prefix"], LOG),
    row(
        "tmp_upload_dir",
        &[],
        "set TMPDIR in the environment of the server",
    ),
    row(
        "umask",
        &["-m", "--umask"],
        "set UMask= in the service unit",
    ),
    row(
        "",
        &["-u", "--user"],
        "write `user` in /etc/rgunicorn/NAME.toml of a site that systemd runs, or start it with `runuser -u`",
    ),
    row("uwsgi_allow_ips", &["--uwsgi-allow-from"], NOTHING),
    row(
        "websocket_max_message_size",
        &["--websocket-max-message-size"],
        NOTHING,
    ),
    row("when_ready", &[], NOTHING),
    row("worker_abort", &[], NOTHING),
    row("worker_exit", &[], NOTHING),
    row("worker_int", &[], NOTHING),
    row(
        "worker_tmp_dir",
        &["--worker-tmp-dir"],
        "heartbeats are in shared memory, not in files",
    ),
];
