//! docs/exporters.md against the series of other exporters and against a real answer of `/metrics`, in both directions; the
//! same for the table of series in docs/operate.md, the dashboard and the alerts.

use super::metrics::full;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What each exporter is known to have, by the heading of its table.
const KNOWN: [(&str, &str, &str); 7] = [
    (
        "torilabs/strongswan_exporter",
        "strongswan_",
        "ike_count ike_version ike_status ike_initiator ike_nat_local ike_nat_remote ike_nat_fake ike_nat_any \
         ike_encryption_key_size ike_integrity_key_size ike_established_seconds ike_rekey_seconds ike_reauth_seconds \
         ike_children_size sa_status sa_encap sa_encryption_key_size sa_integrity_key_size sa_inbound_bytes \
         sa_inbound_packets sa_outbound_bytes sa_outbound_packets sa_last_inbound_seconds sa_last_outbound_seconds \
         sa_established_seconds sa_rekey_seconds sa_lifetime_seconds cert_count cert_valid cert_expire_secs conn_count \
         conn_version conn_reauth_time conn_rekey_time conn_child_count conn_child_rekey_time conn_child_rekey_bytes \
         conn_child_rekey_packets",
    ),
    (
        "sergeymakinen/ipsec_exporter",
        "ipsec_",
        "up uptime_seconds workers_total idle_workers active_workers queues ike_sas half_open_ike_sas pool_ips_total \
         online_pool_ips offline_pool_ips ike_sa_state ike_sa_established_seconds child_sa_state child_sa_bytes_in \
         child_sa_bytes_out child_sa_packets_in child_sa_packets_out child_sa_installed_seconds",
    ),
    (
        "jlti-dev/ipsec_exporter and LarsTi/ipsec_exporter",
        "strongswan_",
        "number_of_known_ikes number_of_ikes_connected ike_version ike_state ike_initiator ike_nat_remote ike_nat_fake \
         ike_encryption_keysize ike_integrity_keysize ike_established_second ike_rekey_second ike_reauth_second \
         ike_children sa_state sa_encap sa_encryption_keysize sa_integrity_keysize sa_bytes_inbound sa_packets_inbound \
         sa_last_inbound_seconds sa_bytes_outbound sa_packets_outbound sa_last_outbound_seconds sa_established_second \
         sa_rekey_second sa_lifetime_second",
    ),
    (
        "strong-duckling",
        "strong_duckling_ike_sa_",
        "established_seconds packets_in_total packets_out_total packets_in_silence_duration_seconds \
         packets_out_silence_duration_seconds bytes_in_total bytes_out_total installs_total rekey_seconds \
         lifetime_seconds state_info child_state_info",
    ),
    ("strong-duckling", "strong_duckling_tcp_checker_", "checked_total open_info connected_total disconnected_total"),
    (
        "Submariner",
        "submariner_",
        "gateway_rx_bytes gateway_tx_bytes connections connection_established_timestamp connection_latency_seconds",
    ),
    ("ZStack's router agent", "zstack_ipsec_", "bytes packets"),
];

const PAGE: &str = include_str!("../../docs/exporters.md");

/// The words in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Our series among the words in backquotes, without their labels.
fn ours(text: &str) -> impl Iterator<Item = &str> {
    let names = quoted(text).filter_map(|word| word.split('{').next());
    names.filter(|name| name.starts_with("cygnet_") || name.starts_with("process_"))
}

/// The rows of the tables below each heading, as cells.
fn tables(page: &str) -> BTreeMap<&str, Vec<Vec<&str>>> {
    page.split("\n## ")
        .skip(1)
        .filter_map(|text| text.split_once('\n'))
        .map(|(title, text)| {
            let rows = text.lines().filter(|line| line.starts_with("| `"));
            (title, rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect())
        })
        .collect()
}

/// The names of the series in an answer; of a histogram the name that it has without its parts.
fn made(answer: &str) -> BTreeSet<String> {
    let histogram = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" histogram").map(str::to_owned);
    let histograms: BTreeSet<_> = answer.lines().filter_map(histogram).collect();
    let base = |name: &str| {
        let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| name.strip_suffix(part));
        parts.map(str::to_owned).find(|name| histograms.contains(name)).unwrap_or_else(|| name.to_owned())
    };
    let samples = answer.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(base).collect()
}

#[test]
fn each_series_of_another_exporter_has_one_row() {
    let tables = tables(PAGE);
    let mut known: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (title, prefix, names) in KNOWN {
        known.entry(title).or_default().extend(names.split_whitespace().map(|name| format!("{prefix}{name}")));
    }
    for (title, names) in &known {
        let rows = tables.get(title).unwrap_or_else(|| panic!("no table is called {title}"));
        let theirs: Vec<_> = rows.iter().flat_map(|row| quoted(row[0])).map(str::to_owned).collect();
        assert_eq!(theirs.iter().collect::<BTreeSet<_>>(), names.iter().collect(), "{title}");
        assert_eq!(theirs.len(), names.len(), "a series of {title} has two rows");
        for row in rows {
            let reason = row.get(2).is_some_and(|how| !how.is_empty());
            assert!(ours(row[1]).count() == 1 || (row[1] == "none" && reason), "{row:?}");
        }
    }
    assert_eq!(tables.len(), known.len() + 1, "all but the last table are of an exporter");
}

#[test]
fn what_pages_dashboard_and_alerts_name_is_what_metrics_have() {
    let (_bench, answer) = full();
    let made = made(&answer);
    let page: BTreeSet<String> = ours(PAGE).map(str::to_owned).collect();
    assert_eq!(page, made, "docs/exporters.md and /metrics");
    let operate = include_str!("../../docs/operate.md");
    let (_, table) = operate.split_once("| series of `/metrics` |").expect("its table");
    let table = table.split_once("\n\n").expect("its end").0;
    assert_eq!(ours(table).map(str::to_owned).collect::<BTreeSet<_>>(), made, "docs/operate.md and /metrics");
    let dashboard: Value = serde_json::from_str(include_str!("../../packaging/grafana.json")).expect("JSON");
    for (document, text) in [
        ("grafana.json", dashboard["panels"].to_string()),
        ("alerts.yml", include_str!("../../packaging/alerts.yml").to_owned()),
    ] {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let asked: BTreeSet<_> = words.filter(|word| word.starts_with("cygnet_")).collect();
        assert!(asked.len() >= 7, "{document}: {asked:?}");
        for series in asked {
            let base = series.strip_suffix("_bucket").unwrap_or(series);
            assert!(made.contains(series) || made.contains(base), "{document} asks for {series}");
        }
    }
}
