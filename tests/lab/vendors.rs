//! Gateways of other vendors: each row of tests/lab/vendors/*.toml is created by the command that
//! docs/interoperability.md shows, and meets a raw charon that behaves as the vendor's gateway is set up there. All rows
//! are up at once, between one pair of charons: each peer has an address, networks and a connection of its own.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::peer::Charon;
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{CharonOptions, Lab, Side};
use crate::support::{output, poll};
use crate::vendor_case::{Case, cases};
use crate::vendor_rows::{Role, Row, vendors};
use crate::{lab, say};

/// How long all rows may take: retries of both versions, a few rekeyings, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// The networks behind our gateway, under the names that the commands have.
const TABLES: &str = "[[gateway.l3_networks]]\nuuid = \"c0000000000040008000000000000004\"\nname = \"lan\"\n\
                      cidrs = [\"10.1.0.0/24\"]\n[[gateway.l3_networks]]\n\
                      uuid = \"c0000000000040008000000000000005\"\nname = \"both\"\n\
                      cidrs = [\"10.1.0.0/24\", \"10.3.0.0/24\"]\n[[gateway.l3_networks]]\n\
                      uuid = \"c0000000000040008000000000000006\"\nname = \"spoke\"\ncidrs = [\"10.4.5.0/24\"]\n\
                      [[gateway.l3_networks]]\nuuid = \"c0000000000040008000000000000007\"\nname = \"all\"\n\
                      cidrs = [\"0.0.0.0/0\"]\n";
/// Our hosts in them.
const HOSTS: [&str; 3] = ["10.1.0.1", "10.3.0.1", "10.4.5.1"];

