//! Filters, NAT and clamps as nft 1.0.6 and iptables-save 1.8.9 print them, recorded from real rule sets.

use super::tree::{Tree, words};
use cygnet::doctor::{Level, Report};
use serde_json::Value;

const STRICT: &str = include_str!("recorded/strict.json");
/// Named sets, maps of verdicts, `goto`, values of several parts, and a table of IPv6.
const SETS: &str = include_str!("recorded/sets.json");
const IPTABLES: &str = include_str!("recorded/iptables-save.txt");

/// A ruleset without the rules with these handles in these tables, and with what the sound one has.
fn ruleset(without: &[(&str, u64)]) -> String {
    let mut strict: Value = serde_json::from_str(STRICT).expect("recorded JSON");
    let objects = strict["nftables"].as_array_mut().expect("objects");
    let is_left_out =
        |rule: &Value| without.iter().any(|(table, handle)| rule["table"] == **table && rule["handle"] == *handle);
    objects.retain(|object| !is_left_out(&object["rule"]));
    strict.to_string()
}

#[track_caller]
fn levels(report: &Report, check: &str) -> Vec<Level> {
    report.findings.iter().filter(|finding| finding.check == check).map(|finding| finding.level).collect()
}

#[test]
fn a_strict_ruleset_is_found_by_its_rules() {
    let tree = Tree::new();
    // Without the rule of an interface of which nobody knows here whether the packets come by it.
    tree.write("answers/ruleset", &ruleset(&[("filter", 11)]));
    let report = tree.finds(&["nat", "forward", "input", "clamp"]);
    let text = words(&report);
    assert!(text.contains("masquerade in chain post of table ip nat (handle 2)"), "{text}");
    // Handle 13 drops what comes from there, and the policy lets nobody begin.
    assert!(text.contains("handle 13 in chain zones of table inet filter"), "{text}");
    let command = "nft insert rule inet filter forward ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/24 accept";
    assert!(text.contains(command), "{text}");
    assert!(text.contains("UDP 4500 198.51.100.77 -> 192.0.2.1") && !text.contains("UDP 500 "), "{text}");
    assert!(text.contains("the policy drop of chain input of table inet filter"), "{text}");
    assert!(text.contains("nft insert rule inet filter input ip saddr 198.51.100.77/32"), "{text}");
    assert!(text.contains("tcp option maxseg size set") && text.contains("ip daddr { 10.2.0.0/24 }"), "{text}");
}

#[test]
fn what_an_interface_decides_is_looked_at_by_people() {
    let tree = Tree::new();
    tree.write("answers/ruleset", &ruleset(&[]));
    let report = tree.finds(&["nat", "input", "clamp"]);
    assert_eq!(levels(&report, "forward"), [Level::Info]);
    assert!(words(&report).contains("sudo nft list ruleset"), "{}", words(&report));
}

#[test]
fn iptables_is_read_by_its_lines() {
    let tree = Tree::new();
    tree.write("answers/iptables", IPTABLES);
    tree.program("iptables-save", &format!("exec /bin/cat {}", tree.path("answers/iptables").display()));
    let text = words(&tree.finds(&["forward"]));
    assert!(text.contains("the policy drop of chain FORWARD of table ip filter"), "{text}");
    assert!(text.contains("iptables -t filter -I FORWARD -s 10.1.0.0/24 -d 10.2.0.0/24 -j ACCEPT"), "{text}");
    let clamp = "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu\n";
    let accept =
        "-A FORWARD -s 10.1.0.0/24 -d 10.2.0.0/24 -j ACCEPT\n-A FORWARD -s 10.2.0.0/24 -d 10.1.0.0/24 -j ACCEPT\n";
    // Only iptables is here: then it is the one to paste.
    tree.program("nft", "exit 127");
    std::fs::remove_file(tree.path("bin/nft")).expect("removed");
    tree.write("answers/iptables", &IPTABLES.replace("COMMIT", &format!("{accept}COMMIT")));
    let text = words(&tree.finds(&["clamp"]));
    assert!(
        text.contains(
            "iptables -t mangle -A FORWARD -d 10.2.0.0/24 -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss"
        ),
        "{text}"
    );
    tree.write("answers/iptables", &IPTABLES.replace("COMMIT", &format!("{clamp}{accept}COMMIT")));
    tree.finds(&[]);
    tree.write(
        "answers/iptables",
        &IPTABLES.replace("COMMIT", &format!("{clamp}{accept}COMMIT")).replace(" --dports 500,4500", " --dports 500"),
    );
    tree.finds(&[]);
    tree.write(
        "answers/iptables",
        &IPTABLES
            .replace("COMMIT", &format!("{clamp}{accept}COMMIT"))
            .replace("-p esp", "-p udp -m udp --dport 4500")
            .replace("-i wan ", "")
            .replace(" --dports 500,4500", " --dports 500"),
    );
    let text = words(&tree.finds(&["input"]));
    assert!(text.contains("-A INPUT -p udp -m udp --dport 4500 -j DROP in chain INPUT of table ip filter"), "{text}");
}

