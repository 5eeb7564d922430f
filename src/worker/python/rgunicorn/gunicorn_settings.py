"""Gunicorn's settings as a script sees them that has set none: the names, the defaults, the
flags."""

import os

# The name, the flags, what the flags take (a switch: None), and the default. Made from the
# table of the master, by `UPDATE=1 cargo test gunicorn_settings`.
# table
SETTINGS = (
    ("config", ("-c", "--config",), "one", None),
    ("wsgi_app", (), "one", None),
    ("bind", ("-b", "--bind",), "many", None),
    ("backlog", ("--backlog",), "one", 2048),
    ("workers", ("-w", "--workers",), "one", 1),
    ("worker_class", ("-k", "--worker-class",), "one", "sync"),
    ("threads", ("--threads",), "one", 1),
    ("worker_connections", ("--worker-connections",), "one", 1000),
    ("max_requests", ("--max-requests",), "one", 0),
    ("max_requests_jitter", ("--max-requests-jitter",), "one", 0),
    ("timeout", ("-t", "--timeout",), "one", 30),
    ("graceful_timeout", ("--graceful-timeout",), "one", 30),
    ("keepalive", ("--keep-alive",), "one", 2),
    ("limit_request_line", ("--limit-request-line",), "one", 4094),
    ("limit_request_fields", ("--limit-request-fields",), "one", 100),
    ("limit_request_field_size", ("--limit-request-field_size",), "one", 8190),
    ("reload", ("--reload",), None, False),
    ("reload_engine", ("--reload-engine",), "one", "auto"),
    ("reload_extra_files", ("--reload-extra-file",), "many", []),
    ("spew", ("--spew",), None, False),
    ("check_config", ("--check-config",), None, False),
    ("print_config", ("--print-config",), None, False),
    ("preload_app", ("--preload",), None, False),
    ("sendfile", ("--no-sendfile",), None, None),
    ("reuse_port", ("--reuse-port",), None, False),
    ("chdir", ("--chdir",), "one", None),
    ("daemon", ("-D", "--daemon",), None, False),
    ("raw_env", ("-e", "--env",), "many", []),
    ("pidfile", ("-p", "--pid",), "one", None),
    ("worker_tmp_dir", ("--worker-tmp-dir",), "one", None),
    ("user", ("-u", "--user",), "one", None),
    ("group", ("-g", "--group",), "one", None),
    ("umask", ("-m", "--umask",), "one", 0),
    ("initgroups", ("--initgroups",), None, False),
    ("tmp_upload_dir", (), "one", None),
    ("secure_scheme_headers", (), "one", None),
    ("forwarded_allow_ips", ("--forwarded-allow-ips",), "one", None),
    ("accesslog", ("--access-logfile",), "one", None),
    ("disable_redirect_access_to_syslog", ("--disable-redirect-access-to-syslog",), None, False),
    ("access_log_format", ("--access-logformat",), "one", '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'),
    ("errorlog", ("--error-logfile", "--log-file",), "one", "-"),
    ("loglevel", ("--log-level",), "one", "info"),
    ("capture_output", ("--capture-output",), None, False),
    ("logger_class", ("--logger-class",), "one", "gunicorn.glogging.Logger"),
    ("logconfig", ("--log-config",), "one", None),
    ("logconfig_dict", (), "one", {}),
    ("logconfig_json", ("--log-config-json",), "one", None),
    ("syslog_addr", ("--log-syslog-to",), "one", "udp://localhost:514"),
    ("syslog", ("--log-syslog",), None, False),
    ("syslog_prefix", ("--log-syslog-prefix",), "one", None),
    ("syslog_facility", ("--log-syslog-facility",), "one", "user"),
    ("enable_stdio_inheritance", ("-R", "--enable-stdio-inheritance",), None, False),
    ("statsd_host", ("--statsd-host",), "one", None),
    ("dogstatsd_tags", ("--dogstatsd-tags",), "one", None),
    ("statsd_prefix", ("--statsd-prefix",), "one", None),
    ("enable_backlog_metric", ("--enable-backlog-metric",), None, False),
    ("proc_name", ("-n", "--name",), "one", None),
    ("default_proc_name", (), "one", "gunicorn"),
    ("pythonpath", ("--pythonpath",), "one", None),
    ("paste", ("--paste", "--paster",), "one", None),
    ("on_starting", (), "one", None),
    ("on_reload", (), "one", None),
    ("when_ready", (), "one", None),
    ("pre_fork", (), "one", None),
    ("post_fork", (), "one", None),
    ("post_worker_init", (), "one", None),
    ("worker_int", (), "one", None),
    ("worker_abort", (), "one", None),
    ("pre_exec", (), "one", None),
    ("pre_request", (), "one", None),
    ("post_request", (), "one", None),
    ("child_exit", (), "one", None),
    ("worker_exit", (), "one", None),
    ("nworkers_changed", (), "one", None),
    ("on_exit", (), "one", None),
    ("ssl_context", (), "one", None),
    ("proxy_protocol", ("--proxy-protocol",), "one", "off"),
    ("proxy_allow_ips", ("--proxy-allow-from",), "one", "127.0.0.1,::1"),
    ("protocol", ("--protocol",), "one", "http"),
    ("uwsgi_allow_ips", ("--uwsgi-allow-from",), "one", "127.0.0.1,::1"),
    ("keyfile", ("--keyfile",), "one", None),
    ("certfile", ("--certfile",), "one", None),
    ("ssl_version", ("--ssl-version",), "one", None),
    ("cert_reqs", ("--cert-reqs",), "one", 0),
    ("ca_certs", ("--ca-certs",), "one", None),
    ("suppress_ragged_eofs", ("--suppress-ragged-eofs",), None, True),
    ("do_handshake_on_connect", ("--do-handshake-on-connect",), None, False),
    ("ciphers", ("--ciphers",), "one", None),
    ("http_protocols", ("--http-protocols",), "one", "h1"),
    ("http2_cleartext", ("--http2-cleartext",), "one", "off"),
    ("http2_max_concurrent_streams", ("--http2-max-concurrent-streams",), "one", 100),
    ("http2_initial_window_size", ("--http2-initial-window-size",), "one", 65535),
    ("http2_max_frame_size", ("--http2-max-frame-size",), "one", 16384),
    ("http2_max_header_list_size", ("--http2-max-header-list-size",), "one", 65536),
    ("raw_paste_global_conf", ("--paste-global",), "many", []),
    ("permit_obsolete_folding", ("--permit-obsolete-folding",), None, False),
    ("strip_header_spaces", ("--strip-header-spaces",), None, False),
    ("permit_unconventional_http_method", ("--permit-unconventional-http-method",), None, False),
    ("permit_unconventional_http_version", ("--permit-unconventional-http-version",), None, False),
    ("casefold_http_method", ("--casefold-http-method",), None, False),
    ("forwarder_headers", ("--forwarder-headers",), "one", "SCRIPT_NAME,PATH_INFO"),
    ("header_map", ("--header-map",), "one", "drop"),
    ("asgi_loop", ("--asgi-loop",), "one", "auto"),
    ("asgi_lifespan", ("--asgi-lifespan",), "one", "auto"),
    ("asgi_disconnect_grace_period", ("--asgi-disconnect-grace-period",), "one", 3),
    ("websocket_max_message_size", ("--websocket-max-message-size",), "one", 16777216),
    ("http_parser", ("--http-parser",), "one", "auto"),
    ("root_path", ("--root-path",), "one", None),
    ("dirty_apps", ("--dirty-app",), "many", []),
    ("dirty_workers", ("--dirty-workers",), "one", 0),
    ("dirty_timeout", ("--dirty-timeout",), "one", 300),
    ("dirty_threads", ("--dirty-threads",), "one", 1),
    ("dirty_graceful_timeout", ("--dirty-graceful-timeout",), "one", 30),
    ("on_dirty_starting", (), "one", None),
    ("dirty_post_fork", (), "one", None),
    ("dirty_worker_init", (), "one", None),
    ("dirty_worker_exit", (), "one", None),
    ("control_socket", ("--control-socket",), "one", None),
    ("control_socket_mode", ("--control-socket-mode",), "one", 384),
    ("control_socket_disable", ("--no-control-socket",), None, False),
)
# end of the table

