//! Which permissions new files do not get.

use crate::config::value::{Value, misfit};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Umask(u32);

impl Umask {
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl Value for Umask {
    fn expects() -> String {
        r#"a number up to 0o777, such as 0o027 or "027""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(format!("{:03o}", self.0).into())
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        let bits = u32::try_from(number).ok().filter(|bits| *bits <= 0o777);
        bits.map(Self)
            .ok_or_else(|| misfit::<Self>(&number.to_string()))
    }

    /// As Gunicorn reads it: octal if it begins with 0 or 0o, hexadecimal with 0x, binary
    /// with 0b, else decimal.
    fn from_text(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let prefixes = [("0x", 16), ("0b", 2), ("0o", 8), ("0", 8)];
        let without = |(prefix, radix)| Some((lower.strip_prefix(prefix)?, radix));
        let (digits, radix) = match prefixes.into_iter().find_map(without) {
            Some(("", 8)) if lower == "0" => ("0", 8),
            Some(found) => found,
            None => (lower.as_str(), 10),
        };
        // from_str_radix takes a sign.
        let is_plain = digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
        let number = i64::from_str_radix(digits, radix).ok().filter(|_| is_plain);
        number
            .and_then(|number| Self::from_integer(number).ok())
            .ok_or_else(|| misfit::<Self>(&format!("{text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_read_as_gunicorn_reads_it() {
        for (text, bits) in [
            ("0", 0),
            ("022", 0o22),
            ("0o27", 0o27),
            ("0x12", 0o22),
            ("0b111", 7),
            ("18", 0o22),
            ("0777", 0o777),
        ] {
            assert_eq!(Umask::from_text(text), Ok(Umask(bits)), "{text}");
        }
        for text in ["", "0o", "08", "-1", "+7", "0x+7", "01000", "u=rwx"] {
            assert!(Umask::from_text(text).is_err(), "{text:?}");
        }
        assert!(Umask::from_integer(-1).is_err() && Umask::from_integer(0o1000).is_err());
        assert_eq!(Umask(0o27).to_toml(), Some("027".into()));
    }
}
