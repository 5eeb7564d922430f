//! What Gunicorn 27 has: the names of its settings, their flags and defaults. What
//! becomes of each here is in `support.rs`.

use super::value::Takes;

/// A setting of Gunicorn.
#[derive(Debug)]
pub struct Theirs {
    pub key: &'static str,
    pub flags: &'static [&'static str],
    pub takes: Takes,
    /// In TOML; empty where it is None, a hook, or computed.
    pub default: &'static str,
}

impl Theirs {
    pub(super) fn by_key(key: &str) -> Option<&'static Self> {
        THEIRS.iter().find(|theirs| theirs.key == key)
    }

    pub(super) fn by_flag(flag: &str) -> Option<&'static Self> {
        THEIRS.iter().find(|theirs| theirs.flags.contains(&flag))
    }

    /// The first long one.
    pub(crate) fn long_flag(&self) -> &'static str {
        let mut flags = self.flags.iter();
        flags
            .find(|flag| flag.starts_with("--"))
            .map_or("", |flag| flag)
    }

    /// The only flag that begins with `start` and goes on.
    pub(crate) fn by_start_of_flag(start: &str) -> Option<&'static str> {
        let mut flags = THEIRS.iter().flat_map(|theirs| theirs.flags);
        if flags.clone().any(|flag| *flag == start) {
            return None;
        }
        let mut found = flags.by_ref().filter(|flag| flag.starts_with(start));
        match (found.next(), found.next()) {
            (Some(flag), None) => Some(flag),
            _ => None,
        }
    }

    pub(super) fn default_value(&self) -> Option<toml::Value> {
        let line = format!("value = {}", self.default);
        line.parse::<toml::Table>().ok()?.remove("value")
    }
}

const fn row(
    key: &'static str,
    flags: &'static [&'static str],
    takes: Takes,
    default: &'static str,
) -> Theirs {
    Theirs {
        key,
        flags,
        takes,
        default,
    }
}

const SWITCH: Takes = Takes::Nothing;
const ONE: Takes = Takes::One;
const MANY: Takes = Takes::Many;

