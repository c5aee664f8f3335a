//! Other things than files of ours under our names: a named pipe, a link, a huge file, a directory, another user's file.
//! None of them holds up the agent, fills its memory, or is taken for what it is not.

use crate::{
    certificates::{Ca, Kind},
    serve::{Bench, Options, files, params, uuid, wait_until},
};
use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, symlink},
        net::UnixListener,
    },
    path::Path,
};

/// A thing that is no file of ours; what the agent says of it.
#[derive(Clone, Copy, Debug)]
enum Thing {
    Pipe,
    Link,
    Huge,
    Directory,
    Socket,
    Stranger,
}

impl Thing {
    const ALL: [Self; 6] = [Self::Pipe, Self::Link, Self::Huge, Self::Directory, Self::Socket, Self::Stranger];

    /// Makes it at `path`, in place of the file there; what the file held is kept where the link leads, in the bench's own
    /// directory.
    fn make(self, b: &Bench, path: &Path) {
        let before = fs::read(path).unwrap_or_default();
        let _ = fs::remove_file(path);
        let name = path.file_name().expect("a name").to_string_lossy();
        let aside = b.path(&format!("aside-{name}"));
        match self {
            Self::Pipe => mkfifo(path, Mode::S_IRWXU).expect("a pipe"),
            Self::Link => {
                fs::write(&aside, before).expect("written");
                symlink(&aside, path).expect("a link");
            }
            // A hole, which takes no room on the disk.
            Self::Huge => File::create(path).and_then(|file| file.set_len(64 << 30)).expect("a file"),
            Self::Directory => fs::create_dir(path).expect("a directory"),
            Self::Socket => drop(UnixListener::bind(path).expect("a socket")),
            Self::Stranger => {
                fs::write(path, before).expect("written");
                std::os::unix::fs::chown(path, Some(65534), None).expect("root may");
            }
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Pipe => "it is a named pipe, not a regular file",
            Self::Link => "it is a symbolic link, not a regular file",
            Self::Huge => "it is 68719476736 bytes",
            Self::Directory => "it is a directory, not a regular file",
            Self::Socket => "it is a socket, not a regular file",
            Self::Stranger => "it belongs to the user 65534",
        }
    }

    /// Whether this process can make it.
    fn is_possible(self) -> bool {
        nix::unistd::Uid::effective().is_root() || !matches!(self, Self::Stranger)
    }
}

