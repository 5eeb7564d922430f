//! Names that are not settings, but nearly: misspelled ones, and Gunicorn's.

use super::settings::{SETTINGS, Setting};

/// Settings of Gunicorn that go by another name here.
const RENAMED: &[(&str, &str)] = &[
    ("wsgi_app", "app"),
    ("preload_app", "preload"),
    ("raw_env", "env"),
    ("limit_request_field", "limit_request_fields"),
];

/// Settings of Gunicorn that rgunicorn does not have: key, flags.
const NOT_SUPPORTED: &[(&str, &[&str])] = &[
    ("access_log_format", &["--access-logformat"]),
    ("accesslog", &["--access-logfile"]),
    (
        "asgi_disconnect_grace_period",
        &["--asgi-disconnect-grace-period"],
    ),
    ("asgi_lifespan", &["--asgi-lifespan"]),
    ("asgi_loop", &["--asgi-loop"]),
    ("ca_certs", &["--ca-certs"]),
    ("capture_output", &["--capture-output"]),
    ("casefold_http_method", &["--casefold-http-method"]),
    ("cert_reqs", &["--cert-reqs"]),
    ("certfile", &["--certfile"]),
    ("child_exit", &[]),
    ("ciphers", &["--ciphers"]),
    ("control_socket_disable", &["--no-control-socket"]),
    ("control_socket_mode", &["--control-socket-mode"]),
    ("daemon", &["-D", "--daemon"]),
    ("default_proc_name", &[]),
    ("dirty_apps", &["--dirty-app"]),
    ("dirty_graceful_timeout", &["--dirty-graceful-timeout"]),
    ("dirty_post_fork", &[]),
    ("dirty_threads", &["--dirty-threads"]),
    ("dirty_timeout", &["--dirty-timeout"]),
    ("dirty_worker_exit", &[]),
    ("dirty_worker_init", &[]),
    ("dirty_workers", &["--dirty-workers"]),
    (
        "disable_redirect_access_to_syslog",
        &["--disable-redirect-access-to-syslog"],
    ),
    ("do_handshake_on_connect", &["--do-handshake-on-connect"]),
    ("dogstatsd_tags", &["--dogstatsd-tags"]),
    ("enable_backlog_metric", &["--enable-backlog-metric"]),
    (
        "enable_stdio_inheritance",
        &["-R", "--enable-stdio-inheritance"],
    ),
    ("errorlog", &["--error-logfile", "--log-file"]),
    ("forwarder_headers", &["--forwarder-headers"]),
    ("group", &["-g", "--group"]),
    ("header_map", &["--header-map"]),
    ("http2_cleartext", &["--http2-cleartext"]),
    (
        "http2_initial_window_size",
        &["--http2-initial-window-size"],
    ),
    (
        "http2_max_concurrent_streams",
        &["--http2-max-concurrent-streams"],
    ),
    ("http2_max_frame_size", &["--http2-max-frame-size"]),
    (
        "http2_max_header_list_size",
        &["--http2-max-header-list-size"],
    ),
    ("http_parser", &["--http-parser"]),
    ("http_protocols", &["--http-protocols"]),
    ("initgroups", &["--initgroups"]),
    ("keyfile", &["--keyfile"]),
    ("logconfig", &["--log-config"]),
    ("logconfig_dict", &[]),
    ("logconfig_json", &["--log-config-json"]),
    ("logger_class", &["--logger-class"]),
    ("max_requests", &["--max-requests"]),
    ("max_requests_jitter", &["--max-requests-jitter"]),
    ("nworkers_changed", &[]),
    ("on_dirty_starting", &[]),
    ("on_exit", &[]),
    ("on_reload", &[]),
    ("on_starting", &[]),
    ("paste", &["--paste", "--paster"]),
    ("permit_obsolete_folding", &["--permit-obsolete-folding"]),
    (
        "permit_unconventional_http_method",
        &["--permit-unconventional-http-method"],
    ),
    (
        "permit_unconventional_http_version",
        &["--permit-unconventional-http-version"],
    ),
    ("pidfile", &["-p", "--pid"]),
    ("post_fork", &[]),
    ("post_request", &[]),
    ("post_worker_init", &[]),
    ("pre_exec", &[]),
    ("pre_fork", &[]),
    ("pre_request", &[]),
    ("protocol", &["--protocol"]),
    ("proxy_allow_ips", &["--proxy-allow-from"]),
    ("proxy_protocol", &["--proxy-protocol"]),
    ("raw_paste_global_conf", &["--paste-global"]),
    ("reload", &["--reload"]),
    ("reload_engine", &["--reload-engine"]),
    ("reload_extra_files", &["--reload-extra-file"]),
    ("reuse_port", &["--reuse-port"]),
    ("root_path", &["--root-path"]),
    ("secure_scheme_headers", &[]),
    ("sendfile", &["--no-sendfile"]),
    ("spew", &["--spew"]),
    ("ssl_context", &[]),
    ("ssl_version", &["--ssl-version"]),
    ("statsd_host", &["--statsd-host"]),
    ("statsd_prefix", &["--statsd-prefix"]),
    ("strip_header_spaces", &["--strip-header-spaces"]),
    ("suppress_ragged_eofs", &["--suppress-ragged-eofs"]),
    ("syslog", &["--log-syslog"]),
    ("syslog_addr", &["--log-syslog-to"]),
    ("syslog_facility", &["--log-syslog-facility"]),
    ("syslog_prefix", &["--log-syslog-prefix"]),
    ("threads", &["--threads"]),
    ("tmp_upload_dir", &[]),
    ("umask", &["-m", "--umask"]),
    ("user", &["-u", "--user"]),
    ("uwsgi_allow_ips", &["--uwsgi-allow-from"]),
    (
        "websocket_max_message_size",
        &["--websocket-max-message-size"],
    ),
    ("when_ready", &[]),
    ("worker_abort", &[]),
    ("worker_class", &["-k", "--worker-class"]),
    ("worker_exit", &[]),
    ("worker_int", &[]),
    ("worker_tmp_dir", &["--worker-tmp-dir"]),
];

