//! How an application's answer reaches the client.

use crate::harness::{Broken, Response, Running, Server, processes};

fn answering() -> Running {
    Server::running("answers:app")
        .workers(1)
        .setting("keepalive", 60)
        .start()
}

/// GET on a connection that would be kept.
#[track_caller]
fn get(server: &Running, path: &str) -> Response {
    server.connect().get(path)
}

fn is_chunked(response: &Response) -> bool {
    response.header("Transfer-Encoding") == Some("chunked")
}

/// A 500 that tells the client nothing about the inside.
#[track_caller]
fn assert_is_a_plain_500(response: &Response) {
    assert_eq!(response.status, 500, "{response:?}");
    assert!(!response.text().contains("Traceback"), "{response:?}");
}

#[test]
fn every_answer_has_the_servers_own_headers_once() {
    let server = answering();

    let response = get(&server, "/list");

    assert_eq!(response.version, "HTTP/1.1");
    assert_eq!((response.status, response.reason.as_str()), (200, "OK"));
    for name in ["Server", "Date"] {
        assert_eq!(
            response.header_values(name).len(),
            1,
            "{name} in {response:?}"
        );
    }
    assert!(response.header("Date").unwrap().ends_with(" GMT"));
    assert_eq!(response.header("Content-Type"), Some("text/plain"));
}

#[test]
fn a_length_that_is_known_is_sent() {
    let server = answering();

    let response = get(&server, "/tuple");

    assert_eq!(response.header("Content-Length"), Some("6"));
    assert!(!is_chunked(&response));
    assert_eq!(response.text(), "abcdef");
}

#[test]
fn a_body_of_unknown_length_is_chunked() {
    let server = answering();

    let response = get(&server, "/generator");

    assert!(is_chunked(&response));
    assert_eq!(response.header("Content-Length"), None);
    assert_eq!(response.text(), "one two three");
}

#[test]
fn a_list_arrives_whole() {
    assert_eq!(get(&answering(), "/list").text(), "one two three");
}

#[test]
fn a_bytes_object_as_body_is_a_500() {
    assert_is_a_plain_500(&get(&answering(), "/bytes"));
}

#[test]
fn a_generator_may_start_the_response_late() {
    assert_eq!(get(&answering(), "/late-start").text(), "late");
}

#[test]
fn the_write_callable_comes_before_what_is_returned() {
    let server = answering();

    assert_eq!(get(&server, "/write").text(), "written twice and returned");
    assert_eq!(get(&server, "/write-only").text(), "written");
}

#[test]
fn an_empty_body_is_an_answer_too() {
    let server = answering();
    let mut connection = server.connect();

    assert_eq!(connection.get("/nothing").text(), "");
    assert_eq!(connection.get("/empty-pieces").text(), "");
    assert_eq!(connection.get("/list").text(), "one two three");
}

#[test]
fn no_content_and_not_modified_have_no_body_and_no_framing() {
    let server = answering();
    let mut connection = server.connect();

    for (path, status) in [
        ("/no-content", 204),
        ("/not-modified", 304),
        ("/no-content-but-a-body", 204),
    ] {
        let response = connection.get(path);

        assert_eq!(response.status, status);
        assert!(!is_chunked(&response), "{response:?}");
    }
    // Nothing of a body is in the way of the next answer.
    assert_eq!(connection.get("/list").text(), "one two three");
}

