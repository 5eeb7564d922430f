//! `rgunicorn`: see the library.

fn main() {}
