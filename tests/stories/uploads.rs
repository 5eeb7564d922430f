//! Request bodies: large, chunked, slow, and cut off in the middle.

use crate::harness::{Running, Server, processes};
use serde_json::json;
use std::time::Duration;

const MEGABYTE: usize = 1 << 20;

/// Sends 64 MiB in pieces; calls `midway` before the last one.
fn upload(server: &Running, chunked: bool, midway: impl FnOnce()) -> serde_json::Value {
    let mut connection = server.connect();
    let framing = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {}", 64 * MEGABYTE)
    };
    connection.send(format!(
        "POST /digest/any HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"
    ));
    let piece = vec![b'u'; MEGABYTE];
    let mut midway = Some(midway);
    for number in 0..64 {
        if number == 63 {
            (midway.take().unwrap())();
        }
        if chunked {
            connection
                .send(format!("{MEGABYTE:x}\r\n"))
                .send(&piece)
                .send("\r\n");
        } else {
            connection.send(&piece);
        }
    }
    if chunked {
        connection.send("0\r\n\r\n");
    }
    connection.receive().json()
}

/// Whether a process has a file open that nobody can find.
fn has_unlinked_file(pid: processes::Pid) -> bool {
    processes::descriptors(pid).iter().any(|path| {
        let path = path.to_string_lossy();
        path.ends_with("(deleted)") && !path.starts_with("/memfd:")
    })
}

/// Whether a process has a file open that nobody can find, below this directory.
fn has_unlinked_file_below(pid: processes::Pid, directory: &str) -> bool {
    let mut open = processes::descriptors(pid).into_iter();
    open.any(|path| path.starts_with(directory) && path.to_string_lossy().ends_with("(deleted)"))
}

#[test]
fn large_uploads_are_stored_where_they_shall_be() {
    for by_flag in [false, true] {
        let server = Server::running("bodies:app").workers(1);
        let uploads = server.path("uploads");
        std::fs::create_dir(&uploads).unwrap();
        let server = if by_flag {
            server.argument("--tmp-upload-dir=uploads")
        } else {
            server.setting("tmp_upload_dir", uploads.as_str())
        };
        let server = server.start();
        let worker = *server.worker_pids().first().unwrap();

        let answer = upload(&server, by_flag, || {
            server.wait_until("the body is in a file there", || {
                has_unlinked_file_below(worker, &uploads)
            });
        });

        assert_eq!(answer["sha256"], DIGEST);
    }
}

#[test]
fn a_directory_for_uploads_that_is_not_there_is_a_mistake() {
    let server = Server::running("bodies:app")
        .setting("tmp_upload_dir", "nowhere")
        .launch();

    assert_eq!(server.wait_for_exit(), 78);

    let log = server.stderr();
    assert!(log.contains("tmp_upload_dir: cannot enter"), "{log}");
    assert!(
        log.contains("nowhere\": No such file or directory; create it"),
        "{log}"
    );
}

/// 64 MiB of the letter u.
const DIGEST: &str = "e475b6a87d03679a7f9401648d6844c77d69924b1d555ddcd9b3f10c3d1e2422";

#[test]
fn a_large_upload_goes_through_an_unlinked_file_and_not_through_memory() {
    for chunked in [false, true] {
        let server = Server::running("bodies:app").workers(1).start();
        server.get("/digest/any");
        let worker = *server.worker_pids().first().unwrap();
        let before = processes::own_memory(worker).unwrap();

        let answer = upload(&server, chunked, || {
            let spooled = || has_unlinked_file(worker);
            server.wait_until("the body is in an unlinked file", spooled);
            let growth = processes::own_memory(worker)
                .unwrap()
                .saturating_sub(before);
            assert!(
                growth < 16_000,
                "grew by {growth} KiB before the app was called"
            );
        });

        assert_eq!(answer, json!({"length": 64 * MEGABYTE, "sha256": DIGEST}));
        let growth = processes::own_memory(worker)
            .unwrap()
            .saturating_sub(before);
        assert!(growth < 16_000, "grew by {growth} KiB");
        server.wait_until("the file is gone", || !has_unlinked_file(worker));
    }
}

#[test]
fn bodies_of_every_size_around_the_limits_arrive_whole() {
    let server = Server::running("bodies:app")
        .workers(1)
        .setting("keepalive", 60)
        .start();
    let mut connection = server.connect();

    for size in [
        0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 131_072, 262_145, 524_288, 1_048_577,
        3_000_000,
    ] {
        let body: Vec<u8> = (0..size)
            .map(|number: usize| u8::try_from(number * 7 % 251).unwrap())
            .collect();
        connection
            .send(format!(
                "POST /echo/read HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
            ))
            .send(&body);
        assert!(
            connection.receive().body == body,
            "{size} bytes with a length"
        );

        connection
            .send("POST /echo/read-some HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for chunk in body.chunks(10_007) {
            connection
                .send(format!("{:X}\r\n", chunk.len()))
                .send(chunk)
                .send("\r\n");
        }
        connection.send("0\r\n\r\n");
        assert!(connection.receive().body == body, "{size} bytes in chunks");
    }
}

#[test]
fn a_slow_upload_does_not_block_the_only_worker() {
    let server = Server::running("bodies:app").workers(1).start();
    let mut slow = server.connect();
    slow.send("POST /echo/read HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n");

    for number in 0..20 {
        slow.send("x");
        assert_eq!(
            server
                .post("/echo/read", format!("{number}").as_bytes())
                .text(),
            number.to_string()
        );
    }

    assert_eq!(slow.receive().text(), "x".repeat(20));
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_upload_never_reaches_the_app() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import bodies\ndef app(environ, start_response):\n    open('calls', 'a').write('x')\n    \
             return bodies.app(environ, start_response)\n",
        )
        .start();

    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        server.connect().send(format!(
            "POST /echo/read HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n5\r\nhello"
        ));
    }

    assert_eq!(server.post("/echo/read", b"whole").text(), "whole");
    assert_eq!(server.read("calls"), "x");
    assert_eq!(server.log_count("Traceback"), 0);
}

#[test]
fn an_answer_that_comes_without_reading_the_body_does_not_disturb_the_connection() {
    let server = Server::running("bodies:app")
        .workers(1)
        .setting("keepalive", 60)
        .start();
    let mut connection = server.connect();

    for _ in 0..3 {
        connection.send(format!(
            "POST /echo/nothing HTTP/1.1\r\nHost: a\r\nContent-Length: {MEGABYTE}\r\n\r\n"
        ));
        connection.send(vec![b'x'; MEGABYTE]);
        assert_eq!(connection.receive().status, 200);
    }
}

#[test]
fn a_disk_that_is_full_costs_one_request_and_not_the_worker() {
    // No file may grow beyond this, so that the body cannot be spooled.
    let server = Server::running("bodies:app")
        .workers(1)
        .file_size_limit_kib(1024)
        .start();
    let worker = server.worker_pids();
    let mut connection = server.connect();
    connection.set_timeout(Duration::from_secs(20));
    let _ = connection.try_send(format!(
        "POST /digest/any HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        8 * MEGABYTE
    ));
    let _ = connection.try_send(vec![b'x'; 8 * MEGABYTE]);

    match connection.try_receive() {
        Ok(response) => assert!((500..600).contains(&response.status), "{response:?}"),
        Err(broken) => assert_ne!(broken, crate::harness::Broken::Silent),
    }

    assert_eq!(server.post("/echo/read", b"small").text(), "small");
    assert_eq!(server.worker_pids(), worker);
}
