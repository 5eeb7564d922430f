//! The format of access-log lines, compiled: the master refuses one with a mistake at the
//! start, and the workers write by it. The atoms are those of Gunicorn.

use std::fmt;

/// What Gunicorn writes by default: the combined format.
pub const DEFAULT_FORMAT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// A compiled format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessFormat {
    parts: Vec<Part>,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Request(RequestAtom),
    Response(ResponseAtom),
}

/// What is known when the request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestAtom {
    /// `h`
    RemoteAddress,
    /// `u`, from `Authorization: Basic`
    User,
    /// `r`: method, target and protocol
    Line,
    /// `m`
    Method,
    /// `U`: the path, decoded
    Path,
    /// `q`
    Query,
    /// `H`
    Protocol,
    /// `{name}i`, also `f` and `a`; the name is in lower case
    Header(String),
}

/// What is known when the response has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseAtom {
    /// `t`
    Time,
    /// `s`
    Status,
    /// `B` and `b`: bytes of the body
    Bytes,
    /// `T`
    Seconds,
    /// `M`
    Milliseconds,
    /// `D`
    Microseconds,
    /// `L`: seconds with six decimals
    DecimalSeconds,
    /// `p`
    Pid,
    /// `{name}o`; the name is in lower case
    Header(String),
    /// `{name}e`: the index in [`AccessFormat::variables`]
    Variable(usize, String),
}

/// A mistake in a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError {
    /// In characters, from 1.
    pub column: usize,
    pub reason: String,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at column {}", self.reason, self.column)
    }
}

impl AccessFormat {
    pub fn parse(format: &str) -> Result<Self, FormatError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut variables = 0;
        let mut rest = format;
        let column = |rest: &str| format[..format.len() - rest.len()].chars().count() + 1;
        let error = |rest: &str, reason: String| FormatError {
            column: column(rest),
            reason,
        };
        while let Some(at) = rest.find(|letter: char| letter == '%' || letter.is_control()) {
            text.push_str(&rest[..at]);
            rest = &rest[at..];
            if !rest.starts_with('%') {
                let reason = "a control character: each record is one line".to_owned();
                return Err(error(rest, reason));
            }
            if let Some(after) = rest.strip_prefix("%%") {
                text.push('%');
                rest = after;
                continue;
            }
            let Some(inner) = rest.strip_prefix("%(") else {
                let reason = "\"%\" is followed neither by \"(\" nor by \"%\"".to_owned();
                return Err(error(rest, reason));
            };
            let Some(end) = end_of_name(inner) else {
                return Err(error(rest, "\"%(\" without its \")\"".to_owned()));
            };
            let name = &inner[..end];
            let after = &inner[end + 1..];
            let part = part(name, &mut variables).map_err(|reason| error(rest, reason))?;
            let is_number = is_number(&part);
            if !(after.starts_with('s') || after.starts_with('d') && is_number) {
                let reason = format!("\"%({name})\" has to be followed by \"s\"");
                return Err(error(after, reason));
            }
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            match part {
                Part::Text(constant) => text.push_str(&constant),
                part @ (Part::Request(_) | Part::Response(_)) => parts.push(part),
            }
            rest = &after[1..];
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts })
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The variables of the WSGI environ that it names, in lower case.
    pub fn variables(&self) -> Vec<String> {
        let parts = self.parts.iter();
        parts
            .filter_map(|part| match part {
                Part::Response(ResponseAtom::Variable(_, name)) => Some(name.clone()),
                Part::Text(_) | Part::Request(_) | Part::Response(_) => None,
            })
            .collect()
    }

    /// Whether it names header fields of the response.
    pub fn has_response_headers(&self) -> bool {
        let is_header = |part: &Part| matches!(part, Part::Response(ResponseAtom::Header(_)));
        self.parts.iter().any(is_header)
    }
}

/// Where the name in front of the closing parenthesis ends; one in braces may contain it.
fn end_of_name(inner: &str) -> Option<usize> {
    let from = if inner.starts_with('{') {
        inner.find('}')?
    } else {
        0
    };
    inner[from..].find(')').map(|at| from + at)
}

