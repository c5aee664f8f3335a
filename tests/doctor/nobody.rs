//! An ordinary user, with the rights that the package gives: what they may not do is said as that, and never as a fault of
//! the agent, of charon, or of files.

use crate::{
    executables,
    serve::{Bench, KEY, Options, hex, params, uuid},
};
use nix::unistd::User;
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    process::{Command, Stdio},
};

const NOT_PERMITTED: &str = "not permitted: run with sudo";
/// What may be said of a fault, and not of rights.
const FAULTS: [&str; 12] = [
    "does not run",
    "does not answer",
    "is no vici socket",
    "damaged",
    "restart strongswan",
    "restart cygnet",
    "start cygnet",
    "apt install strongswan",
    "apt install iproute2",
    "chown",
    "install strongswan",
    "unload every connection",
];

fn mode(bench: &Bench, name: &str, mode: u32) {
    fs::set_permissions(bench.path(name), fs::Permissions::from_mode(mode)).unwrap_or_else(|e| panic!("{name}: {e}"));
}

/// An agent with a connection, its files as the package has them; none if this is not root, who alone can be another user.
fn packaged() -> Option<(Bench, User)> {
    let nobody = User::from_name("nobody").expect("the users of this machine");
    let Some(nobody) = nobody.filter(|_| nix::unistd::geteuid().is_root()) else {
        eprintln!("SKIPPED: only root can be nobody");
        return None;
    };
    let mut bench = Bench::idle(&Options::default());
    fs::create_dir(bench.path("credentials")).expect("a directory");
    fs::rename(bench.path("tokens"), bench.path("credentials/tokens")).expect("moved");
    fs::create_dir_all(bench.path("state/swanctl")).expect("a directory");
    let settings = fs::read_to_string(bench.path("cygnet.toml")).expect("settings");
    fs::write(bench.path("cygnet.toml"), settings.replace("/tokens\"", "/credentials/tokens\"")).expect("settings");
    fs::write(
        bench.path("swanctl/swanctl.conf"),
        format!("include {}/*.conf\n", bench.path("state/swanctl").display()),
    )
    .expect("written");
    bench.run();
    bench.create(&params(7, &json!({}))).expect(200);
    executables::copy(env!("CARGO_BIN_EXE_cygnet"), bench.path("cygnet"));
    let open =
        [("", 0o711), ("cygnet", 0o755), ("cygnet.toml", 0o644), ("swanctl", 0o755), ("swanctl/swanctl.conf", 0o644)];
    let closed = [("credentials", 0o700), ("credentials/tokens", 0o600), ("state", 0o700), ("charon.vici", 0o660)];
    open.iter().chain(&closed).for_each(|(name, bits)| mode(&bench, name, *bits));
    // Where the package is installed, the group is cygnet's.
    chown(bench.path("cygnet.sock"), None, Some(0)).expect("root may");
    mode(&bench, "cygnet.sock", 0o660);
    Some((bench, nobody))
}

/// Runs it as nobody: the exit code, and what was printed.
fn run(bench: &Bench, nobody: &User, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(bench.path("cygnet"));
    command.args(arguments).arg("--config").arg(bench.path("cygnet.toml")).env_remove("CYGNET_CONFIG");
    // No sbin, as an ordinary user has it.
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TMPDIR", "/tmp").stdin(Stdio::null());
    let output =
        command.current_dir("/").uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw()).output().expect("cygnet runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(![KEY, &hex(KEY.as_bytes())].iter().any(|key| out.contains(key) || err.contains(key)), "a key: {out}{err}");
    (output.status.code().expect("no signal"), out, err)
}

/// Fails if `text` blames something that is in order.
#[track_caller]
fn blames_nothing(what: &str, text: &str) {
    let blamed: Vec<_> = FAULTS.iter().filter(|fault| text.contains(**fault)).collect();
    assert!(blamed.is_empty(), "{what} says {blamed:?}: {text}");
}

