//! Settings: which proxies are believed, and what they say.

macro_rules! rows {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => { $next! { [$($rest),*] $($before)*
    Limits {
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
    }
    }};
}

pub(super) use rows;
