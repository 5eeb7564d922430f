//! Response heads, as a client reads them.

use rgunicorn_http::{
    ResponseBody, ResponseContext, ResponseError, ResponseFraming, ResponseHead, Version,
};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

const GET: ResponseContext = ResponseContext {
    version: Version::Http11,
    head_only: false,
    keep_alive: true,
};
const HEAD: ResponseContext = ResponseContext {
    head_only: true,
    ..GET
};
const GET_10: ResponseContext = ResponseContext {
    version: Version::Http10,
    keep_alive: false,
    ..GET
};
const KEPT_10: ResponseContext = ResponseContext {
    keep_alive: true,
    ..GET_10
};

/// The head that goes out, without Server and Date, and what remains to be sent.
fn answered(
    context: ResponseContext,
    status: &str,
    fields: &[(&str, &str)],
    known: Option<u64>,
) -> Result<(String, ResponseBody), ResponseError> {
    let mut out = b"before|".to_vec();
    let answer = answer(&mut out, context, status, fields, known);
    let text = String::from_utf8(out).unwrap();
    let text = text.strip_prefix("before|").unwrap();
    match answer {
        Ok(sending) => {
            let always = "Server: rgunicorn\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
            assert_eq!(text.matches(always).count(), 1, "{text}");
            Ok((text.replacen(always, "", 1), sending))
        }
        Err(error) => {
            assert_eq!(text, "", "something was left behind");
            Err(error)
        }
    }
}

fn answer(
    out: &mut Vec<u8>,
    context: ResponseContext,
    status: &str,
    fields: &[(&str, &str)],
    known: Option<u64>,
) -> Result<ResponseBody, ResponseError> {
    let mut head = ResponseHead::begin(out, context, status.as_bytes())?;
    for (name, value) in fields {
        head.field(name.as_bytes(), value.as_bytes())?;
    }
    Ok(head.finish(known, DATE))
}

#[track_caller]
fn assert_answer(
    (context, status, fields, known): (ResponseContext, &str, &[(&str, &str)], Option<u64>),
    head: &str,
    framing: ResponseFraming,
    keep_alive: bool,
) {
    let expected = ResponseBody {
        framing,
        keep_alive,
    };
    assert_eq!(
        answered(context, status, fields, known),
        Ok((head.to_owned(), expected))
    );
}

#[test]
fn a_known_length_is_announced() {
    assert_answer(
        (GET, "200 OK", &[("Content-Type", "text/plain")], Some(5)),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n",
        ResponseFraming::Length(5),
        true,
    );
}

#[test]
fn the_length_of_the_application_counts_more() {
    assert_answer(
        (GET, "200 OK", &[("content-length", " 007 ")], Some(5)),
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        ResponseFraming::Length(7),
        true,
    );
}

#[test]
fn an_unknown_length_is_chunked() {
    assert_answer(
        (GET, "200 OK", &[], None),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ResponseFraming::Chunked,
        true,
    );
}

#[test]
fn an_old_client_gets_an_unknown_length_until_the_connection_closes() {
    for context in [GET_10, KEPT_10] {
        assert_answer(
            (context, "200 OK", &[], None),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            ResponseFraming::UntilClose,
            false,
        );
    }
}

#[test]
fn keep_alive_is_confirmed_to_an_http_1_0_client() {
    assert_answer(
        (KEPT_10, "200 OK", &[], Some(0)),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
        ResponseFraming::Length(0),
        true,
    );
}

#[test]
fn a_connection_that_will_close_is_announced() {
    let closing = ResponseContext {
        keep_alive: false,
        ..GET
    };
    assert_answer(
        (closing, "200 OK", &[], Some(1)),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n",
        ResponseFraming::Length(1),
        false,
    );
}

#[test]
fn the_application_may_close_but_not_keep() {
    for value in ["close", "Close", "upgrade, close"] {
        assert_answer(
            (KEPT_10, "200 OK", &[("Connection", value)], Some(1)),
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n",
            ResponseFraming::Length(1),
            false,
        );
    }
    assert_answer(
        (GET_10, "200 OK", &[("Connection", "keep-alive")], Some(1)),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n",
        ResponseFraming::Length(1),
        false,
    );
}

#[test]
fn a_head_request_has_the_fields_of_a_get_and_no_body() {
    assert_answer(
        (HEAD, "200 OK", &[("Content-Length", "5")], Some(0)),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ResponseFraming::NoBody,
        true,
    );
    assert_answer(
        (HEAD, "200 OK", &[], Some(5)),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ResponseFraming::NoBody,
        true,
    );
    for known in [None, Some(0)] {
        assert_answer(
            (HEAD, "200 OK", &[], known),
            "HTTP/1.1 200 OK\r\n\r\n",
            ResponseFraming::NoBody,
            true,
        );
    }
}