/// Every command that needs rights.
fn commands(uuid: &str, record: &str, body: &str) -> Vec<(Vec<String>, i32)> {
    let lines = [
        ("list", 3),
        ("list -o json", 3),
        ("status", 3),
        ("show branch", 3),
        ("reload", 3),
        ("log branch", 3),
        ("events", 3),
        ("create b --peer 192.0.2.9 --no-networks --generate-key", 3),
        ("change branch --set lifeTime=900 --yes", 3),
        ("plan branch --set lifeTime=900", 3),
        ("update branch --description x", 3),
        ("delete branch --yes", 3),
        ("disable branch --yes", 3),
        ("enable branch", 3),
        ("reconnect branch", 3),
        ("reconnect --all-changed", 3),
        ("add-cidr branch 10.9.0.0/24", 3),
        ("remove-cidr branch 10.9.0.0/24 --yes", 3),
        ("attach branch 10.9.0.0/24", 3),
        ("detach branch 10.9.0.0/24 --yes", 3),
        ("serve --check", 1),
        ("serve", 1),
        ("init --yes --vip 192.0.2.1", 1),
        ("accesskey bob", 1),
        ("ping branch", 3),
        ("doctor", 1),
        ("doctor --json", 1),
    ];
    let words = |line: &str| line.replace("branch", uuid).split(' ').map(str::to_owned).collect::<Vec<_>>();
    let render = ["render", "--given", record, body].map(str::to_owned).to_vec();
    lines.iter().map(|(line, code)| (words(line), *code)).chain([(render, 1)]).collect()
}

