//! The man pages and completions that a package ships: made from the definitions of the command line.

#[path = "../../packaging/man.rs"]
#[allow(dead_code, reason = "its main is not run here")]
mod man;

use clap::CommandFactory;
use std::fs;

#[test]
fn the_definitions_are_sound() {
    man::args::Cli::command().debug_assert();
}

#[test]
fn every_subcommand_has_a_page_and_is_completed() {
    let directory = tempfile::tempdir().expect("a directory");
    man::write(directory.path()).expect("written");
    let read = |path: &str| fs::read_to_string(directory.path().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let bash = read("bash-completion/completions/cygnet");
    let (zsh, fish) = (read("zsh/vendor-completions/_cygnet"), read("fish/vendor_completions.d/cygnet.fish"));
    let whole = read("man/man8/cygnet.8");
    assert!(whole.contains("Exit codes:") && whole.contains(".TH cygnet 8"), "{whole}");
    let command = man::args::Cli::command();
    let mut count = 0;
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name();
        let page = read(&format!("man/man8/cygnet-{name}.8"));
        assert!(page.contains(&format!(".TH cygnet-{name} 8")) && page.contains("SYNOPSIS"), "{page}");
        for option in subcommand.get_arguments().filter_map(|argument| argument.get_long()) {
            // roff escapes each dash.
            assert!(page.contains(&format!("\\-\\-{}", option.replace('-', "\\-"))), "{name} --{option}");
            assert!(bash.contains(&format!("--{option}")), "{name} --{option}");
        }
        assert!(bash.contains(name) && zsh.contains(name) && fish.contains(name), "{name}");
        assert!(whole.contains(&format!("cygnet\\-{}(8)", name.replace('-', "\\-"))), "{name}");
        count += 1;
    }
    assert!(count > 20, "the subcommands were found");
}
