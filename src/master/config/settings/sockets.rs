//! Settings: where connections come from.

macro_rules! rows {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => { $next! { [$($rest),*] $($before)*
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
    }};
}

pub(super) use rows;
