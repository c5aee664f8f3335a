//! The `cygnet` program: see `cli.rs`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
