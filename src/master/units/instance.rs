//! The name of a site: `NAME` in `/etc/rgunicorn/NAME.toml` and in
//! `rgunicorn@NAME.service`. It stands in both as systemd escapes it.

use std::fmt;
use std::path::Path;

/// A name that systemd takes for an instance of the units.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInstance {
    #[error(
        "{0:?} cannot be the name of a unit; rename the file to {1:?}, which is how systemd-escape writes it"
    )]
    Characters(String, String),
    #[error(
        "the name is longer than {LONGEST} bytes: the paths of the site's sockets in /run/rgunicorn \
         would be too long; rename the file"
    )]
    Length,
    #[error("there can be no \":\" in the name of a site; rename the file")]
    Colon,
}

/// The paths of the sockets, `/run/rgunicorn/NAME.sock` and `/run/rgunicorn/NAME/control`,
/// have to fit into an address, of which the last byte is zero.
const LONGEST: usize = 107 - "/run/rgunicorn//control".len();

/// The longest name that `User=rg-%i` of the service can carry.
const LONGEST_ACCOUNT: usize = 31;

impl Instance {
    /// The instance that the file is for; `None` if it is not for any: without
    /// `.toml`, or hidden.
    pub fn of_file(file: &Path) -> Option<Result<Self, BadInstance>> {
        if file.extension()? != "toml" {
            return None;
        }
        let stem = file.file_stem()?.to_string_lossy();
        (!stem.starts_with('.')).then(|| Self::new(&stem))
    }

    pub fn new(name: &str) -> Result<Self, BadInstance> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.:@\\".contains(c);
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(BadInstance::Characters(name.to_owned(), escaped(name)));
        }
        if name.len() > LONGEST {
            return Err(BadInstance::Length);
        }
        if name.contains(':') {
            // `StateDirectory=` and `User=` take it for something else.
            return Err(BadInstance::Colon);
        }
        Ok(Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn service(&self) -> String {
        format!("rgunicorn@{}.service", self.0)
    }

    pub fn socket(&self) -> String {
        format!("rgunicorn@{}.socket", self.0)
    }

    /// The account of a site whose name cannot be part of one, as `User=rg-%i`
    /// wants it. `None` if it can.
    ///
    /// It has what can be read of the name and, as names may differ in the rest,
    /// a checksum of the whole. `rg_` is not `rg-`: it is the account of no other
    /// site.
    pub fn account(&self) -> Option<String> {
        const LONGEST_PART: usize = LONGEST_ACCOUNT - "rg_".len() - "-".len() - CHECKSUM;
        const CHECKSUM: usize = 10;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if self.0.len() + "rg-".len() <= LONGEST_ACCOUNT && self.0.chars().all(is_plain) {
            return None;
        }
        let part = self.0.chars().map(|c| if is_plain(c) { c } else { '-' });
        let part: String = part.take(LONGEST_PART).collect();
        let sum = format!("{:016x}", checksum(&self.0));
        Some(format!("rg_{part}-{}", &sum[..CHECKSUM]))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// As `systemd-escape` writes it.
fn escaped(name: &str) -> String {
    let byte = |(at, byte): (usize, u8)| match byte {
        b'/' => "-".to_owned(),
        b'.' if at == 0 => "\\x2e".to_owned(),
        b'_' | b'.' | b':' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
            char::from(byte).to_string()
        }
        other => format!("\\x{other:02x}"),
    };
    name.bytes().enumerate().map(byte).collect()
}

/// FNV-1a: the same in every version of this program and on every machine.
pub(super) fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(name: &str) -> Instance {
        Instance::new(name).unwrap()
    }

    #[test]
    fn a_site_is_called_as_its_file() {
        let name = |file: &str| Instance::of_file(Path::new(file));
        assert_eq!(name("/etc/rgunicorn/shop.toml"), Some(Ok(instance("shop"))));
        assert_eq!(
            name("shop.example.toml"),
            Some(Ok(instance("shop.example")))
        );
        assert_eq!(name(r"a\x2db.toml"), Some(Ok(instance(r"a\x2db"))));
        for file in ["shop.toml~", "shop", ".toml", ".shop.toml", "shop.env"] {
            assert_eq!(name(file), None, "{file}");
        }
    }

    #[test]
    fn a_name_that_no_unit_can_have_is_refused_with_the_one_to_use() {
        let refused = |name: &str| Instance::new(name).unwrap_err().to_string();
        assert_eq!(
            refused("my shop/ä-1"),
            r#""my shop/ä-1" cannot be the name of a unit; rename the file to "my\\x20shop-\\xc3\\xa4\\x2d1", which is how systemd-escape writes it"#
        );
        assert_eq!(
            refused(&"a".repeat(85)),
            "the name is longer than 84 bytes: the paths of the site's sockets in /run/rgunicorn \
             would be too long; rename the file"
        );
        assert_eq!(Instance::new("a:b"), Err(BadInstance::Colon));
    }

    #[test]
    fn the_longest_name_fits_into_the_addresses_of_both_sockets() {
        let name = instance(&"a".repeat(84));
        for path in [
            format!("/run/rgunicorn/{name}.sock"),
            format!("/run/rgunicorn/{name}/control"),
        ] {
            std::os::unix::net::SocketAddr::from_pathname(path).unwrap();
        }
    }

    #[test]
    fn names_that_make_no_account_get_one_of_their_own() {
        let made = |name: &str| instance(name).account();
        assert_eq!(made("shop"), None);
        assert_eq!(made(&"a".repeat(28)), None);

        let names = [
            "shop.example".to_owned(),
            "shop.example.com".to_owned(),
            "shop-example.com".to_owned(),
            r"a\x2db".to_owned(),
            "a".repeat(29),
            "a".repeat(30),
            "a".repeat(84),
        ];
        let accounts: Vec<_> = names.iter().map(|name| made(name).unwrap()).collect();

        let mut unique = accounts.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), accounts.len(), "{accounts:?}");
        for account in &accounts {
            assert!(account.len() <= LONGEST_ACCOUNT, "{account}");
            assert!(account.starts_with("rg_"), "{account}");
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            assert!(account.chars().all(plain), "{account}");
        }
        // The owner of files on disk: it must never change.
        assert_eq!(accounts[0], "rg_shop-example-f88bb79796");
    }
}
