//! `cygnet doctor` on a real gateway: nothing is wrong with a sound one, and each fault that can be made here is found,
//! with the agent and without it. What it prints holds no key.

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use serde_json::{Value, json};

use crate::{
    lab,
    pair::{KEY, Pair},
    say,
    support::{
        lab::{Lab, Side},
        output, poll, run,
    },
};

/// A gateway A as it should be, with a tunnel that is up.
fn sound(lab: &Lab) -> Pair {
    for side in Side::BOTH {
        set(lab, side, "ipv4/ip_forward", "1");
        for interface in ["all", "wan"] {
            set(lab, side, &format!("ipv4/conf/{interface}/rp_filter"), "0");
        }
    }
    // Where there is no nft nobody can look either.
    clamp(lab, "add");
    Pair::up(lab, &json!({}))
}

/// Adds or deletes what makes TCP's segments on A small enough.
fn clamp(lab: &Lab, word: &str) {
    let _ = output(lab.command_in(Side::A, "nft").arg(format!("{word} table inet clamp")));
    if word == "add" {
        for text in [
            "add chain inet clamp forward { type filter hook forward priority mangle; }",
            "add rule inet clamp forward tcp flags syn tcp option maxseg size set 1300",
        ] {
            let _ = output(lab.command_in(Side::A, "nft").arg(text));
        }
    }
}

fn set(lab: &Lab, side: Side, key: &str, value: &str) {
    lab.inside(side, || fs::write(format!("/proc/sys/net/{key}"), value)).unwrap_or_else(|e| panic!("{key}: {e}"));
}

/// What `cygnet doctor` prints and how it ends, run on A.
fn doctor(pair: &Pair, arguments: &[&str]) -> Output {
    let mut command = pair.lab.command_in(Side::A, crate::support::agent::binary());
    command.arg("--config").arg(pair.agent(Side::A).config()).arg("doctor").args(arguments);
    let output = output(&mut command);
    let hex = KEY.bytes().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    for bytes in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains(KEY) && !text.contains(&hex), "a key is shown: {text}");
    }
    output
}

