//! The completions as the shells use them. bash is there on every Debian: it reads the script that the package ships, and a
//! real line is edited in a terminal. Names come from the management plane, so they are hostile here.

use super::{run::keyless, tty::Terminal};
use crate::serve::{Bench, Options, params, uuid};
use serde_json::json;
use std::{
    collections::BTreeSet,
    env,
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Output},
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/completions/cygnet.bash");
/// What each shell would do with the name if it took it for its own language.
const HOSTILE: [&str; 18] = [
    "branch",
    "two  words",
    "it's \"quoted\"",
    "$(touch CANARY)",
    "`touch CANARY`",
    "a; touch CANARY #",
    "a:b:c",
    "分公司 café",
    "!!",
    "*",
    "~root",
    "back\\slash\\",
    "#hash",
    "{a,b}",
    "x=y",
    "<(touch CANARY)|&",
    "'; touch CANARY; '",
    "\"; touch CANARY; \"",
];
/// Names that cannot be typed, or mean something else: the uuid stands for them.
const NAMELESS: [&str; 4] = ["\u{1b}[2Jx", "new\nline", "-q", "0123456789abcdef0123456789abcdef"];

fn bench() -> Bench {
    let b = Bench::start();
    for (number, name) in (20..).zip(HOSTILE.iter().chain(&NAMELESS)) {
        b.create(&params(number, &json!({ "name": name }))).expect(200);
    }
    b
}

/// A shell that finds the program, its settings and nothing of the user's.
fn shell(b: &Bench, script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.args(["--norc", "--noprofile"]);
    if !script.is_empty() {
        command.args(["-c", script, "bash"]).args(arguments);
    }
    let program = Path::new(env!("CARGO_BIN_EXE_cygnet")).parent().expect("a directory");
    let path = format!("{}:{}", program.display(), env::var("PATH").expect("a path"));
    command
        .env("PATH", path)
        .env("CYGNET_CONFIG", b.path("cygnet.toml"))
        .env("HOME", b.path(""))
        .current_dir(b.path(""));
    command.env("LC_ALL", "C.UTF-8").env("HISTFILE", "").env("TERM", "dumb").env_remove("BASH_ENV");
    command
}

#[track_caller]
fn ended(mut command: Command) -> Output {
    let output = command.output().expect("bash runs");
    keyless(&String::from_utf8_lossy(&output.stdout));
    output
}

