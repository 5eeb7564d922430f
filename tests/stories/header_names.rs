//! The names of header fields become keys of the environ: those that come again are
//! made once, and no client can put an end to that.

use crate::harness::{Connection, Running, Server};

/// Answers how many keys of the request's `X-` fields came before and were made anew.
const COUNTING: &str = "kept = {}\n\
    def app(environ, start_response):\n    \
    made = sum(kept.setdefault(key, key) is not key for key in environ if key.startswith('HTTP_X_'))\n    \
    kept.update((key, key) for key in environ)\n    \
    start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
    return [str(made).encode()]\n";

fn counting() -> Running {
    Server::running("counting:app")
        .workers(1)
        .setting("keepalive", 60)
        .file("counting.py", COUNTING)
        .start()
}

/// Fields with names that no other request has.
fn fields(request: u32, count: u32, value: &str) -> String {
    let fields: Vec<_> = (0..count)
        .map(|field| format!("X-{request}-{field}: {value}\r\n"))
        .collect();
    fields.concat()
}

/// The number of keys that were made anew.
fn made_anew(connection: &mut Connection, fields: &str) -> u32 {
    connection
        .send(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"))
        .receive()
        .text()
        .parse()
        .unwrap()
}

/// For names that came before those of the other client, as for those that come after.
#[test]
fn a_client_with_many_header_names_does_not_empty_the_cache() {
    let server = counting();
    let mut connection = server.connect();
    let mut third_time = |field: &str| {
        (0..3)
            .map(|_| made_anew(&mut connection, field))
            .last()
            .unwrap()
    };
    assert_eq!(third_time("X-Shop-Early: x\r\n"), 0);

    let mut other = server.connect();
    for request in 0..30 {
        made_anew(&mut other, &fields(request, 90, "x"));
    }

    assert_eq!(made_anew(&mut other, "X-Shop-Early: x\r\n"), 0);
    assert_eq!(third_time("X-Shop-Late: x\r\n"), 0);
}

#[test]
fn the_names_of_a_few_hundred_fields_are_all_cached() {
    let server = counting();
    let mut connection = server.connect();
    let mut all_made_anew = || -> u32 {
        (0..5)
            .map(|request| made_anew(&mut connection, &fields(request, 80, "x")))
            .sum()
    };

    for _ in 0..3 {
        all_made_anew();
    }

    assert_eq!(all_made_anew(), 0);
}

/// The least recently used name is evicted.
#[test]
fn more_header_names_than_are_cached_arrive_all_the_same() {
    let server = Server::running("environment:app")
        .workers(1)
        .setting("keepalive", 60)
        .start();
    let mut connection = server.connect();

    for round in 0..3 {
        let round = round.to_string();
        for request in 0..10 {
            let fields = fields(request, 90, &round);
            let environ = connection
                .send(format!(
                    "GET / HTTP/1.1\r\nHost: localhost\r\n{fields}X-Twice: a\r\nX-Twice: b\r\n\r\n"
                ))
                .receive()
                .json();
            for field in 0..90 {
                let key = format!("HTTP_X_{request}_{field}");
                assert_eq!(environ[&key], round, "{key}");
            }
            assert_eq!(environ["HTTP_X_TWICE"], "a,b");
        }
    }
}
