//! Flask.

use super::{
    pair::{Pair, multipart, noise, request},
    venv,
};
use crate::harness::Server;

#[test]
fn a_flask_application_answers_as_under_gunicorn() {
    let pair = Pair::serving("flask_shop:app");

    for (target, status) in [
        ("/", 200),
        ("/?name=J%C3%BCrgen+%26+co", 200),
        ("/json", 200),
        ("/echo?a=1&a=2&b=%20", 200),
        ("/stream", 200),
        ("/picture", 200),
        ("/file", 200),
        ("/caf%C3%A9/au%20lait%2F2", 200),
        ("/moved", 302),
        ("/teapot", 418),
        ("/bug", 500),
        ("/nothing", 204),
        ("/missing", 404),
        ("/slow", 200),
        ("/visits", 200),
        ("/static/missing.css", 404),
    ] {
        pair.get(target).assert_status(status).assert_same();
        pair.ask(request("HEAD", target, &[], b"")).assert_same();
    }
}

#[test]
fn flask_takes_bodies_of_every_kind() {
    let pair = Pair::serving("flask_shop:app");
    let form = "application/x-www-form-urlencoded";

    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        pair.ask(request(
            method,
            "/echo",
            &[("Content-Type", form)],
            b"a=1&b=%C3%A9&a=2",
        ))
        .assert_status(200)
        .assert_same();
        pair.ask(request(
            method,
            "/echo",
            &[("Content-Type", "application/json")],
            b"{\"a\": [1, 2]}",
        ))
        .assert_same();
        pair.ask(request(method, "/echo", &[], b"")).assert_same();
    }
    let (content_type, body) = multipart(&[("comment", "hello")], &noise(1_000_000));
    pair.ask(request(
        "POST",
        "/echo",
        &[("Content-Type", &content_type)],
        &body,
    ))
    .assert_status(200)
    .assert_same();
    pair.ask(request("POST", "/digest", &[], &noise(3_000_000)))
        .assert_status(200)
        .assert_same();
    pair.ask("POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        .assert_status(200)
        .assert_same();
}

#[test]
fn flask_answers_ranges_and_conditions() {
    let pair = Pair::serving("flask_shop:app");

    for target in ["/picture", "/file"] {
        pair.ask(request("GET", target, &[("Range", "bytes=100-299")], b""))
            .assert_status(206)
            .assert_same();
        pair.ask(request("GET", target, &[("Range", "bytes=-10")], b""))
            .assert_status(206)
            .assert_same();
        pair.ask(request("GET", target, &[("Range", "bytes=99999999-")], b""))
            .assert_status(416)
            .assert_same();
    }
    let etag = pair.get("/picture").ours.header("ETag").unwrap().to_owned();
    pair.ask(request("GET", "/picture", &[("If-None-Match", &etag)], b""))
        .assert_status(304)
        .assert_same();
}

#[test]
fn flask_remembers_its_session() {
    let pair = Pair::serving("flask_shop:app");
    let first = pair.get("/visits");
    let cookie = |response: &crate::harness::Response| {
        response
            .header("Set-Cookie")
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    };

    let with = |cookie: String| request("GET", "/visits", &[("Cookie", &cookie)], b"");
    let second = pair.ask_each(with(cookie(&first.ours)), with(cookie(&first.theirs)));

    second.assert_same();
    assert_eq!(second.ours.text(), "2");
}

#[test]
fn flask_sees_the_headers_that_gunicorn_shows_it() {
    let pair = Pair::serving("flask_shop:app");

    pair.ask(request(
        "GET",
        "/echo",
        &[
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-For", "192.0.2.7"),
            ("X-Twice", "one"),
            ("X-Twice", "two"),
            ("Cookie", "a=1; b=2"),
            ("X_Underscore", "dropped"),
            ("Accept-Language", "de, en;q=0.5"),
            ("If-Modified-Since", "Sat, 21 Nov 2026 00:00:00 GMT"),
        ],
        b"",
    ))
    .assert_status(200)
    .assert_same();
}

#[test]
fn flask_keeps_the_requests_of_its_threads_apart() {
    let server = Server::running("flask_app:app")
        .workers(1)
        .setting("threads", 4)
        .setting("python", venv().join("bin/python").to_str().unwrap())
        .file(
            "flask_app.py",
            "import flask, time\napp = flask.Flask(__name__)\n\
             @app.route('/<name>')\ndef show(name):\n    time.sleep(0.01)\n    \
             return flask.request.path + ' ' + name\n",
        )
        .start();
    let requests: Vec<_> = (0..20)
        .map(|number| (number, server.get_in_background(&format!("/{number}"))))
        .collect();

    for (number, request) in requests {
        let text = request.join().unwrap().unwrap().text();
        assert_eq!(text, format!("/{number} {number}"));
    }
}
