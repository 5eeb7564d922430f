//! Django, with its admin, sessions in `SQLite`, static files and uploads.

use super::{
    pair::{Pair, multipart, noise, request},
    venv,
};
use crate::harness::{
    Response,
    files::{Folder, source},
    program::isolate,
};
use std::process::Command;

/// Serves the project with a database that has one user, `admin` with the
/// password `secret`.
fn django() -> Pair {
    let folder = Folder::new();
    for words in [
        [
            "migrate",
            "--verbosity=0",
            "--settings=django_shop.settings",
        ]
        .as_slice(),
        &[
            "createsuperuser",
            "--noinput",
            "--username=admin",
            "--email=admin@shop.example",
            "--verbosity=0",
            "--settings=django_shop.settings",
        ],
    ] {
        let mut command = Command::new(venv().join("bin/python"));
        isolate(&mut command, folder.path());
        let output = command
            .args(["-m", "django"])
            .args(words)
            .env("PYTHONPATH", source("tests/apps/sites"))
            .env("DJANGO_SUPERUSER_PASSWORD", "secret")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    Pair::with_files("django_shop.wsgi", &[&folder.join("shop.sqlite3")])
}

const TOKEN_FIELD: &str = "name=\"csrfmiddlewaretoken\" value=\"";

/// A page without the token that is made anew for every page.
fn without_token(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body).into_owned();
    match text.split_once(TOKEN_FIELD) {
        Some((before, rest)) => {
            let (_, after) = rest.split_once('"').unwrap();
            format!("{before}{TOKEN_FIELD}{after}").into_bytes()
        }
        None => body.to_owned(),
    }
}

/// The cookies that an answer sets, as a browser would send them back.
fn cookies(response: &Response) -> String {
    let pairs: Vec<&str> = response
        .header_values("Set-Cookie")
        .iter()
        .map(|cookie| cookie.split(';').next().unwrap())
        .collect();
    pairs.join("; ")
}

#[test]
fn a_django_project_answers_as_under_gunicorn() {
    let pair = django();

    for (target, status) in [
        ("/", 200),
        ("/?name=J%C3%BCrgen", 200),
        ("/stream", 200),
        ("/missing", 404),
        ("/bug", 500),
        ("/admin", 301),
        ("/admin/", 302),
    ] {
        pair.get(target).assert_status(status).assert_same();
        pair.ask(request("HEAD", target, &[], b"")).assert_same();
    }
}

#[test]
fn somebody_logs_in_to_the_admin() {
    let pair = django();
    let page = pair.get("/admin/login/?next=/admin/");
    page.assert_status(200).assert_same_but_for(without_token);

    let login = |page: &Response| {
        let text = page.text();
        let token = text
            .split_once(TOKEN_FIELD)
            .unwrap()
            .1
            .split('"')
            .next()
            .unwrap();
        let form =
            format!("csrfmiddlewaretoken={token}&username=admin&password=secret&next=/admin/");
        let headers = [
            ("Cookie", cookies(page)),
            ("Content-Type", "application/x-www-form-urlencoded".into()),
        ];
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        request(
            "POST",
            "/admin/login/?next=/admin/",
            &headers,
            form.as_bytes(),
        )
    };
    let answer = pair.ask_each(login(&page.ours), login(&page.theirs));
    answer.assert_status(302).assert_same();
    assert_eq!(answer.ours.header_values("Set-Cookie").len(), 2);

    let index = |answer: &Response| request("GET", "/admin/", &[("Cookie", &cookies(answer))], b"");
    let inside = pair.ask_each(index(&answer.ours), index(&answer.theirs));
    inside.assert_status(200).assert_same_but_for(without_token);
    assert!(inside.ours.text().contains("Site administration"));
}

#[test]
fn a_login_without_its_token_is_refused() {
    let pair = django();

    pair.ask(request(
        "POST",
        "/admin/login/",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        b"username=admin",
    ))
    .assert_status(403)
    .assert_same();
}

#[test]
fn static_files_are_served() {
    let pair = django();

    let style = pair.get("/static/admin/css/base.css");
    style.assert_status(200).assert_same();
    assert!(style.ours.body.len() > 10_000);
    pair.ask(request("HEAD", "/static/admin/css/base.css", &[], b""))
        .assert_same();
    let date = style.ours.header("Last-Modified").unwrap();
    pair.ask(request(
        "GET",
        "/static/admin/css/base.css",
        &[("If-Modified-Since", date)],
        b"",
    ))
    .assert_status(304)
    .assert_same();
    pair.get("/static/admin/missing.css")
        .assert_status(404)
        .assert_same();
    pair.ask(request(
        "GET",
        "/static/admin/css/base.css",
        &[("Accept-Encoding", "gzip")],
        b"",
    ))
    .assert_status(200);
}

#[test]
fn five_megabytes_are_uploaded() {
    let pair = django();
    let (content_type, body) = multipart(&[("comment", "five megabytes")], &noise(5 << 20));

    let answer = pair.ask(request(
        "POST",
        "/upload",
        &[("Content-Type", &content_type)],
        &body,
    ));

    answer.assert_status(200).assert_same();
    let told = answer.ours.json();
    assert_eq!(told["size"], 5 << 20);
    assert_eq!(told["spooled"], true);
    assert_eq!(told["comment"], "five megabytes");
}
