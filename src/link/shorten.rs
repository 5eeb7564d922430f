//! Texts that have to fit into a message. An exception's text may have any length, and a
//! message that is too long for a link would be lost.

const MARK: &str = " … (cut) … ";

/// `text`, if it takes at most `limit` bytes as JSON, else as much as fits of its start and
/// of its end, which in a traceback is the exception itself.
///
/// It is the JSON that counts: a control character has six bytes there.
pub fn shorten(text: String, limit: usize) -> String {
    // No character takes more.
    if text.len() <= limit / 6 || text.chars().map(json_length).sum::<usize>() <= limit {
        return text;
    }
    let head = fitting(text.char_indices(), limit / 4, |(at, character)| {
        at + character.len_utf8()
    });
    let tail = fitting(text.char_indices().rev(), limit * 3 / 4, |(at, _)| at);
    let (head, tail) = (head.unwrap_or(0), tail.unwrap_or(text.len()));
    [&text[..head], MARK, &text[tail..]].concat()
}

/// Where the characters end that fit into `limit` bytes of JSON.
fn fitting(
    characters: impl Iterator<Item = (usize, char)>,
    limit: usize,
    end: impl Fn((usize, char)) -> usize,
) -> Option<usize> {
    let mut length = 0;
    characters
        .take_while(|(_, character)| {
            length += json_length(*character);
            length <= limit
        })
        .last()
        .map(end)
}

/// How many bytes `serde_json` writes for a character of a string.
fn json_length(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\x08' | '\x0c' => 2,
        '\0'..='\x1f' => 6,
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_left_alone() {
        let text = "é\n\x01".repeat(100);

        assert_eq!(shorten(text.clone(), 1000), text);
        assert_ne!(shorten(text.clone(), 999), text);
    }

    #[test]
    fn a_long_text_keeps_its_start_and_its_end() {
        for piece in ["x", "\n", "\x01", "é", "…", "🐍", "\""] {
            let text = format!("start{}end", piece.repeat(10_000));

            let short = shorten(text, 1000);

            assert!(short.starts_with("start") && short.ends_with("end"));
            let json = serde_json::to_string(&short).unwrap().len() - 2;
            assert!(
                (900..=1000 + MARK.len()).contains(&json),
                "{piece:?}: {json}"
            );
        }
    }

    #[test]
    fn the_length_of_each_character_is_that_of_its_json() {
        for character in (0..0x300).filter_map(char::from_u32) {
            let json = serde_json::to_string(&character).unwrap();
            assert_eq!(json_length(character), json.len() - 2, "{character:?}");
        }
    }
}
