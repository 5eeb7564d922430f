//! Gunicorn settings that are accepted and have no effect here, since something else
//! does what they are for, or since what they belong to is not there.

use super::gunicorn_settings::Theirs;

/// A setting of Gunicorn that is accepted and has no effect.
#[derive(Debug)]
pub struct Ignored {
    pub key: &'static str,
    /// What replaces it, or why it has no effect: to be read after a colon.
    pub reason: &'static str,
}

impl Ignored {
    pub(super) fn by_key(key: &str) -> Option<&'static Self> {
        IGNORED.iter().find(|setting| setting.key == key)
    }

    /// What follows the name of the setting or the flag in a message.
    pub fn advice(&self) -> String {
        format!("has no effect here: {}", self.reason)
    }

    pub(super) fn by_flag(flag: &str) -> Option<&'static Self> {
        Theirs::by_flag(flag).and_then(|theirs| Self::by_key(theirs.key))
    }
}

const fn row(key: &'static str, reason: &'static str) -> Ignored {
    Ignored { key, reason }
}

const ASGI: &str = "it is for ASGI workers, which there are not";
const DIRTY: &str = "it is for `dirty_apps`, which there are not";
const HTTP2: &str = "it is for HTTP/2, which there is not";
const TLS: &str = "it is for `certfile`, which there is not";
const UWSGI: &str = "it is for the protocol uwsgi, which there is not";

pub static IGNORED: &[Ignored] = &[
    row("asgi_disconnect_grace_period", ASGI),
    row("asgi_lifespan", ASGI),
    row("asgi_loop", ASGI),
    row("ca_certs", TLS),
    row("cert_reqs", TLS),
    row("ciphers", TLS),
    row(
        "control_socket_disable",
        "only this account and root can use the control socket, in systemd's RuntimeDirectory=, in `$XDG_RUNTIME_DIR`, or where `control_socket` says",
    ),
    row(
        "control_socket_mode",
        "only the user of the server and root can use the control socket",
    ),
    row("dirty_graceful_timeout", DIRTY),
    row("dirty_post_fork", DIRTY),
    row("dirty_threads", DIRTY),
    row("dirty_timeout", DIRTY),
    row("dirty_worker_exit", DIRTY),
    row("dirty_worker_init", DIRTY),
    row("dirty_workers", DIRTY),
    row("do_handshake_on_connect", TLS),
    row("http2_cleartext", HTTP2),
    row("http2_initial_window_size", HTTP2),
    row("http2_max_concurrent_streams", HTTP2),
    row("http2_max_frame_size", HTTP2),
    row("http2_max_header_list_size", HTTP2),
    row("http_parser", "there is one parser"),
    row(
        "http_protocols",
        "clients speak HTTP/1.1; a proxy in front may speak HTTP/2 with its own",
    ),
    row("on_dirty_starting", DIRTY),
    row("reload_engine", "changes are noticed with inotify(7)"),
    row("root_path", ASGI),
    row("ssl_context", TLS),
    row("ssl_version", TLS),
    row("suppress_ragged_eofs", TLS),
    row("uwsgi_allow_ips", UWSGI),
    row("websocket_max_message_size", ASGI),
    row(
        "worker_tmp_dir",
        "heartbeats are in shared memory, not in files",
    ),
];