/// What bash is offered at the end of `line`.
#[track_caller]
fn offered(b: &Bench, line: &str) -> Vec<String> {
    let script = r#"source "$1"; COMP_LINE=$2 COMP_POINT=${#2}; _cygnet
        [[ ${#COMPREPLY[@]} = 0 ]] || printf '%s\n' "${COMPREPLY[@]}""#;
    let output = ended(shell(b, script, &[SCRIPT, line]));
    assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(ToOwned::to_owned).collect()
}

/// The words that bash reads in `line`.
#[track_caller]
fn read(b: &Bench, line: &str) -> Vec<String> {
    let output = ended(shell(b, r#"eval "set -- $1"; printf '%s\0' "$@""#, &[line]));
    assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
    let words = String::from_utf8(output.stdout).expect("UTF-8");
    words.trim_end_matches('\0').split('\0').map(ToOwned::to_owned).collect()
}

#[test]
fn every_name_is_offered_as_one_harmless_word() {
    let b = bench();
    let nameless: Vec<_> =
        (20..).zip(HOSTILE.iter().chain(&NAMELESS)).skip(HOSTILE.len()).map(|(n, _)| uuid(n)).collect();
    let all: BTreeSet<_> = HOSTILE.iter().map(ToString::to_string).chain(nameless).collect();
    for quote in ["", "'", "\""] {
        let line = format!("cygnet show {quote}");
        let words: BTreeSet<_> =
            offered(&b, &line).iter().map(|reply| read(&b, &format!("{line}{reply}{quote}"))[2].clone()).collect();
        assert_eq!(words, all, "{quote}");
    }
    assert!(!b.path("CANARY").exists(), "a name was run");
    assert_eq!(offered(&b, "cygnet show a:b"), ["b:c"], "bash replaces what is behind the colon");
    assert_eq!(offered(&b, "true; cygnet log --follow two"), ["two\\ \\ words"]);
    assert_eq!(offered(&b, "cygnet show nosuch"), [""; 0]);
    assert_eq!(offered(&b, &format!("cygnet show {}", &uuid(21)[..31])).len(), 12, "all of them");
    assert_eq!(offered(&b, &format!("cygnet show {}", uuid(21))), [uuid(21)]);
    // What a user types is no pattern.
    assert_eq!(offered(&b, "cygnet show b%"), [""; 0]);
}

#[test]
fn a_line_is_completed_in_a_terminal() {
    let b = bench();
    let mut terminal = Terminal::run(&mut shell(&b, "", &[]));
    let setup = format!(
        "PS1='ready> '; source {SCRIPT}; complete -F _cygnet words; words() {{ printf '<%s>' \"$@\"; echo .; }}"
    );
    terminal.types(&setup);
    for (typed, name) in [
        ("words show two", "two  words"),
        ("words show \"two", "two  words"),
        ("words show 'it", "it's \"quoted\""),
        ("words show it", "it's \"quoted\""),
        ("words show \\$", "$(touch CANARY)"),
        ("words show a:", "a:b:c"),
        ("words show \"a:", "a:b:c"),
        ("words show x=", "x=y"),
        ("words show 分", "分公司 café"),
        ("words show \"\\`", "`touch CANARY`"),
    ] {
        terminal.until("ready> ");
        terminal.forget();
        terminal.types(&format!("{typed}\t"));
        terminal.until(&format!("<show><{name}>."));
    }
    assert!(!b.path("CANARY").exists(), "a name was run");
}

#[test]
fn the_rest_of_a_line_is_completed() {
    let mut b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    for (line, replies) in [
        ("cygnet sho", &["show"][..]),
        ("cygnet list --st", &["--status"]),
        ("cygnet list --status d", &["disconnected"]),
        ("cygnet list --status=d", &["disconnected"]),
        ("cygnet list -o w", &["wide"]),
        ("cygnet create --vip ", &["192.0.2.1"]),
        ("cygnet create --network ", &["10.1.0.0/24"]),
        ("cygnet attach site-7 ", &["10.1.0.0/24"]),
        ("cygnet add-cidr site-7 ", &[]),
        ("cygnet change --wait s", &["site-7"]),
        ("cygnet change --set pfs=none s", &["site-7"]),
        ("cygnet show -- s", &["site-7"]),
        ("cygnet comple", &[]),
        ("cygnet show site-7 ", &[]),
        ("X=1 cygnet show s", &["site-7"]),
    ] {
        assert_eq!(offered(&b, line), replies, "{line}");
    }
    // A script that calls the function as bash-completion's helpers do, without the line.
    let script = r#"source "$1"; COMP_WORDS=(cygnet show si) COMP_CWORD=2; _cygnet; echo "${COMPREPLY[@]}""#;
    assert_eq!(ended(shell(&b, script, &[SCRIPT])).stdout, b"site-7\n");
    let program = |words: &str| ended(shell(&b, &format!("cygnet complete {words}"), &[]));
    for words in ["zsh -- cygnet render ''", "zsh -- cygnet change x --auth-key-file ''"] {
        let ended = program(words);
        assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(1), &b""[..]), "a file is next");
    }
    let fish = program("fish -- cygnet show '\"s'").stdout;
    assert_eq!(String::from_utf8(fish).expect("UTF-8"), format!("site-7\t{}\n", uuid(7)));
    b.stop();
    assert_eq!(offered(&b, "cygnet show s"), [""; 0], "and nothing is said");
    // One that hangs, and settings that cannot be read.
    let _hangs = UnixListener::bind(b.path("cygnet.sock")).expect("a socket");
    assert_eq!(offered(&b, "cygnet show s"), [""; 0]);
    std::fs::write(b.path("cygnet.toml"), "nonsense").expect("written");
    assert_eq!(offered(&b, "cygnet show s"), [""; 0]);
    let other = Bench::with(&Options::default());
    other.create(&params(8, &json!({}))).expect(200);
    let config = other.path("cygnet.toml");
    assert_eq!(offered(&b, &format!("cygnet --config {} show s", config.display())), ["site-8"]);
}