# Where `SETTINGS` has no default, as it depends on the machine or the environment.
SCHEMES = {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}


def defaults():
    """Of each setting by its name. Those of a configuration in Python, and those that only
    rgunicorn has, in a table."""
    found = {name: _copy(default) for name, _, _, default in SETTINGS}
    port = os.environ.get("PORT")
    found["bind"] = [f"0.0.0.0:{port}"] if port else ["127.0.0.1:8000"]
    found["chdir"] = os.getcwd()
    found["forwarded_allow_ips"] = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
    found["secure_scheme_headers"] = dict(SCHEMES)
    found["workers"] = _number(os.environ.get("WEB_CONCURRENCY")) or 1
    found["rgunicorn"] = {}
    return found


def _copy(default):
    return default.copy() if isinstance(default, (dict, list)) else default


def _number(text):
    try:
        return int(text or 0)
    except ValueError:
        # The master says so.
        return 0


def parser(usage, prog):
    """Of a command line with these flags. What is not given is None."""
    import argparse

    from rgunicorn import __version__

    made = argparse.ArgumentParser(prog=prog, usage=usage)
    made.add_argument("-v", "--version", action="version", version=f"%(prog)s (version {__version__})")
    made.add_argument("args", nargs="*", help=argparse.SUPPRESS)
    for name, flags, takes, default in SETTINGS:
        if not flags:
            continue
        if takes is None:
            how = {"action": "store_const", "const": name != "sendfile"}
        else:
            how = {"action": "append" if takes == "many" else "store"}
        made.add_argument(*flags, dest=name, default=None, **how)
    return made
