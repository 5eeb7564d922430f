//! Reads the files of this folder, for the tests of the HTTP crate and the stories.

use std::{
    fs,
    path::{Path, PathBuf},
    str,
};

pub struct Case {
    pub path: PathBuf,
    /// `NAME` or `NAME = VALUE`.
    pub settings: Vec<String>,
    /// Other keys and values, in the file's order.
    pub expected: Vec<(String, String)>,
    /// The bytes a client sends.
    pub bytes: Vec<u8>,
}

/// The cases of `tests/requests/FOLDER`, by name.
pub fn cases(folder: &str) -> Vec<Case> {
    // The crates are at different depths below the workspace.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|place| place.join("tests/requests").join(folder))
        .find(|place| place.is_dir())
        .expect("tests/requests is in the source tree");
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
    let (settings, expected): (Vec<_>, Vec<_>) = head
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (key, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("{}: no key in {line:?}", path.display()));
            (key.to_owned(), value.trim_start().to_owned())
        })
        .partition(|(key, _)| key == "with");
    let settings = settings.into_iter().map(|(_, setting)| setting).collect();
    let bytes = unescaped(&request.replace('\n', ""));
    Case {
        path,
        settings,
        expected,
        bytes,
    }
}

/// The name and the value of one of a case's settings, as a server's file has them.
pub fn assignment(setting: &str) -> (&str, &str) {
    setting.split_once(" = ").unwrap_or((setting, "true"))
}

/// Text in the notation of the files as the bytes it means.
pub fn unescaped(text: &str) -> Vec<u8> {
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
