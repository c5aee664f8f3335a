//! `GET /metrics`: who gets names, what hostile names become, what is counted, and where it is read.

use super::{
    certs::{bundle, ca, certified},
    events::says,
};
use crate::{
    client::{Client, Response, Stream},
    fake_charon::Behaviour,
    serve::{Bench, Options, TOKEN, params, uuid, wait_until},
    skip::skipped,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
};

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

/// A bench that has something to say in each series, and what it says.
pub fn full() -> (Bench, String) {
    let b = Bench::start();
    b.charon.establish(true);
    b.create(&params(7, &json!({}))).expect(200);
    b.create(&params(8, &certified(&bundle(&ca())))).expect(200);
    b.charon.alter_children(|sa| *sa = sa.clone().with("use-in", "1").with("use-out", "2"));
    b.charon.alter_ikes(|sa| *sa = sa.clone().with("reauth-time", "9000"));
    wait_until("both are counted", || {
        (asked(&b, &[]).matches("cygnet_child_packets_total{").count() == 4).then_some(())
    });
    b.charon.establish(false);
    b.create(&params(9, &json!({}))).expect(200);
    says(&b, 79, Some(&format!("cygnet-{}", uuid(9))), "received AUTHENTICATION_FAILED notify error");
    b.charon.once("stats", Behaviour::CloseMidAnswer);
    let text = wait_until("all series", || {
        let text = asked(&b, &[]);
        let words = ["cygnet_connection_down{", "cygnet_charon_unanswered_requests_total{", "cygnet_charon_workers{"];
        words.iter().all(|word| text.contains(word)).then_some(text)
    });
    (b, text)
}

#[test]
fn what_happens_is_counted() {
    let (b, text) = full();
    let said = |series: &str| {
        let line = |line: &str| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned);
        text.lines().find_map(line).unwrap_or_else(|| panic!("{series} in\n{text}"))
    };
    let of = |name: &str, n: u8, more: &str| said(&format!("cygnet_{name}{{uuid=\"{}\"{more}}}", uuid(n)));
    assert_ne!(of("connection_attempts_total", 7, ""), "0");
    for (series, wanted) in [
        (of("connection_rekeyings_total", 7, ",sa=\"child\""), "0"),
        (of("connection_failures_total", 9, ",reason=\"PEER_REFUSED_AUTH\""), "1"),
        (of("ike_sas", 7, ""), "1"),
        (of("ike_sas", 9, ""), "0"),
        (of("ike_sa_reauth_seconds", 7, ""), "9000"),
        (said("cygnet_http_requests_total{route=\"/zstack/v1/ipsec\",method=\"POST\",status=\"200\"}"), "3"),
        (said("cygnet_http_request_duration_seconds_count{route=\"/zstack/v1/ipsec\"}"), "3"),
        (said("cygnet_charon_unanswered_requests_total{command=\"stats\"}"), "1"),
        (said("cygnet_logins_total{result=\"failed\"}"), "0"),
        (said("cygnet_charon_workers{state=\"active\"}"), "5"),
    ] {
        assert_eq!(series, wanted, "{text}");
    }
    let number = |series: &str| said(series).parse::<f64>().expect("a number");
    assert!(number("cygnet_charon_request_duration_seconds_count{command=\"load-conn\"}") >= 3.0);
    assert!(number("process_resident_memory_bytes") > 1e6 && number("process_open_fds") > 3.0);
    let age = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64() - number("process_start_time_seconds");
    assert!((0.0..3600.0).contains(&age), "{age}");
    assert!(number("process_cpu_seconds_total") > 0.0 && number("process_max_fds") > 3.0);
    // Strange requests make no new labels.
    let before = text.matches("cygnet_http_requests_total{").count();
    for n in 0..20 {
        let path = format!("/zstack/v1/none/{n}");
        b.ask(["GET", "BREW"][n % 2], &path, b"").expect(404);
    }
    let text = wait_until("they are counted", || {
        Some(asked(&b, &[])).filter(|text| text.contains("route=\"other\",method=\"other\",status=\"404\"} 10"))
    });
    assert!(text.matches("cygnet_http_requests_total{").count() <= before + 2, "{text}");
}

/// The address of the port for the metrics, as the log has it.
fn port(b: &Bench) -> SocketAddr {
    wait_until("the port is named", || {
        let logs = b.logs();
        let (_, rest) = logs.split_once("the metrics are at http://")?;
        rest.split_once("/metrics").map(|(address, _)| address.parse().expect("an address"))
    })
}

