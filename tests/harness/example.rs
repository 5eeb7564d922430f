//! The examples that we ship, with what a test needs in the place of what they say.

use super::client::Address;
use super::files::source;
use std::fs;

/// An example of `packaging/examples`, in which each of these texts has to be once.
#[track_caller]
pub fn with(name: &str, changes: &[(&str, &str)]) -> String {
    let path = source("packaging/examples").join(name);
    let mut text = fs::read_to_string(path).unwrap();
    for (from, to) in changes {
        assert_eq!(text.matches(from).count(), 1, "{from} in {name}");
        text = text.replace(from, to);
    }
    text
}

/// The address and port of a server, as the examples have them.
#[track_caller]
pub fn port_of(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(_) => panic!("the examples have TCP ports"),
    }
}