#[test]
fn head_requests_get_no_body() {
    let server = answering();
    let mut connection = server.connect();

    for path in ["/tuple", "/generator", "/file", "/write", "/big"] {
        let response = connection
            .send(format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .receive_head();

        assert_eq!(response.status, 200, "{path}");
    }
    assert_eq!(connection.get("/list").text(), "one two three");
}

#[test]
fn head_requests_get_the_content_length_of_get() {
    let server = answering();

    let response = server
        .connect()
        .send("HEAD /tuple HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .receive_head();

    assert_eq!(response.header("Content-Length"), Some("6"));
}

#[test]
fn http_1_0_is_never_sent_chunks() {
    let server = answering();

    let response = server.request("GET /generator HTTP/1.0\r\n\r\n");

    assert!(!is_chunked(&response));
    assert!(response.says_close());
    assert_eq!(response.text(), "one two three");
}

#[test]
fn the_reason_is_the_apps() {
    let response = get(&answering(), "/teapot");

    assert_eq!(
        (response.status, response.reason.as_str()),
        (418, "I'm a teapot, short and stout")
    );
}

#[test]
fn headers_may_repeat_and_may_be_latin_1() {
    let response = get(&answering(), "/two-cookies");

    assert_eq!(response.header_values("Set-Cookie"), ["a=1", "b=2"]);
    assert_eq!(response.header("X-Latin"), Some("caf\u{e9}"));
}

#[test]
fn headers_that_belong_to_the_server_are_not_taken_from_the_app() {
    let response = get(&answering(), "/the-servers-headers");

    assert_eq!(response.header("X-Mine"), Some("kept"));
    assert_ne!(response.header("Server"), Some("mine"));
    assert_eq!(response.header_values("Date").len(), 1);
    assert_ne!(response.header("Date"), Some("yesterday"));
    assert_eq!(response.header("Keep-Alive"), None);
    assert_ne!(response.header("Connection"), Some("Upgrade"));
    assert!(response.header_values("Transfer-Encoding").len() <= 1);
    assert_eq!(response.text(), "hop by hop");
}

#[test]
fn a_body_shorter_than_its_content_length_closes_the_connection() {
    let server = answering();
    let mut connection = server.connect();

    connection.send("GET /too-little HTTP/1.1\r\nHost: localhost\r\n\r\n");

    assert_eq!(connection.try_receive(), Err(Broken::Cut));
    server.wait_for_log("20");
    assert_eq!(get(&server, "/list").status, 200);
}

#[test]
fn a_body_longer_than_its_content_length_is_cut() {
    let server = answering();
    let mut connection = server.connect();

    for path in ["/too-much", "/too-much-in-one"] {
        assert_eq!(connection.get(path).text(), "12345");
        assert_eq!(
            connection.get("/list").text(),
            "one two three",
            "after {path}"
        );
    }
}

#[test]
fn exc_info_replaces_a_response_that_was_not_sent() {
    let response = get(&answering(), "/recovery");

    assert_eq!(
        (response.status, response.reason.as_str()),
        (500, "Found Out In Time")
    );
    assert_eq!(response.header("X-First"), None);
    assert_eq!(response.text(), "recovered");
}

#[test]
fn exc_info_is_raised_again_once_the_head_was_sent() {
    let server = answering();
    let mut connection = server.connect();

    connection.send("GET /recovery-too-late HTTP/1.1\r\nHost: localhost\r\n\r\n");

    assert_eq!(connection.try_receive(), Err(Broken::Cut));
    server.wait_for_log("found out too late");
}

#[test]
fn starting_twice_or_not_at_all_is_an_error() {
    let server = answering();

    assert_is_a_plain_500(&get(&server, "/two-starts"));
    assert_is_a_plain_500(&get(&server, "/no-start"));
}

#[test]
fn an_app_that_raises_before_its_first_byte_is_a_500_with_the_traceback_in_the_log() {
    let server = answering();

    assert_is_a_plain_500(&get(&server, "/error"));
    server.wait_for_log("RuntimeError: raised before the start");
    assert_is_a_plain_500(&get(&server, "/error-after-start"));
    server.wait_for_log("RuntimeError: raised after the start");
    assert_eq!(server.log_count("Traceback (most recent call last)"), 2);
}

#[test]
fn the_traceback_begins_in_the_app() {
    let server = answering();

    get(&server, "/error");

    server.wait_for_log("RuntimeError: raised before the start");
    assert!(server.stderr().contains("in with_error"));
}

#[test]
fn an_error_in_the_middle_of_a_body_is_visible_to_the_client() {
    let server = answering();

    for path in ["/error-midway", "/error-midway-of-a-length"] {
        let mut connection = server.connect();
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(connection.try_receive(), Err(Broken::Cut), "{path}");
    }
    server.wait_for_log("RuntimeError: raised midway of a length");
}

#[test]
fn a_request_cannot_make_its_worker_exit() {
    let server = answering();
    let before = server.worker_pids();

    assert_is_a_plain_500(&get(&server, "/exit"));

    assert_eq!(get(&server, "/list").status, 200);
    assert_eq!(server.worker_pids(), before);
}

#[test]
fn violations_of_wsgi_are_a_500() {
    let server = answering();

    for path in [
        "/text",
        "/a-newline-in-a-header",
        "/a-bad-status",
        "/a-number-in-a-header",
    ] {
        let response = get(&server, path);
        assert_is_a_plain_500(&response);
        assert_eq!(response.header("X-Injected"), None);
    }
}

#[test]
fn close_is_called_after_the_answer() {
    let server = answering();

    assert_eq!(get(&server, "/close").text(), "closing time");

    server.wait_until("close() was called", || {
        server.read("notes") == "closed after all\n"
    });
}

#[test]
fn close_is_called_after_an_error() {
    let server = answering();

    let _ = server
        .connect()
        .send("GET /close-and-error HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .try_receive();

    server.wait_until("close() was called", || {
        server.read("notes") == "closed after error\n"
    });
}

#[test]
fn close_is_called_when_the_client_leaves() {
    let server = answering();
    let mut connection = server.connect();
    connection.send("GET /close-and-endless HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.read_head().unwrap();

    drop(connection);

    server.wait_until("close() was called", || {
        server.read("notes") == "closed endless\n"
    });
    assert_eq!(get(&server, "/list").status, 200);
}

#[test]
fn close_is_called_for_head() {
    let server = answering();

    server
        .connect()
        .send("HEAD /close HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .receive_head();

    server.wait_until("close() was called", || {
        server.read("notes") == "closed after all\n"
    });
}

#[test]
fn an_error_in_close_does_not_affect_the_response() {
    let server = answering();

    assert_eq!(get(&server, "/close-that-raises").text(), "fine");

    server.wait_for_log("raised in close");
    assert_eq!(get(&server, "/list").status, 200);
}

#[test]
fn a_response_is_complete_although_close_raises() {
    let server = Server::running("closing:app")
        .file(
            "closing.py",
            r#"
import tempfile


class Raising:
    def __init__(self, file):
        self.file = file
        self.read = file.read

    def __iter__(self):
        yield from (b"in ", b"two pieces")

    def close(self):
        raise RuntimeError("raised in close")


def app(environ, start_response):
    file = tempfile.TemporaryFile("w+b", buffering=4096)
    file.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
    file.seek(0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/file":
        return environ["wsgi.file_wrapper"](Raising(file))
    return Raising(file)
"#,
        )
        .setting("keepalive", 60)
        .start();
    let mut connection = server.connect();

    for _ in 0..3 {
        assert_eq!(connection.get("/pieces").text(), "in two pieces");
        assert!(connection.get("/file").text().ends_with("forged"));
    }

    server.wait_for_log("raised in close");
}

#[test]
fn big_bodies_arrive_whole() {
    let server = answering();
    let mut connection = server.connect();

    for path in ["/big?size=20000000", "/big-pieces?size=20000000"] {
        assert_eq!(connection.get(path).body.len(), 20_000_000, "{path}");
    }
}

#[test]
fn a_file_is_sent_from_where_it_stands() {
    let whole: Vec<u8> = (0..20_000)
        .flat_map(|number| format!("line {number} of the file\n").into_bytes())
        .collect();
    let server = answering();
    let mut connection = server.connect();

    for (path, expected) in [
        ("/file", whole.as_slice()),
        ("/file-without-length", &whole),
        ("/file-from-the-middle", &whole[100_000..]),
        ("/part-of-a-file", &whole[10..60]),
        ("/file-in-memory", &whole),
        ("/unwrapped-file", &whole),
    ] {
        let response = connection.get(path);
        assert!(
            response.body == expected,
            "{path}: {} bytes",
            response.body.len()
        );
    }
}

#[test]
fn a_file_is_closed_after_it_was_sent() {
    let server = answering();

    assert_eq!(get(&server, "/file-that-is-closed").text(), "noted");

    server.wait_until("the file was closed", || {
        server.read("notes") == "file closed\n"
    });
}

#[test]
fn no_descriptor_is_left_open_by_any_answer() {
    let server = answering();
    let worker = *server.worker_pids().first().unwrap();
    let open = || crate::harness::processes::descriptors(worker).len();
    for path in ["/file", "/file-from-the-middle", "/error", "/close"] {
        server.get(path);
    }
    let before = open();

    for _ in 0..20 {
        for path in ["/file", "/file-from-the-middle", "/error", "/close"] {
            server.get(path);
        }
    }

    server.wait_until("no more descriptors are open than before", || {
        open() <= before
    });
}

/// `ConnectionResetError` is what `write()` raises when the client is gone; from the
/// application's own connections it is an error like any other.
#[test]
fn a_connection_error_of_the_application_is_logged() {
    let server = answering();
    let mut connection = server.connect();

    connection.send("GET /a-reset-of-its-own HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.try_receive().unwrap_err();

    server.wait_for_log("ConnectionResetError: the database is gone");
}

#[test]
fn an_error_with_many_control_characters_is_logged() {
    let server = answering();

    assert_is_a_plain_500(&get(&server, "/control-characters"));

    server.wait_for_log("Error handling request GET /control-characters");
    server.wait_for_log("ValueError: control");
}

/// The connection is not counted any longer, so its worker can leave.
#[test]
fn a_request_that_another_thread_keeps_does_not_keep_its_worker() {
    let server = Server::running("answers:app")
        .workers(1)
        .setting("client_timeout", 600)
        .setting("graceful_timeout", 600)
        .setting("limit_response_buffer", "1M")
        .start();
    let mut slow = server.connect();
    slow.send("GET /a-write-in-another-thread HTTP/1.1\r\nHost: localhost\r\n\r\n");
    slow.receive_head();
    let worker = *server.worker_pids().first().unwrap();
    server.wait_until("the other thread waits for the client", || {
        processes::unlinked_bytes(worker) > 1 << 20
    });
    server.write("go", "");
    server.wait_until("the request is over", || server.get("/list").status == 200);

    for text in ["the request is over", "raised in close beside a thread"] {
        server.wait_for_log(text);
    }
    assert_eq!(server.stop(), 0);
}
