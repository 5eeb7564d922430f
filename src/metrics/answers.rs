//! What is answered to which request.

use crate::page;
use crate::rows::Row;
use crate::sites::Sites;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};
use rgunicorn_control::metrics;
use std::borrow::Cow;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The text for Prometheus.
    Metrics,
    /// What is for people, and what it consists of.
    Page,
    Data,
    Style,
    Script,
    /// There is nothing at this path.
    Nothing,
    /// There is, but this cannot be done with it.
    OtherMethod,
}

pub fn wanted(method: &Method, path: &str) -> Wanted {
    let found = match path {
        "/metrics" => Wanted::Metrics,
        "/" => Wanted::Page,
        "/data.json" => Wanted::Data,
        "/page.css" => Wanted::Style,
        "/page.js" => Wanted::Script,
        _ => return Wanted::Nothing,
    };
    if [Method::GET, Method::HEAD].contains(method) {
        found
    } else {
        Wanted::OtherMethod
    }
}

/// The version of the text format that Prometheus wants to read.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The page loads nothing but its own style, script and data, and is in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const TEXT: &str = "text/plain; charset=utf-8";

/// Who reads the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Everybody can connect over TCP.
    Anybody,
    /// The mode of the unix socket has let it in.
    Admitted,
}

impl Reader {
    /// Why a reload failed is often a traceback, with lines of the site's code.
    fn sees(self, rows: &[Row]) -> Cow<'_, [Row]> {
        match self {
            Self::Admitted => rows.into(),
            Self::Anybody => rows.iter().map(Row::without_traceback).collect(),
        }
    }
}

pub async fn answer(wanted: Wanted, reader: Reader, sites: &Sites) -> Response<Full<Bytes>> {
    match wanted {
        Wanted::Metrics => with(
            StatusCode::OK,
            PROMETHEUS,
            metrics::text(&sites.look().await.sites),
        ),
        Wanted::Page => {
            let look = sites.look().await;
            let html = page::html(&reader.sees(&look.rows), look.at);
            with(StatusCode::OK, "text/html; charset=utf-8", html)
        }
        Wanted::Data => {
            let (look, history) = sites.look_with_history().await;
            let json = page::json(&reader.sees(&look.rows), history, look.at);
            with(StatusCode::OK, "application/json", json)
        }
        Wanted::Style => with(StatusCode::OK, "text/css; charset=utf-8", page::STYLE),
        Wanted::Script => with(
            StatusCode::OK,
            "text/javascript; charset=utf-8",
            page::SCRIPT,
        ),
        Wanted::Nothing => with(
            StatusCode::NOT_FOUND,
            TEXT,
            "not found; try / or /metrics\n",
        ),
        Wanted::OtherMethod => {
            let text = "only GET and HEAD are possible\n";
            let mut response = with(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
            let headers = response.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
    }
}

/// Nothing is kept, and a browser takes nothing for what it is not.
fn with(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_read_is_there() {
        assert_eq!(wanted(&Method::GET, "/metrics"), Wanted::Metrics);
        assert_eq!(wanted(&Method::HEAD, "/metrics"), Wanted::Metrics);
        assert_eq!(wanted(&Method::POST, "/metrics"), Wanted::OtherMethod);
        assert_eq!(wanted(&Method::GET, "/"), Wanted::Page);
        for path in ["/metrics/", "/../etc/passwd", "", "*"] {
            assert_eq!(wanted(&Method::GET, path), Wanted::Nothing, "{path}");
        }
    }
}