/// How like two names have to be for one to be meant by the other.
const ALIKE: f64 = 0.8;

/// What to say of a key that is no setting.
pub(super) fn unknown_key(key: &str) -> String {
    if let Some((_, name)) = RENAMED.iter().find(|(theirs, _)| *theirs == key) {
        return format!("unknown setting {key:?}; did you mean {name:?}?");
    }
    if NOT_SUPPORTED.iter().any(|(theirs, _)| *theirs == key) {
        return format!("Gunicorn's setting {key:?} is not supported yet; remove it");
    }
    let ours = SETTINGS.iter().map(|setting| setting.key);
    let theirs = NOT_SUPPORTED.iter().map(|(theirs, _)| *theirs);
    match nearest(key, theirs.chain(ours)) {
        Some(name) if Setting::find(name).is_some() => {
            format!("unknown setting {key:?}; did you mean {name:?}?")
        }
        Some(name) => {
            format!("unknown setting {key:?}; Gunicorn's {name:?} is not supported yet; remove it")
        }
        None => format!("unknown setting {key:?}; see rgunicorn.toml(5) for those there are"),
    }
}

/// What to say of a table that is no setting.
pub(super) fn unknown_table(key: &str) -> String {
    let key = key.escape_debug();
    match nearest(&key.to_string(), ["env"].into_iter()) {
        Some(_) => format!("unknown table [{key}]; did you mean [env]?"),
        None => format!("unknown table [{key}]: remove this line, settings need no heading"),
    }
}

/// What to say of a flag that is no option.
pub(crate) fn unknown_flag(flag: &str) -> String {
    let is_theirs = |(_, flags): &&(&str, &[&str])| flags.contains(&flag);
    if NOT_SUPPORTED.iter().any(|row| is_theirs(&row)) {
        return format!("Gunicorn's option {flag} is not supported yet; leave it out");
    }
    let ours: Vec<&str> = SETTINGS
        .iter()
        .flat_map(|setting| setting.long_flags().take(1))
        .chain([
            "--config",
            "--check-config",
            "--print-config",
            "--help",
            "--version",
        ])
        .collect();
    let begin_so: Vec<&str> = ours
        .iter()
        .copied()
        .filter(|name| name.starts_with(flag))
        .collect();
    if begin_so.len() > 1 {
        return format!("{flag} may be {}: write more of it", begin_so.join(", "));
    }
    match nearest(flag, ours.into_iter()) {
        Some(name) => format!("unknown option {flag}; did you mean {name}?"),
        None => format!("unknown option {flag}; --help lists those there are"),
    }
}

fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let name = plain(name);
    names
        .map(|candidate| (strsim::jaro_winkler(&name, &plain(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_key_brings_the_nearest_to_mind() {
        for (key, says) in [
            (
                "wokers",
                r#"unknown setting "wokers"; did you mean "workers"?"#,
            ),
            (
                "limit-request-line",
                r#"unknown setting "limit-request-line"; did you mean "limit_request_line"?"#,
            ),
            (
                "loglever",
                r#"unknown setting "loglever"; did you mean "loglevel"?"#,
            ),
            (
                "preload_app",
                r#"unknown setting "preload_app"; did you mean "preload"?"#,
            ),
            (
                "wsgi_app",
                r#"unknown setting "wsgi_app"; did you mean "app"?"#,
            ),
            (
                "threads",
                r#"Gunicorn's setting "threads" is not supported yet; remove it"#,
            ),
            (
                "worker_clas",
                r#"unknown setting "worker_clas"; Gunicorn's "worker_class" is not supported yet; remove it"#,
            ),
            (
                "zzz",
                r#"unknown setting "zzz"; see rgunicorn.toml(5) for those there are"#,
            ),
            (
                "a\nb",
                r#"unknown setting "a\nb"; see rgunicorn.toml(5) for those there are"#,
            ),
        ] {
            assert_eq!(unknown_key(key), says);
        }
    }

    #[test]
    fn a_misspelled_flag_brings_the_nearest_to_mind() {
        for (flag, says) in [
            (
                "--wokers",
                "unknown option --wokers; did you mean --workers?",
            ),
            (
                "--loglevel",
                "unknown option --loglevel; did you mean --log-level?",
            ),
            (
                "-k",
                "Gunicorn's option -k is not supported yet; leave it out",
            ),
            (
                "--reload",
                "Gunicorn's option --reload is not supported yet; leave it out",
            ),
            (
                "--worker",
                "--worker may be --workers, --worker-connections, --worker-dir: write more of it",
            ),
            (
                "--zzz",
                "unknown option --zzz; --help lists those there are",
            ),
        ] {
            assert_eq!(unknown_flag(flag), says);
        }
    }

    #[test]
    fn no_setting_is_called_unsupported() {
        for setting in SETTINGS {
            assert!(
                !NOT_SUPPORTED.iter().any(|(key, _)| *key == setting.key),
                "{}",
                setting.key
            );
            for flag in setting.flags {
                assert!(
                    !NOT_SUPPORTED.iter().any(|(_, flags)| flags.contains(flag)),
                    "{flag}"
                );
            }
        }
        for (theirs, ours) in RENAMED {
            assert!(Setting::find(theirs).is_none() && Setting::find(ours).is_some());
        }
    }
}
