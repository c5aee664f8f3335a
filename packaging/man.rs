//! Writes the man pages and the shell completions of `cygnet` below a directory, laid out as they are installed below
//! `/usr/share`: `cargo run --example man -- DIRECTORY`, or `make man`.

#[path = "../src/cli/apply_args.rs"]
#[allow(dead_code, reason = "only the definitions are used, not what was parsed")]
mod apply_args;
#[path = "../src/cli/args.rs"]
#[allow(dead_code, reason = "only the definitions are used, not what was parsed")]
pub mod args;
#[path = "../src/cli/common_args.rs"]
#[allow(dead_code, reason = "only the definitions are used, not what was parsed")]
mod common_args;
#[path = "../src/cli/compare_args.rs"]
#[allow(dead_code, reason = "only the definitions are used, not what was parsed")]
mod compare_args;
#[path = "documents.rs"]
#[allow(dead_code, reason = "the example writes no documents, the tests do")]
pub mod documents;
#[path = "../src/cli/file_args.rs"]
#[allow(dead_code, reason = "only the definitions are used, not what was parsed")]
mod file_args;
#[path = "../src/fleet/args.rs"]
#[allow(dead_code, reason = "the example writes no documents, the tests do")]
pub mod fleet_args;
#[path = "../src/cli/init_args.rs"]
#[allow(dead_code, reason = "only the definitions are used, not what was parsed")]
mod init_args;
#[path = "settings_page.rs"]
pub mod settings_page;
#[path = "../src/cli/write_args.rs"]
#[allow(dead_code, reason = "only the definitions are used, not what was parsed")]
mod write_args;

use clap::{Command, CommandFactory};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The completions, and where each shell looks for them below `/usr/share`.
const COMPLETIONS: [(&str, &str); 3] = [
    (include_str!("completions/cygnet.bash"), "bash-completion/completions/cygnet"),
    (include_str!("completions/cygnet.zsh"), "zsh/vendor-completions/_cygnet"),
    (include_str!("completions/cygnet.fish"), "fish/vendor_completions.d/cygnet.fish"),
];

fn main() -> io::Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    write(&directory.ok_or_else(|| io::Error::other("usage: man DIRECTORY"))?)
}

/// Writes all of them.
///
/// # Errors
/// When a file cannot be written.
pub fn write(directory: &Path) -> io::Result<()> {
    // `help` is no command of its own: it shows the pages of the others.
    let mut command = args::Cli::command().disable_help_subcommand(true);
    command.build();
    let pages = directory.join("man/man8");
    fs::create_dir_all(&pages)?;
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    for command in std::iter::once(&command).chain(shown) {
        page(&pages, command)?;
    }
    let pages = directory.join("man/man5");
    fs::create_dir_all(&pages)?;
    fs::write(pages.join("cygnet.toml.5"), settings_page::page())?;
    for (text, place) in COMPLETIONS {
        let place = directory.join(place);
        fs::create_dir_all(place.parent().unwrap_or(directory))?;
        fs::write(place, text)?;
    }
    Ok(())
}

/// Writes the page of a command in section 8, which is that of administration.
fn page(directory: &Path, command: &Command) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut page = Vec::new();
    // A date would make each build another one.
    clap_mangen::Man::new(command.clone()).section("8").date("").render(&mut page)?;
    page.extend(b".SH \"SEE ALSO\"\ncygnet.toml(5)");
    page.extend(if name == "cygnet" { &b"\n"[..] } else { b", cygnet(8)\n" });
    fs::write(directory.join(format!("{name}.8")), page)
}
