//! A request head (RFC 9112, sections 2 to 6).

use std::str;

use rgunicorn_http::{Framing, Limits, Permit, Version};

use super::{Verdict, is_token, is_value, line, trim};

/// What a complete head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub path: Vec<u8>,
    pub query: Vec<u8>,
    pub version: Version,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub framing: Framing,
    pub keep_alive: bool,
    pub expect_continue: bool,
    pub length: usize,
}

/// Reads the head at the start of `bytes`.
pub fn head(bytes: &[u8], limits: &Limits) -> Verdict<Head> {
    let mut rest = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let mut lines = Vec::new();
    loop {
        let Some((text, after)) = line(rest) else {
            return Verdict::Incomplete;
        };
        rest = after;
        // The request line cannot be empty; that is for `read` to say.
        if text.is_empty() && !lines.is_empty() {
            break;
        }
        lines.push(text);
    }
    let length = bytes.len() - rest.len();
    read(&lines, length, limits).map_or(Verdict::Refused, Verdict::Complete)
}

/// `lines` are the request line and the field lines, without their line breaks.
fn read(lines: &[&[u8]], length: usize, limits: &Limits) -> Option<Head> {
    let (request_line, field_lines) = lines.split_first()?;
    let permit = limits.permit;
    let field_lines = joined(field_lines, permit);
    let is_small = length <= limits.head()
        && request_line.len() <= limits.line
        && field_lines.len() <= limits.fields
        && field_lines.iter().all(|lines| {
            lines.iter().map(|line| line.len() + 2).sum::<usize>() <= limits.field_size
        });
    if !is_small {
        return None;
    }

    let words: Vec<&[u8]> = request_line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return None;
    };
    let version = match version.strip_prefix(b"HTTP/")? {
        b"1.0" => Version::Http10,
        [b'1', b'.', b'1'..=b'9'] => Version::Http11,
        [b'0', b'.', b'0'..=b'9'] if permit.any_version => Version::Http10,
        [b'2'..=b'9', b'.', b'0'..=b'9'] if permit.any_version => Version::Http11,
        [..] => return None,
    };
    let mut method_read = method.to_vec();
    if permit.upper_case_method {
        method_read.make_ascii_uppercase();
    }
    if !is_method(method, permit) || !target.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let (path, query, authority) = read_target(&method_read, target)?;

    let owned: Vec<(&[u8], Vec<u8>)> = field_lines
        .iter()
        .map(|lines| field(lines, permit))
        .collect::<Option<_>>()?;
    let fields: Vec<(&[u8], &[u8])> = owned
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let at_most_once = |name: &str| -> Option<Option<&[u8]>> {
        let mut values = values(&fields, name);
        let first = values.next();
        values.next().is_none().then_some(first)
    };
    let host = at_most_once("host")?;
    at_most_once("content-type")?;
    let length_field = at_most_once("content-length")?;
    let coding = at_most_once("transfer-encoding")?;

    if host.is_some_and(|host| !is_host(host)) || host.is_none() && version == Version::Http11 {
        return None;
    }
    if let (Some(host), Some(authority)) = (host, authority) {
        if !host.eq_ignore_ascii_case(authority) {
            return None;
        }
    }
    let framing = match (coding, length_field) {
        (None, None) => Framing::None,
        (None, Some(digits)) => {
            let digits = str::from_utf8(digits).ok()?;
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse().ok().filter(|number| *number <= limits.body);
            Framing::Length(number.filter(|_| is_number)?)
        }
        (Some(coding), None) => {
            let is_known = coding.eq_ignore_ascii_case(b"chunked") && version == Version::Http11;
            is_known.then_some(Framing::Chunked)?
        }
        (Some(_), Some(_)) => return None,
    };

    let has_option = |option: &str| options(&fields, "connection").any(|found| found == option);
    let keep_alive =
        !has_option("close") && (version == Version::Http11 || has_option("keep-alive"));
    let mut expects = values(&fields, "expect").peekable();
    let expect_continue = version == Version::Http11 && expects.peek().is_some();
    if expect_continue && options(&fields, "expect").any(|found| found != "100-continue") {
        return None;
    }
    let has_body = !matches!(framing, Framing::None | Framing::Length(0));

    Some(Head {
        method: method_read,
        target: target.to_vec(),
        path,
        query,
        version,
        fields: fields
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect(),
        framing,
        keep_alive,
        expect_continue: expect_continue && has_body,
        length,
    })
}