#[test]
fn what_is_not_permitted_is_said_as_that() {
    let Some((bench, nobody)) = packaged() else { return };
    let settings = fs::read_to_string(bench.path("cygnet.toml")).expect("settings");
    let accounts = format!("[auth]\naccounts_file = \"{}\"\n", bench.path("credentials/accounts").display());
    fs::write(bench.path("cygnet.toml"), settings.replace("[auth]\n", &accounts)).expect("settings");
    fs::write(bench.path("credentials/accounts"), "").expect("written");
    mode(&bench, "credentials/accounts", 0o600);
    let (uuid, record, body) = (uuid(7), bench.record(&uuid(7)), bench.path("body.json"));
    fs::write(&body, r#"{"changeIPsecConnection": {"lifeTime": 900}}"#).expect("written");
    for (arguments, expected) in commands(&uuid, &record.display().to_string(), &body.display().to_string()) {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let (code, out, err) = run(&bench, &nobody, &arguments);
        let (what, text) = (arguments.join(" "), out + &err);
        assert!(code == expected && text.contains(NOT_PERMITTED), "{what} ends with {code}: {text}");
        blames_nothing(&what, &text);
    }
}

#[test]
fn settings_that_are_closed_are_not_wrong() {
    let Some((bench, nobody)) = packaged() else { return };
    fs::create_dir(bench.path("conf.d")).expect("a directory");
    fs::write(bench.path("conf.d/10-site.toml"), "").expect("written");
    for (name, closed, open) in
        [("cygnet.toml", 0o600, 0o644), ("conf.d", 0o700, 0o755), ("conf.d/10-site.toml", 0o600, 0o644)]
    {
        mode(&bench, name, closed);
        for line in ["doctor", "list", "status", "reload", "serve --check", "serve", "init --yes", "accesskey bob"] {
            let (code, out, err) = run(&bench, &nobody, &line.split(' ').collect::<Vec<_>>());
            let text = out + &err;
            assert!(code != 0 && text.contains(NOT_PERMITTED), "{name}: {line} ends with {code}: {text}");
            blames_nothing(line, &text);
        }
        mode(&bench, name, open);
    }
}

/// Where neither the socket nor the records may be seen, nothing is said of what they would tell.
#[test]
fn the_doctor_guesses_nothing() {
    let Some((bench, nobody)) = packaged() else { return };
    let (code, out, _) = run(&bench, &nobody, &["doctor", "--json"]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    let of = |check: &str| findings.iter().filter(|finding| finding["check"] == check).collect::<Vec<_>>();
    for check in [
        "agent",
        "charon",
        "vici",
        "algorithms",
        "nat",
        "forward",
        "input",
        "output",
        "routes",
        "clamp",
        "store",
        "modes",
    ] {
        let [finding] = of(check)[..] else { panic!("{check}: {report:#}") };
        assert!(finding["what"].as_str().is_some_and(|what| what.contains(NOT_PERMITTED)), "{finding:#}");
        assert_eq!(finding["fix"], "sudo cygnet doctor", "{finding:#}");
    }
    assert!(code == 1 && report["healthy"] == false, "who knows nothing has no good report: {report:#}");
    let errors: Vec<_> = findings.iter().filter(|finding| finding["level"] == "error").collect();
    // What everybody sees: this machine has no charon on its ports.
    assert!(errors.iter().all(|finding| finding["check"] == "udp"), "{errors:#?}");
    // Where the socket is open to all, the agent itself turns them away.
    mode(&bench, "cygnet.sock", 0o666);
    for line in ["doctor", "list"] {
        let (code, out, err) = run(&bench, &nobody, &[line]);
        assert!(
            code != 0 && (out.clone() + &err).contains(&format!("{NOT_PERMITTED} (the agent closed")),
            "{out}{err}"
        );
        blames_nothing(line, &(out + &err));
    }
}

/// The agent of another user, as the package has it, sees what that user may; root's command looks at the rest itself.
#[test]
fn root_completes_what_the_agents_user_may_not_look_at() {
    let Some((mut bench, nobody)) = packaged() else { return };
    bench.stop();
    let own = |path: &std::path::Path| chown(path, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw()));
    fs::remove_dir_all(bench.path("state")).expect("removed");
    for name in ["", "charon.vici", "credentials", "credentials/tokens", "swanctl/conf.d"] {
        own(&bench.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let mut agent = Command::new(bench.path("cygnet"));
    agent.arg("serve").arg("--config").arg(bench.path("cygnet.toml")).current_dir("/").stdout(Stdio::null());
    let mut agent = agent.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw()).spawn().expect("started");
    let agents = || {
        let mut client = crate::client::Client::unix(&bench.path("cygnet.sock"));
        let answer = client.request("GET", "/cygnet/v1/doctor", &[], b"").ok()?.expect(200).json();
        answer["passed"].as_array()?.iter().any(|item| item["check"] == "agent").then_some(answer)
    };
    let report = crate::serve::wait_until("the agent's report", agents);
    let denied = |report: &Value| -> Vec<String> {
        let all = report["findings"].as_array().expect("a list").iter();
        let denied = all.filter(|finding| finding["what"].as_str().is_some_and(|what| what.contains(NOT_PERMITTED)));
        denied.map(|finding| finding["check"].as_str().expect("a check").to_owned()).collect()
    };
    let blind = denied(&report);
    assert!(["nat", "forward", "input", "output"].iter().all(|check| blind.iter().any(|b| b == check)), "{report:#}");
    assert_eq!(blind.iter().collect::<std::collections::BTreeSet<_>>().len(), blind.len(), "twice: {report:#}");
    let mut command = Command::new(bench.path("cygnet"));
    command.args(["doctor", "--json", "--config"]).arg(bench.path("cygnet.toml")).env_remove("CYGNET_CONFIG");
    let output = command.output().expect("cygnet runs");
    let merged: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    agent.kill().expect("killed");
    agent.wait().expect("ended");
    assert_eq!(denied(&merged), [""; 0], "{merged:#}");
    for list in ["findings", "passed"] {
        let mut texts: Vec<_> = merged[list].as_array().expect("a list").iter().map(ToString::to_string).collect();
        let all = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), all, "a finding stands twice: {merged:#}");
    }
    let passed = merged["passed"].as_array().expect("a list");
    assert!(passed.iter().any(|item| item["check"] == "agent"), "what the agent knows stays: {merged:#}");
}

/// An agent that does not run is one that does not run, for nobody too; what lies on disk is still closed, not damaged.
#[test]
fn an_agent_that_ended_is_told_from_one_that_is_closed() {
    let Some((mut bench, nobody)) = packaged() else { return };
    bench.stop();
    let (_, out, err) = run(&bench, &nobody, &["doctor"]);
    assert!(out.contains("the agent does not answer") && out.contains(NOT_PERMITTED), "{out}{err}");
    assert!(!out.contains("damaged") && !out.contains("restart strongswan"), "{out}");
    let (code, _, err) = run(&bench, &nobody, &["list"]);
    assert!(code == 3 && err.contains("cannot reach the agent at") && !err.contains(NOT_PERMITTED), "{err}");
}
