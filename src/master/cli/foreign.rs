//! Flags of Gunicorn that rgunicorn has no setting for. They are parsed like all
//! others, so that a word after them is their value, and so that all of them are
//! reported at once.

use crate::config::{Foreign, Mistake, OPTIONS, Origin, Partial, SETTINGS, THEIRS, Takes, Theirs};
use clap::{Arg, ArgAction, ArgMatches};
use std::ffi::OsString;

/// Those without a setting or an option of the program.
fn foreign() -> impl Iterator<Item = &'static Theirs> {
    let is_here = |flag: &&str| SETTINGS.iter().any(|setting| setting.flags.contains(flag));
    let is_foreign =
        move |theirs: &&Theirs| !OPTIONS.contains(&theirs.key) && !theirs.flags.iter().any(is_here);
    let rows = THEIRS.iter().filter(|theirs| !theirs.flags.is_empty());
    rows.filter(is_foreign)
}

pub(super) fn arguments() -> impl Iterator<Item = Arg> {
    foreign().map(|theirs| {
        let mut argument = Arg::new(theirs.long_flag()).hide(true).value_name("VALUE");
        for flag in theirs.flags {
            let name = flag.trim_start_matches('-');
            argument = if flag.starts_with("--") {
                argument.alias(name)
            } else {
                argument.short(name.chars().next().unwrap_or_default())
            };
        }
        argument = argument.long(theirs.long_flag().trim_start_matches('-'));
        match theirs.takes {
            Takes::Nothing => argument.action(ArgAction::SetTrue),
            Takes::One | Takes::OneOrNothing(_) | Takes::Many => {
                let argument = argument.action(ArgAction::Append);
                argument.allow_negative_numbers(true)
            }
        }
    })
}

/// What these flags say: nothing, or that something has no effect, or a mistake.
pub(super) fn read(
    matches: &ArgMatches,
    origin: &impl Fn(&'static str) -> Origin,
    partial: &mut Partial,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for theirs in foreign() {
        let flag = theirs.long_flag();
        let word = match theirs.takes {
            Takes::Nothing if matches.get_flag(flag) => "true",
            Takes::Nothing => continue,
            Takes::One | Takes::OneOrNothing(_) | Takes::Many => {
                match matches.get_many::<String>(flag) {
                    Some(mut words) => words.next_back().map_or("", String::as_str),
                    None => continue,
                }
            }
        };
        match theirs.on_command_line(word) {
            Foreign::Silent => {}
            Foreign::Ignored(ignored) => partial.ignore(ignored, origin(flag)),
            Foreign::Refused(unsupported) => {
                let problem = format!("Gunicorn's option {flag} {}", unsupported.advice());
                let line = match origin(flag) {
                    Origin::Arguments { variable, .. } => format!("${variable}: {problem}"),
                    _ => problem,
                };
                mistakes.push(Mistake {
                    // It need not be anybody else's mistake.
                    key: Some(theirs.key),
                    line,
                });
            }
        }
    }
    mistakes
}

/// The words with the starts of Gunicorn's flags written in full. Since there are flags
/// here that Gunicorn does not have, a start may be ambiguous that is not so there.
pub(super) fn in_full(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut is_over = false;
    let full = |word: OsString| {
        is_over |= word == "--";
        let Some(text) = word
            .to_str()
            .filter(|text| !is_over && text.starts_with("--"))
        else {
            return word;
        };
        let (start, value) = match text.split_once('=') {
            Some((start, value)) => (start, Some(value)),
            None => (text, None),
        };
        let is_ours = SETTINGS
            .iter()
            .any(|setting| setting.flags.contains(&start));
        if is_ours || start == "--" {
            return word;
        }
        match (Theirs::by_start_of_flag(start), value) {
            (Some(flag), Some(value)) => format!("{flag}={value}").into(),
            (Some(flag), None) => flag.into(),
            (None, _) => word,
        }
    };
    words.map(full).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(words: &[&str]) -> Vec<String> {
        let words = words.iter().map(OsString::from);
        let words = in_full(words).into_iter();
        words.map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn a_start_that_is_unambiguous_for_gunicorn_is_so_here() {
        for (start, flag) in [
            ("--thread", "--threads"),
            // There are --limit-request-body, --python and --drain-time here, too.
            ("--limit-request-l=1", "--limit-request-line=1"),
            ("--python", "--python"),
            ("--pythonp", "--pythonpath"),
            ("--da", "--daemon"),
            ("--error-log=-", "--error-logfile=-"),
            ("--log-f", "--log-file"),
            ("--worker", "--worker"),
            ("--drain", "--drain"),
            ("--max-requests", "--max-requests"),
            ("--max-req", "--max-req"),
            ("-w", "-w"),
            ("--", "--"),
        ] {
            assert_eq!(full(&[start]), [flag]);
        }
        assert_eq!(full(&["--", "--thread"]), ["--", "--thread"]);
    }
}