fn report(pair: &Pair) -> Value {
    let output = doctor(pair, &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    assert_eq!(output.status.success(), report["healthy"] == true, "{report:#}");
    report
}

/// The checks that found something, but for the clock's and what is only good to know: this machine's clock is not ours.
fn found(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().expect("findings").iter();
    let counted = findings.filter(|finding| finding["level"] != "info" && finding["check"] != "clock");
    let mut names: Vec<_> = counted.map(|finding| finding["check"].as_str().expect("a check").to_owned()).collect();
    names.dedup();
    names
}

/// Waits until exactly these checks find something; the report.
#[track_caller]
fn finds(pair: &Pair, expected: &[&str]) -> Value {
    let mut last = Value::Null;
    let seen = poll(std::time::Duration::from_secs(10), || {
        last = report(pair);
        (found(&last) == expected).then_some(())
    });
    assert!(seen.is_some(), "wanted {expected:?}: {last:#}\n{}", pair.agent(Side::A).logs());
    last
}

#[test]
fn a_sound_gateway_is_sound_and_kernel_faults_are_found() {
    let Some(lab) = lab() else { return };
    let pair = sound(&lab);
    let report = finds(&pair, &[]);
    let passed = |check: &str| {
        let list = report["passed"].as_array().expect("a list").iter().find(|item| item["check"] == check);
        list.and_then(|item| item["seen"].as_str()).unwrap_or_else(|| panic!("{check}: {report:#}")).to_owned()
    };
    assert_eq!(passed("data_plane"), "kernel-libipsec, 1 CHILD_SAs, 1 routes in table 220");
    for check in ["charon", "vici", "algorithms", "udp", "addresses", "include", "syntax", "foreign", "modes", "store"]
    {
        passed(check);
    }
    let page = String::from_utf8(doctor(&pair, &[]).stdout).expect("UTF-8");
    assert!(page.lines().any(|line| line.starts_with("ok") && line.contains("strongSwan")), "{page}");

    set(&lab, Side::A, "ipv4/ip_forward", "0");
    finds(&pair, &["forwarding"]);
    set(&lab, Side::A, "ipv4/ip_forward", "1");

    set(&lab, Side::A, "ipv4/conf/wan/rp_filter", "1");
    let report = finds(&pair, &["rp_filter"]);
    assert!(report["findings"].to_string().contains("net.ipv4.conf.wan.rp_filter=2"), "{report:#}");
    set(&lab, Side::A, "ipv4/conf/wan/rp_filter", "0");

    run(lab.command_in(Side::A, "ip").args(["route", "flush", "table", "220"]));
    finds(&pair, &["data_plane"]);
}

#[test]
fn files_and_strangers_are_found() {
    let Some(lab) = lab() else { return };
    let pair = sound(&lab);
    finds(&pair, &[]);
    let (directory, agent) = (lab.swanctl_dir(Side::A), pair.agent(Side::A));

    let main = directory.join("swanctl.conf");
    fs::write(&main, "# nothing\n").expect("written");
    finds(&pair, &["include", "syntax"]);
    fs::write(&main, "include conf.d/*.conf\n").expect("written");

    let broken = directory.join("conf.d/broken.conf");
    fs::write(&broken, "connections {\n  a {\n    secret = test-only-quoted }\n").expect("written");
    let report = finds(&pair, &["syntax"]);
    assert!(!report.to_string().contains("test-only-quoted"), "{report:#}");
    fs::remove_file(&broken).expect("removed");

    let record = agent.state_dir().join(format!("connections/{}.json", pair.uuid(Side::A)));
    fs::set_permissions(&record, fs::Permissions::from_mode(0o644)).expect("a mode");
    finds(&pair, &["modes"]);
    fs::set_permissions(&record, fs::Permissions::from_mode(0o600)).expect("a mode");

    let rival = "connections {\n  rival {\n    remote_addrs = 192.0.2.2\n    children {\n      net {\n        local_ts = \
                 10.1.0.0/16\n        remote_ts = 10.2.0.0/24\n      }\n    }\n  }\n}\n";
    lab.load_conf(Side::A, "rival", rival);
    let report = finds(&pair, &["foreign"]);
    assert!(report["findings"].to_string().contains("the foreign connection rival in charon"), "{report:#}");
    fs::remove_file(directory.join("conf.d/rival.conf")).expect("removed");
    lab.swanctl(Side::A, &["--load-conns"]);
    finds(&pair, &[]);

    lab.load_conf(Side::A, "stranger", "connections {\n  stranger {\n    remote_addrs = 192.0.2.77\n  }\n}\n");
    finds(&pair, &[]);
    fs::remove_file(directory.join("conf.d/stranger.conf")).expect("removed");
    let report = finds(&pair, &["foreign"]);
    assert!(report["findings"].to_string().contains("stranger"), "{report:#}");
}

#[test]
fn masquerade_is_found() {
    let Some(lab) = lab() else { return };
    let nft = |text: &str| output(lab.command_in(Side::A, "nft").arg(text));
    let made = ["add table ip nat", "add chain ip nat post { type nat hook postrouting priority 100; }"].map(nft);
    if let Some(failed) = made.iter().find(|output| !output.status.success()) {
        return say(format!("SKIPPED: this kernel or machine cannot do NAT: {failed:?}"));
    }
    let pair = sound(&lab);
    finds(&pair, &[]);
    let rule = |text: &str| {
        let output = nft(&format!("add rule ip nat post {text}"));
        assert!(output.status.success(), "{output:?}");
    };
    rule("ip saddr 10.0.0.0/8 oifname wan masquerade");
    // What goes out by ipsec0 is not concerned.
    finds(&pair, &[]);
    rule("ip saddr 10.0.0.0/8 masquerade");
    let report = finds(&pair, &["nat"]);
    assert!(report["findings"].to_string().contains("10.1.0.0/24 -> 10.2.0.0/24"), "{report:#}");
    assert!(nft("insert rule ip nat post oifname \"ipsec*\" accept").status.success());
    finds(&pair, &[]);
}

/// Filters that drop what a tunnel needs, by handle, and what the report says to do about it.
#[test]
fn filters_and_a_missing_clamp_are_found_and_the_commands_repair_it() {
    let Some(lab) = lab() else { return };
    let nft = |text: &str| output(lab.command_in(Side::A, "nft").arg(text));
    let made = [
        "add table inet filter",
        "add chain inet filter forward { type filter hook forward priority 0; }",
        "add chain inet filter input { type filter hook input priority 0; }",
    ]
    .map(nft);
    if let Some(failed) = made.iter().find(|output| !output.status.success()) {
        return say(format!("SKIPPED: this kernel or machine cannot filter: {failed:?}"));
    }
    let pair = sound(&lab);
    finds(&pair, &[]);
    let repair = |report: &Value, check: &str| {
        let all = report["findings"].as_array().expect("findings");
        let found = all.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("{report:#}"));
        let fix = found["fix"].as_str().expect("a fix").to_owned();
        // As it is, with its remark.
        run(lab.command_in(Side::A, "bash").arg("-c").arg(&fix));
        found.clone()
    };
    assert!(nft("add rule inet filter forward ip daddr 10.2.0.0/16 drop").status.success());
    let listed = run(lab.command_in(Side::A, "nft").args(["-a", "list chain inet filter forward"])).stdout;
    let listed = String::from_utf8(listed).expect("UTF-8");
    let handle = listed.lines().find_map(|line| line.split("drop # handle ").nth(1)).expect("a handle").to_owned();
    let found = repair(&finds(&pair, &["forward"]), "forward");
    assert_eq!(found["evidence"], format!("handle {handle} in chain forward of table inet filter"), "{found}");
    finds(&pair, &[]);

    assert!(nft("add rule inet filter input udp dport 4500 drop").status.success());
    let found = repair(&finds(&pair, &["input"]), "input");
    assert!(found["what"].as_str().is_some_and(|text| text.contains("UDP 4500 192.0.2.2 -> 192.0.2.1")), "{found}");
    finds(&pair, &[]);

    clamp(&lab, "delete");
    let found = repair(&finds(&pair, &["clamp"]), "clamp");
    // charon's own device takes 1400 bytes.
    assert!(found["fix"].as_str().is_some_and(|text| text.contains("maxseg size set 1360")), "{found}");
    finds(&pair, &[]);
}