/// Both gateways with their addresses, and the peers.
fn bed(cases: &[Case<'_>]) -> Option<(Lab, Agent, Charon)> {
    let lab = lab()?;
    let options = |more: &str| CharonOptions { plugins: CharonOptions::default().plugins + more, ..Default::default() };
    lab.add_lan(Side::A, "10.3.0.1/24");
    lab.add_lan(Side::A, "10.4.5.1/24");
    let mut hosts = String::new();
    for case in cases {
        lab.add_address(Side::B, &format!("{}/24", case.address()));
        let _ = writeln!(hosts, "{} {}", case.address(), case.filled("<name>"));
        if case.row.peer.nat {
            lab.add_lan(Side::B, &format!("{}/32", case.inner()));
        }
        for host in case.hosts().iter().filter(|_| case.number == case.networks) {
            lab.add_lan(Side::B, &format!("{host}/32"));
        }
    }
    lab.set_names(Side::A, &hosts);
    lab.start_charon_with(Side::A, options(""));
    lab.start_charon_with(Side::B, options(" eap-identity eap-md5 xauth-eap xauth-generic"));
    rules(&lab, cases);
    let (connections, secrets): (String, String) = cases.iter().map(Case::peer).unzip();
    let key = &cases.first()?.row.key;
    lab.load_conf(
        Side::B,
        "vendors",
        &format!("connections {{\n{connections}}}\nsecrets {{\nike-all {{\n secret = \"{key}\"\n}}\n{secrets}}}\n"),
    );
    let options = AgentOptions { wait: "0s".into(), tables: TABLES.into(), ..Default::default() };
    let (agent, charon) = (Agent::start(&lab, Side::A, options), Charon::of(&lab, Side::B));
    Some((lab, agent, charon))
}

/// Peers that begin do not hear our first request; those behind a NAT are changed in address and port.
fn rules(lab: &Lab, cases: &[Case<'_>]) {
    let deaf: Vec<_> = cases.iter().filter(|case| case.role == Role::Peer).map(Case::address).collect();
    let mut text = format!(
        "table ip vendors {{\nchain in {{\ntype filter hook input priority 0;\nip daddr {{ {} }} udp dport 500 @th,128,64 0 \
         @th,216,8 & 0x20 == 0 drop\n}}\nchain out {{\ntype nat hook postrouting priority 100;\n",
        deaf.join(", ")
    );
    for case in cases.iter().filter(|case| case.row.peer.nat) {
        let _ = writeln!(text, "ip saddr {} meta l4proto udp snat to {}:20000-30000", case.inner(), case.address());
    }
    let file = lab.side_directory(Side::B).join("vendors.nft");
    std::fs::write(&file, text + "}\n}\n").expect("written");
    let done = output(lab.command_in(Side::B, "nft").arg("-f").arg(file));
    assert!(done.status.success(), "{done:?}");
}

/// Runs the command that the page shows: its answer, null if it is refused, and what it said beside that. It fails as
/// long as the tunnel is not up.
fn create(agent: &Agent, case: &Case<'_>) -> (Value, String) {
    let key = agent.state_dir().join("vendor-key");
    std::fs::write(&key, &case.row.key).expect("written");
    let mut command = std::process::Command::new(crate::support::agent::binary());
    command.args(["create", &case.name(), "--json", "--auth-key-file"]).arg(key).arg("--config").arg(agent.config());
    let done = output(command.args(case.filled(&case.row.arguments()).split_whitespace()));
    (serde_json::from_slice(&done.stdout).unwrap_or_default(), String::from_utf8_lossy(&done.stderr).into_owned())
}

/// Creates it; what is wrong with the answer.
fn created(agent: &Agent, case: &mut Case<'_>) -> Result<(), String> {
    let (answer, said) = create(agent, case);
    let uuid = answer["inventory"]["uuid"].as_str().unwrap_or_default();
    match &case.row.refused {
        Some(wanted) if uuid.is_empty() && said.contains(&case.filled(wanted)) => Ok(()),
        Some(wanted) => Err(format!("not refused with {wanted:?}: {said}")),
        None if uuid.is_empty() => Err(format!("not created: {said}")),
        None => {
            uuid.clone_into(&mut case.uuid);
            Ok(())
        }
    }
}

fn view(agent: &Agent, uuid: &str) -> Value {
    agent.request("GET", &format!("/cygnet/v1/connections/{uuid}"), None).expect(200).json()
}

/// What the case still lacks, by its view.
fn lacks(case: &mut Case<'_>, view: &Value) -> Option<String> {
    let Row { reason, says, warns, children, rekeys, .. } = case.row;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let why = || format!("{}, {}", view["inventory"]["status"], view["reason"]);
    if let Some(code) = reason {
        let (seen, details) = (text(&view["reason"]["code"]), text(&view["reason"]["details"]));
        let is_told = seen == *code && says.iter().all(|word| details.contains(&case.filled(word)));
        return (!is_told).then(|| format!("not {code} {says:?}: {}", why()));
    }
    if view["inventory"]["status"] != "Ready" {
        // From its first CHILD_SA on it stays Ready.
        let was = if case.seen.is_empty() { "not Ready" } else { "Ready no more" };
        return Some(format!("{was}: {}", why()));
    }
    let sas = view["children"].as_array().into_iter().flatten().filter_map(|child| child["sas"].as_array()).flatten();
    let running: Vec<_> = sas.filter(|sa| sa["state"] == "installed").collect();
    if let Some(wanted) = children.filter(|wanted| *wanted != running.len()) {
        return Some(format!("{} CHILD_SAs instead of {wanted}", running.len()));
    }
    let has = |code: &String| view["warnings"].as_array().is_some_and(|all| all.iter().any(|w| w["code"] == **code));
    if let Some(code) = warns.as_ref().filter(|code| !has(code)) {
        return Some(format!("no {code} but {}", view["warnings"]));
    }
    case.seen.extend(running.iter().map(|sa| sa["id"].to_string()));
    let wanted = rekeys.filter(|wanted| case.seen.len() <= *wanted)?;
    Some(format!("{} CHILD_SAs were seen, of {wanted} that follow the first one", case.seen.len()))
}

/// Has the peers that begin call, all but those that are up.
fn call(charon: &Charon, cases: &[Case<'_>]) {
    for case in cases.iter().filter(|case| case.role == Role::Peer && !case.lacks.is_empty() && case.seen.is_empty()) {
        for number in 0..case.children() {
            charon.call(&case.name(), &case.child_name(number));
        }
    }
}

/// Pings from each of our networks to each of the peer's, and one back; the pair that does not answer.
fn silent(lab: &Lab, case: &Case<'_>) -> Option<String> {
    let hosts = match &*case.row.network {
        "both" => &HOSTS[..2],
        "spoke" => &HOSTS[2..],
        _ => &HOSTS[..1],
    };
    let theirs = case.hosts();
    let pairs = hosts.iter().flat_map(|own| theirs.iter().map(move |other| (Side::A, *own, other.as_str())));
    let back = (Side::B, theirs.first()?.as_str(), hosts[0]);
    pairs.chain([back]).find_map(|(side, from, to)| {
        let answered = || (lab.ping(side, from, to, 3, Duration::from_millis(20)).lost() == 0).then_some(());
        poll(Duration::from_secs(5), answered).is_none().then(|| format!("{from} does not reach {to}"))
    })
}

/// Of rows that two end up with the same networks, the last one carries.
fn carries(lab: &Lab, cases: &[&Case<'_>]) -> Vec<String> {
    let silent = |case: &&Case<'_>| silent(lab, case).map(|why| format!("{}: {why}", case.name()));
    let chunks: Vec<_> = cases.chunks(cases.len().div_ceil(6).max(1)).collect();
    thread::scope(|scope| {
        let all: Vec<_> = chunks
            .iter()
            .map(|chunk| scope.spawn(move || chunk.iter().filter_map(silent).collect::<Vec<_>>()))
            .collect();
        all.into_iter().flat_map(|chunk| chunk.join().expect("pings")).collect()
    })
}

/// A peer with one CHILD_SA at a time closes all but the newest.
fn close_older(lab: &Lab, cases: &[Case<'_>]) {
    let names: Vec<_> = cases.iter().filter(|case| case.row.peer.one_child).map(Case::name).collect();
    for ike in lab.sas(Side::B).as_array().into_iter().flatten() {
        if !names.iter().any(|name| ike["name"] == **name) {
            continue;
        }
        let id = |child: &Value| child["uniqueid"].as_str().and_then(|id| id.parse::<u32>().ok());
        let mut ids: Vec<_> = ike["children"].as_array().into_iter().flatten().filter_map(id).collect();
        ids.sort_unstable();
        ids.pop();
        for id in ids {
            lab.swanctl(Side::B, &["--terminate", "--child-id", &id.to_string(), "--timeout", "2"]);
        }
    }
}

#[test]
fn every_set_is_met_or_refused() {
    let vendors = vendors();
    let spoken = |version: u8| Lab::ike_versions().contains(&&*format!("ikev{version}"));
    let mut cases = cases(&vendors, spoken);
    let Some((lab, agent, charon)) = bed(&cases) else { return };
    let mut wrong = Vec::new();
    for case in &mut cases {
        match created(&agent, case) {
            Ok(()) if case.uuid.is_empty() => {}
            Ok(()) => case.lacks = "it was not looked at".into(),
            Err(why) => wrong.push(format!("{}: {why}", case.name())),
        }
    }
    let mut round = 0;
    let _ = poll(PATIENCE, || {
        if round % 8 == 0 {
            call(&charon, &cases);
        }
        round += 1;
        close_older(&lab, &cases);
        for case in cases.iter_mut().filter(|case| !case.lacks.is_empty()) {
            case.lacks = lacks(case, &view(&agent, &case.uuid)).unwrap_or_default();
        }
        cases.iter().all(|case| case.lacks.is_empty()).then_some(())
    });
    wrong.extend(
        cases.iter().filter(|case| !case.lacks.is_empty()).map(|case| format!("{}: {}", case.name(), case.lacks)),
    );
    let up: Vec<_> = cases.iter().filter(|case| case.lacks.is_empty() && !case.uuid.is_empty()).collect();
    let up: Vec<_> = up.into_iter().filter(|case| case.is_ready_wanted() && !case.row.twice).collect();
    wrong.extend(carries(&lab, &up));
    say(format!("{} sets and roles, {} of them carry", cases.len(), up.len()));
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
