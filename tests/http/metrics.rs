//! `GET /metrics`: who gets names, what hostile names become, and that everything shipped asks for series that are there.

use crate::serve::{Bench, Options, TOKEN, params, uuid, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A bench with one connection whose name is meant to break the format.
fn hostile() -> Bench {
    let b = Bench::with(&Options { wait: "0s", ..Options::default() });
    b.charon.establish(true);
    b.create(&params(1, &json!({ "name": "a\"b\\c} 7\nup{x=\"1\"} 9" }))).expect(200);
    b
}

fn asked(b: &Bench, headers: &[(&str, &str)]) -> String {
    b.tcp().request("GET", "/metrics", headers, b"").expect("an answer").expect(200).text()
}

#[test]
fn names_are_for_this_host_and_for_callers_with_credentials() {
    let b = hostile();
    let info = format!("cygnet_connection_info{{uuid=\"{}\",name=", uuid(1));
    assert!(asked(&b, &[]).contains(&info), "{}", asked(&b, &[]));
    let token = format!("OAuth {TOKEN}");
    for header in ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"] {
        let stranger = asked(&b, &[(header, "203.0.113.9")]);
        assert!(stranger.contains("cygnet_connections{"), "{stranger}");
        for kept in ["vip_present", "198.51.100.", "192.0.2.", "up{x="] {
            assert!(!stranger.contains(kept), "{kept} in {stranger}");
        }
        assert!(!stranger.contains("cygnet_connection_info{"), "{stranger}");
        assert!(asked(&b, &[(header, "203.0.113.9"), ("Authorization", &token)]).contains(&info));
    }
}

#[test]
fn a_hostile_name_stays_one_value() {
    let text = asked(&hostile(), &[]);
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("cygnet_connection_info{")).collect();
    let name = r#"name="a\"b\\c} 7\nup{x=\"1\"} 9""#;
    assert!(lines.len() == 1 && lines[0].contains(name) && lines[0].ends_with("\"} 1"), "{lines:?}");
    assert!(!text.lines().any(|line| line.starts_with("up{")), "{text}");
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
}

#[test]
fn children_are_counted_from_the_first() {
    let b = hostile();
    let start = format!("cygnet_child_up{{uuid=\"{}\",child=\"", uuid(1));
    assert!(asked(&b, &[]).contains(&start));
    let text = wait_until("it is counted", || {
        Some(asked(&b, &[])).filter(|text| text.contains("cygnet_child_packets_total{"))
    });
    for name in ["bytes", "packets"] {
        for direction in ["in", "out"] {
            let series = format!("direction=\"{direction}\"}} 0");
            let is_there =
                |line: &str| line.starts_with(&format!("cygnet_child_{name}_total{{")) && line.ends_with(&series);
            assert!(text.lines().any(is_there), "{name} {direction} in\n{text}");
        }
    }
}

/// What a dashboard, a rule or a page asks for is a series that the agent makes.
#[test]
fn what_is_shipped_asks_for_series_that_there_are() {
    let made = [
        include_str!("../../src/http/metrics.rs"),
        include_str!("../../src/http/metrics/children.rs"),
        include_str!("../../src/http/metrics/connections.rs"),
    ]
    .concat();
    let dashboard: Value = serde_json::from_str(include_str!("../../packaging/grafana.json")).expect("JSON");
    let documents = [
        ("grafana.json", dashboard["panels"].to_string()),
        ("alerts.yml", include_str!("../../packaging/alerts.yml").to_owned()),
        ("operate.md", include_str!("../../docs/operate.md").to_owned()),
    ];
    for (document, text) in documents {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let asked: BTreeSet<_> = words.filter_map(|word| word.strip_prefix("cygnet_")).collect();
        assert!(asked.len() >= 7, "{document}: {asked:?}");
        for series in asked {
            let is_made = |name: &str| made.contains(&format!("\"{name}\""));
            assert!(is_made(series) || series.strip_suffix("_total").is_some_and(is_made), "{document}: {series}");
        }
    }
}