#[test]
fn missing_routes_are_found() {
    let Some(lab) = lab() else { return };
    let pair = sound(&lab);
    finds(&pair, &[]);
    run(lab.command_in(Side::A, "ip").args(["route", "replace", "unreachable", "10.2.0.0/24", "table", "220"]));
    let report = finds(&pair, &["routes", "data_plane"]);
    assert!(report["findings"].to_string().contains("no route leads to the peer's network 10.2.0.0/24"), "{report:#}");
}

#[test]
fn a_charon_that_is_gone_or_hangs_and_an_agent_that_does_not_run() {
    let Some(lab) = lab() else { return };
    let mut pair = sound(&lab);
    pair.agent_mut(Side::A).stop();
    // It looks itself, and says so; nothing else is wrong.
    finds(&pair, &["agent"]);
    lab.remove_address(Side::A, "192.0.2.1/24");
    // The way to the peer went with it, but the address was here: this host is a standby for it.
    let report = finds(&pair, &["agent"]);
    assert!(report.to_string().contains("standby: 192.0.2.1 is not on this host"), "{report:#}");
    lab.add_address(Side::A, "192.0.2.1/24");
    pair.agent_mut(Side::A).restart();

    lab.pause_charon(Side::A);
    let start = std::time::Instant::now();
    let report = self::report(&pair);
    assert!(found(&report).contains(&"charon".to_owned()), "{report:#}");
    assert!(start.elapsed() < std::time::Duration::from_mins(1), "{:?}", start.elapsed());
    lab.resume_charon(Side::A);
    finds(&pair, &[]);

    lab.kill_charon(Side::A);
    let report = finds(&pair, &["agent", "charon", "vici", "udp"]);
    assert!(report["findings"].to_string().contains("nobody listens on UDP 4500"), "{report:#}");
}
