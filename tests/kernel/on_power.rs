//! An agent whose files are on a disk, and a writer that has it change them until the power goes. First it tells what it
//! found: that is what was left of an earlier life.
//!
//! In /run/share: `found`, once; `journal`, a line before each write (`begin N`) and one after its answer (`done N`).
//! What is written there is the host's at once, power or not.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::bed::{charon, lab};
use crate::pair::creation;
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::run;
use crate::writes::{State, Write, after, write};

/// What the host shares, and where the disk is mounted.
const SHARE: &str = "/run/share";
const DISK: &str = "/run/disk";

#[test]
#[ignore = "on a machine of its own"]
fn until_the_power_goes() {
    let lab = lab();
    lab.start_charon_with(Side::A, charon());
    for (part, place) in [("state", lab.side_directory(Side::A).join("agent/state")), ("conf.d", conf_dir(&lab))] {
        let on_disk = Path::new(DISK).join(part);
        for directory in [&on_disk, &place] {
            fs::create_dir_all(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        }
        run(Command::new("mount").arg("--bind").arg(on_disk).arg(place));
    }
    let torn = torn(Path::new(DISK));
    let preload = std::env::var("CYGNET_PRELOAD").ok();
    let environment = preload.map(|library| ("LD_PRELOAD".to_owned(), library)).into_iter().collect();
    let agent = Agent::start(&lab, Side::A, AgentOptions { wait: "0s".to_owned(), environment, ..Default::default() });
    let state: State = listed(&agent).iter().map(|(slot, lifetime, _)| (*slot, *lifetime)).collect();
    publish("found", &json!({ "torn": torn, "state": state }).to_string());
    let first = std::env::var("CYGNET_FIRST").ok().and_then(|first| first.parse().ok()).expect("the first number");
    go_on(&agent, first, state);
}

/// Writes for ever.
fn go_on(agent: &Agent, first: u32, mut state: State) {
    let mut journal = OpenOptions::new().create(true).append(true).open(Path::new(SHARE).join("journal")).expect("it");
    for n in first.. {
        let write = write(n, &state);
        writeln!(journal, "begin {n}").expect("the journal is written");
        done(agent, write);
        writeln!(journal, "done {n}").expect("the journal is written");
        state = after(write, state);
    }
}

/// Has the agent do it.
fn done(agent: &Agent, write: Write) {
    let uuid = |slot: u32| {
        let all = listed(agent).into_iter();
        all.filter(|(other, ..)| *other == slot).map(|(.., uuid)| uuid).next().expect("it is listed")
    };
    let options = |slot: u32, lifetime: u32| json!({ "peerAddress": peer(slot), "lifeTime": lifetime });
    let answer = match write {
        Write::Create(slot, lifetime) => {
            let mut params = creation(Side::A, &options(slot, lifetime));
            params["name"] = format!("slot-{slot}").into();
            params["peerCidrs"] = json!([format!("10.20.{slot}.0/24")]);
            agent.create(&params)
        }
        Write::Change(slot, lifetime) => agent.change(&uuid(slot), &with_key(options(slot, lifetime))),
        Write::Delete(slot) => agent.delete(&uuid(slot)),
    };
    answer.expect(200);
}

fn with_key(mut options: Value) -> Value {
    options["authKey"] = crate::pair::KEY.into();
    options
}

/// An address that nobody has.
fn peer(slot: u32) -> String {
    format!("192.0.2.{}", 100 + slot)
}

/// The connections that the agent lists: slot, lifetime, uuid.
fn listed(agent: &Agent) -> Vec<(u32, u32, String)> {
    let answer = agent.request("GET", "/zstack/v1/ipsec", None).expect(200).json();
    let one = |connection: &Value| {
        let slot = connection["name"].as_str()?.strip_prefix("slot-")?.parse().ok()?;
        let lifetime = u32::try_from(connection["lifeTime"].as_u64()?).ok()?;
        Some((slot, lifetime, connection["uuid"].as_str()?.to_owned()))
    };
    let all = answer["inventories"].as_array().expect("inventories");
    all.iter().map(|connection| one(connection).unwrap_or_else(|| panic!("{connection}"))).collect()
}

fn conf_dir(lab: &Lab) -> std::path::PathBuf {
    lab.swanctl_dir(Side::A).join("conf.d")
}

/// The files of the agent that are not whole, before it has looked at them.
fn torn(disk: &Path) -> Vec<String> {
    let files = ["state/connections", "conf.d"];
    let files = files.iter().flat_map(|part| fs::read_dir(disk.join(part)).into_iter().flatten().flatten());
    let whole = |path: &Path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        match path.extension().and_then(std::ffi::OsStr::to_str) {
            Some("json") => serde_json::from_str::<Value>(&text).is_ok(),
            Some("conf") => text.starts_with("# IPsec connection ") && text.ends_with("\n}\n"),
            // What was to become one of them.
            _ => true,
        }
    };
    files.map(|file| file.path()).filter(|path| !whole(path)).map(|path| path.display().to_string()).collect()
}

/// Lets the host read a whole file or none.
fn publish(name: &str, text: &str) {
    let (made, place) = (Path::new(SHARE).join(format!(".{name}")), Path::new(SHARE).join(name));
    fs::write(&made, text).and_then(|()| fs::rename(&made, &place)).unwrap_or_else(|error| panic!("{name}: {error}"));
}
