//! Text that may come from an application, as root may read it in a terminal, and others on
//! a page.

/// `text` without control characters, but in lines.
pub fn printable(text: &str) -> String {
    let shown = |letter| match letter {
        '\n' | '\t' => letter,
        _ => visible(letter),
    };
    text.chars().map(shown).collect()
}

/// In place of a control character, one that is seen.
pub fn visible(letter: char) -> char {
    if letter.is_control() {
        char::REPLACEMENT_CHARACTER
    } else {
        letter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(
            printable("a\u{1b}[2Jb\n\tc\u{9b}"),
            "a\u{fffd}[2Jb\n\tc\u{fffd}"
        );
    }
}
