//! `wsgi.file_wrapper`: what the client gets is what reading the file gives,
//! whether the kernel sends it or the file is read block by block.

use crate::harness::{Running, Server};

const CONTENT: &str = "0123456789 abcdefghijklmnopqrstuvwxyz";
const SWAPPED: &str = "0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn server() -> Running {
    Server::running("files:app")
        .workers(1)
        .setting("keepalive", 60)
        .start()
}

#[track_caller]
fn assert_sends(server: &Running, kind: &str, body: &str) {
    let response = server.get(kind);

    assert_eq!(
        (response.status, response.text().as_str()),
        (200, body),
        "{kind}: {}",
        server.stderr()
    );
}

#[test]
fn a_wrapper_around_a_file_is_read_and_not_bypassed() {
    let server = server();

    assert_sends(&server, "/decrypting", SWAPPED);
    assert_sends(&server, "/limited", "0123456789");
}

#[test]
fn a_file_that_reads_in_its_own_way_is_read_and_not_bypassed() {
    let server = server();

    for kind in ["/decrypting-raw", "/subclass", "/patched", "/patched-raw"] {
        assert_sends(&server, kind, SWAPPED);
    }
}

#[test]
fn a_named_temporary_file_is_sent_from_its_position() {
    assert_sends(&server(), "/named-temporary", &CONTENT[11..]);
}

#[test]
fn what_was_written_to_a_file_and_not_flushed_is_sent() {
    assert_sends(
        &server(),
        "/unflushed",
        "0123456789-written late-nopqrstuvwxyz",
    );
}

#[test]
fn a_pipe_is_sent_to_its_end() {
    assert_sends(&server(), "/pipe", CONTENT);
}

#[test]
fn a_file_without_a_buffer_is_sent_from_its_position() {
    assert_sends(&server(), "/unbuffered", &CONTENT[11..]);
}

#[test]
fn a_file_at_its_end_is_an_empty_body() {
    assert_sends(&server(), "/at-its-end", "");
}

/// `/proc` says 0 for the size of its files, `/sys` 4096.
#[test]
fn files_whose_size_is_not_what_they_hold_are_sent_whole() {
    let server = server();

    for path in ["/proc/version", "/sys/class/net/lo/address"] {
        let Ok(content) = std::fs::read_to_string(path) else {
            continue;
        };
        assert_sends(&server, &format!("/a-path?path={path}"), &content);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_not_an_empty_body() {
    let server = server();

    assert_eq!(server.get("/for-writing-only").status, 500);
}

/// The file's own position stays where it was: nobody has read it.
#[test]
fn a_plain_file_is_sent_by_the_kernel() {
    let server = server();

    assert_sends(&server, "/noting-its-position", &CONTENT[11..]);

    server.wait_until("the file is closed", || !server.read("position").is_empty());
    assert_eq!(server.read("position"), "11");
}

#[test]
fn a_content_length_ends_the_file() {
    let server = server();
    let mut connection = server.connect();

    for _ in 0..3 {
        assert_eq!(connection.get("/shorter-length").text(), "0123456789");
    }

    // A part of a file is asked for in this way: nothing to complain about.
    assert_eq!(server.log_count("Content-Length"), 0, "{}", server.stderr());
}

#[test]
fn a_file_shorter_than_its_content_length_is_reported() {
    let server = server();

    let mut connection = server.connect();
    connection.send("GET /longer-length HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.try_receive().unwrap_err();

    server.wait_for_log("GET /longer-length");
    let log = server.stderr();
    let line = log.lines().find(|line| line.contains("GET /longer-length"));
    let line = line.unwrap();
    assert!(line.contains("37") && line.contains("100"), "{line}");
}

#[test]
fn the_wrapper_takes_its_arguments_by_name() {
    let server = server();

    assert_sends(&server, "/keywords", "7;7;");
    assert_sends(&server, "/defaults", "8192;8192;");
}

/// The head is sent with the written bytes, so the body is chunked: the kernel cannot
/// send a file in there, and a client that takes chunks has to see where it ends.
#[test]
fn a_file_after_a_written_piece_ends_before_the_next_response() {
    let server = server();
    let mut connection = server.connect();

    for _ in 0..3 {
        let response = connection.get("/written-first");

        assert_eq!(response.text(), format!("written {CONTENT}"));
    }
}

#[test]
fn a_file_after_a_written_piece_ends_with_the_content_length() {
    let server = server();
    let mut connection = server.connect();

    for _ in 0..3 {
        assert_eq!(
            connection.get("/written-with-a-length").text(),
            "written 01"
        );
    }

    assert_eq!(server.log_count("Content-Length"), 0, "{}", server.stderr());
}

#[test]
fn a_negative_block_size_reads_to_the_end() {
    let server = server();

    assert_sends(&server, "/negative-size", CONTENT);
    assert_sends(&server, "/negative-size-of-a-pipe", CONTENT);
}