#[test]
fn no_content_has_no_length() {
    assert_answer(
        (GET, "204 No Content", &[("Content-Length", "5")], Some(0)),
        "HTTP/1.1 204 No Content\r\n\r\n",
        ResponseFraming::NoBody,
        true,
    );
}

#[test]
fn not_modified_may_describe_what_it_does_not_send() {
    assert_answer(
        (GET, "304 Not Modified", &[("Content-Length", "5")], Some(0)),
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ResponseFraming::NoBody,
        true,
    );
    assert_answer(
        (GET, "304 Not Modified", &[], Some(0)),
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        ResponseFraming::NoBody,
        true,
    );
}

#[test]
fn what_belongs_to_the_server_is_dropped() {
    let fields = [
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Authorization", "Basic"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Trailer", "a"),
        ("Trailers", "a"),
        ("TRANSFER-ENCODING", "chunked"),
        ("Upgrade", "websocket"),
        ("server", "other"),
        ("Date", "today"),
        ("X-Server", "stays"),
    ];

    assert_answer(
        (GET, "200 OK", &fields, Some(0)),
        "HTTP/1.1 200 OK\r\nX-Server: stays\r\nContent-Length: 0\r\n\r\n",
        ResponseFraming::Length(0),
        true,
    );
}

#[test]
fn a_status_is_three_digits_and_a_reason() {
    for status in ["200 OK", "200 ", "200", "599 Whatever \u{e9}"] {
        assert!(answered(GET, status, &[], Some(0)).is_ok(), "{status}");
    }
    for status in [
        "",
        "20",
        "2000 OK",
        "20x OK",
        "200\tOK",
        "200OK",
        " 200 OK",
        "-20 OK",
        "000 OK",
        "099 OK",
        "600 OK",
        "999 OK",
        "200 OK\r\nX: y",
        "200 O\nK",
        "200 O\0K",
        "OK",
    ] {
        let error = answered(GET, status, &[], Some(0)).unwrap_err();
        assert!(
            matches!(error, ResponseError::BadStatus(_)),
            "{status:?}: {error}"
        );
    }
}

#[test]
fn an_application_has_no_interim_responses() {
    for status in ["100 Continue", "101 Switching Protocols", "103 Early Hints"] {
        assert_eq!(
            answered(GET, status, &[], Some(0)).unwrap_err(),
            ResponseError::InterimStatus(status.into())
        );
    }
}

#[test]
fn no_field_can_be_smuggled_in() {
    for (name, value, error) in [
        ("X", "y\r\nZ: z", ResponseError::BadValue("X".into())),
        ("X", "y\nZ: z", ResponseError::BadValue("X".into())),
        ("X", "y\rZ: z", ResponseError::BadValue("X".into())),
        ("X", "y\0", ResponseError::BadValue("X".into())),
        ("X", "y\r\n\r\nbody", ResponseError::BadValue("X".into())),
        ("Server", "a\r\nb", ResponseError::BadValue("Server".into())),
        (
            "X: y\r\nZ",
            "z",
            ResponseError::BadName("X: y\\r\\nZ".into()),
        ),
        ("X ", "y", ResponseError::BadName("X ".into())),
        ("", "y", ResponseError::BadName(String::new())),
        ("X:", "y", ResponseError::BadName("X:".into())),
        (
            "Caf\u{e9}",
            "y",
            ResponseError::BadName("Caf\\xc3\\xa9".into()),
        ),
    ] {
        let fields = [("A", "b"), (name, value)];
        assert_eq!(answered(GET, "200 OK", &fields, Some(0)), Err(error));
    }
}

#[test]
fn a_content_length_is_one_number() {
    for value in [
        "",
        "a",
        "-1",
        "+1",
        "1, 1",
        "1 1",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
    ] {
        assert_eq!(
            answered(GET, "200 OK", &[("Content-Length", value)], None).unwrap_err(),
            ResponseError::BadLength(value.into())
        );
    }
    let twice = [("Content-Length", "1"), ("content-length", "1")];
    assert_eq!(
        answered(GET, "200 OK", &twice, None).unwrap_err(),
        ResponseError::RepeatedLength
    );
}

#[test]
fn a_head_that_is_dropped_leaves_nothing_behind() {
    let mut out = b"before".to_vec();
    let mut head = ResponseHead::begin(&mut out, GET, b"200 OK").unwrap();
    head.field(b"a", b"b").unwrap();

    drop(head);

    assert_eq!(out, b"before");
}
