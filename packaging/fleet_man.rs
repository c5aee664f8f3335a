//! Writes the man pages and the shell completions of `cygnet-fleet` below a directory, laid out as they are installed below
//! `/usr/share`: `cargo run --example fleet-man -- DIRECTORY`, or `make fleet-man`.

#[path = "../src/fleet/args.rs"]
#[allow(dead_code, reason = "only the definitions are used, not what was parsed")]
mod args;

use clap::{Command, CommandFactory};
use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    write(&directory.ok_or_else(|| io::Error::other("usage: fleet-man DIRECTORY"))?)
}

fn write(directory: &Path) -> io::Result<()> {
    let mut command = args::Cli::command().disable_help_subcommand(true);
    command.build();
    let pages = directory.join("man/man8");
    fs::create_dir_all(&pages)?;
    for each in std::iter::once(&command).chain(command.get_subcommands()) {
        page(&pages, each)?;
    }
    for (text, place) in [
        (bash(&command), "bash-completion/completions/cygnet-fleet"),
        (zsh(&command), "zsh/vendor-completions/_cygnet-fleet"),
        (fish(&command), "fish/vendor_completions.d/cygnet-fleet.fish"),
    ] {
        let place = directory.join(place);
        fs::create_dir_all(place.parent().unwrap_or(directory))?;
        fs::write(place, text)?;
    }
    Ok(())
}

fn page(directory: &Path, command: &Command) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut page = Vec::new();
    // A date would make each build another one.
    clap_mangen::Man::new(command.clone()).section("8").date("").render(&mut page)?;
    page.extend(b".SH \"SEE ALSO\"\n");
    page.extend(if name == "cygnet-fleet" { &b"cygnet(8)\n"[..] } else { b"cygnet\\-fleet(8)\n" });
    fs::write(directory.join(format!("{name}.8")), page)
}

/// The long options of a command.
fn options(command: &Command) -> Vec<String> {
    command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
}

fn names(command: &Command) -> String {
    command.get_subcommands().map(Command::get_name).collect::<Vec<_>>().join(" ")
}

fn bash(command: &Command) -> String {
    let mut text = String::from(
        "# Completion of cygnet-fleet's command line.\n\n_cygnet_fleet() {\n\tlocal word=\"${COMP_WORDS[COMP_CWORD]}\" words\n\
         \tcase \"${COMP_WORDS[1]}\" in\n",
    );
    for each in command.get_subcommands() {
        let _ = writeln!(text, "\t{}) words=\"{}\" ;;", each.get_name(), options(each).join(" "));
    }
    let _ = writeln!(
        text,
        "\t*) words=\"{}\" ;;\n\tesac\n\t[[ $COMP_CWORD -gt 1 ]] || words=\"{0}\"\n\
         \tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}}\n\n\
         complete -o default -F _cygnet_fleet cygnet-fleet",
        names(command)
    );
    text
}

fn zsh(command: &Command) -> String {
    let mut text = String::from(
        "#compdef cygnet-fleet\n# Completion of cygnet-fleet's command line.\n\nif (( CURRENT == 2 )); then\n",
    );
    let _ = writeln!(text, "\tcompadd {}\n\treturn\nfi\ncase $words[2] in", names(command));
    for each in command.get_subcommands() {
        let _ = writeln!(text, "\t{}) compadd -- {} ;;", each.get_name(), options(each).join(" "));
    }
    text.push_str("esac\n_files\n");
    text
}

fn fish(command: &Command) -> String {
    let mut text = String::from("# Completion of cygnet-fleet's command line.\n\n");
    let about = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string).unwrap_or_default();
    for each in command.get_subcommands() {
        let (name, about) = (each.get_name(), about(each.get_about()).replace('\'', "\\'"));
        let _ = writeln!(text, "complete -c cygnet-fleet -f -n __fish_use_subcommand -a {name} -d '{about}'");
    }
    for each in command.get_subcommands() {
        for argument in each.get_arguments() {
            let Some(long) = argument.get_long() else { continue };
            let about = about(argument.get_help()).replace('\'', "\\'");
            let of = format!("__fish_seen_subcommand_from {}", each.get_name());
            let _ = writeln!(text, "complete -c cygnet-fleet -n '{of}' -l {long} -d '{about}'");
        }
    }
    text
}