/// What stands in sets and maps decides, and is followed: each element that is missing is found.
#[test]
fn sets_and_maps_are_followed() {
    let tree = Tree::new();
    tree.write("answers/ruleset", SETS);
    let report = tree.finds(&[]);
    for check in ["forward", "input", "output", "clamp"] {
        assert!(report.passed.iter().any(|(name, _)| *name == check), "{check}: {:#?}", report.findings);
    }
    let peers = r#"[{"prefix": {"addr": "198.51.100.64", "len": 28}}, "203.0.113.7"]"#;
    let back =
        r#"{"concat": [{"prefix": {"addr": "10.2.0.0", "len": 24}}, {"prefix": {"addr": "10.1.0.0", "len": 24}}]}"#;
    for (from, to, checks, word) in [
        (peers, r#"["203.0.113.7"]"#, &["input", "output"][..], "UDP 4500 198.51.100.77"),
        (peers, r#"[{"range": ["198.51.100.78", "198.51.100.90"]}]"#, &["input", "output"], "UDP 500"),
        (peers, r#"[{"range": ["198.51.100.9", "198.51.100.77"]}]"#, &[], ""),
        (r#"{"range": [4000, 5000]}"#, "4499", &["output"], "UDP 4500 192.0.2.1 -> 198.51.100.77"),
        (
            r#"[[{"concat": ["tcp", 22]}"#,
            r#"[[{"concat": ["udp", 500]}, {"drop": null}], [{"concat": ["tcp", 22]}"#,
            &["input"],
            "handle 17",
        ),
        (r#"{"goto": {"target": "nat_t"}}"#, r#"{"drop": null}"#, &["input"], "UDP 4500 198.51.100.77"),
        (
            r#""flags": ["timeout"],"#,
            r#""elem": [{"elem": {"val": "198.51.100.77", "timeout": 60}}],"#,
            &["input"],
            "handle 16",
        ),
        (back, r#"{"concat": ["10.3.0.1", "10.1.0.1"]}"#, &["forward"], "10.2.0.0/24 -> 10.1.0.0/24"),
        (r#"{"goto": {"target": "tunnels"}}"#, r#"{"drop": null}"#, &["forward"], "handle 21"),
        (r#"{"jump": {"target": "tunnels"}}"#, r#"{"return": null}"#, &["forward"], "the policy drop of chain forward"),
    ] {
        assert!(SETS.contains(from), "{from}");
        tree.write("answers/ruleset", &SETS.replace(from, to));
        let text = words(&tree.finds(checks));
        assert!(text.contains(word), "{to}: {text}");
    }
}

/// The rules of IPv6 are about IPv6 alone, and the other way round.
#[test]
fn each_family_has_its_own_rules() {
    let tree = Tree::new();
    let record = std::fs::read_to_string(tree.path(&Tree::record())).expect("read");
    let six = [
        ("192.0.2.1", "2001:db8::1"),
        ("198.51.100.77", "2001:db8:5::7"),
        ("10.1.0.0/24", "fd00:1::/64"),
        ("10.2.0.0/24", "fd00:2::/64"),
    ];
    tree.write(&Tree::record(), &six.iter().fold(record, |text, (four, six)| text.replace(four, six)));
    tree.mode(&Tree::record(), 0o600);
    let found = |checks: &[&str]| {
        let report = tree.examine();
        let text = words(&report);
        for check in ["forward", "input", "output"] {
            let is_found = report.findings.iter().any(|f| f.check == check && f.level == Level::Error);
            assert_eq!(is_found, checks.contains(&check), "{check}: {:#?}", report.findings);
        }
        text
    };
    tree.write("answers/ruleset", SETS);
    let text = found(&["forward", "output"]);
    assert!(
        text.contains("nft insert rule inet fw forward ip6 saddr fd00:1::/64 ip6 daddr fd00:2::/64 accept"),
        "{text}"
    );
    let closed = SETS.replace("2001:db8:5::", "2001:db8:6::");
    tree.write("answers/ruleset", &closed);
    let text = found(&["forward", "input", "output"]);
    assert!(text.contains("nft insert rule ip6 fw6 input ip6 saddr 2001:db8:5::7/128"), "{text}");
    tree.write("answers/ruleset", r#"{"nftables": []}"#);
    found(&[]);
    for (program, command) in
        [("ip6tables-save", "ip6tables -t filter"), ("ip6tables-legacy-save", "ip6tables-legacy -t filter")]
    {
        tree.program(program, "echo '*filter'; echo ':INPUT DROP [0:0]'; echo COMMIT");
        let text = found(&["input"]);
        assert!(text.contains(&format!("{command} -I INPUT -s 2001:db8:5::7/128")), "{text}");
        std::fs::remove_file(tree.path(&format!("bin/{program}"))).expect("removed");
    }
    // What is about IPv4 alone drops nothing here.
    tree.program("iptables-save", "echo '*filter'; echo ':INPUT DROP [0:0]'; echo ':FORWARD DROP [0:0]'; echo COMMIT");
    found(&[]);
}

/// Both kinds of iptables may have rules at once, and the same ones are not found twice.
#[test]
fn both_kinds_of_iptables_count() {
    let tree = Tree::new();
    let drops = "echo '*filter'; echo ':INPUT DROP [0:0]'; echo COMMIT";
    tree.program("iptables-save", "exit 0");
    tree.program("iptables-nft-save", "exit 0");
    tree.program("iptables-legacy-save", drops);
    let report = tree.finds(&["input"]);
    assert!(words(&report).contains("iptables-legacy -t filter -I INPUT -s 198.51.100.77/32"), "{}", words(&report));
    for chosen in ["iptables-legacy-save", "iptables-nft-save"] {
        tree.program("iptables-legacy-save", if chosen == "iptables-legacy-save" { drops } else { "exit 0" });
        tree.program("iptables-nft-save", if chosen == "iptables-nft-save" { drops } else { "exit 0" });
        tree.program("iptables-save", drops);
        assert_eq!(levels(&tree.finds(&["input"]), "input"), [Level::Error], "{chosen}");
    }
}

/// Traffic of the gateway's own addresses is not forwarded: it passes the chains of this host.
#[test]
fn filters_of_the_gateways_own_traffic_are_found() {
    let tree = Tree::new();
    let record = std::fs::read_to_string(tree.path(&Tree::record())).expect("read");
    tree.write(&Tree::record(), &record.replace("10.1.0.0/24", "10.1.0.1/32"));
    tree.mode(&Tree::record(), 0o600);
    tree.finds(&[]);
    let rule = |hook: &str, side: &str| {
        format!(
            r#"{{"nftables":[{{"chain":{{"family":"ip","table":"t","name":"c","type":"filter","hook":"{hook}","prio":0}}}},
            {{"rule":{{"family":"ip","table":"t","chain":"c","handle":3,"expr":[{{"match":{{"op":"==","left":{{"payload":
            {{"protocol":"ip","field":"{side}"}}}},"right":{{"prefix":{{"addr":"10.2.0.0","len":16}}}}}}}},{{"drop":null}}]}}}}]}}"#
        )
    };
    for (check, side, other) in [("input", "saddr", "daddr"), ("output", "daddr", "saddr")] {
        tree.write("answers/ruleset", &rule(check, side));
        let text = words(&tree.finds(&[check]));
        assert!(
            text.contains("of this gateway itself") && text.contains("handle 3 in chain c of table ip t"),
            "{text}"
        );
        tree.write("answers/ruleset", &rule(check, other));
        tree.finds(&[]);
        tree.write("answers/ruleset", &rule("forward", side));
        tree.finds(&[]);
    }
}

/// Two stored connections for the same networks; a standby of other networks is none.
#[test]
fn overlapping_connections_are_found() {
    let tree = Tree::new();
    let record = std::fs::read_to_string(tree.path(&Tree::record())).expect("read");
    let other = "d0000000000040008000000000000009";
    let path = format!("state/connections/{other}.json");
    let second = record.replace(super::tree::UUID, other).replace("198.51.100.77", "198.51.100.78");
    for (remote, checks) in
        [("10.9.0.0/24", &[][..]), ("10.2.0.0/16", &["same_networks"]), ("10.2.0.0/24", &["same_networks"])]
    {
        tree.write(&path, &second.replace("10.2.0.0/24", remote));
        tree.mode(&path, 0o600);
        tree.finds(checks);
    }
}

#[test]
fn who_may_not_look_is_told_so() {
    let tree = Tree::new();
    tree.program("nft", "echo 'Operation not permitted (you must be root)' >&2; exit 1");
    let report = tree.finds(&[]);
    for check in ["nat", "forward", "input", "output", "clamp"] {
        assert_eq!(levels(&report, check), [Level::Info], "{check}");
    }
    assert!(words(&report).contains("Operation not permitted"), "{}", words(&report));
}

#[test]
fn a_foreign_connection_for_the_same_networks_is_found() {
    use cygnet::strongswan::section::{Section, Value};
    let tree = Tree::new();
    let list = |text: &str| Value::List(vec![text.as_bytes().to_vec()]);
    let child = |remote| Section::new().with("local-ts", list("10.1.0.0/24")).with("remote-ts", list(remote));
    let site = |remote| {
        let children = Section::new().with("net", child(remote));
        Section::new().with("remote_addrs", list("198.51.100.77")).with("children", children)
    };
    tree.charon.load(Some(("site", site("10.9.0.0/24"))), None);
    tree.finds(&[]);
    tree.charon.load(Some(("site", site("10.2.0.0/16"))), None);
    let text = words(&tree.finds(&["foreign"]));
    assert!(
        text.contains("the foreign connection site in charon") && text.contains("10.1.0.0/24 to 10.2.0.0/24"),
        "{text}"
    );
}
