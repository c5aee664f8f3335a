//! Debian's Prometheus beside the installed package, with the lines of the operator's guide: every query of the shipped
//! dashboard has data, and the shipped alerts fire in a fault, with a name and a reason, and clear after it.

use crate::{
    machine::{Machine, possible},
    pair::{carries, tunnel},
    skip::skipped,
};
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeSet, path::Path};

/// The guide's lines for a Prometheus on the gateway, at a pace for tests.
fn configure(machine: &Machine) {
    let page = include_str!("../../docs/operate.md");
    let (_, recipe) = page.split_once("**Prometheus on the gateway**").expect("its place in the guide");
    let recipe = recipe.split("```").nth(1).and_then(|block| block.strip_prefix("yaml\n")).expect("a block");
    assert!(recipe.contains("/usr/share/cygnet/alerts.yml"), "{recipe}");
    let recipe = recipe.replace("/usr/share/cygnet/alerts.yml", "/etc/prometheus/alerts.yml");
    let global = "global: { scrape_interval: 1s, evaluation_interval: 1s }\n";
    machine.write("/etc/prometheus/prometheus.yml", &(global.to_owned() + &recipe));
    machine.shell("sed -E 's/for: .*/for: 2s/' /usr/share/cygnet/alerts.yml >/etc/prometheus/alerts.yml");
    machine.run("promtool check config /etc/prometheus/prometheus.yml");
    machine.run("systemctl start prometheus");
}

fn ask(machine: &Machine, path: &str, query: &str) -> Value {
    let (query, url) = (format!("query={query}"), format!("http://127.0.0.1:9090/api/v1/{path}"));
    let output = machine.try_words(&["curl", "-sG", "--max-time", "10", "--data-urlencode", &query, &url]);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// The series that a query finds.
fn found(machine: &Machine, query: &str) -> Vec<Value> {
    ask(machine, "query", query)["data"]["result"].as_array().cloned().unwrap_or_default()
}

/// The summaries of the alerts that fire, by name.
fn firing(machine: &Machine) -> BTreeSet<(String, String)> {
    let alerts = ask(machine, "alerts", "");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fires = |alert: &&Value| alert["state"] == "firing";
    let alerts = alerts["data"]["alerts"].as_array().into_iter().flatten().filter(fires);
    alerts.map(|alert| (text(&alert["labels"]["alertname"]), text(&alert["annotations"]["summary"]))).collect()
}

#[track_caller]
fn fires(machine: &Machine, name: &str, words: &[&str]) {
    machine.wait(&format!("{name} fires with {words:?}: {:?}", firing(machine)), || {
        firing(machine).iter().any(|(alert, text)| alert == name && words.iter().all(|word| text.contains(word)))
    });
}

#[track_caller]
fn all_is_clear(machine: &Machine) {
    machine.wait("no alert fires", || firing(machine).is_empty());
}

/// The queries of the dashboard, for all gateways.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(include_str!("../../packaging/grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("a list");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets.map(|target| target["expr"].as_str().expect("a query").replace("$instance", ".*")).collect()
}

#[test]
#[ignore = "needs the package: make box"]
fn prometheus_reads_the_default_install_and_its_alerts_fire_and_clear() {
    if !possible() {
        return;
    }
    if !Path::new("/usr/bin/prometheus").exists() {
        return skipped("there is no prometheus (Debian package prometheus)");
    }
    let (one, two) = tunnel();
    configure(&one);
    one.wait("Prometheus scrapes the agent", || !found(&one, "up{job=\"cygnet\"} == 1").is_empty());
    all_is_clear(&one);
    let queries = queries();
    assert!(queries.len() >= 10, "{queries:?}");
    let empty: RefCell<BTreeSet<_>> = RefCell::new(queries.iter().collect());
    one.wait("traffic is in a rate", || {
        !found(&one, "rate(cygnet_child_bytes_total[1m]) > 0").is_empty()
            || !one.try_run("ping -q -c 5 -i 0.2 -W 1 -I 10.1.0.1 10.2.0.1").status.success()
    });
    // Some say what is down, and have data only then.
    let have_data = || {
        empty.borrow_mut().retain(|query| found(&one, query).is_empty());
        empty.borrow().is_empty()
    };
    have_data();

    // The peer's charon ends.
    two.run("systemctl stop strongswan");
    fires(&one, "CygnetConnectionDown", &["IPsec connection pair (", "carries no traffic: "]);
    assert!(!firing(&one).iter().any(|(_, text)| text.contains("no reason known")), "{:?}", firing(&one));
    one.wait("each query of the dashboard has data, now or before", have_data);
    two.run("systemctl start strongswan");
    carries([&one, &two]);
    all_is_clear(&one);

    one.run("systemctl stop strongswan");
    fires(&one, "CygnetCharonDown", &["charon on 127.0.0.1:9817"]);
    assert!(!firing(&one).iter().any(|(name, _)| name == "CygnetConnectionDown"), "unknown is not down");
    one.run("systemctl start strongswan");
    carries([&one, &two]);
    one.wait("the alerts have cleared but for those that look back", || {
        firing(&one).iter().all(|(name, _)| name == "CygnetConnectionFlaps")
    });

    one.run("systemctl stop cygnet");
    fires(&one, "CygnetUnreachable", &["The agent on 127.0.0.1:9817"]);
    one.run("systemctl start cygnet");
    one.wait("it has cleared", || !firing(&one).iter().any(|(name, _)| name == "CygnetUnreachable"));
}
