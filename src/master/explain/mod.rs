//! `--explain-unit`: what a command line of rgunicorn or Gunicorn, or the
//! `ExecStart=` of an old unit, becomes under systemd: the file of a site, and the
//! units that systemd runs then.

mod line;
mod translate;
mod words;

use crate::units::{Instance, preview};
use std::path::Path;
use translate::Translation;

/// The text to print, and what could not be understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Explanation {
    pub text: String,
    pub mistakes: Vec<String>,
}

/// The units as they are installed.
const SOCKET: &str = include_str!("../../../systemd/rgunicorn@.socket");
const SERVICE: &str = include_str!("../../../systemd/rgunicorn@.service");

/// Explains a command line: its words, or one word with all of it.
pub fn explain(given: &[String]) -> Explanation {
    let words = match given {
        [text] if text.contains(char::is_whitespace) => words::split(text),
        words => words.to_vec(),
    };
    let translation = translate::translate(&line::read(&words));
    let name = instance(&translation);
    Explanation {
        text: text(&name, &translation),
        mistakes: translation.mistakes,
    }
}

/// A name for the site: that of its application's package, or of what serves it.
fn instance(translation: &Translation) -> String {
    let (app, script) = (translation.text("app"), translation.script());
    let stem = |path: &str| {
        let stem = Path::new(path).file_stem()?;
        Some(stem.to_string_lossy().into_owned())
    };
    let name = match (translation.text("paste"), script, app) {
        (Some(file), _, _) => file.split('#').next().and_then(stem),
        (None, Some(script), _) => match script.strip_prefix("-m ") {
            Some(module) => Some(package(module)),
            None => stem(script),
        },
        (None, None, app) => app.map(package),
    };
    match name.as_deref().map(Instance::new) {
        Some(Ok(instance)) => instance.as_str().to_owned(),
        Some(Err(_)) | None => "site".to_owned(),
    }
}

fn package(module: &str) -> String {
    let name = module.split([':', '.', '(']).next();
    name.unwrap_or_default().to_owned()
}

fn text(name: &str, translation: &Translation) -> String {
    let file = format!("{name}.toml");
    let toml = translation.toml();
    let units = preview(name, &toml);
    let mut parts = vec![section(&format!("/etc/rgunicorn/{file}"), &toml)];
    if !translation.notes.is_empty() {
        let notes = translation.notes.join("\n#   ");
        parts.push(format!("# Not taken over:\n#   {notes}\n"));
    }
    let made = [
        ("socket", SOCKET, units.socket),
        ("service", SERVICE, units.service),
    ];
    for (kind, unit, drop_in) in made {
        let unit = without_comments(unit).replace("%i", name);
        let place = format!("/usr/lib/systemd/system/rgunicorn@.{kind}, for {name}");
        parts.push(section(&place, &unit));
        let drop_in = without_comments(&drop_in);
        if !drop_in.is_empty() {
            let place = format!("made of {file} for rgunicorn@{name}.{kind}");
            parts.push(section(&place, &drop_in));
        }
    }
    parts.push(format!(
        "# Then, as root:\n\
         #   systemctl daemon-reload\n\
         #   systemctl enable --now rgunicorn@{name}.socket\n"
    ));
    parts.join("\n")
}

fn section(place: &str, text: &str) -> String {
    format!("# {place}\n{text}")
}

/// The lines of a unit that are for systemd.
fn without_comments(unit: &str) -> String {
    let is_meant = |line: &&str| !line.is_empty() && !line.starts_with('#');
    unit.lines()
        .filter(is_meant)
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[cfg(test)]
mod tests;
