//! `--check-upgrade`: a program that shall take over is asked by the one that runs whether
//! it could. No operator types it.

use crate::sys::handed_over::Number;
use std::ffi::OsString;

/// Followed by the number of the descriptor with the state, and the words of the command line.
pub const CHECK: &str = "--check-upgrade";

/// What a program says that can take over, with its version behind it.
const ANSWER: &str = "rgunicorn can take over: ";

/// The state, and the command line, if this process was started to check.
pub fn to_check(words: impl IntoIterator<Item = OsString>) -> Option<(Number, Vec<OsString>)> {
    let mut words = words.into_iter();
    let name = words.next()?;
    words.next().filter(|word| word == CHECK)?;
    let state = Number::parse(words.next()?.to_str()?)?;
    let line = [name].into_iter().chain(words).collect();
    Some((state, line))
}

pub fn answer() -> String {
    format!("{ANSWER}{}", env!("CARGO_PKG_VERSION"))
}

pub fn can_take_over(line: &str) -> bool {
    line.starts_with(ANSWER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_stands_before_the_command_line() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let asked = to_check(words("rgunicorn --check-upgrade 3 -w 2 shop:app"));

        let line = words("rgunicorn -w 2 shop:app");
        assert_eq!(asked, Number::parse("3").map(|state| (state, line)));
        for text in [
            "rgunicorn -w 2",
            "rgunicorn",
            "rgunicorn shop:app --check-upgrade 3",
        ] {
            assert_eq!(to_check(words(text)), None, "{text}");
        }
    }
}