/// In the order in which Gunicorn documents them.
pub static THEIRS: &[Theirs] = &[
    row("config", &["-c", "--config"], ONE, ""),
    row("wsgi_app", &[], ONE, ""),
    row("bind", &["-b", "--bind"], MANY, ""),
    row("backlog", &["--backlog"], ONE, "2048"),
    row("workers", &["-w", "--workers"], ONE, "1"),
    row("worker_class", &["-k", "--worker-class"], ONE, r#""sync""#),
    row("threads", &["--threads"], ONE, "1"),
    row("worker_connections", &["--worker-connections"], ONE, "1000"),
    row("max_requests", &["--max-requests"], ONE, "0"),
    row("max_requests_jitter", &["--max-requests-jitter"], ONE, "0"),
    row("timeout", &["-t", "--timeout"], ONE, "30"),
    row("graceful_timeout", &["--graceful-timeout"], ONE, "30"),
    row("keepalive", &["--keep-alive"], ONE, "2"),
    row("limit_request_line", &["--limit-request-line"], ONE, "4094"),
    row(
        "limit_request_fields",
        &["--limit-request-fields"],
        ONE,
        "100",
    ),
    row(
        "limit_request_field_size",
        &["--limit-request-field_size"],
        ONE,
        "8190",
    ),
    row("reload", &["--reload"], SWITCH, "false"),
    row("reload_engine", &["--reload-engine"], ONE, r#""auto""#),
    row("reload_extra_files", &["--reload-extra-file"], MANY, "[]"),
    row("spew", &["--spew"], SWITCH, "false"),
    row("check_config", &["--check-config"], SWITCH, "false"),
    row("print_config", &["--print-config"], SWITCH, "false"),
    row("preload_app", &["--preload"], SWITCH, "false"),
    row("sendfile", &["--no-sendfile"], SWITCH, ""),
    row("reuse_port", &["--reuse-port"], SWITCH, "false"),
    row("chdir", &["--chdir"], ONE, ""),
    row("daemon", &["-D", "--daemon"], SWITCH, "false"),
    row("raw_env", &["-e", "--env"], MANY, "[]"),
    row("pidfile", &["-p", "--pid"], ONE, ""),
    row("worker_tmp_dir", &["--worker-tmp-dir"], ONE, ""),
    row("user", &["-u", "--user"], ONE, ""),
    row("group", &["-g", "--group"], ONE, ""),
    row("umask", &["-m", "--umask"], ONE, "0"),
    row("initgroups", &["--initgroups"], SWITCH, "false"),
    row("tmp_upload_dir", &[], ONE, ""),
    row("secure_scheme_headers", &[], ONE, ""),
    row("forwarded_allow_ips", &["--forwarded-allow-ips"], ONE, ""),
    row("accesslog", &["--access-logfile"], ONE, ""),
    row(
        "disable_redirect_access_to_syslog",
        &["--disable-redirect-access-to-syslog"],
        SWITCH,
        "false",
    ),
    row(
        "access_log_format",
        &["--access-logformat"],
        ONE,
        r#""%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"""#,
    ),
    row(
        "errorlog",
        &["--error-logfile", "--log-file"],
        ONE,
        r#""-""#,
    ),
    row("loglevel", &["--log-level"], ONE, r#""info""#),
    row("capture_output", &["--capture-output"], SWITCH, "false"),
    row(
        "logger_class",
        &["--logger-class"],
        ONE,
        r#""gunicorn.glogging.Logger""#,
    ),
    row("logconfig", &["--log-config"], ONE, ""),
    row("logconfig_dict", &[], ONE, "{}"),
    row("logconfig_json", &["--log-config-json"], ONE, ""),
    row(
        "syslog_addr",
        &["--log-syslog-to"],
        ONE,
        r#""udp://localhost:514""#,
    ),
    row("syslog", &["--log-syslog"], SWITCH, "false"),
    row("syslog_prefix", &["--log-syslog-prefix"], ONE, ""),
    row(
        "syslog_facility",
        &["--log-syslog-facility"],
        ONE,
        r#""user""#,
    ),
    row(
        "enable_stdio_inheritance",
        &["-R", "--enable-stdio-inheritance"],
        SWITCH,
        "false",
    ),
    row("statsd_host", &["--statsd-host"], ONE, ""),
    row("dogstatsd_tags", &["--dogstatsd-tags"], ONE, ""),
    row("statsd_prefix", &["--statsd-prefix"], ONE, ""),
    row(
        "enable_backlog_metric",
        &["--enable-backlog-metric"],
        SWITCH,
        "false",
    ),
    row("proc_name", &["-n", "--name"], ONE, ""),
    row("default_proc_name", &[], ONE, r#""gunicorn""#),
    row("pythonpath", &["--pythonpath"], ONE, ""),
    row("paste", &["--paste", "--paster"], ONE, ""),
    row("on_starting", &[], ONE, ""),
    row("on_reload", &[], ONE, ""),
    row("when_ready", &[], ONE, ""),
    row("pre_fork", &[], ONE, ""),
    row("post_fork", &[], ONE, ""),
    row("post_worker_init", &[], ONE, ""),
    row("worker_int", &[], ONE, ""),
    row("worker_abort", &[], ONE, ""),
    row("pre_exec", &[], ONE, ""),
    row("pre_request", &[], ONE, ""),
    row("post_request", &[], ONE, ""),
    row("child_exit", &[], ONE, ""),
    row("worker_exit", &[], ONE, ""),
    row("nworkers_changed", &[], ONE, ""),
    row("on_exit", &[], ONE, ""),
    row("ssl_context", &[], ONE, ""),
    row("proxy_protocol", &["--proxy-protocol"], ONE, r#""off""#),
    row(
        "proxy_allow_ips",
        &["--proxy-allow-from"],
        ONE,
        r#""127.0.0.1,::1""#,
    ),
    row("protocol", &["--protocol"], ONE, r#""http""#),
    row(
        "uwsgi_allow_ips",
        &["--uwsgi-allow-from"],
        ONE,
        r#""127.0.0.1,::1""#,
    ),
    row("keyfile", &["--keyfile"], ONE, ""),
    row("certfile", &["--certfile"], ONE, ""),
    row("ssl_version", &["--ssl-version"], ONE, ""),
    row("cert_reqs", &["--cert-reqs"], ONE, "0"),
    row("ca_certs", &["--ca-certs"], ONE, ""),
    row(
        "suppress_ragged_eofs",
        &["--suppress-ragged-eofs"],
        SWITCH,
        "true",
    ),
    row(
        "do_handshake_on_connect",
        &["--do-handshake-on-connect"],
        SWITCH,
        "false",
    ),
    row("ciphers", &["--ciphers"], ONE, ""),
    row("http_protocols", &["--http-protocols"], ONE, r#""h1""#),
    row("http2_cleartext", &["--http2-cleartext"], ONE, r#""off""#),
    row(
        "http2_max_concurrent_streams",
        &["--http2-max-concurrent-streams"],
        ONE,
        "100",
    ),
    row(
        "http2_initial_window_size",
        &["--http2-initial-window-size"],
        ONE,
        "65535",
    ),
    row(
        "http2_max_frame_size",
        &["--http2-max-frame-size"],
        ONE,
        "16384",
    ),
    row(
        "http2_max_header_list_size",
        &["--http2-max-header-list-size"],
        ONE,
        "65536",
    ),
    row("raw_paste_global_conf", &["--paste-global"], MANY, "[]"),
    row(
        "permit_obsolete_folding",
        &["--permit-obsolete-folding"],
        SWITCH,
        "false",
    ),
    row(
        "strip_header_spaces",
        &["--strip-header-spaces"],
        SWITCH,
        "false",
    ),
    row(
        "permit_unconventional_http_method",
        &["--permit-unconventional-http-method"],
        SWITCH,
        "false",
    ),
    row(
        "permit_unconventional_http_version",
        &["--permit-unconventional-http-version"],
        SWITCH,
        "false",
    ),
    row(
        "casefold_http_method",
        &["--casefold-http-method"],
        SWITCH,
        "false",
    ),
    row(
        "forwarder_headers",
        &["--forwarder-headers"],
        ONE,
        r#""SCRIPT_NAME,PATH_INFO""#,
    ),
    row("header_map", &["--header-map"], ONE, r#""drop""#),
    row("asgi_loop", &["--asgi-loop"], ONE, r#""auto""#),
    row("asgi_lifespan", &["--asgi-lifespan"], ONE, r#""auto""#),
    row(
        "asgi_disconnect_grace_period",
        &["--asgi-disconnect-grace-period"],
        ONE,
        "3",
    ),
    row(
        "websocket_max_message_size",
        &["--websocket-max-message-size"],
        ONE,
        "16777216",
    ),
    row("http_parser", &["--http-parser"], ONE, r#""auto""#),
    row("root_path", &["--root-path"], ONE, ""),
    row("dirty_apps", &["--dirty-app"], MANY, "[]"),
    row("dirty_workers", &["--dirty-workers"], ONE, "0"),
    row("dirty_timeout", &["--dirty-timeout"], ONE, "300"),
    row("dirty_threads", &["--dirty-threads"], ONE, "1"),
    row(
        "dirty_graceful_timeout",
        &["--dirty-graceful-timeout"],
        ONE,
        "30",
    ),
    row("on_dirty_starting", &[], ONE, ""),
    row("dirty_post_fork", &[], ONE, ""),
    row("dirty_worker_init", &[], ONE, ""),
    row("dirty_worker_exit", &[], ONE, ""),
    row("control_socket", &["--control-socket"], ONE, ""),
    row(
        "control_socket_mode",
        &["--control-socket-mode"],
        ONE,
        "0o600",
    ),
    row(
        "control_socket_disable",
        &["--no-control-socket"],
        SWITCH,
        "false",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::path::Path;

    /// The value in Python.
    fn in_python(value: &toml::Value) -> String {
        match value {
            toml::Value::Boolean(true) => "True".to_owned(),
            toml::Value::Boolean(false) => "False".to_owned(),
            other => other.to_string(),
        }
    }

    fn python_table() -> String {
        let rows = THEIRS.iter().map(|theirs| {
            let flags = theirs.flags.iter().map(|flag| format!("\"{flag}\","));
            let flags: Vec<_> = flags.collect();
            let takes = match theirs.takes {
                Takes::Nothing => "None",
                Takes::One | Takes::OneOrNothing(_) => "\"one\"",
                Takes::Many => "\"many\"",
            };
            let default = theirs.default_value();
            let default = default.map_or_else(|| "None".to_owned(), |value| in_python(&value));
            let flags = flags.join(" ");
            let key = theirs.key;
            format!("    (\"{key}\", ({flags}), {takes}, {default}),\n")
        });
        format!("SETTINGS = (\n{})\n", rows.collect::<String>())
    }

    #[test]
    fn scripts_in_python_see_the_same_gunicorn_settings() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join("src/worker/python/rgunicorn/gunicorn_settings.py");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once("# table\n").unwrap();
        let (_, after) = rest.split_once("# end of the table\n").unwrap();

        let table = python_table();
        let expected = format!("{before}# table\n{table}# end of the table\n{after}");
        if env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }

        assert!(expected == text || env::var_os("UPDATE").is_some());
    }
}
