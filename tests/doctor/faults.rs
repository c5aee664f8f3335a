//! One fault at a time.

use super::tree::{Tree, UUID, words};
use crate::fake_charon::Behaviour;
use cygnet::{doctor::Level, strongswan::section::Section};
use std::{
    fs,
    time::{Duration, Instant},
};

#[test]
fn nothing_is_wrong_with_the_tree() {
    let report = Tree::new().finds(&[]);
    // Neither a swanctl nor a running agent is there, nor a kernel of its own, and that is all.
    let said: Vec<_> = report.findings.iter().map(|finding| (finding.check, finding.level)).collect();
    let unseen = ["routes", "syntax", "foreign"].map(|check| (check, Level::Info));
    assert_eq!(said, [&[("agent", Level::Warning)][..], &unseen].concat());
    assert!(report.passed.contains(&("udp", "500 and 4500 are charon's".into())), "{:?}", report.passed);
}

#[test]
fn what_the_kernel_says() {
    let tree = Tree::new();
    tree.write("proc/sys/net/ipv4/ip_forward", "0\n");
    tree.finds(&["forwarding"]);
    tree.write("proc/sys/net/ipv4/ip_forward", "1\n");
    tree.write("proc/sys/net/ipv4/conf/wan/rp_filter", "1\n");
    tree.finds(&["rp_filter"]);
    tree.write("proc/sys/net/ipv4/conf/wan/rp_filter", "0\n");
    tree.write("proc/42/comm", "pluto\n");
    assert!(words(&tree.finds(&["udp", "other_tools"])).contains("pluto (pid 42)"));
    tree.write("proc/42/comm", "charon\n");
    tree.write("proc/net/udp", "  sl\n");
    tree.finds(&["udp"]);
}

