//! The configuration file: TOML in, settings out, each with its place.

use super::error::{ConfigError, MAX_MISTAKES};
use super::gunicorn::our_name;
use super::gunicorn_settings::Theirs;
use super::hooks::HOOKS;
use super::origin::{Origin, Place};
use super::setting::Setting;
use super::settings::Partial;
use super::support::Foreign;
use super::unknown::{unknown_key, unknown_table};
use nix::fcntl::OFlag;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// What could be read of a file, and every mistake in the rest.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) settings: Partial,
    pub(crate) errors: Vec<ConfigError>,
    /// Whether `user` or `group` may stand in what was not used of the file: in a table, or
    /// behind so many mistakes that the rest was not looked at. No mistake names it then.
    pub(crate) may_hide_account: bool,
    /// The account that it belongs to.
    pub(crate) owner: u32,
    /// Its mode.
    pub(crate) mode: u32,
}

/// Reads `text` as the contents of a file.
pub(crate) fn parse_contents(text: &str) -> Result<Contents, ConfigError> {
    parse(text, Path::new("rgunicorn.toml"))
}

/// Reads the file at `path`. Fails when nothing can be read of it.
pub(crate) fn read_contents(path: &Path) -> Result<Contents, ConfigError> {
    read(path, path, &Origin::Default)
}

/// Reads the file at `path`, which the operator calls `name`. Fails when
/// nothing can be read of it.
pub(super) fn read(path: &Path, name: &Path, origin: &Origin) -> Result<Contents, ConfigError> {
    let (bytes, metadata) = bytes_of(path).map_err(|cause| ConfigError::Unreadable {
        file: name.to_owned(),
        origin: origin.clone(),
        cause,
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Contents {
            owner: metadata.uid(),
            mode: metadata.mode(),
            ..parse(&text, name)?
        }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            Err(ConfigError::InFile {
                place: Place::at(name, &text, valid),
                problem: "not valid UTF-8; save the file in that encoding".into(),
                meant: None,
            })
        }
    }
}

/// The bytes of a regular file of a sane size: a pipe in its place must not hold
/// up a master that reads it at a reload, nor a huge one fill its memory. What is
/// known of the file is that of the one that was read.
pub(super) fn bytes_of(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    const LARGEST: u64 = 1024 * 1024;
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let is_file = |metadata: &Metadata| match metadata {
        directory if directory.is_dir() => Err(Errno::ISDIR.into()),
        file if file.is_file() => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )),
    };
    // Not opened at all: opening some devices does something.
    is_file(&fs::metadata(path)?)?;
    let mut options = fs::File::options();
    let file = match options
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
    {
        // A regular file, of which another process has to give a lease back first.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            options.custom_flags(0).open(path)?
        }
        opened => opened?,
    };
    let metadata = file.metadata()?;
    is_file(&metadata)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return refused("larger than 1 MiB");
    }
    Ok((bytes, metadata))
}

/// Reads `text`, the contents of the file called `name`. After a
/// syntax error the rest cannot be interpreted, so it is reported alone.
pub(super) fn parse(text: &str, name: &Path) -> Result<Contents, ConfigError> {
    let place = |at: Range<usize>| Place::at(name, text, at.start);
    let table = DeTable::parse(text).map_err(|error| ConfigError::InFile {
        place: place(error.span().unwrap_or(0..0)),
        problem: one_line(error.message()) + if_python(name).as_str(),
        meant: None,
    })?;

    let mut contents = Contents::default();
    let mut given = BTreeMap::new();
    for (key, value) in table.get_ref() {
        if contents.errors.len() >= MAX_MISTAKES {
            contents.may_hide_account = true;
            break;
        }
        let name = our_name(key.get_ref());
        let hides_account = has_account_in_tables(value.get_ref());
        let Some(setting) = Setting::find(name) else {
            let theirs = Theirs::by_key(name);
            match theirs.map(|theirs| theirs.in_file(&plain(value.get_ref()))) {
                Some(Foreign::Silent) if !hides_account && !HOOKS.contains(&name) => continue,
                Some(Foreign::Ignored(ignored)) if !hides_account => {
                    let origin = Origin::File(place(key.span()));
                    contents.settings.ignore(ignored, origin);
                    continue;
                }
                Some(Foreign::Silent | Foreign::Ignored(_) | Foreign::Refused(_)) | None => {}
            }
            contents.may_hide_account |= hides_account;
            let unknown = match value.get_ref() {
                DeValue::Table(_) => unknown_table(key.get_ref()),
                _ => unknown_key(key.get_ref()),
            };
            contents.errors.push(ConfigError::InFile {
                place: place(key.span()),
                problem: unknown.problem,
                meant: unknown.meant,
            });
            continue;
        };
        let other = given.insert(setting.key, key.get_ref());
        // Gunicorn has two names for these, and one of them is weaker.
        let is_weaker = key.get_ref().as_ref() == "default_proc_name";
        if is_weaker && other.is_some_and(|other| other.as_ref() == "proc_name") {
            continue;
        }
        let other = other.filter(|other| other.as_ref() != "default_proc_name");
        if let Some(other) = other {
            contents.may_hide_account |= hides_account;
            contents.errors.push(ConfigError::InFile {
                place: place(key.span()),
                problem: format!(
                    "{other} and {} are the same setting; remove one",
                    key.get_ref()
                ),
                meant: Some(setting.key),
            });
            continue;
        }
        // A table has no place of its own where it is written as `[key]`.
        let at = if value.get_ref().is_table() {
            key.span()
        } else {
            value.span()
        };
        let origin = Origin::File(place(at.clone()));
        let set = contents
            .settings
            .set_from_file(setting, value.get_ref(), origin);
        contents.may_hide_account |= set.is_err() && hides_account;
        let room = MAX_MISTAKES - contents.errors.len();
        let refused = set.err().into_iter().flatten().take(room);
        contents
            .errors
            .extend(refused.map(|refusal| ConfigError::Unusable {
                key: setting.key,
                origin: Origin::File(place(refusal.part.unwrap_or(at.clone()))),
                problem: refusal.problem,
            }));
    }
    Ok(contents)
}

/// Whether a table in this value has a key that says, elsewhere, in which account the site
/// runs: TOML takes all that is written below a table's name for a part of it.
fn has_account_in_tables(value: &DeValue<'_>) -> bool {
    let mut values = vec![value];
    while let Some(value) = values.pop() {
        match value {
            DeValue::Table(table) => {
                for (key, value) in table {
                    if ["user", "group"].contains(&our_name(key.get_ref())) {
                        return true;
                    }
                    values.push(value.get_ref());
                }
            }
            DeValue::Array(items) => values.extend(items.iter().map(toml::Spanned::get_ref)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
    false
}

/// Gunicorn takes any file for a program.
fn if_python(name: &Path) -> String {
    if name
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        return String::new();
    }
    format!(
        "; if it is a configuration in Python, name it as file:{}",
        name.display()
    )
}

/// As far as it matters for what the default of a setting may be.
fn plain(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.to_string().into(), toml::Value::from),
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| plain(item.get_ref()));
            items.collect::<Vec<_>>().into()
        }
        DeValue::Table(table) => {
            let pairs = table.iter();
            let pairs =
                pairs.map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref())));
            pairs.collect::<toml::Table>().into()
        }
        DeValue::Float(number) => number.to_string().into(),
        DeValue::Datetime(moment) => moment.to_string().into(),
    }
}

fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;
