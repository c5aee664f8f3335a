//! The settings: several files, all faults at once, and the names of VIPs and networks wherever a uuid is taken.

use super::run::{OTHER_KEY, fed, run};
use crate::serve::{Bench, NETWORK, Options, VIP};
use serde_json::{Value, json};
use std::fs;

/// A VIP and a network more, with names.
const SITE: &str = "[[gateway.vips]]\nname = \"dsl\"\naddress = \"192.0.2.9\"\n\
    [[gateway.vips]]\nname = \"six\"\naddress = \"2001:db8::9\"\n\
    [[gateway.l3_networks]]\nname = \"lab\"\ncidrs = [\"10.1.9.0/24\"]\n";

fn bench(site: &str) -> Bench {
    let mut b = Bench::idle(&Options::default());
    fs::create_dir(b.path("conf.d")).expect("conf.d");
    fs::write(b.path("conf.d/10-site.toml"), site).expect("written");
    b.run();
    b
}

#[test]
fn a_check_names_every_fault_of_every_file() {
    let b = Bench::idle(&Options::default());
    assert_eq!(run(&b, &["serve", "--check"]).ends(0).out, "the settings are valid\n");
    fs::create_dir(b.path("conf.d")).expect("conf.d");
    fs::write(
        b.path("conf.d/20-site.toml"),
        format!("nosuch = 1\n\n[[gateway.vips]]\nuuid = \"{VIP}\"\naddress = \"x\"\n"),
    )
    .expect("written");
    fs::write(b.path("conf.d/10-site.toml"), "[charon]\ntimeout = \"soon\"\n[jobs\n").expect("written");
    fs::write(b.path("tokens"), "# the plane\nplane:short\nplane:test-only-long-enough\nno colon\n").expect("written");
    let ended = run(&b, &["serve", "--check"]).ends(1);
    let site = |name: &str| b.path(&format!("conf.d/{name}-site.toml")).display().to_string();
    let (one, two, tokens) = (site("10"), site("20"), b.path("tokens").display().to_string());
    for place in [
        format!("{one}:3: "),
        format!("{two}:1: "),
        format!("{two}:5: "),
        format!("{tokens}:2: "),
        format!("{tokens}:4: "),
    ] {
        assert!(ended.err.lines().any(|line| line.starts_with(&place)), "{place} in {}", ended.err);
    }
    assert_eq!(ended.err.lines().count(), 5, "{}", ended.err);
    assert!(!ended.err.contains("short\n") && !ended.err.contains("test-only"), "a token is shown: {}", ended.err);
    let started = b.command().output().expect("started");
    assert!(!started.status.success());
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(said.contains(&format!("{one}:3: ")) && said.contains(&format!("{two}:5: ")), "{said}");
}

#[test]
fn a_check_names_callers_that_there_are_not() {
    let b = Bench::idle(&Options::default());
    fs::create_dir(b.path("conf.d")).expect("conf.d");
    let check = |text: &str| {
        fs::write(b.path("conf.d/callers.toml"), text).expect("written");
        run(&b, &["serve", "--check"])
    };
    let good = "[[auth.callers]]\ntoken = \"test\"\nanswers = \"async\"\n";
    assert_eq!(check(good).ends(0).out, "the settings are valid\n");
    let ended = check(&format!("{good}{}", good.replace("test", "tset"))).ends(1);
    assert_eq!(ended.err, "auth.callers names the token \"tset\", and there is no such token; did you mean test?\n");
    let ended = check(&good.replace("token", "account")).ends(1);
    assert_eq!(ended.err, "auth.callers names the account \"test\", and there is no such account\n");
    let place = b.path("conf.d/callers.toml").display().to_string();
    for (wrong, word) in [
        (good.replace("async", "later"), "async"),
        (good.replace("answers", "anwsers"), "anwsers"),
        (good.replace("token", "account") + "token = \"test\"\n", "either token or account"),
        (good.replace("token = \"test\"\n", ""), "either token or account"),
    ] {
        let ended = check(&wrong).ends(1);
        assert!(ended.err.starts_with(&place) && ended.err.contains(word), "{wrong}: {}", ended.err);
    }
}

#[test]
fn names_addresses_and_cidrs_stand_for_uuids() {
    let b = bench(SITE);
    let create = ["create", "branch", "--peer", "198.51.100.8", "--auth-key-file", "-", "--peer-cidr", "10.8.2.0/24"];
    let made = |more: &[&str]| fed(&b, &[&create[..], more, &["--json"]].concat(), OTHER_KEY);
    let ended = made(&["--vip", "dsl", "--network", "lab"]);
    assert!([0, 4].contains(&ended.code), "{ended:?}");
    let inventory = ended.json()["inventory"].take();
    let (id, lab) = (&inventory["uuid"], &inventory["l3NetworkRefs"][0]["l3NetworkUuid"]);
    let (id, lab) = (id.as_str().expect("a uuid").to_owned(), lab.as_str().expect("a uuid").to_owned());
    assert!(lab.len() == 32 && inventory["vipUuid"].as_str().is_some_and(|uuid| uuid.len() == 32), "{inventory:#}");
    run(&b, &["attach", "branch", "10.1.0.0/24"]).ends(4);
    run(&b, &["detach", "branch", "lab", "--yes"]).ends(4);
    let refs = |b: &Bench| b.inventory(&id)["l3NetworkRefs"].clone();
    assert_eq!((refs(&b).as_array().map(Vec::len), &refs(&b)[0]["l3NetworkUuid"]), (Some(1), &json!(NETWORK)));
    let uuids: Value = json!({ "params": { "l3NetworkUuids": ["lab"] } });
    let networks = format!("/zstack/v1/ipsec/{id}/l3networks");
    b.ask("POST", &networks, uuids.to_string().as_bytes()).expect(200);
    b.ask("DELETE", &format!("{networks}?l3NetworkUuids=10.1.9.0%2F24"), b"").expect(200);
    let free = b.ask("GET", "/zstack/v1/ipsec/candidatesL3Networks?vipUuid=dsl", b"").expect(200).json();
    assert!(free["inventories"].as_array().is_some_and(|all| all.iter().any(|net| net["uuid"] == lab)), "{free:#}");
    run(&b, &["delete", &id, "--yes"]).ends(0);

    let unknown = made(&["--vip", "dls", "--network", "lab"]).ends(1);
    for known in ["field[vipUuid]", "dsl (192.0.2.9, ", "192.0.2.1 (", VIP] {
        assert!(unknown.err.contains(known), "{known}: {}", unknown.err);
    }
    let unknown = made(&["--vip", "dsl", "--network", "10.7.0.0/24"]).ends(1);
    assert!(unknown.err.contains("lab (10.1.9.0/24, ") && unknown.err.contains(NETWORK), "{}", unknown.err);
    let several = made(&["--network", "lab"]).ends(2);
    assert!(several.err.contains("2 VIPs") && several.err.contains("dsl (192.0.2.9"), "{}", several.err);
}
