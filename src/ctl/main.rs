//! `rgunicornctl`: sends a command to a running rgunicorn over its control socket
//! and waits for the result. The messages are in `rgunicorn_control::protocol`.

mod cli;
mod client;
mod commands;
#[cfg(test)]
mod completions;
mod json;
mod listing;
mod program;
mod tables;
mod terminal;
mod top;

fn main() -> std::process::ExitCode {
    program::run()
}
