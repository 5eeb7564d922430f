//! `rgunicornctl`: see the library.

fn main() -> std::process::ExitCode {
    rgunicorn::ctl::main()
}
