//! The cases in `tests/requests`, whole and in pieces. The `README.md` there explains the
//! files.

use rgunicorn_http::{Framing, Limits};

use crate::files::{Case, assignment, cases, unescaped};
use crate::reader::{Outcome, Reading, read};

fn limits(settings: &[String]) -> Limits {
    let mut limits = Limits::default();
    for setting in settings {
        let (name, value) = assignment(setting);
        let number = || value.parse().unwrap();
        let permit = &mut limits.permit;
        match name {
            "limit_request_line" => limits.line = number(),
            "limit_request_fields" => limits.fields = number(),
            "limit_request_field_size" => limits.field_size = number(),
            "limit_request_body" => limits.body = value.parse().unwrap(),
            "permit_obsolete_folding" => permit.folded_fields = true,
            "strip_header_spaces" => permit.blanks_before_colon = true,
            "permit_unconventional_http_method" => permit.any_method = true,
            "permit_unconventional_http_version" => permit.any_version = true,
            "casefold_http_method" => permit.upper_case_method = true,
            other => panic!("unknown setting {other}"),
        }
    }
    limits
}

/// Reads it whole, byte by byte, and cut in two at every place (of the first few
/// thousand: long cases are long for one reason).
fn outcome(case: &Case, settings: &[String]) -> Outcome {
    let limits = limits(settings);
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
        match outcome(&case, &case.settings) {
            Outcome::Complete(reading) => check(&case, &reading),
            other @ (Outcome::Incomplete | Outcome::Refused(_)) => {
                panic!("{}: {other:?}", case.path.display())
            }
        }
    }
}

#[test]
fn invalid_requests_are_refused_as_their_files_say() {
    for case in cases("invalid") {
        let name = case.path.display();
        let Outcome::Refused(refusal) = outcome(&case, &case.settings) else {
            panic!("{name}: {:?}", outcome(&case, &case.settings));
        };
        for (key, value) in &case.expected {
            match &**key {
                "status" => {
                    let status = refusal.status().to_string();
                    assert_eq!(status.split(' ').next(), Some(&**value), "{name}");
                }
                "refusal" => assert_eq!(format!("{refusal:?}"), *value, "{name}"),
                other => panic!("{name}: unknown key {other:?}"),
            }
        }
    }
}

/// Both verdicts of each switch: the requests it is for are refused without it, or at least
/// read otherwise.
#[test]
fn a_request_that_needs_a_setting_is_not_read_without_it() {
    let mut tried = 0;
    for case in cases("valid") {
        for left_out in &case.settings {
            let mut others = case.settings.clone();
            others.retain(|setting| setting != left_out);
            let name = format!("{} without {left_out}", case.path.display());

            let without = outcome(&case, &others);

            match &**left_out {
                "casefold_http_method" => {
                    assert_ne!(without, outcome(&case, &case.settings), "{name}");
                }
                _ => assert!(
                    matches!(without, Outcome::Refused(_)),
                    "{name}: {without:?}"
                ),
            }
            tried += 1;
        }
    }
    assert!(tried > 10);
}
