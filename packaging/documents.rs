//! `docs/cli.md`, `docs/fleet-cli.md` and `docs/configuration.md`: the command lines and the settings as Markdown, from the
//! same definitions as the manual pages.

use super::{
    args, fleet_args,
    settings_page::{Line, SETTINGS, line},
};
use clap::{Arg, Command, CommandFactory};
use std::fmt::Write as _;

const CLI_HEAD: &str = "\
# The command line

This page is made from the definitions of the command line. Do not edit it: `CYGNET_BLESS=1 cargo test --test agent pages_in_docs` writes it.

Every command but `init`, `serve`, `render`, `bundle`, `passwd`, `accesskey` and `token` asks the agent over its Unix socket, so it needs root or the group `cygnet`. `doctor` looks itself if the agent does not answer. [operate.md](operate.md#the-command-line) shows how the commands are used.
";

const FLEET_HEAD: &str = "\
# The command line of a fleet

This page is made from the definitions of the command line. Do not edit it: `CYGNET_BLESS=1 cargo test --test agent pages_in_docs` writes it.

`follow` runs beside the agent of each gateway. The other commands write and read what is wanted, from any machine that reaches etcd; `keygen` asks nobody. [fleet.md](fleet.md) shows how they are used.
";

const SETTINGS_HEAD: &str = "\
# Settings

This page is made from `packaging/cygnet.toml`, which the package installs as `/usr/share/cygnet/cygnet.toml`. Do not edit it: `CYGNET_BLESS=1 cargo test --test agent pages_in_docs` writes it.

The values are defaults, or examples where a setting has no default. Unknown settings are refused.

The agent reads `/etc/cygnet/cygnet.toml`, then `/etc/cygnet/conf.d/*.toml` in the order of their names. Tables are merged, the lists of `[[gateway.vips]]` and `[[gateway.l3_networks]]` are joined, and of any other value the last one counts. `cygnet serve --check` prints all faults with file and line. [operate.md](operate.md#configuration) says how a changed setting takes effect.

## Top level
";

/// `docs/cli.md`.
#[must_use]
pub fn command_line() -> String {
    commands(CLI_HEAD, args::Cli::command())
}

/// `docs/fleet-cli.md`.
#[must_use]
pub fn fleet_command_line() -> String {
    commands(FLEET_HEAD, fleet_args::Cli::command())
}

fn commands(head: &str, command: Command) -> String {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut page = head.to_owned();
    section(&mut page, &mut command, true);
    for each in command.get_subcommands_mut().filter(|each| !each.is_hide_set()) {
        section(&mut page, each, false);
    }
    page
}

/// A command: what it does, its usage, and a table of its arguments. Global options stand at the program only.
fn section(page: &mut String, command: &mut Command, is_program: bool) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let usage = command.render_usage().to_string();
    let _ = writeln!(page, "\n## {name}\n\n{}.", command.get_about().map(ToString::to_string).unwrap_or_default());
    let _ = writeln!(page, "\n```text\n{}\n```", usage.trim_start_matches("Usage: "));
    let arguments: Vec<_> = command
        .get_arguments()
        .filter(|argument| is_program || !argument.is_global_set())
        .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        .collect();
    if !arguments.is_empty() {
        page.push_str("\n| argument | meaning |\n|---|---|\n");
    }
    for argument in arguments {
        let short = argument.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
        let _ = writeln!(page, "| {short}`{argument}` | {} |", meaning(argument).replace('|', "\\|"));
    }
    if let Some(more) = command.get_after_help() {
        let _ = writeln!(page, "\n```text\n{more}\n```");
    }
}

/// What an argument means, its valid values, its default, and the environment's name for it.
fn meaning(argument: &Arg) -> String {
    let mut text = escaped(&format!("{}.", argument.get_help().map(ToString::to_string).unwrap_or_default()));
    for value in argument.get_possible_values() {
        let help = value.get_help().map(|help| format!(": {help}")).unwrap_or_default();
        let _ = write!(text, "<br>`{}`{help}.", value.get_name());
    }
    let defaults = argument.get_default_values().iter().filter(|_| argument.get_action().takes_values());
    for default in defaults {
        let _ = write!(text, " Default: `{}`.", default.to_string_lossy());
    }
    if let Some(name) = argument.get_env() {
        let _ = write!(text, " Environment: `{}`.", name.to_string_lossy());
    }
    text
}

/// `docs/configuration.md`: as in the file, a text is before the settings that it describes.
#[must_use]
pub fn configuration() -> String {
    let (mut page, mut text, mut settings) = (SETTINGS_HEAD.to_owned(), Vec::new(), Vec::new());
    // The head of the file is about the file. A blank line ends the last block.
    let lines = SETTINGS.lines().skip_while(|line| !line.is_empty()).chain([""]);
    for each in lines.map(line) {
        if !matches!(each, Line::Setting(_)) && !settings.is_empty() {
            let _ = writeln!(page, "\n```toml\n{}\n```", std::mem::take(&mut settings).join("\n"));
        }
        match each {
            Line::Text(more) => text.push(more),
            Line::Blank => paragraph(&mut page, &mut text),
            Line::Section(name) => {
                let _ = writeln!(page, "\n## `{name}`");
                paragraph(&mut page, &mut text);
            }
            Line::Setting(setting) => {
                paragraph(&mut page, &mut text);
                settings.push(setting);
            }
        }
    }
    page
}

fn paragraph(page: &mut String, text: &mut Vec<&str>) {
    if !text.is_empty() {
        let _ = writeln!(page, "\n{}", escaped(&std::mem::take(text).join("\n")));
    }
}

/// Text whose marks, outside of backquotes, Markdown shows as they are.
fn escaped(text: &str) -> String {
    let escape = |part: &str| part.replace('*', "\\*").replace('<', "\\<");
    let parts = text.split('`').enumerate();
    parts.map(|(i, part)| if i % 2 == 0 { escape(part) } else { part.to_owned() }).collect::<Vec<_>>().join("`")
}
