//! Files that are watched besides the application's modules.

use super::path::joined;
use crate::config::value::{Refusal, Takes, Value, from_texts, misfit};
use glob::Pattern;
use std::path::Path;
use toml::Spanned;
use toml::de::DeValue;

/// Paths or patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtraFiles(Vec<Pattern>);

impl ExtraFiles {
    pub fn patterns(&self) -> &[Pattern] {
        &self.0
    }

    /// The same files seen from `base`.
    #[must_use]
    pub fn seen_from(self, base: &Path) -> Self {
        let escaped = Pattern::escape(&base.to_string_lossy());
        let absolute = |pattern: Pattern| {
            let path = joined(Path::new(&escaped), Path::new(pattern.as_str()));
            // It is one: it was before, and what stands before it now is escaped.
            Pattern::new(&path.to_string_lossy()).unwrap_or(pattern)
        };
        Self(self.0.into_iter().map(absolute).collect())
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            return Err(misfit::<Self>("\"\""));
        }
        let pattern = Pattern::new(text);
        self.0
            .push(pattern.map_err(|error| format!("{text:?} is no pattern: {error}"))?);
        Ok(())
    }
}

impl Value for ExtraFiles {
    const TAKES: Takes = Takes::Many;

    fn expects() -> String {
        "a path or a pattern such as \"templates/*.html\", or a list of these".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        Some(texts.into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let mut files = Self::default();
        files.add(text)?;
        Ok(files)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Vec<Refusal>> {
        from_texts(Self::default(), items, Self::add)
    }

    fn from_words(words: &[String]) -> Result<Self, String> {
        let mut files = Self::default();
        words.iter().try_for_each(|word| files.add(word))?;
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_seen_from_a_directory_whatever_its_name() {
        let files = ExtraFiles::from_words(&["a/*.html".to_owned(), "/x/y".to_owned()]).unwrap();

        let seen = files.seen_from(Path::new("/srv/[1]"));

        let texts: Vec<_> = seen.patterns().iter().map(Pattern::as_str).collect();
        assert_eq!(texts, ["/srv/[[]1[]]/a/*.html", "/x/y"]);
        assert!(seen.patterns()[0].matches("/srv/[1]/a/b.html"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(ExtraFiles::from_text("").is_err() && ExtraFiles::from_text("a***").is_err());
    }
}