/// The most memory that the agent had at once, in KiB.
fn most_memory(b: &Bench) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", b.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn damaged(b: &Bench) -> Vec<Value> {
    let answer: Value = b.ask("GET", "/readyz", b"").json();
    answer["damaged"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_record_that_is_none_is_named_and_stops_nobody() {
    for thing in Thing::ALL.into_iter().filter(|thing| thing.is_possible()) {
        let mut b = Bench::start();
        for n in [7, 8] {
            b.create(&params(n, &json!({}))).expect(200);
        }
        b.stop();
        thing.make(&b, &b.record(&uuid(7)));
        b.run();
        wait_until("the agent is ready", || (b.ask("GET", "/readyz", b"").status == 200).then_some(()));
        let found = damaged(&b);
        let why = found[0]["why"].as_str().expect("a reason");
        assert!(found.len() == 1 && why.contains(thing.words()) && why.contains("remove it"), "{thing:?}: {found:?}");
        assert_eq!(b.inventory(&uuid(8))["name"], "site-8");
        assert!(b.charon.connection(&format!("cygnet-{}", uuid(7))).is_some(), "its tunnel is left alone");
        let most = most_memory(&b);
        assert!(most < 100 * 1024, "{thing:?}: {most} KiB");
    }
}

#[test]
fn the_watch_puts_files_in_the_place_of_other_things() {
    let b = Bench::start();
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let bundle = ca.issue(Kind::Ecdsa, "CN=gw", &["gw.example"]).bundle(&[&ca]);
    let certified = json!({ "authMode": "certs", "authKey": bundle, "idType": "name", "remoteId": "CN=peer" });
    b.create(&params(7, &certified)).expect(200);
    let swanctl = b.path("swanctl");
    let ca_file = swanctl.join("x509ca").join(&files(&swanctl.join("x509ca"))[0]);
    let key_file = swanctl.join("private").join(&files(&swanctl.join("private"))[0]);
    let paths = [&b.conf(&uuid(7)), &ca_file, &key_file];
    let before = paths.map(|path| fs::read(path).expect("a file"));
    // A directory is not replaced: nothing of anybody's is removed with its contents.
    let replaced = |thing: &Thing| thing.is_possible() && !matches!(thing, Thing::Directory);
    // The watch comes every few seconds: it finds one of them at each place.
    for thing in Thing::ALL.into_iter().filter(replaced) {
        for path in paths {
            thing.make(&b, path);
        }
        for (path, before) in paths.iter().zip(&before) {
            wait_until(&format!("{thing:?} at {} is replaced", path.display()), || {
                let found = path.symlink_metadata().ok()?;
                let is_ours = found.is_file() && found.len() == before.len() as u64 && found.uid() != 65534;
                (is_ours && fs::read(path).ok()? == *before).then_some(())
            });
        }
    }
    let said = b.logs();
    for thing in [Thing::Pipe, Thing::Link, Thing::Huge, Thing::Socket] {
        assert!(said.contains(thing.words()), "{thing:?}:\n{said}");
    }
    assert!(most_memory(&b) < 100 * 1024);
}

/// Nobody's: swanctl, which root runs, would hang on the pipe.
#[test]
fn what_lies_under_our_names_and_is_nobodys_goes() {
    let b = Bench::start();
    b.create(&params(8, &json!({}))).expect(200);
    let private = b.path("swanctl/private");
    fs::create_dir_all(&private).expect("made");
    let stray = |n: u8| [b.conf(&uuid(n)), private.join(format!("cygnet-{}-0a1b2c3d.pem", uuid(n)))];
    let things: Vec<_> = [Thing::Pipe, Thing::Link, Thing::Huge, Thing::Socket].into_iter().zip(9..).collect();
    let places: Vec<_> = things.iter().flat_map(|(thing, n)| stray(*n).map(|path| (thing, path))).collect();
    for (thing, path) in &places {
        thing.make(&b, path);
    }
    for (thing, path) in &places {
        wait_until(&format!("{thing:?} is removed"), || path.symlink_metadata().is_err().then_some(()));
    }
    assert_eq!(b.inventory(&uuid(8))["name"], "site-8");
    assert!(b.conf(&uuid(8)).exists());
}

#[test]
fn jobs_that_are_none_stop_no_start() {
    let mut b = Bench::start();
    b.stop();
    let job = |n: usize| b.path("state/jobs").join(format!("{n:032x}.json"));
    for (n, thing) in Thing::ALL.into_iter().filter(|thing| thing.is_possible()).enumerate() {
        thing.make(&b, &job(n));
    }
    b.run();
    b.create(&params(7, &json!({}))).expect(200);
    assert!(most_memory(&b) < 100 * 1024);
    // A thread of its own removes them; the directory alone cannot be removed like a file.
    wait_until("the directory is named", || b.logs().contains("the file of an old job stays").then_some(()));
}

#[test]
fn a_trial_that_is_none_stops_no_start() {
    let mut b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    b.stop();
    Thing::Pipe.make(&b, &b.connections_dir().join(format!("{}.before-trial", uuid(7))));
    b.run();
    assert_eq!(b.inventory(&uuid(7))["name"], "site-7");
    assert!(damaged(&b)[0]["file"].as_str().is_some_and(|file| file.ends_with(".before-trial")), "{:?}", damaged(&b));
}

/// Starts the agent, which must end by itself; what it said.
fn refusal(b: &Bench) -> String {
    let output = b.command().output().expect("cygnet runs");
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn tokens_and_settings_that_are_no_files_are_refused_at_once() {
    for thing in Thing::ALL.into_iter().filter(|thing| thing.is_possible()) {
        let b = Bench::idle(&Options::default());
        thing.make(&b, &b.path("tokens"));
        let said = refusal(&b);
        assert!(said.contains("cannot read the tokens file") && said.contains(thing.words()), "{thing:?}: {said}");
    }
    for thing in [Thing::Pipe, Thing::Huge, Thing::Directory, Thing::Socket] {
        let b = Bench::idle(&Options::default());
        thing.make(&b, &b.path("cygnet.toml"));
        let said = refusal(&b);
        assert!(said.contains("cannot read ") && said.contains(thing.words()), "{thing:?}: {said}");
    }
    // Settings are often links of a configuration management.
    let mut b = Bench::idle(&Options::default());
    Thing::Link.make(&b, &b.path("cygnet.toml"));
    b.run();
}

#[test]
fn a_reload_does_not_wait_for_a_pipe() {
    let b = Bench::start();
    Thing::Pipe.make(&b, &b.path("tokens"));
    b.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("it is refused", || b.logs().contains("it is a named pipe").then_some(()));
    b.create(&params(7, &json!({}))).expect(200);
}

#[test]
fn a_log_that_is_a_pipe_holds_up_nobody() {
    let mut b = Bench::idle(&Options::default());
    let (settings, log) = (b.path("cygnet.toml"), b.path("charon.log"));
    let text = fs::read_to_string(&settings).expect("settings");
    fs::write(&settings, text.replace("[charon]", &format!("[charon]\nlog = \"{}\"", log.display()))).expect("written");
    Thing::Pipe.make(&b, &log);
    b.run();
    let answer = b.ask("GET", "/zstack/v1/vpc/virtual-routers/ipseclog?uuid=00000000000000000000000000000000", b"");
    assert!(answer.text().contains("it is a named pipe"), "{}", answer.text());
}

#[test]
fn a_file_in_the_place_of_the_socket_stays() {
    let b = Bench::idle(&Options::default());
    fs::write(b.path("cygnet.sock"), "somebody's").expect("written");
    let said = refusal(&b);
    assert!(said.contains("it is there and no socket; remove it"), "{said}");
    assert_eq!(fs::read_to_string(b.path("cygnet.sock")).expect("a file"), "somebody's");
}

#[test]
fn a_directory_of_another_user_is_not_used() {
    if !Thing::Stranger.is_possible() {
        return;
    }
    let b = Bench::idle(&Options::default());
    for name in ["state/connections", "state/jobs"] {
        let path = b.path(name);
        fs::create_dir_all(&path).expect("made");
        std::os::unix::fs::chown(&path, Some(65534), None).expect("root may");
        assert!(refusal(&b).contains("it exists and belongs to the user 65534"));
        fs::remove_dir(&path).expect("removed");
        // Nor through a link that somebody else laid.
        let target = b.path("elsewhere");
        fs::create_dir_all(&target).expect("made");
        symlink(&target, &path).expect("a link");
        std::os::unix::fs::lchown(&path, Some(65534), None).expect("root may");
        assert!(refusal(&b).contains("it exists and belongs to the user 65534"));
        fs::remove_file(&path).expect("removed");
    }
    assert!(!b.path("cygnet.sock").symlink_metadata().is_ok_and(|found| found.file_type().is_socket()));
}

/// No two words for one thing in the log: what charon and names say is on one line, with nothing that a terminal obeys.
#[test]
fn nothing_in_the_log_is_obeyed() {
    let hostile = "x\u{1b}]0;y\u{7}\nFORGED line\u{202e}\u{9b}31m\u{2028}";
    let mut b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    b.stop();
    let name = hostile.replace('/', "");
    fs::write(b.connections_dir().join(format!("{name}.json")), "{}").expect("written");
    b.charon.on("load-conn", crate::fake_charon::Behaviour::Refuse(hostile.into()));
    b.charon.kill();
    b.charon.revive();
    b.run();
    let answer = b.create(&params(8, &json!({ "name": hostile })));
    assert_ne!(answer.status, 200);
    wait_until("the words are in the log", || (b.logs().matches("FORGED line").count() >= 2).then_some(()));
    let said = b.logs();
    let hidden: Vec<_> = said.chars().filter(|c| cygnet::visible::is_hidden(*c) && *c != '\n').collect();
    assert!(hidden.is_empty(), "{hidden:?} in\n{said}");
    assert!(!said.lines().any(|line| line.starts_with("FORGED")), "{said}");
}
