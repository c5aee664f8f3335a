//! Who may read and write what in etcd: the recipe of docs/fleet.md, over TLS too.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::bed::{Bed, PATIENCE, bed, program, spec, uuid};
use crate::certificates::{Ca, Kind};
use crate::support::agent::AgentOptions;
use crate::support::lab::Side;
use crate::support::{output, wait_until};

/// A password of tests.
const PASSWORD: &str = "test-only-password";

/// The arguments of etcdctl in the section "Roles" of the page.
fn recipe() -> Vec<Vec<String>> {
    let page = include_str!("../../docs/fleet.md");
    let section = page.split("\n## Roles\n").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let lines = section.lines().filter_map(|line| line.strip_prefix("etcdctl "));
    let words = |line: &str| line.split_whitespace().map(|word| word.replace("\"$PASSWORD\"", PASSWORD)).collect();
    let all: Vec<Vec<String>> = lines.map(words).collect();
    assert!(all.len() > 8, "the recipe was found");
    all
}

fn follow_recipe(bed: &Bed) {
    for arguments in recipe() {
        bed.etcdctl_ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn a_gateway_reads_its_own_specs_and_writes_its_own_statuses_and_nothing_else() {
    let Some(mut bed) = bed() else { return };
    follow_recipe(&bed);
    bed.login = vec!["--user".into(), format!("plane:{PASSWORD}")];
    let password = bed.secret("password", &format!("{PASSWORD}\n"));
    bed.settings =
        format!("allow_unsealed = true\nuser = \"g1\"\npassword_file = {:?}\n", password.display().to_string());
    bed.start_gateway(Side::A, AgentOptions::default());
    bed.start_follower(Side::A, "g1");
    let idle = spec(Side::A, &json!({ "state": "Disabled" }));
    let revision = bed.put("g1", &uuid(1), &idle);
    bed.status_with("g1", &uuid(1), "it is taken", |status| {
        status["revision"] == revision && status["error"].is_null()
    });
    bed.put("g2", &uuid(1), &idle);

    bed.login = vec!["--user".into(), format!("g1:{PASSWORD}")];
    let key = |gateway: &str, kind: &str| format!("/cygnet/{gateway}/{kind}/{}", uuid(1));
    for (arguments, may) in [
        (vec!["get", &key("g1", "spec")], true),
        (vec!["get", &key("g1", "status")], true),
        (vec!["put", &key("g1", "status"), "{}"], true),
        (vec!["put", &key("g1", "spec"), "{}"], false),
        (vec!["del", &key("g1", "spec")], false),
        (vec!["get", &key("g2", "spec")], false),
        (vec!["get", &key("g2", "status")], false),
        (vec!["put", &key("g2", "status"), "{}"], false),
        (vec!["get", "--prefix", "/cygnet/"], false),
        (vec!["put", "/other", "x"], false),
    ] {
        let output = bed.etcdctl(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), may, "{arguments:?}: {said}");
        assert!(may || said.contains("permission denied"), "{arguments:?}: {said}");
    }
    let denied = bed.plane(&["list"]);
    let said = String::from_utf8_lossy(&denied.stderr).into_owned();
    assert!(denied.status.code() == Some(1) && said.contains("permission denied"), "{said}");
    // A follower of another gateway with these credentials has nothing, and says why.
    bed.stop_follower(Side::A);
    bed.start_follower(Side::A, "g2");
    wait_until(PATIENCE, "it is refused", || bed.logs().contains("permission denied").then_some(()));
    assert!(!bed.logs().contains(PASSWORD));
}

#[test]
fn a_client_certificate_is_a_user_and_a_strange_server_is_refused() {
    let Some(bed) = bed() else { return };
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only etcd CA");
    let directory = bed.lab.directory().to_owned();
    let write = |name: &str, text: &str| bed.secret(name, text).display().to_string();
    let server = ca.issue(Kind::Ecdsa, "CN=etcd.example", &["etcd.example"]);
    let (cert, key) = (write("server.pem", &server.pem), write("server.key", &server.key));
    let authority = write("ca.pem", ca.pem());
    let mut etcd = bed.lab.command_in_middle("etcd");
    etcd.args(["--name", "tls", "--data-dir"]).arg(directory.join("tls"));
    etcd.args([
        "--listen-client-urls",
        "https://192.0.2.254:4379",
        "--advertise-client-urls",
        "https://192.0.2.254:4379",
    ]);
    etcd.args([
        "--listen-peer-urls",
        "http://127.0.0.1:4380",
        "--initial-advertise-peer-urls",
        "http://127.0.0.1:4380",
    ]);
    etcd.args(["--initial-cluster", "tls=http://127.0.0.1:4380", "--cert-file", &cert, "--key-file", &key]);
    etcd.args(["--client-cert-auth", "--trusted-ca-file", &authority]);
    etcd.stdout(Stdio::null()).stderr(File::create(directory.join("tls.log")).expect("a log"));
    let _etcd = bed.lab.spawn("etcd with TLS", etcd);

    let users = ["root", "plane", "g1"].map(|name| {
        let issued = ca.issue(Kind::Ecdsa, &format!("CN={name}"), &[]);
        (name, write(&format!("{name}.pem"), &issued.pem), write(&format!("{name}.key"), &issued.key))
    });
    let etcdctl = |arguments: &[String]| {
        let mut command = bed.lab.command_in_middle("etcdctl");
        // Its own certificate has no name of this address in it.
        command.env("ETCDCTL_API", "3").args(["--endpoints", "https://192.0.2.254:4379", "--insecure-skip-tls-verify"]);
        command.args(["--cert", &users[0].1, "--key", &users[0].2, "--command-timeout", "3s"]);
        output(command.args(arguments))
    };
    wait_until(PATIENCE, "etcd with TLS takes writes", || {
        etcdctl(&["put".into(), "/bed".into(), "up".into()]).status.success().then_some(())
    });
    for arguments in recipe() {
        let output = etcdctl(&arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let plane = |user: usize, ca: &str, arguments: &[&str]| {
        let (name, cert, key) = &users[user];
        let config = directory.join(format!("tls-{name}.toml"));
        let text = format!(
            "endpoints = [\"https://192.0.2.254:4379\"]\nallow_unsealed = true\n[tls]\nca = {ca:?}\ncert = {cert:?}\n\
             key = {key:?}\nserver_name = \"etcd.example\"\n"
        );
        fs::write(&config, text).expect("settings");
        let mut command: Command = bed.lab.command_in_middle(program());
        let output = output(command.args(arguments).arg("--config").arg(config));
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code(), said)
    };
    let file = directory.join("spec.json");
    fs::write(&file, spec(Side::A, &json!({})).to_string()).expect("a spec");
    let (target, file) = (format!("g1/{}", uuid(1)), file.display().to_string());
    let (code, said) = plane(1, &authority, &["put", &target, &file]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = plane(1, &authority, &["list"]);
    assert!(code == Some(0) && said.contains("fleet-a") && said.contains("Unknown"), "{said}");
    let (code, said) = plane(2, &authority, &["put", &target, &file]);
    assert!(code == Some(1) && said.contains("permission denied"), "{said}");
    let (code, said) = plane(2, &authority, &["get", &target]);
    assert!(code == Some(0), "a gateway reads its own: {said}");
    let other = write("other.pem", Ca::new(Kind::Ecdsa, "CN=test-only other CA").pem());
    let (code, said) = plane(1, &other, &["list"]);
    assert!(code == Some(3) && said.contains("certificate"), "{code:?} {said}");
}
