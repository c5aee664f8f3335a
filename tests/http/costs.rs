//! The cost of reading: charon's log starts a program, of which few run at once; a long list takes no memory for each
//! reader.

use crate::{
    executables,
    serve::{Bench, Options, change, params, uuid, wait_until},
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::Command,
};

/// A number of KiB that the kernel tells of the agent.
fn status(b: &Bench, name: &str) -> usize {
    let text = fs::read_to_string(format!("/proc/{}/status", b.pid())).expect("it lives");
    let line = text.lines().find(|line| line.starts_with(name)).expect(name);
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

#[test]
fn few_programs_read_the_journal_at_once() {
    const ASKERS: usize = 12;
    let mut b = Bench::idle(&Options::default());
    let (program, started, go) = (b.path("bin/journalctl"), b.path("started"), b.path("go"));
    fs::create_dir(b.path("bin")).expect("a directory");
    let script = "echo x >> STARTED\nwhile [ ! -e GO ]; do /bin/sleep 0.02; done\necho a line";
    let script = script.replace("STARTED", &started.to_string_lossy()).replace("GO", &go.to_string_lossy());
    executables::script(&program, &script);
    b.run();
    let runs = || fs::read_to_string(&started).map_or(0, |text| text.lines().count());
    let open = || fs::read_dir(format!("/proc/{}/fd", b.pid())).expect("it lives").count();
    let before = open();
    std::thread::scope(|scope| {
        let ask = || b.ask("GET", "/zstack/v1/vpc/virtual-routers/ipseclog?uuid=all", b"").expect(200).json();
        let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(ask)).collect();
        wait_until("all have come", || (open() >= before + ASKERS && runs() >= 2).then_some(()));
        assert_eq!(runs(), 2);
        fs::write(&go, "").expect("written");
        for asker in askers {
            assert_eq!(asker.join().expect("answered")["ipsecLog"], "a line");
        }
    });
    assert_eq!(runs(), ASKERS);
}

#[test]
fn readers_of_long_lists_hold_no_copies() {
    const READERS: usize = 12;
    let b = Bench::start();
    let tags: Vec<_> = (0..20).map(|n| format!("{n:0256}")).collect();
    let long =
        json!({ "systemTags": tags, "userTags": tags, "authKey": "k".repeat(4096), "description": "d".repeat(2048) });
    for n in 1..=60 {
        b.create(&params(n, &long)).expect(200);
    }
    let path = "/zstack/v1/ipsec?q=__userTag__!~=%25x%25&q=__systemTag__!~=%25x%25";
    let one = b.ask("GET", path, b"").expect(200).text().len();
    let status = |name: &str| status(&b, name);
    // Its highest is from now on.
    fs::write(format!("/proc/{}/clear_refs", b.pid()), "5").expect("its own process");
    let before = status("VmHWM");
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let mut stream = UnixStream::connect(b.path("cygnet.sock")).expect("connected");
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
            // The answer has begun, and nobody reads on.
            stream.read_exact(&mut [0; 1]).expect("an answer");
            stream
        })
        .collect();
    let grown = (status("VmHWM") - before) * 1024;
    assert!(one > 300_000 && grown < READERS * one / 2, "{READERS} answers of {one} bytes take {grown}");
    drop(readers);
}

/// charon goes through all IKE SAs for each list, so a change asks for one: the answer shows what it has seen before it
/// loaded the connection, unless charon has told something since.
#[test]
fn a_change_lists_its_connection_once() {
    let b = Bench::start();
    b.charon.establish(true);
    b.create(&params(1, &json!({}))).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(1))["status"] == "Ready").then_some(()));
    // What charon tells of the change before may come in between: then there are two.
    let lists = |n: i32| {
        b.charon.forget_requests();
        let answer = b.change(&uuid(1), &change(1, &json!({ "lifeTime": 4000 + n }))).expect(200).json();
        assert_eq!(answer["inventory"]["lifeTime"], 4000 + n);
        let lists = b.charon.requests_of("list-sas");
        // A writer's socket is none of the reconciler's, which looks on after the change.
        let own = lists.iter().filter(|list| list.socket == lists[0].socket).count();
        wait_until("it is up again", || (b.inventory(&uuid(1))["status"] == "Ready").then_some(()));
        own
    };
    assert!((0..20).any(|n| lists(n) == 1), "each change lists twice");
}