fn part(name: &str, variables: &mut usize) -> Result<Part, String> {
    use RequestAtom as Q;
    use ResponseAtom as S;
    if let Some((inner, kind)) = name
        .strip_prefix('{')
        .and_then(|braced| braced.split_once('}'))
    {
        let inner = inner.to_ascii_lowercase();
        if inner.is_empty() {
            return Err(format!("\"%({name})s\" names nothing"));
        }
        return match kind {
            "i" => Ok(Part::Request(Q::Header(inner))),
            "o" => Ok(Part::Response(S::Header(inner))),
            "e" => {
                *variables += 1;
                Ok(Part::Response(S::Variable(*variables - 1, inner)))
            }
            _ => Err(format!(
                "\"%({name})s\": behind the braces has to be i (request header), o (response \
                 header) or e (environ variable)"
            )),
        };
    }
    Ok(match name {
        "h" => Part::Request(Q::RemoteAddress),
        // The remote identity, which nobody asks for any more.
        "l" => Part::Text("-".to_owned()),
        "u" => Part::Request(Q::User),
        "r" => Part::Request(Q::Line),
        "m" => Part::Request(Q::Method),
        "U" => Part::Request(Q::Path),
        "q" => Part::Request(Q::Query),
        "H" => Part::Request(Q::Protocol),
        "f" => Part::Request(Q::Header("referer".to_owned())),
        "a" => Part::Request(Q::Header("user-agent".to_owned())),
        "t" => Part::Response(S::Time),
        "s" => Part::Response(S::Status),
        "B" | "b" => Part::Response(S::Bytes),
        "T" => Part::Response(S::Seconds),
        "M" => Part::Response(S::Milliseconds),
        "D" => Part::Response(S::Microseconds),
        "L" => Part::Response(S::DecimalSeconds),
        "p" => Part::Response(S::Pid),
        _ => {
            return Err(format!(
                "\"%({name})s\" is unknown; there are h l u t r m U q H s B b f a T M D L p and \
                 {{name}}i, {{name}}o, {{name}}e"
            ));
        }
    })
}

/// Whether Python's `%d` takes it, too.
fn is_number(part: &Part) -> bool {
    matches!(
        part,
        Part::Response(
            ResponseAtom::Bytes
                | ResponseAtom::Seconds
                | ResponseAtom::Milliseconds
                | ResponseAtom::Microseconds
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(format: &str) -> (usize, String) {
        let error = AccessFormat::parse(format).unwrap_err();
        (error.column, error.reason)
    }

    #[test]
    fn the_default_format_names_no_variables_and_no_response_headers() {
        let format = AccessFormat::parse(DEFAULT_FORMAT).unwrap();

        assert!(format.variables().is_empty() && !format.has_response_headers());
        assert_eq!(format.parts()[0], Part::Request(RequestAtom::RemoteAddress));
        assert_eq!(format.parts()[1], Part::Text(" ".into()));
        assert_eq!(format.parts()[2], Part::Text("- ".into()));
    }

    #[test]
    fn names_in_braces_are_compared_in_lower_case() {
        let format =
            AccessFormat::parse("%({X-In}i)s%({Set-Cookie}o)s%({REMOTE_PORT}e)s %({a(b)}e)s 5%%");
        let format = format.unwrap();

        assert_eq!(format.variables(), ["remote_port", "a(b)"]);
        assert!(format.has_response_headers());
        assert_eq!(
            format.parts()[0],
            Part::Request(RequestAtom::Header("x-in".into()))
        );
        assert_eq!(format.parts().last(), Some(&Part::Text(" 5%".into())));
    }

    #[test]
    fn numbers_may_be_written_as_numbers() {
        assert!(AccessFormat::parse("%(D)d %(T)d %(M)d %(B)d").is_ok());
        assert_eq!(column("%(D)d %(h)d").0, 11);
    }

    #[test]
    fn a_mistake_is_found_at_its_column() {
        for (format, at, reason) in [
            ("%(x)s", 1, "unknown"),
            ("ü %(h)s %(nope)s", 9, "unknown"),
            ("%(h)s %h", 7, "followed neither"),
            ("100%", 4, "followed neither"),
            ("%(h", 1, "without its"),
            ("%({a}x)s", 1, "behind the braces"),
            ("%({}i)s", 1, "names nothing"),
            ("%(h)", 5, "followed by \"s\""),
            ("%(L).3f", 5, "followed by \"s\""),
            ("a\tb", 2, "control character"),
            ("%(h)s\n", 6, "control character"),
        ] {
            let (found, said) = column(format);
            assert_eq!(found, at, "{format:?}: {said}");
            assert!(said.contains(reason), "{format:?}: {said}");
        }
    }
}
