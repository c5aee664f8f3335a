//! The man pages and completions that a package ships: made from the definitions of the command line.

#[path = "../../packaging/man.rs"]
#[allow(dead_code, reason = "its main is not run here")]
pub mod man;

use clap::CommandFactory;
use cygnet::settings::{Settings, policy};
use man::settings_page::SETTINGS;
use std::{collections::BTreeSet, fs, process::Command};

#[test]
fn the_definitions_are_sound() {
    man::args::Cli::command().debug_assert();
    man::fleet_args::Cli::command().debug_assert();
}

#[test]
fn every_subcommand_has_a_page_and_is_completed() {
    let directory = tempfile::tempdir().expect("a directory");
    man::write(directory.path()).expect("written");
    let read = |path: &str| fs::read_to_string(directory.path().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    for path in [
        "bash-completion/completions/cygnet",
        "zsh/vendor-completions/_cygnet",
        "fish/vendor_completions.d/cygnet.fish",
    ] {
        assert!(read(path).contains("cygnet complete "), "{path}");
    }
    let offered = |words: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_cygnet")).args(["complete", "fish", "--", "cygnet"]).args(words).output();
        let text = String::from_utf8(output.expect("it ends").stdout).expect("UTF-8");
        text.lines().filter_map(|line| line.split('\t').next()).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let subcommands = offered(&[""]);
    let whole = read("man/man8/cygnet.8");
    assert!(whole.contains("Exit codes:") && whole.contains(".TH cygnet 8"), "{whole}");
    let command = man::args::Cli::command();
    let mut count = 0;
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        let name = subcommand.get_name();
        let page = read(&format!("man/man8/cygnet-{name}.8"));
        assert!(page.contains(&format!(".TH cygnet-{name} 8")) && page.contains("SYNOPSIS"), "{page}");
        let options = offered(&[name, "--"]);
        for option in subcommand.get_arguments().filter_map(|argument| argument.get_long()) {
            // roff escapes each dash.
            assert!(page.contains(&format!("\\-\\-{}", option.replace('-', "\\-"))), "{name} --{option}");
            assert!(options.contains(&format!("--{option}")), "{name} --{option}");
        }
        assert!(subcommands.iter().any(|offered| offered == name), "{name}");
        assert!(whole.contains(&format!("cygnet\\-{}(8)", name.replace('-', "\\-"))), "{name}");
        count += 1;
    }
    assert!(count > 20, "the subcommands were found");
}

/// The members that the settings have at `section`, as they say themselves when there is another one.
fn members(section: &str) -> Option<BTreeSet<String>> {
    let heading = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
    let error = Settings::parse(&format!("{heading}nosuch = 1")).expect_err("no such setting");
    if section == "policy" {
        return Some(policy::CHOICES.iter().map(ToString::to_string).chain(["default".into()]).collect());
    }
    let list = error.split_once("unknown field `nosuch`, expected ")?.1.lines().next()?;
    Some(list.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// The settings in the packaged file, set or not, as `section.name`; each has a comment before it, or its neighbour has.
fn described() -> BTreeSet<String> {
    let (mut section, mut found, mut is_explained) = (String::new(), BTreeSet::new(), false);
    for line in SETTINGS.lines() {
        let setting = line.strip_prefix('#').unwrap_or(line);
        if line.starts_with("# ") {
            is_explained = true;
        } else if setting.starts_with('[') {
            section = setting.trim_matches(['[', ']']).to_owned() + ".";
            found.insert(section.trim_end_matches('.').to_owned());
        } else if let Some((name, _)) = setting.split_once(" = ") {
            assert!(is_explained, "{line} has no comment");
            found.insert(section.clone() + name);
        } else {
            is_explained = false;
        }
    }
    found
}

#[test]
fn every_setting_is_described_in_the_file_and_on_its_page() {
    let page = man::settings_page::page();
    let described = described();
    let mut sections = vec![String::new()];
    let mut count = 0;
    while let Some(section) = sections.pop() {
        // A setting without members is a value.
        let Some(members) = members(&section) else { continue };
        for name in members {
            let path = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
            let is_section = described.iter().any(|other| other.starts_with(&format!("{path}.")));
            assert!(is_section || described.contains(&path), "{path} is not in packaging/cygnet.toml");
            if !is_section {
                count += 1;
                let shown = format!("\\fB{} = ", name.replace('-', "\\-"));
                assert!(page.contains(&shown), "{path} is not on the page");
            }
            sections.push(path);
        }
    }
    assert!(count > 35, "{count} settings were found");
}

#[test]
fn what_the_settings_file_shows_is_valid() {
    let all: String = SETTINGS
        .lines()
        .filter(|line| !line.starts_with("# "))
        .map(|line| line.strip_prefix('#').unwrap_or(line).to_owned() + "\n")
        .collect();
    Settings::parse(&all).unwrap_or_else(|error| panic!("{error}\n{all}"));
    Settings::parse(SETTINGS).expect("as it is installed");
}

#[test]
fn every_page_that_is_named_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    man::write(directory.path()).expect("written");
    let mut count = 0;
    for section in ["5", "8"] {
        for entry in fs::read_dir(directory.path().join(format!("man/man{section}"))).expect("pages") {
            let text = fs::read_to_string(entry.expect("a page").path()).expect("text").replace("\\-", "-");
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "-.()".contains(c)));
            for word in words.map(|word| word.trim_matches('.')).filter(|word| word.starts_with("cygnet")) {
                let Some((name, of)) = word.split_once('(') else { continue };
                let Some((of, _)) = of.split_once(')').filter(|(of, _)| ["5", "8"].contains(of)) else { continue };
                let path = directory.path().join(format!("man/man{of}/{name}.{of}"));
                assert!(path.exists(), "{name}({of}) is named and does not exist");
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count} pages are named");
}
