//! The cases in `tests/requests`, whole and in pieces. What the files mean is
//! written beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::str;

use rgunicorn_http::{Framing, Limits};

use crate::reader::{Outcome, Reading, read};

struct Case {
    path: PathBuf,
    expected: Vec<(String, String)>,
    bytes: Vec<u8>,
}

fn cases(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/requests")
        .join(folder);
    let mut cases: Vec<Case> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "http")
        })
        .map(case)
        .collect();
    cases.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!cases.is_empty());
    cases
}

fn case(path: PathBuf) -> Case {
    let text = fs::read_to_string(&path).unwrap();
    let (head, request) = text.split_once("\n---\n").expect("a line of dashes");
    let expected = head
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (key, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("{}: no key in {line:?}", path.display()));
            (key.to_owned(), value.trim_start().to_owned())
        })
        .collect();
    let bytes = unescaped(&request.replace('\n', ""));
    Case {
        path,
        expected,
        bytes,
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let end = unescape(text.as_bytes(), false, &mut bytes);
    assert_eq!(end, text.len());
    bytes
}

/// Up to the end of `text`, or to the brace that ends a repetition.
fn unescape(text: &[u8], in_braces: bool, bytes: &mut Vec<u8>) -> usize {
    let mut at = 0;
    loop {
        match &text[at..] {
            [] => return at,
            [b'}', ..] if in_braces => return at + 1,
            [b'\\', b'{', rest @ ..] => {
                let space = rest.iter().position(|byte| *byte == b' ').unwrap();
                let count: usize = str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
                let mut repeated = Vec::new();
                let length = unescape(&rest[space + 1..], true, &mut repeated);
                bytes.extend_from_slice(&repeated.repeat(count));
                at += 2 + space + 1 + length;
            }
            [b'\\', b'x', high, low, ..] => {
                let digits = [*high, *low];
                let digits = str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                at += 4;
            }
            [b'\\', escaped, ..] => {
                bytes.push(match escaped {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => 0,
                    b'\\' => b'\\',
                    other => panic!("unknown escape {}", char::from(*other)),
                });
                at += 2;
            }
            [byte, ..] => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
}

/// Reads it whole, byte by byte, and cut in two at every place (of the first few
/// thousand: long cases are long for one reason).
fn outcome(case: &Case) -> Outcome {
    let limits = Limits::default();
    let name = case.path.display();
    let whole = read(&case.bytes, &[], &limits);
    let each: Vec<usize> = (0..case.bytes.len()).collect();
    assert_eq!(
        read(&case.bytes, &each, &limits),
        whole,
        "{name}, byte by byte"
    );
    for cut in 0..case.bytes.len().min(300) {
        assert_eq!(
            read(&case.bytes, &[cut], &limits),
            whole,
            "{name}, cut at {cut}"
        );
    }
    whole
}

fn check(case: &Case, reading: &Reading) {
    let name = case.path.display();
    let mut fields = Vec::new();
    for (key, value) in &case.expected {
        let value = unescaped(value);
        let text = String::from_utf8_lossy(&value).into_owned();
        let flag = || match &*text {
            "yes" => true,
            "no" => false,
            other => panic!("{name}: {key} is neither yes nor no but {other:?}"),
        };
        match &**key {
            "method" => assert_eq!(reading.method, value, "{name}: method"),
            "path" => assert_eq!(reading.path, value, "{name}: path"),
            "query" => assert_eq!(reading.query, value, "{name}: query"),
            "version" => assert_eq!(reading.version, text, "{name}: version"),
            "host" => assert_eq!(reading.host, Some(value), "{name}: host"),
            "keep-alive" => assert_eq!(reading.keep_alive, flag(), "{name}: keep-alive"),
            "expect-continue" => {
                assert_eq!(reading.expect_continue, flag(), "{name}: expect-continue");
            }
            "framing" => {
                let framing = match &*text {
                    "none" => Framing::None,
                    "chunked" => Framing::Chunked,
                    length => {
                        Framing::Length(length.strip_prefix("length ").unwrap().parse().unwrap())
                    }
                };
                assert_eq!(reading.framing, framing, "{name}: framing");
            }
            "body" => assert_eq!(reading.body, value, "{name}: body"),
            "rest" => assert_eq!(reading.rest, value, "{name}: rest"),
            "field" => {
                let equals = value.iter().position(|byte| *byte == b'=').unwrap();
                fields.push((value[..equals].to_vec(), value[equals + 1..].to_vec()));
            }
            other => panic!("{name}: unknown key {other:?}"),
        }
    }
    if !fields.is_empty() {
        assert_eq!(reading.fields, fields, "{name}: fields");
    }
}

#[test]
fn valid_requests_are_read_as_their_files_say() {
    for case in cases("valid") {
        match outcome(&case) {
            Outcome::Complete(reading) => check(&case, &reading),
            other @ (Outcome::Wanting | Outcome::Refused(_)) => {
                panic!("{}: {other:?}", case.path.display())
            }
        }
    }
}

#[test]
fn invalid_requests_are_refused_as_their_files_say() {
    for case in cases("invalid") {
        let name = case.path.display();
        let Outcome::Refused(refusal) = outcome(&case) else {
            panic!("{name}: {:?}", outcome(&case));
        };
        for (key, value) in &case.expected {
            match &**key {
                "status" => {
                    assert_eq!(refusal.status().code().to_string(), *value, "{name}");
                }
                "refusal" => assert_eq!(format!("{refusal:?}"), *value, "{name}"),
                other => panic!("{name}: unknown key {other:?}"),
            }
        }
    }
}
