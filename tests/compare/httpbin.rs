//! httpbin: an application that exercises most of HTTP.

use super::pair::{Pair, multipart, noise, request};

#[test]
fn httpbin_answers_as_under_gunicorn() {
    let pair = Pair::serving("httpbin:app");

    for target in [
        "/get?one=1&two=a%20b",
        "/headers",
        "/ip",
        "/user-agent",
        "/status/200",
        "/status/204",
        "/status/304",
        "/status/404",
        "/status/418",
        "/status/503",
        "/redirect/3",
        "/redirect-to?url=%2Fget&status_code=307",
        "/absolute-redirect/2",
        "/cookies",
        "/cookies/set?colour=blue",
        "/basic-auth/user/password",
        "/bytes/1000?seed=1",
        "/stream-bytes/100000?seed=3&chunk_size=1000",
        "/stream/20",
        "/range/1000",
        "/gzip",
        "/deflate",
        "/brotli",
        "/image/png",
        "/image/svg",
        "/html",
        "/xml",
        "/json",
        "/robots.txt",
        "/deny",
        "/encoding/utf8",
        "/cache/60",
        "/etag/something",
        "/response-headers?X-One=1&X-One=2&Content-Type=text/plain",
        "/links/5/2",
        "/base64/SGVsbG8sIHdvcmxkIQ%3D%3D",
        "/drip?duration=0&numbytes=10",
        "/anything/with/a%20path?and=query",
        "/delay/1",
        "/missing",
    ] {
        pair.get(target).assert_same();
    }
}

#[test]
fn httpbin_takes_every_method_and_body() {
    let pair = Pair::serving("httpbin:app");
    let (content_type, body) = multipart(&[("comment", "hello")], &noise(300_000));

    for (method, target) in [
        ("POST", "/post"),
        ("PUT", "/put"),
        ("PATCH", "/patch"),
        ("DELETE", "/delete"),
        ("POST", "/anything"),
    ] {
        pair.ask(request(
            method,
            target,
            &[("Content-Type", "application/x-www-form-urlencoded")],
            b"a=1&b=2",
        ))
        .assert_same();
        pair.ask(request(
            method,
            target,
            &[("Content-Type", "application/json")],
            b"{\"a\": 1}",
        ))
        .assert_same();
        pair.ask(request(
            method,
            target,
            &[("Content-Type", &content_type)],
            &body,
        ))
        .assert_same();
        pair.ask(request(method, target, &[], b"")).assert_same();
    }
}

#[test]
fn httpbin_answers_conditions_ranges_and_credentials() {
    let pair = Pair::serving("httpbin:app");

    for (target, header, value, status) in [
        ("/etag/x", "If-None-Match", "x", 304),
        ("/etag/x", "If-Match", "y", 412),
        (
            "/cache",
            "If-Modified-Since",
            "Sat, 21 Nov 2026 00:00:00 GMT",
            304,
        ),
        ("/range/1000", "Range", "bytes=10-19", 206),
        (
            "/basic-auth/user/password",
            "Authorization",
            "Basic dXNlcjpwYXNzd29yZA==",
            200,
        ),
        ("/bearer", "Authorization", "Bearer token", 200),
        ("/cookies", "Cookie", "a=1; b=2", 200),
    ] {
        pair.ask(request("GET", target, &[(header, value)], b""))
            .assert_status(status)
            .assert_same();
        pair.ask(request("HEAD", target, &[(header, value)], b""))
            .assert_same();
    }
}
