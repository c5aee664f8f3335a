//! `cygnet doctor` and `GET /cygnet/v1/doctor`: who may ask, what comes back, and the exit codes.

use crate::{
    executables,
    fake_charon::Behaviour,
    serve::{Bench, KEY, Options, hex, params, wait_until},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Output},
};

fn doctor(bench: &Bench, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    command.arg("doctor").arg("--config").arg(bench.path("cygnet.toml")).args(arguments);
    let output = command.env_remove("CYGNET_CONFIG").output().expect("cygnet runs");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains(KEY) && !text.contains(&hex(KEY.as_bytes())), "a key is shown: {text}");
    output
}

fn checks(report: &Value, list: &str) -> Vec<String> {
    let items = report[list].as_array().unwrap_or_else(|| panic!("{list}: {report}")).iter();
    items.map(|item| item["check"].as_str().expect("a check").to_owned()).collect()
}

#[test]
fn the_agent_answers_over_http_and_for_the_command() {
    let bench = Bench::start();
    bench.create(&params(7, &json!({}))).expect(200);
    assert_ne!(bench.tcp().request("GET", "/cygnet/v1/doctor", &[], b"").expect("answered").status, 200);
    let report = bench.ask("GET", "/cygnet/v1/doctor", b"").expect(200).json();
    assert!(checks(&report, "passed").contains(&"charon".to_owned()), "{report:#}");
    // 192.0.2.1 is for documentation: no machine has it.
    let address = report["findings"].as_array().expect("a list").iter().find(|f| f["check"] == "addresses");
    let address = address.unwrap_or_else(|| panic!("{report:#}"));
    assert!(address["level"] == "error" && address["evidence"].as_str().is_some_and(|t| t.contains("connections:")));
    let output = doctor(&bench, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(checks(&said, "findings"), checks(&report, "findings"));
    assert!(checks(&said, "passed").contains(&"agent".to_owned()));
    let page = String::from_utf8(doctor(&bench, &[]).stdout).expect("UTF-8");
    assert!(page.lines().any(|line| line.starts_with("error") && line.contains("192.0.2.1")), "{page}");
    assert!(page.contains("fix: ip address add 192.0.2.1/32"), "{page}");
}

#[test]
fn without_an_agent_the_command_looks_itself_and_changes_nothing() {
    let mut bench = Bench::start();
    bench.create(&params(7, &json!({}))).expect(200);
    // What the agent has asked for by then may come to charon's end of the socket later than its end.
    let is_begun = || bench.charon.commands().iter().any(|command| command == "initiate").then_some(());
    wait_until("the tunnel is begun", is_begun);
    bench.stop();
    let before = crate::serve::files(&bench.connections_dir());
    bench.charon.forget_requests();
    let output = doctor(&bench, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["findings"][0]["check"], "agent", "{report:#}");
    assert!(checks(&report, "passed").contains(&"algorithms".to_owned()), "{report:#}");
    assert_eq!(crate::serve::files(&bench.connections_dir()), before);
    let asked = bench.charon.commands();
    let harmless = ["version", "stats", "get-algorithms", "get-conns", "register", "list-sas", "unregister"];
    assert!(asked.iter().all(|command| harmless.contains(&command.as_str())), "{asked:?}");
}

#[test]
fn a_charon_that_does_not_answer_is_a_finding_of_the_running_agent() {
    let bench = Bench::with(&Options { timeout: "1s", ..Options::default() });
    bench.charon.on("version", Behaviour::Silence);
    let report = bench.ask("GET", "/cygnet/v1/doctor", b"").expect(200).json();
    assert!(checks(&report, "findings").contains(&"charon".to_owned()), "{report:#}");
    assert_eq!(report["healthy"], false);
}

#[test]
fn settings_that_cannot_be_read_are_an_error() {
    let bench = Bench::idle(&Options::default());
    fs::write(bench.path("cygnet.toml"), "lisen = 1").expect("written");
    let output = doctor(&bench, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("lisen"), "{output:?}");
}

/// How often the running agent has examined the gateway: nobody else asks charon for its algorithms.
fn examinations(bench: &Bench) -> usize {
    bench.charon.commands().iter().filter(|command| *command == "get-algorithms").count()
}

#[test]
fn who_asks_while_the_doctor_looks_gets_the_same_answer() {
    const ASKERS: usize = 60;
    let bench = Bench::with(&Options { timeout: "60s", ..Options::default() });
    bench.charon.forget_requests();
    bench.charon.once("get-algorithms", Behaviour::Late);
    let open = || fs::read_dir(format!("/proc/{}/fd", bench.pid())).expect("it lives").count();
    let before = open();
    std::thread::scope(|scope| {
        let ask = || bench.ask("GET", "/cygnet/v1/doctor", b"").expect(200).json();
        let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(ask)).collect();
        wait_until("all have come", || (open() >= before + ASKERS).then_some(()));
        bench.charon.release();
        let reports: Vec<_> = askers.into_iter().map(|asker| asker.join().expect("answered")).collect();
        assert!(reports.iter().all(|report| report["passed"].is_array()));
    });
    // One, and perhaps a second for those whose request was read when the first had ended.
    assert!((1..=3).contains(&examinations(&bench)), "{} examinations", examinations(&bench));
}

