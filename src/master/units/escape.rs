//! Values as they stand in unit files. What may be in a value is decided by
//! `config::is_unit_path` and its neighbours; here it only gets its spelling.

/// A value that is taken as it is, but for specifiers such as `%i`.
pub(super) fn plain(value: &str) -> String {
    value.replace('%', "%%")
}

/// One of the words of a list. The quotes keep its spaces; values with quotes
/// and backslashes are refused before.
pub(super) fn word(value: &str) -> String {
    format!("\"{}\"", plain(value))
}
