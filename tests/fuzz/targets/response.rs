//! Responses: a client that knows only the bytes finds the application's fields and the
//! body that was sent, or the application's mistake is refused. An input is three bytes
//! that describe request and body, then the status, fields and the body, with a record
//! separator (0x1e) between them.
#![no_main]

use std::str;

use httparse::Header;
use libfuzzer_sys::fuzz_target;
use rgunicorn_fuzz::reference::{self, Verdict, is_token, is_value, trim};
use rgunicorn_http::{Limits, ResponseBody, ResponseContext, ResponseError, ResponseHead, Version};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// The fields that an application cannot set.
const SERVER_FIELDS: [&str; 13] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// What an application answers, and to what.
struct Answer<'data> {
    context: ResponseContext,
    /// The length of the body, if the server is told.
    known: Option<u64>,
    status: &'data [u8],
    fields: Vec<(&'data [u8], &'data [u8])>,
    body: &'data [u8],
    /// The body is sent in pieces of this length.
    piece: usize,
}

impl<'data> Answer<'data> {
    fn new(data: &'data [u8]) -> Option<Self> {
        let [flags, known, piece, text @ ..] = data else {
            return None;
        };
        let mut records: Vec<&[u8]> = text.split(|byte| *byte == 0x1e).collect();
        let status = records.remove(0);
        let body = records.pop().unwrap_or_default();
        let fields = records.iter().map(|record| {
            let colon = record.iter().position(|byte| *byte == b':');
            let (name, value) = record.split_at(colon.unwrap_or(record.len()));
            (name, value.strip_prefix(b":").unwrap_or_default())
        });
        Some(Self {
            context: ResponseContext {
                version: if flags & 1 == 0 {
                    Version::Http11
                } else {
                    Version::Http10
                },
                head_only: flags & 2 != 0,
                keep_alive: flags & 4 == 0,
            },
            known: (flags & 8 != 0).then_some((*known).into()),
            status,
            fields: fields.collect(),
            body,
            piece: usize::from(*piece) + 1,
        })
    }

    fn write_head(&self, out: &mut Vec<u8>) -> Result<ResponseBody, ResponseError> {
        let mut head = ResponseHead::begin(out, self.context, self.status)?;
        for (name, value) in &self.fields {
            head.field(name, value)?;
        }
        Ok(head.finish(self.known, DATE))
    }

    /// The values of the fields called `name`.
    fn values(&self, name: &str) -> Vec<&'data [u8]> {
        let fields = self.fields.iter();
        fields
            .filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| trim(value))
            .collect()
    }

    /// Whether the client has to learn that another request may follow.
    fn may_keep(&self, headers: &[Header]) -> bool {
        let closes = self
            .values("connection")
            .iter()
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|option| trim(option).eq_ignore_ascii_case(b"close"));
        let has_end = self.has_no_body()
            || value(headers, "Content-Length").is_some()
            || value(headers, "Transfer-Encoding").is_some();
        self.context.keep_alive && !closes && has_end
    }

    /// Whether a client expects none, whatever the head says.
    fn has_no_body(&self) -> bool {
        self.context.head_only || matches!(&self.status[..3], b"204" | b"304")
    }

    /// Whether a response may be made of it.
    fn is_good(&self) -> bool {
        let is_status = match self.status {
            [b'2'..=b'5', tens, ones, rest @ ..] => {
                tens.is_ascii_digit()
                    && ones.is_ascii_digit()
                    && (rest.is_empty() || rest[0] == b' ')
                    && is_value(rest)
            }
            [..] => false,
        };
        let mut fields = self.fields.iter();
        let are_fields = fields.all(|(name, value)| is_token(name) && is_value(value));
        let is_length = match self.values("content-length")[..] {
            [] => true,
            [digits] => {
                let digits = str::from_utf8(digits).unwrap_or_default();
                digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<i64>().is_ok()
            }
            [_, _, ..] => false,
        };
        is_status && are_fields && is_length
    }
}

fuzz_target!(|data: &[u8]| {
    if let Some(answer) = Answer::new(data) {
        check(&answer);
    }
});

