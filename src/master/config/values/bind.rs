//! Where to listen. The syntax of an address is in [`BindAddress`].

use crate::config::value::{Refusal, Takes, Value, from_texts, misfit};
use crate::listeners::{BadAddress, BindAddress};
use toml::Spanned;
use toml::de::DeValue;

/// The addresses to listen on: at least one, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binds(Vec<BindAddress>);

impl Binds {
    /// The default: not reachable from other machines.
    pub fn loopback() -> BindAddress {
        BindAddress::Tcp {
            host: "127.0.0.1".into(),
            port: 8000,
        }
    }

    pub fn addresses(&self) -> &[BindAddress] {
        &self.0
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        for word in text.split(',') {
            let address: BindAddress = word
                .trim()
                .parse()
                .map_err(|bad: BadAddress| bad.to_string())?;
            if self.0.contains(&address) && !address.may_repeat() {
                return Err(format!("\"{address}\" is listed twice"));
            }
            self.0.push(address);
        }
        Ok(())
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
        let mut binds = Self(Vec::new());
        binds.add(text)?;
        Ok(binds)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Vec<Refusal>> {
        if items.is_empty() {
            return Err(Refusal::whole(misfit::<Self>("an empty list")));
        }
        from_texts(Self(Vec::new()), items, Self::add)
    }

    /// `PORT`, as platforms that run containers set it: on all addresses, as they connect
    /// from another machine.
    fn from_variable(text: &str) -> Result<Self, String> {
        match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Self(vec![BindAddress::Tcp {
                host: "0.0.0.0".into(),
                port,
            }])),
            Ok(_) | Err(_) => Err(format!("must be a port between 1 and 65535, not {text:?}")),
        }
    }

    fn from_words(words: &[String]) -> Result<Self, String> {
        let mut binds = Self(Vec::new());
        words.iter().try_for_each(|word| binds.add(word))?;
        Ok(binds)
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
            Err("\"0.0.0.0:80\" is listed twice".into())
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
            Err("an address is empty; write HOST:PORT, unix:PATH or fd://NUMBER".into())
        );
    }

    #[test]
    fn the_variable_is_a_port_on_all_addresses() {
        let binds = Binds::from_variable("5000").unwrap();
        assert_eq!(binds.to_toml(), Some("0.0.0.0:5000".into()));
        for text in ["", "0", "65536", "http", "127.0.0.1:80", "+", "-1"] {
            assert!(Binds::from_variable(text).is_err(), "{text:?}");
        }
    }
}