#[test]
fn an_examination_that_all_have_left_ends_with_its_programs() {
    let mut bench = Bench::idle(&Options::default());
    let (program, started) = (bench.path("bin/nft"), bench.path("started"));
    fs::create_dir(bench.path("bin")).expect("a directory");
    executables::script(&program, &format!("echo $$ >> {}\nexec /bin/sleep 600", started.display()));
    bench.run();
    let ask = || {
        let mut stream = UnixStream::connect(bench.path("cygnet.sock")).expect("connected");
        stream.write_all(b"GET /cygnet/v1/doctor HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        stream
    };
    let runs = |count: usize| {
        let pids: Vec<String> = fs::read_to_string(&started).ok()?.lines().map(str::to_owned).collect();
        (pids.len() >= count).then_some(pids)
    };
    let sockets = || {
        let open = fs::read_dir(format!("/proc/{}/fd", bench.pid())).expect("it lives").flatten();
        open.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket"))).count()
    };
    let before = sockets();
    let askers = [ask(), ask()];
    let first = wait_until("a program", || runs(1));
    drop(askers);
    wait_until("they are gone", || (sockets() <= before).then_some(()));
    wait_until("its end", || (!Path::new(&format!("/proc/{}", first[0])).exists()).then_some(()));
    // Who comes then gets an examination of his own.
    let _asker = ask();
    assert_eq!(wait_until("another examination", || runs(2)).len(), 2);
}

/// The programs of iptables, which this machine may have with rules of its own.
const PACKET_FILTERS: [&str; 6] = [
    "iptables-save",
    "iptables-legacy-save",
    "iptables-nft-save",
    "ip6tables-save",
    "ip6tables-legacy-save",
    "ip6tables-nft-save",
];

/// The agent's user may not read the kernel's rules; who asks as root gets them all the same.
#[test]
fn root_looks_where_the_agent_may_not() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("SKIPPED: only root looks itself");
    }
    let mut bench = Bench::idle(&Options::default());
    let program = |directory: &str, script: &str| {
        fs::create_dir(bench.path(directory)).expect("a directory");
        for (name, script) in PACKET_FILTERS.iter().map(|name| (*name, "exit 0")).chain([("nft", script)]) {
            executables::script(bench.path(directory).join(name), script);
        }
    };
    program("bin", "echo 'Operation not permitted (you must be root)' >&2; exit 1");
    program("mine", "echo '{\"nftables\": []}'");
    bench.run();
    let report = bench.ask("GET", "/cygnet/v1/doctor", b"").expect(200).json();
    assert!(checks(&report, "findings").contains(&"nat".to_owned()), "{report:#}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    command.arg("doctor").arg("--json").arg("--config").arg(bench.path("cygnet.toml")).env("PATH", bench.path("mine"));
    let said = command.env_remove("CYGNET_CONFIG").output().expect("cygnet runs").stdout;
    let report: Value = serde_json::from_slice(&said).expect("JSON");
    let passed = checks(&report, "passed");
    for check in ["nat", "forward", "input", "output", "agent"] {
        assert!(passed.iter().any(|name| name == check), "{check}: {report:#}");
    }
}