/// The lines of each field.
fn joined<'head>(lines: &[&'head [u8]], permit: Permit) -> Vec<Vec<&'head [u8]>> {
    let mut fields: Vec<Vec<&[u8]>> = Vec::new();
    for line in lines {
        let goes_on = permit.folded_fields && matches!(line, [b' ' | b'\t', ..]);
        match fields.last_mut() {
            Some(field) if goes_on => field.push(line),
            _ => fields.push(vec![line]),
        }
    }
    fields
}

/// The name and the value of a field, whose lines are without their line breaks.
fn field<'head>(lines: &[&'head [u8]], permit: Permit) -> Option<(&'head [u8], Vec<u8>)> {
    let (first, others) = lines.split_first()?;
    let colon = first.iter().position(|byte| *byte == b':')?;
    let mut name = &first[..colon];
    while let ([before @ .., b' ' | b'\t'], true) = (name, permit.blanks_before_colon) {
        name = before;
    }
    let mut value = trim(&first[colon + 1..]).to_vec();
    for line in others {
        value.push(b' ');
        value.extend_from_slice(trim(line));
    }
    (is_token(name) && is_value(&value)).then(|| (name, trim(&value).to_vec()))
}

/// Gunicorn's rule: 3 to 20 characters of a token, no lower-case letters, no `#`; or any token.
fn is_method(method: &[u8], permit: Permit) -> bool {
    let is_usual = (3..=20).contains(&method.len())
        && !method
            .iter()
            .any(|byte| byte.is_ascii_lowercase() || *byte == b'#');
    is_token(method) && (is_usual || permit.any_method) && !method.eq_ignore_ascii_case(b"CONNECT")
}

/// Path, query and authority.
type Parts<'target> = (Vec<u8>, Vec<u8>, Option<&'target [u8]>);

fn read_target<'target>(method: &[u8], target: &'target [u8]) -> Option<Parts<'target>> {
    if method == b"OPTIONS" && target == b"*" {
        return Some((target.to_vec(), Vec::new(), None));
    }
    let (rest, authority) = if target.starts_with(b"/") {
        (target, None)
    } else {
        let scheme_end = target.windows(3).position(|three| three == b"://")?;
        let (scheme, rest) = (&target[..scheme_end], &target[scheme_end + 3..]);
        let is_http = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
        let end = rest.iter().position(|byte| b"/?#".contains(byte));
        let (authority, rest) = rest.split_at(end.unwrap_or(rest.len()));
        if !is_http || authority.is_empty() || authority.starts_with(b":") || !is_host(authority) {
            return None;
        }
        (rest, Some(authority))
    };
    let mut without_fragment = rest.split(|byte| *byte == b'#');
    let mut parts = without_fragment.next()?.splitn(2, |byte| *byte == b'?');
    let path = parts.next()?;
    let path = if path.is_empty() { b"/" } else { path };
    let query = parts.next().unwrap_or_default();
    Some((path.to_vec(), query.to_vec(), authority))
}

/// `name:port` or `[address]:port`; the port is optional.
fn is_host(host: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte);
    let (is_good, port) = if let Some(rest) = host.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else {
            return false;
        };
        let address = &rest[..end];
        let is_address = address.iter().all(|byte| *byte == b':' || is_part(byte));
        (is_address && !address.is_empty(), &rest[end + 1..])
    } else {
        let end = host.iter().position(|byte| *byte == b':');
        let (name, port) = host.split_at(end.unwrap_or(host.len()));
        (name.iter().all(is_part) && has_good_escapes(name), port)
    };
    let port_fits = match port.strip_prefix(b":") {
        Some(digits) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        None => port.is_empty(),
    };
    is_good && port_fits
}

/// Two hexadecimal digits after every `%`.
fn has_good_escapes(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'%')
        .skip(1)
        .all(|part| part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit))
}

/// The values of the fields called `name`.
fn values<'head>(
    fields: &[(&'head [u8], &'head [u8])],
    name: &str,
) -> impl Iterator<Item = &'head [u8]> {
    fields
        .iter()
        .filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| *value)
}

/// The elements of all lists called `name`, in lower case.
fn options(fields: &[(&[u8], &[u8])], name: &str) -> impl Iterator<Item = String> {
    values(fields, name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(trim)
        .filter(|element| !element.is_empty())
        .map(|element| String::from_utf8_lossy(&element.to_ascii_lowercase()).into_owned())
}
