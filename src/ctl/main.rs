//! `rgunicornctl`: see the library.

fn main() {}