/// The text of the metrics is kept for a second, once, and what it is made of is not.
#[test]
fn metrics_take_the_memory_of_their_text() {
    const MANY: u32 = 400;
    let b = Bench::with(&Options { wait: "0s", ..Options::default() });
    for n in 1..=MANY {
        let (high, low) = (n / 200, n % 200 + 1);
        let mut one = params(1, &json!({ "name": format!("site-{n}"), "peerAddress": format!("198.51.{high}.{low}") }));
        one.as_object_mut().expect("an object").remove("resourceUuid");
        one["peerCidrs"] = json!([format!("10.{}.{low}.0/24", 100 + high)]);
        let body = json!({ "params": one }).to_string();
        b.ask("POST", "/zstack/v1/ipsec", body.as_bytes()).expect(200);
    }
    let status = |name: &str| status(&b, name);
    fs::write(format!("/proc/{}/clear_refs", b.pid()), "5").expect("its own process");
    let before = status("VmHWM");
    let text = b.ask("GET", "/metrics", b"").expect(200).text();
    let grown = (status("VmHWM") - before) * 1024;
    assert!(text.len() > 1000 * MANY as usize / 2 && grown < 4 * text.len(), "{} bytes take {grown}", text.len());
}

/// The C library says nothing of a tunable that it does not know, and the memory would not be bounded.
#[test]
fn the_c_library_knows_what_the_unit_sets() {
    let unit = include_str!("../../systemd/cygnet.service");
    let set = unit.lines().find_map(|line| line.strip_prefix("Environment=GLIBC_TUNABLES=")).expect("it is set");
    let maps = fs::read_to_string("/proc/self/maps").expect("its own process");
    let loader = maps.split_whitespace().find(|word| word.contains("/ld-linux")).expect("the C library's loader");
    let listed = Command::new(loader).arg("--list-tunables").output().expect("it runs").stdout;
    let listed = String::from_utf8(listed).expect("text");
    for tunable in set.split(':') {
        let (name, value) = tunable.split_once('=').expect("a name and a value");
        assert!(value.parse::<u32>().is_ok() && listed.contains(&format!("{name}: ")), "{tunable} of {listed}");
    }
}

/// What charon does not have yet needs no guard, and one thing of charon is not asked for twice.
#[test]
fn a_charon_that_comes_back_is_asked_twice_for_each_connection() {
    let mut b = Bench::with(&Options { wait: "0s", ..Options::default() });
    (1..=9).for_each(|n| drop(b.create(&params(n, &json!({}))).expect(200)));
    b.charon.kill();
    b.charon.forget_requests();
    b.charon.revive();
    wait_until("all are loaded", || (b.charon.connections().len() == 9).then_some(()));
    wait_until("it is ready", || (b.ask("GET", "/readyz", b"").status == 200).then_some(()));
    let loads: Vec<_> = b.charon.requests().into_iter().filter(|r| r.command.starts_with("load-")).collect();
    let sockets: BTreeSet<_> = loads.iter().map(|request| request.socket).collect();
    for socket in sockets {
        let loads: Vec<_> = loads.iter().filter(|request| request.socket == socket).collect();
        for pair in loads.chunks(2) {
            let commands: Vec<_> = pair.iter().map(|request| request.command.as_str()).collect();
            assert_eq!(commands, ["load-shared", "load-conn"]);
            let id = pair[0].body.text("id").and_then(|id| id.strip_prefix("ike-"));
            assert!(id.is_some() && id == pair[1].body.sections().next().map(|(name, _)| name), "{id:?}");
        }
    }
    for command in ["load-conn (guard)", "unload-conn (guard)", "unload-conn", "unload-shared"] {
        assert!(b.charon.requests_of(command).is_empty(), "{command}");
    }
}
