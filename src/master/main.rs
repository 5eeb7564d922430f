//! `rgunicorn`: see the library.

fn main() -> std::process::ExitCode {
    rgunicorn::start::main()
}
