//! Filters, NAT and clamps as nft 1.0.6 and iptables-save 1.8.9 print them, recorded from real rule sets.

use super::tree::{Tree, words};
use cygnet::doctor::{Level, Report};
use serde_json::Value;

const STRICT: &str = include_str!("recorded/strict.json");
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
