//! Records of an engine with real sockets.

use super::*;
use crate::Settings;
use crate::tests::server::{TestServer, answer_with, next_request, received};
use std::io::Write as _;
use std::sync::{Arc, Mutex};

const ALL: &str = "%(h)s %(l)s %(u)s %(r)s|%(m)s %(U)s %(q)s %(H)s|%(s)s %(b)s %(B)s|%(f)s %(a)s|\
                   %({X-In}i)s %({x-out}o)s %({seen}e)s 100%%";

#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<u16>>>);

impl RequestMetrics for Records {
    fn count(&mut self, status: u16, _: Duration) {
        self.1.lock().unwrap().push(status);
    }
}

impl AccessOutput for Records {
    fn write(&mut self, record: &[u8]) {
        let record = String::from_utf8(record.to_vec()).unwrap();
        self.0.lock().unwrap().push(record);
    }
}

impl Records {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn server(
    format: &str,
    filter: &str,
    form: AccessForm,
    settings: Settings,
) -> (TestServer, Records) {
    let format = AccessFormat::parse(format).unwrap();
    let mut server = TestServer::new(Settings {
        access_log: true,
        keeps_response_fields: format.has_response_headers(),
        ..settings
    });
    let records = Records::default();
    server.engine.set_access_log(AccessSettings {
        format,
        filter: AccessFilter::parse(filter).unwrap(),
        form,
        local_offset: |_| 0,
        output: Box::new(records.clone()),
        metrics: Some(Box::new(records.clone())),
    });
    (server, records)
}

fn lines(format: &str) -> (TestServer, Records) {
    server(format, "all", AccessForm::Line, Settings::default())
}

/// What is written of these bytes of a client, which the engine answers by itself.
fn of_refused(bytes: &[u8]) -> Vec<String> {
    let (mut server, records) = lines(ALL);
    let mut client = server.client();
    client.write_all(bytes).unwrap();
    server.turn_until(|_| !records.0.lock().unwrap().is_empty());
    assert!(!received(&mut client).0.is_empty());
    records.take()
}

#[test]
fn a_record_has_all_that_is_known_of_request_and_response() {
    let (mut server, records) = lines(ALL);
    let mut client = server.client();
    client
        .write_all(
            b"GET /a%20b?x=%22 HTTP/1.1\r\nHost: h\r\nReferer: r\r\nUser-Agent: u\"\r\n\
              X-In: first\r\nX-In: last\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\r\n",
        )
        .unwrap();

    let (request, mut responder) = next_request(&mut server);
    let mut head = responder.head(b"201 Created").unwrap();
    head.field(b"X-Out", b"out").unwrap();
    head.finish(None, &[b' '; 29]);
    responder.push(b"hello").unwrap();
    responder.push(b" you").unwrap();
    responder.end();
    responder.set_access_variables(vec![Some(b"seen\n".to_vec())]);
    assert_eq!(records.take(), [""; 0], "before the response is sent");
    server.engine.finish(responder);
    server.engine.recycle(request);

    assert_eq!(
        records.take(),
        [
            "127.0.0.1 - user GET /a%20b?x=%22 HTTP/1.1|GET /a b x=%22 HTTP/1.1|201 9 9|r u\\\"|\
          last out seen\\x0A 100%\n"
        ]
    );
    client.write_all(b"HEAD / HTTP/1.0\r\n\r\n").unwrap();
    let (_, mut responder) = next_request(&mut server);
    answer_with(&mut responder, b"hello");
    server.engine.finish(responder);
    assert_eq!(
        records.take(),
        ["127.0.0.1 - - HEAD / HTTP/1.0|HEAD /  HTTP/1.0|200 0 0|- -|- - - 100%\n"]
    );
}

#[test]
fn what_the_engine_refuses_is_written_as_far_as_it_is_known() {
    assert_eq!(
        of_refused(b"BAD \"\x1b\r\nmore"),
        ["127.0.0.1 - - BAD \\\"\\x1B|- - - -|400 107 107|- -|- - - 100%\n"]
    );
    assert_eq!(
        of_refused(b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ["127.0.0.1 - - POST /p HTTP/1.1|POST /p  HTTP/1.1|400 107 107|- -|- - - 100%\n"]
    );
}

#[test]
fn a_response_that_is_dropped_or_too_late_is_written_with_its_error() {
    let settings = Settings {
        request_timeout: Some(Duration::from_millis(50)),
        ..Settings::default()
    };
    let (mut server, records) = server("%(r)s %(s)s", "all", AccessForm::Line, settings);
    let mut client = server.client();
    client
        .write_all(b"GET /dropped HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    drop(next_request(&mut server));
    server.turn_until(|_| !records.0.lock().unwrap().is_empty());
    assert_eq!(records.take(), ["GET /dropped HTTP/1.1 500\n"]);

    let mut client = server.client();
    client
        .write_all(b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let (request, _responder) = next_request(&mut server);
    server.engine.time_out(request.id());

    assert_eq!(records.take(), ["GET /late HTTP/1.1 503\n"]);
}

#[test]
fn a_response_that_is_broken_off_is_written_with_what_was_sent() {
    let (mut server, records) = lines("%(r)s %(s)s %(B)s");
    let mut client = server.client();
    client
        .write_all(b"GET /gone HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let (_, mut responder) = next_request(&mut server);
    answer_with(&mut responder, b"some");
    responder.abort();
    server.engine.finish(responder);

    assert_eq!(records.take(), ["GET /gone HTTP/1.1 200 0\n"]);
}

#[test]
fn a_request_that_is_put_back_and_a_connection_without_one_leave_no_record() {
    let (mut server, records) = lines("%(r)s %(s)s");
    drop(server.client());
    let mut client = server.client();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let (request, responder) = next_request(&mut server);
    server.engine.put_back(request, responder);
    assert_eq!(records.take(), [""; 0]);

    let (_, mut responder) = server.engine.next_request().unwrap();
    answer_with(&mut responder, b"ok");
    server.engine.finish(responder);

    assert_eq!(records.take(), ["GET / HTTP/1.1 200\n"]);
}

#[test]
fn the_filter_decides_when_the_response_has_ended() {
    let (mut server, records) =
        server("%(U)s", "errors,1/3", AccessForm::Line, Settings::default());
    let mut client = server.client();
    for number in 0..7 {
        write!(client, "GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let (_, mut responder) = next_request(&mut server);
        let status = if number == 4 {
            "404 Not Found"
        } else {
            "200 OK"
        };
        let head = responder.head(status.as_bytes()).unwrap();
        head.finish(Some(0), &[b' '; 29]);
        responder.end();
        server.engine.finish(responder);
    }

    assert_eq!(records.take(), ["/0\n", "/3\n", "/4\n", "/6\n"]);
    let counted = records.1.lock().unwrap();
    assert_eq!(*counted, [200, 200, 200, 200, 404, 200, 200]);
}

#[test]
fn health_checks_are_not_written() {
    let settings = Settings {
        health_path: Some("/health".to_owned()),
        ..Settings::default()
    };
    let (mut server, records) = server("%(U)s", "all", AccessForm::Line, settings);
    let mut client = server.client();
    client
        .write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    server.turn_until(|_| !received(&mut client).0.is_empty());

    assert_eq!(records.take(), [""; 0]);
    assert!(records.1.lock().unwrap().is_empty());
}

#[test]
fn the_journal_gets_fields() {
    let form = AccessForm::Journal {
        fields: "WORKER=3\n".to_owned(),
    };
    let (mut server, records) = server("%(r)s", "all", form, Settings::default());
    let mut client = server.client();
    client
        .write_all(b"GET /a?b HTTP/1.1\r\nHost: h\r\nX-Request-ID: abc-1\r\n\r\n")
        .unwrap();
    let (_, mut responder) = next_request(&mut server);
    let head = responder.head(b"500 Oh no").unwrap();
    head.finish(Some(2), &[b' '; 29]);
    responder.push(b"no").unwrap();
    responder.end();
    server.engine.finish(responder);

    let record = records.take().pop().unwrap();
    let (mut fields, durations): (Vec<_>, Vec<_>) = record
        .lines()
        .partition(|line| !line.starts_with("DURATION_USEC="));
    fields.sort_unstable();
    assert_eq!(durations.len(), 1);
    assert_eq!(
        fields,
        [
            "HTTP_BYTES=2",
            "HTTP_METHOD=GET",
            "HTTP_STATUS=500",
            "HTTP_TARGET=/a?b",
            "MESSAGE=GET /a?b HTTP/1.1",
            "PRIORITY=5",
            "REMOTE_ADDR=127.0.0.1",
            "REQUEST_ID=abc-1",
            "WORKER=3",
        ]
    );
}
