//! The access log: the same lines, but for what is listed here.

use super::gunicorn::Gunicorn;
use crate::harness::{Connection, Server, client::Address, files::Folder, wait_until};

const APP: &str = r#"
def app(environ, start_response):
    path = environ['PATH_INFO']
    fields = [('X-Out', 'o "ut'), ('Content-Type', 'text/plain')]
    environ['shop.user'] = 'somebody'
    if path == '/none':
        start_response('204 No Content', fields)
        return []
    if path == '/same':
        start_response('304 Not Modified', [('ETag', '"a"')])
        return []
    if path == '/parts':
        start_response('200 OK', fields)
        return [b'abc', b'defg']
    if path == '/error':
        start_response('503 Not Now', fields)
        return [b'later']
    start_response('200 OK', fields + [('Content-Length', '5')])
    return [b'hello']
"#;

/// All atoms whose values do not depend on the time, the process and the server's name.
const FORMAT: &str = r#"h=%(h)s l=%(l)s u=%(u)s r="%(r)s" m=%(m)s U=%(U)s q=%(q)s H=%(H)s s=%(s)s \
B=%(B)s b=%(b)s f="%(f)s" a="%(a)s" in=%({X-In}i)s out=%({x-oUT}o)s etag=%({ETag}o)s \
length=%({Content-Length}o)s server=%({Server}o)s user=%({shop.user}e)s \
scheme=%({wsgi.url_scheme}e)s version=%({wsgi.version}e)s query=%({QUERY_STRING}e)s none=%({nope}e)s 1%%"#;

/// All others. Of their values, each digit becomes a 9, and a row of them one.
const CHANGING: &str = "t=%(t)s T=%(T)s M=%(M)d D=%(D)d D=%(D)s L=%(L)s p=%(p)s";

const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a%20b/c?x=1&y=%22 HTTP/1.1\r\nHost: h\r\nUser-Agent: curl/8.0 \"q\"\r\n\
     Referer: http://r/?a\r\nX-In: in \"v\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\r\n",
    "HEAD /head HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /none HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /same HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /parts HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /parts HTTP/1.0\r\n\r\n",
    "GET /error HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET http://h/absolute?q#f HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /bad-user HTTP/1.1\r\nHost: h\r\nAuthorization: Basic !!!\r\n\r\n",
    "GET /token HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer dXNlcjpwYXNz\r\n\r\n",
    "POST /post HTTP/1.1\r\nHost: h\r\nAuthorization: basic dXNlcg==\r\nX-In: a\r\nX-In: b\r\n\
     Content-Length: 3\r\n\r\nabc",
];

/// The lines that both servers write of these requests: ours, and Gunicorn's.
fn lines_of(requests: &[&str], format: Option<&str>) -> [Vec<String>; 2] {
    let mut server = Server::running("logged:app")
        .file("logged.py", APP)
        .setting("accesslog", "access.log");
    let folder = Folder::new();
    folder.write("logged.py", APP);
    let mut config = "accesslog = 'access.log'\n".to_owned();
    if let Some(format) = format {
        server = server.setting("access_log_format", format);
        config.extend(["access_log_format = r'''", format, "'''\n"]);
    }
    folder.write("gunicorn.conf.py", &config);
    let log = folder.join("access.log");
    let server = server.start();
    let gunicorn = Gunicorn::serving("logged:app", folder);
    for request in requests {
        for address in [server.address(), gunicorn.address()] {
            send(&address, request);
        }
    }
    server.stop();
    let ours = server.read("access.log");
    wait_until("Gunicorn has written its lines", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.lines().count() >= requests.len())
    });
    let theirs = std::fs::read_to_string(&log).unwrap();
    [ours, theirs].map(|text| text.lines().map(str::to_owned).collect())
}

fn send(address: &Address, request: &str) {
    let mut connection = Connection::open(address).unwrap();
    connection.send(request);
    if request.starts_with("HEAD ") {
        connection.receive_head();
    } else {
        connection.receive();
    }
}

#[test]
fn all_atoms_have_the_values_that_they_have_in_gunicorn() {
    let format = FORMAT.replace("\\\n", "");
    let [ours, theirs] = lines_of(REQUESTS, Some(&format));

    assert_eq!(ours.len(), REQUESTS.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn what_changes_with_each_request_looks_as_it_does_in_gunicorn() {
    let shapes = lines_of(&REQUESTS[..3], Some(CHANGING)).map(|lines| {
        let shape = |line: &String| {
            let digits = line.replace(|letter: char| letter.is_ascii_digit(), "9");
            let mut shape = digits;
            while shape.contains("99") {
                shape = shape.replace("99", "9");
            }
            // The name of the month.
            shape.replacen(|letter: char| letter.is_ascii_uppercase(), "", 1)
        };
        lines.iter().map(shape).collect::<Vec<_>>()
    });

    assert_eq!(shapes[0].len(), 3);
    assert_eq!(shapes[0], shapes[1]);
}

#[test]
fn the_default_line_is_that_of_gunicorn() {
    let without_time = lines_of(REQUESTS, None).map(|lines| {
        let line = |line: &String| {
            let (start, rest) = line.split_once(" [").unwrap();
            let (time, end) = rest.split_once("] ").unwrap();
            // All but minutes and seconds.
            format!("{start} [{}:MM:SS {}] {end}", &time[..14], &time[21..])
        };
        lines.iter().map(line).collect::<Vec<_>>()
    });

    assert_eq!(without_time[0], without_time[1]);
}

/// Why a line differs is said here, and in rgunicorn-from-gunicorn(7).
#[test]
fn the_differences_to_gunicorn_are_these() {
    for (request, format, ours, theirs) in [
        // Nobody may write to a terminal, or end a value that stands in quotation marks.
        (
            "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: back\\slash\r\n\r\n",
            "%(a)s",
            r"back\\slash",
            r"back\slash",
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: caf\u{e9}\tx\r\n\r\n",
            "%(a)s",
            r"caf\xC3\xA9\x09x",
            "cafÃ©\tx",
        ),
    ] {
        let lines = lines_of(&[request], Some(format));

        assert_eq!(lines, [[ours], [theirs]], "{request:?}");
    }
}