#[test]
fn what_programs_say() {
    let tree = Tree::new();
    tree.write("answers/addresses", r#"[{"ifname":"lo","flags":["UP"],"addr_info":[{"local":"127.0.0.1"}]}]"#);
    assert!(words(&tree.finds(&["addresses"])).contains("192.0.2.1/32"));
    let tree = Tree::new();
    let ruleset = fs::read_to_string(tree.path("answers/ruleset")).expect("read");
    tree.write("answers/ruleset", &ruleset.replace("\"right\":true", "\"right\":false"));
    assert!(words(&tree.finds(&["nat"])).contains("10.1.0.0/24 -> 10.2.0.0/24"));
    let tree = Tree::new();
    tree.program("timedatectl", "echo no");
    tree.finds(&["clock"]);
}

/// As iproute2 6.1 prints an XFRM interface and its routes.
#[test]
fn what_a_route_based_tunnel_needs() {
    let tree = Tree::new();
    let record = fs::read_to_string(tree.path(&Tree::record())).expect("read");
    let (first, rest) = record.split_once('\n').expect("lines");
    tree.write(&Tree::record(), &format!("{first}\n  \"native\": {{ \"ifId\": 42 }},\n{rest}"));
    let said = words(&tree.finds(&["interfaces"]));
    assert!(said.contains(&format!("the connection {UUID} has ifId 42, and no XFRM interface has it")), "{said}");
    assert!(said.contains("ip link add xfrm42 type xfrm dev INTERFACE if_id 42"), "{said}");

    let addresses = fs::read_to_string(tree.path("answers/addresses")).expect("read");
    let others = addresses.trim_end().trim_end_matches(']');
    let interface = |flags: &str| {
        let link = r#""link_type":"none","linkinfo":{"info_kind":"xfrm","info_data":{"if_id":"0x2a"}},"addr_info":[]"#;
        format!("{others},{{\"ifindex\":4,\"link\":\"wan\",\"ifname\":\"xfrm42\",\"flags\":[{flags}],{link}}}]")
    };
    tree.write("answers/addresses", &interface("\"NOARP\""));
    tree.write(
        "answers/into",
        r#"[{"dst":"10.2.0.0/24","scope":"link","flags":[]},{"type":"local","dst":"10.9.0.1"}]"#,
    );
    assert!(words(&tree.finds(&["interfaces"])).contains("ip link set xfrm42 up"));
    tree.write("answers/addresses", &interface("\"NOARP\",\"UP\",\"LOWER_UP\""));
    let report = tree.finds(&[]);
    assert!(report.passed.contains(&("interfaces", "xfrm42 (if_id 42): 10.2.0.0/24".into())), "{:?}", report.passed);

    tree.write("answers/into", r#"[{"dst":"10.3.0.0/24","scope":"link","flags":[]}]"#);
    let said = words(&tree.finds(&["interfaces"]));
    assert!(said.contains("ip route add 10.2.0.0/24 dev xfrm42") && said.contains("routes into xfrm42: 10.3.0.0/24"));
}

#[test]
fn what_files_say() {
    let tree = Tree::new();
    tree.write("swanctl/swanctl.conf", "include other/*.conf\n");
    tree.finds(&["include"]);
    tree.write("swanctl/swanctl.conf", "include main.inc\n");
    tree.write("swanctl/main.inc", "include \"conf.d/*.conf\"\n");
    tree.finds(&[]);
    for (path, mode) in [(Tree::record(), 0o644), (format!("swanctl/conf.d/cygnet-{UUID}.conf"), 0o640)] {
        tree.mode(&path, mode);
        assert!(words(&tree.finds(&["modes"])).contains(&format!("{mode:04o}")));
        tree.mode(&path, 0o600);
    }
    tree.mode("tokens", 0o604);
    tree.mode("swanctl/conf.d", 0o777);
    assert_eq!(tree.finds(&["modes"]).findings.iter().filter(|f| f.check == "modes").count(), 2);
}

/// swanctl trusts what lies there, and whoever may write to charon's socket is as good as root.
#[test]
fn who_is_as_good_as_root() {
    let tree = Tree::new();
    tree.write("swanctl/x509ca/planted.pem", "");
    tree.finds(&[]);
    std::os::unix::fs::chown(tree.path("swanctl/x509ca/planted.pem"), Some(65534), None).expect("root may");
    assert!(words(&tree.finds(&["modes"])).contains("x509ca/planted.pem belongs to"));
    std::os::unix::fs::chown(tree.path("swanctl/x509ca/planted.pem"), Some(0), None).expect("root may");
    tree.write("etc/group", "root:x:0:\nvpn:x:4711:root,cygnet,alice\ncerts:x:4712:\n");
    tree.write("etc/passwd", "root:x:0:0::/:/bin/sh\nbob:x:1000:4711::/:/bin/sh\ncarol:x:1001:4712::/:/bin/sh\n");
    for (path, group) in [("charon.vici", 4711), ("swanctl/x509ca", 4712)] {
        std::os::unix::fs::chown(tree.path(path), None, Some(group)).expect("root may");
        tree.mode(path, 0o750);
    }
    tree.finds(&[]);
    tree.mode("charon.vici", 0o770);
    let report = tree.finds(&["modes"]);
    let found = report.findings.iter().find(|finding| finding.check == "modes").expect("found");
    assert!(
        found.what.contains("the group vpn, which can write") && found.what.contains("as good as root"),
        "{found:?}"
    );
    assert_eq!(found.evidence.as_deref(), Some("alice, bob"));
    tree.mode("swanctl/x509ca", 0o1775);
    let text = words(&tree.finds(&["modes"]));
    assert!(text.contains("the group certs") && text.contains("carol"), "{text}");
    tree.write("etc/group", "vpn:x:4711:cygnet\ncerts:x:4712:\n");
    tree.write("etc/passwd", "root:x:0:0::/:/bin/sh\n");
    tree.finds(&[]);
}

#[test]
fn damage_and_leftovers() {
    let tree = Tree::new();
    let other = "d0000000000040008000000000000009";
    tree.write(&format!("swanctl/conf.d/cygnet-{other}.conf"), "");
    tree.mode(&format!("swanctl/conf.d/cygnet-{other}.conf"), 0o600);
    assert!(words(&tree.finds(&["leftovers"])).contains(other));
    // Damaged, it is no leftover any more: nobody knows what it was.
    tree.write(&format!("state/connections/{other}.json"), "{");
    tree.mode(&format!("state/connections/{other}.json"), 0o600);
    tree.finds(&["store"]);
    // A trial and a file that is being written belong to an agent at work, and are left where they are.
    for name in [format!("{UUID}.before-trial"), ".cygnet-x.tmp".into()] {
        tree.write(&format!("state/connections/{name}"), "");
        tree.mode(&format!("state/connections/{name}"), 0o600);
        tree.finds(&["store"]);
        assert!(tree.path(&format!("state/connections/{name}")).exists(), "{name} was touched");
    }
}

#[test]
fn what_charon_says() {
    let tree = Tree::new();
    tree.charon.lacks(&["AES_CBC", "MODP_1536", "socket-default"]);
    let text = words(&tree.finds(&["plugins", "algorithms"]));
    assert!(text.contains("aes-128") && text.contains("apt install") && text.contains(UUID), "{text}");
    let mut tree = Tree::new();
    tree.charon.has_plugins(&["stroke"]);
    tree.write("etc/ipsec.conf", "config setup\nconn %default\n  ike=x\nconn branch\n  auto=start\n");
    assert!(words(&tree.finds(&["other_tools"])).contains("branch"));
    tree.charon.kill();
    tree.finds(&["charon", "vici"]);
}

#[test]
fn a_connection_of_ours_that_is_not_stored() {
    let tree = Tree::new();
    let name = "cygnet-d0000000000040008000000000000009";
    tree.charon.load(Some((name, Section::new())), None);
    assert!(words(&tree.finds(&["leftovers"])).contains(name));
}

#[test]
fn nothing_that_hangs_hangs_the_doctor() {
    let tree = Tree::new();
    tree.charon.on("version", Behaviour::Silence);
    tree.program("nft", "exec /bin/sleep 600");
    tree.program("ip", "exec /bin/sleep 600");
    let start = Instant::now();
    let report = tree.finds(&["charon"]);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert!(words(&report).contains("nft did not end within"), "{:#?}", report.findings);
}
