//! The same with Debian's keepalived, as docs/operate.md sets it up: no script, nothing restarted.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::bed::{Bed, Plan};
use crate::pair::PATIENCE;
use crate::say;
use crate::stream::Events;
use crate::support::lab::{Process, Side};
use crate::support::wait_until;

/// keepalived on a gateway: it follows the file in which the agent says that it was made a standby.
fn keepalived(bed: &Bed, side: Side) -> Arc<Process> {
    let directory = bed.gateways.side_directory(side);
    let at = |name: &str| directory.join(name).display().to_string();
    let tracked = bed.agent(side).state_dir().join("standby").display().to_string();
    let text = format!(
        "global_defs {{\n    vrrp_garp_master_delay 0\n    enable_script_security\n}}\n\
         track_file cygnet {{\n    file {tracked}\n    weight 0\n}}\n\
         vrrp_instance wan {{\n    state BACKUP\n    interface wan\n    virtual_router_id 51\n    priority {}\n    \
         advert_int 0.2\n    nopreempt\n    virtual_ipaddress {{\n        {}/32 dev wan\n    }}\n    \
         track_file {{\n        cygnet\n    }}\n}}\n",
        100 + side.number(),
        bed.plan.vip(0)
    );
    fs::write(at("keepalived.conf"), text).expect("written");
    let mut command = bed.gateways.command_in(side, "keepalived");
    command.args(["--dont-fork", "--log-console", "--no-syslog", "--vrrp", "--use-file", &at("keepalived.conf")]);
    command.args(["--pid", &at("keepalived.pid"), "--vrrp_pid", &at("vrrp.pid")]);
    let log = fs::File::create(at("keepalived.log")).expect("a log");
    command.stderr(log.try_clone().expect("doubled")).stdout(log);
    bed.gateways.spawn("keepalived", command)
}

fn log(bed: &Bed, side: Side) -> String {
    fs::read_to_string(bed.gateways.side_directory(side).join("keepalived.log")).unwrap_or_default()
}

fn role(bed: &Bed, side: Side) -> String {
    bed.view(side, 0)["vip"]["role"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn keepalived_moves_the_address_and_the_tunnel_with_it() {
    if Command::new("keepalived").arg("--version").output().is_err() {
        return say("SKIPPED: needs keepalived (package keepalived)");
    }
    let Some(bed) = Bed::start(Plan::default()) else { return };
    let events = Side::BOTH.map(|side| Events::open(&bed.agent(side).socket(), "/cygnet/v1/events", None));
    // One made active once has the file that keepalived follows.
    for side in Side::BOTH {
        bed.agent(side).request("POST", "/cygnet/v1/active", None).expect(200);
    }
    let mut running = Side::BOTH.map(|side| Some(keepalived(&bed, side)));
    let holder = wait_until(PATIENCE, "one of them has the address, and its tunnel", || {
        Side::BOTH.into_iter().find(|side| bed.is_ready(*side, 0).is_some())
    });
    let other = holder.other();
    assert_eq!(role(&bed, other), "standby", "{}\n{}", log(&bed, holder), log(&bed, other));

    // The gateway fails: keepalived ends, and takes the address away.
    let ending = running[holder as usize].take().expect("it runs");
    let begun = Instant::now();
    ending.signal(Signal::SIGTERM);
    wait_until(PATIENCE, "the other one is Ready", || bed.is_ready(other, 0));
    say(format!("keepalived: Ready {:?} after the end of the other one", begun.elapsed()));
    wait_until(PATIENCE, "the first one stands by", || {
        (role(&bed, holder) == "standby" && bed.view(holder, 0)["ike_sas"] == json!([])).then_some(())
    });

    ending.wait(PATIENCE);

    // Maintenance: the agent gives up, keepalived sees it in the file, and the address goes.
    running[holder as usize] = Some(keepalived(&bed, holder));
    wait_until(PATIENCE, "it is a backup", || log(&bed, holder).contains("Entering BACKUP STATE").then_some(()));
    bed.agent(other).request("POST", "/cygnet/v1/standby", None).expect(200);
    wait_until(PATIENCE, "the first one has the tunnel again", || bed.is_ready(holder, 0));
    wait_until(PATIENCE, "the address has left", || (role(&bed, other) == "standby").then_some(()));
    let [here, there] = bed.plan.hosts(0);
    wait_until(PATIENCE, "packets come through", || {
        (bed.gateways.ping(holder, &here, &there, 3, Duration::from_millis(200)).received > 0).then_some(())
    });
    for (events, side) in events.iter().zip(Side::BOTH) {
        let names = events.names();
        assert!(!names.contains(&"down".to_owned()), "{side:?}: {names:?}");
        assert!(
            names.contains(&"gave_up".to_owned()) && names.contains(&"took_over".to_owned()),
            "{side:?}: {names:?}"
        );
    }
}