fn from(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut client = Client::new(move || Ok(Stream::Tcp(TcpStream::connect(address)?)));
    client.request(method, path, headers, b"").expect("an answer")
}

#[test]
fn a_port_of_their_own_has_the_metrics_and_nothing_else() {
    let b = Bench::with(&Options { metrics: "127.0.0.1:0", ..Options::default() });
    b.create(&params(7, &json!({}))).expect(200);
    let address = port(&b);
    let text = from(address, "GET", "/metrics", &[]).expect(200).text();
    assert!(text.contains("cygnet_connection_info{"), "a program of this host needs no credentials: {text}");
    let token = format!("OAuth {TOKEN}");
    for (method, path) in [
        ("GET", "/zstack/v1/ipsec".to_owned()),
        ("GET", "/cygnet/v1/events".to_owned()),
        ("GET", "/healthz".to_owned()),
        ("POST", "/zstack/v1/ipsec".to_owned()),
        ("POST", "/cygnet/v1/reload".to_owned()),
        ("PUT", "/zstack/v1/accounts/login".to_owned()),
        ("DELETE", format!("/zstack/v1/ipsec/{}", uuid(7))),
    ] {
        from(address, method, &path, &[("Authorization", &token)]).expect(404);
    }
    from(address, "POST", "/metrics", &[]).expect(405);
    assert_eq!(b.inventory(&uuid(7))["name"], "site-7");
    // Whoever has the port costs the others none of their places.
    let idle: Vec<_> = (0..40).filter_map(|_| TcpStream::connect(address).ok()).collect();
    b.ask("GET", "/zstack/v1/ipsec", b"").expect(200);
    drop(idle);
}

#[test]
fn a_port_that_is_taken_costs_the_metrics_alone() {
    let mut b = Bench::idle(&Options { metrics: "127.0.0.1:0", ..Options::default() });
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("settings");
    let metrics = |address: &str| format!("[metrics]\nlisten = \"{address}\"");
    let taken = metrics(&taken.local_addr().expect("an address").to_string());
    fs::write(b.path("cygnet.toml"), settings.replace(&metrics("127.0.0.1:0"), &taken)).expect("settings");
    b.run();
    wait_until("it is said", || b.logs().contains("there is no port for the metrics (metrics.listen): ").then_some(()));
    assert!(b.logs().contains("another program listens there"), "{}", b.logs());
    b.ask("GET", "/metrics", b"").expect(200);
}

/// Has promtool look at a file; what it says, if it is installed.
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let mut child = match Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(error) => {
            skipped(&format!("promtool (Debian package prometheus): {error}"));
            return None;
        }
    };
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ended");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
    Some((output.status.success(), said))
}

#[test]
fn both_formats_say_the_same_and_promtool_has_no_complaint() {
    let b = hostile();
    let text = wait_until("it is counted", || {
        Some(asked(&b, &[])).filter(|text| text.contains("cygnet_child_packets_total{"))
    });
    let accept = [("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")];
    let open = b.tcp().request("GET", "/metrics", &accept, b"").expect("an answer").expect(200);
    assert!(open.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let open = open.text();
    assert!(
        open.contains("\n# TYPE cygnet_child_bytes counter\n")
            && text.contains("\n# TYPE cygnet_child_bytes_total counter\n")
    );
    let names = |text: &str| -> BTreeSet<String> {
        let series = text.lines().filter(|line| !line.starts_with('#'));
        series.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
    };
    assert_eq!(names(&open), names(&text));
    for text in [text, full().1] {
        let Some((is_clean, said)) = promtool(&["check", "metrics"], &text) else { return };
        assert!(is_clean && said.is_empty(), "{said}\n{text}");
    }
}

#[test]
fn promtool_has_no_complaint_about_the_alerts() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/alerts.yml");
    let Some((is_clean, said)) = promtool(&["check", "rules", "--lint=all", "--lint-fatal", rules], "") else { return };
    assert!(is_clean, "{said}");
}

#[test]
fn alerts_fire_on_what_is_down_and_on_nothing_that_carries() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/alerts.yml");
    let Some((is_right, said)) = promtool(&["test", "rules", cases], "") else { return };
    assert!(is_right, "{said}");
    let alerts: BTreeSet<_> = include_str!("../../packaging/alerts.yml")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    let fired = |alert: &&&str| include_str!("alerts.yml").contains(&format!("alertname: {alert}\n"));
    assert_eq!(alerts.iter().filter(|alert| !fired(alert)).count(), 0, "each alert has a case in which it fires");
}