fn check(answer: &Answer) {
    let mut out = b"before".to_vec();
    let head = answer.write_head(&mut out);
    assert_eq!(head.is_ok(), answer.is_good(), "{head:?}");
    let mut body = match head {
        Ok(body) => body,
        Err(error) => {
            assert_eq!(out, b"before");
            assert!(error.to_string().len() < 500);
            return;
        }
    };
    let may_keep_alive = body.keep_alive;
    for piece in answer.body.chunks(answer.piece) {
        body.write(piece, &mut out);
    }
    let end = body.end();
    out.extend_from_slice(end.unwrap_or_default());
    let sent = out.strip_prefix(b"before").expect("what was there stays");

    let mut slots = vec![httparse::EMPTY_HEADER; answer.fields.len() + 5];
    let mut response = httparse::Response::new(&mut slots);
    let Ok(httparse::Status::Complete(length)) = response.parse(sent) else {
        panic!("not a response head: {}", sent.escape_ascii());
    };
    assert_eq!(response.version, Some(1));
    let code = str::from_utf8(&answer.status[..3]).map(str::parse);
    assert_eq!(code, Ok(Ok(response.code.expect("a status"))));
    check_fields(answer, response.headers);

    let keeps = client_keeps(answer.context.version, response.headers);
    assert_eq!(keeps, may_keep_alive);
    assert_eq!(keeps, answer.may_keep(response.headers));
    let received = client_reads(answer, response.headers, &sent[length..], keeps);
    match received {
        Some(received) => {
            assert!(answer.body.starts_with(received.as_slice()));
            assert!(end.is_ok());
            assert_eq!(body.keep_alive, may_keep_alive);
        }
        None => assert!(end.is_err() && !body.keep_alive),
    }
}

/// The application's fields go out as they are and in order, then the server's.
fn check_fields(answer: &Answer, headers: &[Header]) {
    let is_servers = |name: &[u8]| {
        let mut names = SERVER_FIELDS.iter();
        names.any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    let given: Vec<(&[u8], &[u8])> = answer
        .fields
        .iter()
        .filter(|(name, _)| !is_servers(name))
        .map(|(name, value)| (*name, trim(value)))
        .collect();
    let sent: Vec<(&[u8], &[u8])> = headers
        .iter()
        .map(|header| (header.name.as_bytes(), header.value))
        .collect();
    let (first, rest) = sent.split_at(given.len());
    assert_eq!(first, given);
    let rest: Vec<&[u8]> = rest.iter().map(|(name, _)| *name).collect();
    let framing = rest.strip_prefix(&[&b"Server"[..], b"Date"]);
    assert!(
        matches!(
            framing,
            Some(
                [] | [b"Connection" | b"Content-Length" | b"Transfer-Encoding"]
                    | [b"Content-Length" | b"Transfer-Encoding", b"Connection"]
            )
        ),
        "{headers:?}"
    );
}

fn value<'sent>(headers: &[Header<'sent>], name: &str) -> Option<&'sent [u8]> {
    let mut headers = headers.iter().rev();
    headers
        .find(|header| header.name == name)
        .map(|header| header.value)
}

/// Whether a client may send another request (RFC 9112, section 9.3).
fn client_keeps(version: Version, headers: &[Header]) -> bool {
    match (version, value(headers, "Connection")) {
        (_, Some(b"close")) | (Version::Http10, None) => false,
        (Version::Http10, Some(b"keep-alive")) | (Version::Http11, None) => true,
        (_, Some(other)) => panic!("Connection: {}", other.escape_ascii()),
    }
}

/// The body a client finds (RFC 9112, section 6.3), or `None` if it is too short. Nothing
/// may follow it.
fn client_reads(answer: &Answer, headers: &[Header], sent: &[u8], keeps: bool) -> Option<Vec<u8>> {
    if answer.has_no_body() {
        assert!(sent.is_empty());
        assert_eq!(value(headers, "Transfer-Encoding"), None);
        return Some(Vec::new());
    }
    if value(headers, "Transfer-Encoding").is_some() {
        assert_eq!(value(headers, "Transfer-Encoding"), Some(&b"chunked"[..]));
        assert_eq!(answer.context.version, Version::Http11);
        let Verdict::Complete(body) = reference::chunked(sent, &Limits::default()) else {
            panic!("not a chunked body: {}", sent.escape_ascii());
        };
        assert_eq!(body.length, sent.len());
        assert_eq!(body.data, answer.body);
        return Some(body.data);
    }
    let Some(length) = value(headers, "Content-Length") else {
        assert!(!keeps);
        assert_eq!(sent, answer.body);
        return Some(sent.to_vec());
    };
    let length: u64 = str::from_utf8(length)
        .expect("digits")
        .parse()
        .expect("a number");
    assert!(sent.len() as u64 <= length);
    (sent.len() as u64 == length).then(|| sent.to_vec())
}
