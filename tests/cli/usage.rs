//! Exit codes 2 and 3, and errors: each with what to do about it.

use super::run::{Run, run, up};
use crate::serve::{Bench, Options, uuid};
use std::fs;

#[test]
fn a_wrong_command_line() {
    let b = up();
    let change = |more: &[&str]| run(&b, &[&["change", "site-7", "--yes"], more].concat());
    for (ended, said) in [
        (run(&b, &["nothing"]), "unrecognized subcommand"),
        (run(&b, &["show"]), "required arguments"),
        (run(&b, &["list", "--status", "fine"]), "[possible values: ready, connecting, disconnected, unknown]"),
        (run(&b, &["update", "site-7"]), "required arguments"),
        (change(&[]), "no option to change is named"),
        (change(&["--set", "lifeTime"]), "--set needs NAME=VALUE"),
        (change(&["--set", "lifetime=1000"]), "hint: its spelling is lifeTime"),
        (change(&["--set", "lifeTme=1000"]), "hint: did you mean lifeTime?"),
        (change(&["--set", "dpdDelai=9"]), "hint: did you mean dpdDelay?"),
        (change(&["--set", "aggressive=yes"]), "hint: aggressive mode is never supported"),
        (change(&["--set", "xauthUser=x"]), "hint: XAUTH and EAP are never supported"),
        (change(&["--set", "nothing=1"]), "hint: the options are authMode, "),
        (change(&["--set", "pfs=none", "--set", "pfs=none"]), "--set names pfs twice"),
        (change(&["--set", "pfs=none", "--wait=soon"]), "soon is no time"),
        (run(&b, &["change", "site-7", "--set", "pfs=none"]), "add --yes"),
        (run(&b, &["delete", "site-7"]), "add --yes"),
        (run(&b, &["plan", "site-7", "body.json", "--set", "pfs=none"]), "cannot be used with"),
        (run(&b, &["serve", "--json"]), "unexpected argument '--json'"),
    ] {
        let ended = ended.ends(2);
        assert!(ended.err.contains(said) && ended.out.is_empty(), "{said}: {}", ended.err);
    }
    assert_eq!(b.inventory(&uuid(7))["pfs"], "dh-group14");
}

#[test]
fn an_agent_that_is_not_there() {
    let b = Bench::idle(&Options::default());
    for arguments in [
        &["status"][..],
        &["list"],
        &["show", "x"],
        &["change", "x", "--yes", "--set", "pfs=none"],
        &["delete", "x", "--yes"],
        &["log", "x"],
        &["events"],
    ] {
        let ended = run(&b, arguments).ends(3);
        assert!(
            ended.err.contains("cannot reach the agent at ")
                && ended.err.contains("hint: run `systemctl status cygnet`")
        );
        let ended = run(&b, &[arguments, &["--json"]].concat()).ends(3);
        let error: serde_json::Value = serde_json::from_str(&ended.err).expect("JSON");
        assert!(error["error"]["elaboration"].is_string() && ended.out.is_empty(), "{error}");
    }
    fs::remove_file(b.path("cygnet.toml")).expect("there");
    run(&b, &["list"]).ends(1);
}

#[test]
fn what_the_agent_refuses_is_told_with_its_advice() {
    let mut b = up();
    let change: fn(&Bench, &[&str]) -> Run = |b, more| run(b, &[&["change", "site-7", "--yes"], more].concat());
    let ended = change(&b, &["--set", "ikeEncryptionAlgorithm=des"]).ends(1);
    let sentence = "cygnet: ikeEncryptionAlgorithm must be one of 3des, aes-128, ";
    assert!(ended.err.starts_with(sentence) && ended.err.contains("; got des"), "{}", ended.err);
    assert!(ended.err.contains("DES is never supported"), "{}", ended.err);
    let ended = change(&b, &["--set", "ikeDhGroup=99"]).ends(1);
    assert!(
        ended.err.contains("cygnet: ikeDhGroup must be one of ") && ended.err.contains("; got 99"),
        "{}",
        ended.err
    );
    let ended = change(&b, &["--set", "ikeDhGroup=x"]).ends(2);
    assert_eq!(ended.err, "cygnet: ikeDhGroup must be a whole number\n");
    let ended = change(&b, &["--set", "pfs=none", "--confirm", "1h"]).ends(1);
    assert!(ended.err.contains("cygnet: --confirm must be a duration from 1s to 10m"), "{}", ended.err);
    b.charon.kill();
    b.charon.hang_up();
    let ended = change(&b, &["--set", "pfs=none"]).ends(1);
    assert!(ended.err.contains("hint: CHARON_UNREACHABLE: Look after strongswan.service"), "{}", ended.err);
    let ended = change(&b, &["--set", "pfs=none", "--json"]).ends(1);
    let error: serde_json::Value = serde_json::from_str(&ended.err).expect("JSON");
    assert_eq!(error["error"]["code"], "SYS.1006", "{error}");
    assert_eq!(b.inventory(&uuid(7))["pfs"], "dh-group14");
}

#[test]
fn help_tells_the_exit_codes() {
    let b = Bench::idle(&Options::default());
    let help = run(&b, &["--help"]).ends(0).out;
    for line in ["  0  done", "  1  failed", "  2  the command line", "  3  the agent cannot", "  4  done, but"] {
        assert!(help.contains(line), "{help}");
    }
    assert!(run(&b, &["change", "--help"]).ends(0).out.contains("--auth-key-file <FILE>"));
}
