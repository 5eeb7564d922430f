//! Where to listen. What an address may look like is
//! [`BindAddress`]'s to say.

use crate::config::value::{Refusal, Takes, Value, misfit, texts};
use crate::listeners::{BadAddress, BindAddress};
use toml::Spanned;
use toml::de::DeValue;

/// The addresses to listen on: at least one, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binds(Vec<BindAddress>);

impl Binds {
    /// What is bound when nobody says otherwise: not reachable from outside.
    pub fn loopback() -> BindAddress {
        BindAddress::Tcp {
            host: "127.0.0.1".into(),
            port: 8000,
        }
    }

    /// The addresses, in the order they were given.
    pub fn addresses(&self) -> &[BindAddress] {
        &self.0
    }

    fn with(mut self, text: &str) -> Result<Self, String> {
        for word in text.split(',') {
            let address: BindAddress = word
                .trim()
                .parse()
                .map_err(|bad: BadAddress| bad.to_string())?;
            if self.0.contains(&address) && !address.may_repeat() {
                return Err(format!("\"{address}\" is there twice"));
            }
            self.0.push(address);
        }
        Ok(self)
    }
}

impl Value for Binds {
    const TAKES: Takes = Takes::Many;

    fn expects() -> String {
        "HOST, HOST:PORT, unix:PATH or fd://NUMBER, or a list of these".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        match self.0.as_slice() {
            [one] => Some(one.to_string().into()),
            many => Some(
                many.iter()
                    .map(BindAddress::to_string)
                    .collect::<Vec<_>>()
                    .into(),
            ),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self(Vec::new()).with(text)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Refusal> {
        let mut binds = Self(Vec::new());
        for (text, place) in texts::<Self>(items)? {
            binds = binds.with(text).map_err(|says| Refusal {
                part: Some(place),
                says,
            })?;
        }
        if binds.0.is_empty() {
            return Err(misfit::<Self>("an empty list").into());
        }
        Ok(binds)
    }

    fn from_words(words: &[String]) -> Result<Self, String> {
        words
            .iter()
            .try_fold(Self(Vec::new()), |binds, word| binds.with(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binds(words: &[&str]) -> Result<Vec<String>, String> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        Binds::from_words(&words)
            .map(|binds| binds.addresses().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn addresses_come_one_by_one_or_with_commas_between() {
        let all = ["0.0.0.0:80", "[::1]:81", "unix:/run/x"]
            .map(String::from)
            .to_vec();
        assert_eq!(binds(&[":80", "[::1]:81", "unix:/run/x"]), Ok(all.clone()));
        assert_eq!(binds(&[":80, [::1]:81,unix:/run/x"]), Ok(all));
    }

    #[test]
    fn an_address_given_twice_is_refused_unless_the_kernel_chooses_the_port() {
        assert_eq!(
            binds(&[":80", "0.0.0.0:80"]),
            Err("\"0.0.0.0:80\" is there twice".into())
        );
        assert_eq!(
            binds(&["localhost:0,localhost:0"]).map(|all| all.len()),
            Ok(2)
        );
    }

    #[test]
    fn a_refused_address_comes_with_its_remedy() {
        assert_eq!(
            binds(&["8000"]),
            Err("\"8000\" is only a number; for a port write \":8000\"".into())
        );
        assert_eq!(
            binds(&[":80,"]),
            Err("empty; write HOST:PORT, unix:PATH or fd://NUMBER".into())
        );
    }
}
