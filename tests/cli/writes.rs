//! The subcommands that write: what they do, what they print, and their exit codes.

use super::run::{OTHER_KEY, fed, run, up, up_with};
use crate::serve::{Bench, NETWORK, Options, VIP, params, uuid, wait_until};
use serde_json::{Value, json};

const CREATE: [&str; 6] = ["create", "branch", "--peer", "198.51.100.8", "--auth-key-file", "-"];

/// A member of the elements of a list in an inventory.
fn list(inventory: &Value, name: &str, member: &str) -> Vec<String> {
    let items = inventory[name].as_array().expect("a list").iter();
    items.map(|item| item[member].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn a_connection_is_created() {
    let b = up();
    let id = uuid(8);
    let more = ["--vip", "192.0.2.1", "--network", "10.1.0.0/24", "--peer-cidr", "10.8.2.0/24", "--uuid", &id];
    let options = ["--set", "ikeVersion=ikev2", "--description", "in the east", "--wait"];
    let ended = fed(&b, &[&CREATE[..], &more, &options].concat(), OTHER_KEY).ends(0);
    assert_eq!(ended.out, format!("created branch ({id}): Ready\n"));
    let made = b.inventory(&id);
    assert_eq!((&made["vipUuid"], &made["ikeVersion"]), (&json!(VIP), &json!("ikev2")));
    assert_eq!((&made["description"], &made["authKey"]), (&json!("in the east"), &json!(OTHER_KEY)));
    assert_eq!(list(&made, "peerCidrs", "cidr"), ["10.8.2.0/24"]);
    let again = fed(&b, &[&CREATE[..], &more[..6]].concat(), OTHER_KEY).ends(1);
    let taken = format!("cygnet: peerAddress: the connection branch ({id}) has the same local address and peer\n");
    assert_eq!(again.err, taken);
    let keyless = run(&b, &["create", "x", "--peer", "198.51.100.9"]).ends(2);
    assert!(keyless.err.contains("a connection needs a key"), "{}", keyless.err);
    let nowhere = fed(&b, &[&CREATE[..], &["--vip", "192.0.2.99", "--no-networks"]].concat(), OTHER_KEY).ends(1);
    assert!(nowhere.err.contains("vipUuid: there is no public address in the settings"), "{}", nowhere.err);
}

#[test]
fn a_connection_without_networks_has_no_tunnel_to_miss() {
    let b = Bench::start();
    let ended = fed(&b, &[&CREATE[..], &["--no-networks", "--json"]].concat(), OTHER_KEY).ends(0);
    let id = ended.json()["inventory"]["uuid"].as_str().expect("a uuid").to_owned();
    run(&b, &["add-cidr", &id, "10.8.2.0/24", "10.8.3.0/24"]).ends(0);
    let ended = run(&b, &["attach", &id, "10.1.0.0/24"]).ends(4);
    assert!(ended.out.starts_with("networks added: branch ("), "{}", ended.out);
    assert!(ended.err.contains("the tunnel is not up: LOCAL_ADDRESS_MISSING: the address 192.0.2.1"), "{}", ended.err);
    assert!(ended.err.contains("hint: Put the address on an interface"), "{}", ended.err);
    assert_eq!(list(&b.inventory(&id), "l3NetworkRefs", "l3NetworkUuid"), [NETWORK]);
    run(&b, &["remove-cidr", "branch", "10.8.2.0/24", "--yes"]).ends(4);
    assert_eq!(list(&b.inventory(&id), "peerCidrs", "cidr"), ["10.8.3.0/24"]);
    let ended = run(&b, &["remove-cidr", "branch", "10.8.2.0/24", "--yes"]).ends(1);
    let absent =
        "cygnet: peerCidrs names 10.8.2.0/24, which the connection does not have\nhint: attached are: 10.8.3.0/24\n";
    assert_eq!(ended.err, absent);
    let ended = run(&b, &["detach", "branch", NETWORK, "--yes", "--json"]).ends(0);
    assert_eq!(ended.json()["inventory"]["l3NetworkRefs"], json!([]));
}

#[test]
fn a_tunnel_is_taken_down_and_brought_up() {
    let b = up();
    let id = uuid(7);
    assert_eq!(run(&b, &["disable", &id, "--yes"]).ends(0).out, format!("disabled site-7 ({id}): Disconnected\n"));
    assert_eq!(b.inventory(&id)["state"], "Disabled");
    assert_eq!(run(&b, &["enable", &id, "--wait"]).ends(0).out, format!("enabled site-7 ({id}): Ready\n"));
    assert_eq!(run(&b, &["reconnect", &id, "--wait"]).ends(0).out, format!("reconnected site-7 ({id}): Ready\n"));
    let ended = run(&b, &["disable", &id, "--yes", "--json"]).ends(0);
    assert_eq!(ended.json()["inventory"]["state"], "Disabled");
    let ended = run(&b, &["enable", &uuid(9)]).ends(1);
    assert!(ended.err.contains("there is no connection with the uuid"), "{}", ended.err);
}

#[test]
fn texts_are_updated() {
    let b = up();
    let id = uuid(7);
    let ended = run(&b, &["update", "site-7", "--name", "east", "--description", "of the river"]).ends(0);
    assert_eq!(ended.out, format!("updated east ({id})\n"));
    let ended = run(&b, &["update", "east", "--description", "of the hill", "--json"]).ends(0);
    let inventory = ended.json()["inventory"].take();
    assert_eq!((&inventory["name"], &inventory["description"]), (&json!("east"), &json!("of the hill")));
    for (text, shown) in [("--description=of the sea", "of the sea"), ("--description=", "")] {
        run(&b, &["update", text, "east"]).ends(0);
        let now = b.inventory(&id);
        assert_eq!((&now["name"], now["description"].as_str().unwrap_or_default()), (&json!("east"), shown));
    }
}

#[test]
fn a_connection_is_deleted() {
    let mut b = up();
    b.create(&params(8, &json!({}))).expect(200);
    b.create(&params(9, &json!({}))).expect(200);
    assert_eq!(run(&b, &["delete", "site-7", "--yes"]).ends(0).out, format!("deleted {}\n", uuid(7)));
    assert_eq!(run(&b, &["delete", "site-8", "--yes", "--json"]).ends(0).json(), json!({}));
    run(&b, &["delete", &uuid(8), "--yes"]).ends(1);
    b.charon.kill();
    b.charon.hang_up();
    run(&b, &["delete", "site-9", "--yes"]).ends(1);
    run(&b, &["delete", "site-9", "--yes", "--enforce"]).ends(0);
    assert!(run(&b, &["list"]).ends(0).out.lines().count() == 1);
}

#[test]
fn an_agent_that_answers_with_jobs_is_followed() {
    let b = up_with(&Options { top: "[jobs]\nasync = \"always\"", ..Options::default() });
    crate::serve::wait_until("it is there", || {
        let ended = run(&b, &["change", "site-7", "--yes", "--set", "lifeTime=1000", "--wait"]);
        (ended.code == 0).then_some(())
    });
    assert_eq!(b.inventory(&uuid(7))["lifeTime"], 1000);
    let ended = run(&b, &["change", "site-7", "--yes", "--set", "lifeTime=1"]).ends(1);
    assert!(ended.err.starts_with("cygnet: lifeTime must be "), "{}", ended.err);
}

#[test]
fn all_connections_take_changed_settings_over() {
    let b = up();
    let all = |json: bool| {
        let args = ["reconnect", "--all-changed", "--json"];
        run(&b, &args[..if json { 3 } else { 2 }])
    };
    assert_eq!(all(false).ends(0).out, "all connections match the settings\n");
    let path = b.path("cygnet.toml");
    let text = std::fs::read_to_string(&path).expect("settings").replace("10.1.0.0/24", "10.9.0.0/24");
    std::fs::write(path, text).expect("settings");
    b.signal(nix::sys::signal::Signal::SIGHUP);
    crate::serve::wait_until("the drift is shown", || {
        let page = run(&b, &["show", "site-7"]).ends(0).out;
        let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
        words.contains("10.1.0.0/24, 10.9.0.0/24 in the settings now; `cygnet reconnect` takes it over").then_some(())
    });
    assert_eq!(all(false).ends(0).out, format!("site-7 ({}): reconnected\n", uuid(7)));
    assert_eq!(all(true).ends(0).json(), json!({ "reconnected": [] }));
    run(&b, &["reconnect"]).ends(2);
    run(&b, &["reconnect", "site-7", "--all-changed"]).ends(2);
}

#[test]
fn an_identity_is_taken_away() {
    let b = up();
    let change = |more: &[&str]| run(&b, &[&["change", "site-7", "--yes"], more].concat());
    let ids = || {
        let inventory = b.inventory(&uuid(7));
        [inventory["localId"].clone(), inventory["remoteId"].clone()]
    };
    let before = ids();
    change(&["--set", "idType=fqdn", "--set", "localId=gw.example", "--set", "remoteId=peer.example"]);
    assert_eq!(ids(), [json!("gw.example"), json!("peer.example")]);
    let plan = run(&b, &["plan", "site-7", "--unset", "localId"]).ends(0).out;
    assert!(plan.contains("localId") && plan.contains("gw.example") && !plan.contains("peer.example"), "{plan}");
    assert!([0, 4].contains(&change(&["--unset", "localId"]).code));
    assert_eq!(ids(), [before[0].clone(), json!("peer.example")]);
    let both = change(&["--unset", "remoteId", "--unset=localId", "--set", "lifeTime=1000"]);
    assert!([0, 4].contains(&both.code), "{both:?}");
    assert_eq!((ids(), &b.inventory(&uuid(7))["lifeTime"]), (before, &json!(1000)));
    assert!(change(&["--unset", "pfs"]).ends(2).err.contains("[possible values: localId, remoteId]"));
    let config = format!("/zstack/v1/ipsec/config/{}", uuid(7));
    for query in ["unset=localId", "keep=true&unset=pfs"] {
        let body = json!({ "changeIPsecConnection": {} }).to_string();
        let refused = b.ask("PUT", &format!("{config}?{query}"), body.as_bytes()).expect(503).json();
        assert!(refused["error"]["details"].as_str().is_some_and(|text| text.contains("unset")), "{refused:#}");
    }
}

#[test]
fn a_shared_key_is_changed_together() {
    let b = Bench::start();
    let shared = json!({ "remoteId": "198.51.100.7" });
    for n in [7, 8] {
        b.create(&params(n, &shared)).expect(200);
    }
    let key = ["--auth-key-file", "-"];
    let ended = fed(&b, &[&["change", "site-8", "--yes"][..], &key].concat(), OTHER_KEY).ends(1);
    assert!(
        ended.err.contains("site-7") && ended.err.contains("; with --together, all of these connections get it"),
        "{}",
        ended.err
    );
    let ended = fed(&b, &[&["plan", "site-8", "--together"][..], &key].concat(), OTHER_KEY).ends(0);
    let line = format!("changes in the same step\n  site-7 ({}): the same authKey\n", uuid(7));
    assert!(ended.out.contains(&line), "{}", ended.out);
    let both = ["change", "site-8", "--yes", "--together", "--confirm", "5s"];
    let ended = fed(&b, &[&both[..], &key].concat(), OTHER_KEY).ends(2);
    assert!(ended.err.contains("--together") && ended.err.contains("--confirm"), "{}", ended.err);
    let ended = fed(&b, &[&["change", "site-8", "--yes", "--together"][..], &key].concat(), OTHER_KEY).ends(4);
    assert!(ended.out.contains(&format!("changed with it: site-7 ({}): the same authKey\n", uuid(7))), "{}", ended.out);
    assert_eq!([7, 8].map(|n| b.inventory(&uuid(n))["authKey"].clone()), [json!(OTHER_KEY), json!(OTHER_KEY)]);
    assert!(!ended.out.contains(OTHER_KEY) && !ended.err.contains(OTHER_KEY));
}

/// The other end is changed later: that the tunnel is not as wanted meanwhile is no failure.
#[test]
fn a_change_in_transition_succeeds_while_the_old_tunnel_carries() {
    let b = up();
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    b.charon.establish(false);
    let name = b.inventory(&uuid(7))["name"].as_str().expect("a name").to_owned();
    let set = ["--set", "ikeDhGroup=19", "--transition", "24h"];
    let plan = run(&b, &[&["plan", &name][..], &set].concat()).ends(0);
    assert!(plan.out.contains("IN_TRANSITION") && plan.out.contains("ecp256, "), "{}", plan.out);
    let ended = run(&b, &[&["change", &name, "--yes"][..], &set].concat()).ends(0);
    assert!(ended.out.starts_with(&format!("changed {name} ({}): Connecting", uuid(7))), "{}", ended.out);
    assert!(ended.err.contains("IN_TRANSITION"), "{}", ended.err);
    let page = run(&b, &["list", "--transition"]).ends(0);
    for words in [&name, "modp1024", "AES_CBC_256", "UNTIL"] {
        assert!(page.out.contains(words), "{words}: {}", page.out);
    }
    assert_eq!(run(&b, &["list", "--transition", "-o", "name"]).ends(0).out, format!("{name}\n"));
    let shown = run(&b, &["show", &name]).ends(0);
    assert!(shown.out.contains("transition   until") && shown.out.contains("IN_TRANSITION"), "{}", shown.out);
    let faulty = run(&b, &["change", &name, "--yes", "--set", "ikeDhGroup=20", "--accept"]).ends(2);
    assert!(faulty.err.contains("--transition"), "{}", faulty.err);
    let ended =
        run(&b, &["change", &name, "--yes", "--set", "ikeDhGroup=20", "--transition", "1d", "--accept"]).ends(0);
    assert!(ended.out.ends_with("Ready\n"), "{}", ended.out);
}
