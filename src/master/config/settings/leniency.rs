//! Settings: requests that are accepted although HTTP forbids or discourages them.

macro_rules! rows {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => { $next! { [$($rest),*] $($before)*
    Limits {
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
    }};
}

pub(super) use rows;
