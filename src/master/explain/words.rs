//! The words of a line of `ExecStart=`, as systemd splits it.

/// Splits a line. A backslash at the end of a line joins it with the next one;
/// quotes that are not closed reach to the end.
pub(super) fn split(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let text = text.trim();
    let text = match text.split_once('=') {
        Some((key, rest)) if key.trim() == "ExecStart" => rest.trim(),
        Some(_) | None => text,
    };
    // What these characters say about the process is the business of our unit. A
    // `-` may also begin an option.
    let program = text.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let text = if program.starts_with('/') {
        program
    } else {
        text
    };
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), closing) if open == closing => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, space) if space.is_whitespace() => words.extend(word.take()),
            (_, '\\') => {
                let escaped = letters.next().map_or('\\', |letter| match letter {
                    'n' => '\n',
                    't' => '\t',
                    's' => ' ',
                    other => other,
                });
                word.get_or_insert_default().push(escaped);
            }
            (Some(_) | None, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_systemd_does() {
        for (line, words) in [
            ("a  b", &["a", "b"] as &[&str]),
            ("ExecStart=-/usr/bin/x -b :80", &["/usr/bin/x", "-b", ":80"]),
            ("ExecStart = @/x \\\n   --y='a b'\"c\"", &["/x", "--y=a bc"]),
            (r#"x "a\"b" 'c\'d' e\sf"#, &["x", "a\"b", "c'd", "e f"]),
            ("x '' \"open", &["x", "", "open"]),
            ("x a=b", &["x", "a=b"]),
            ("-w 2", &["-w", "2"]),
            ("", &[]),
        ] {
            assert_eq!(split(line), words, "{line}");
        }
    }
}
