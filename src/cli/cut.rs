//! The subcommands that cut something off. They show what it is, and ask.

use super::{
    ask,
    client::Client,
    look::safe,
    select::{self, encoded},
    stop::{Result, Stop, print, print_json},
    up,
    write::{Networks, PATH, Write, state},
    write_args::{CutArgs, DeleteArgs, DisableArgs},
};
use hyper::Method;
use ipnet::IpNet;
use serde_json::Value;
use std::fmt::Write as _;

/// Shows what the connection joins that `is_cut` names, and asks `question`.
fn confirmed(client: &Client, uuid: &str, is_cut: impl Fn(&str, &str) -> bool, question: &str) -> Result<()> {
    let view = client.get(&format!("/cygnet/v1/connections/{uuid}"))?;
    ask::confirmed(&page(&view, is_cut), question)
}

/// The connection, and the pairs of networks that are cut.
fn page(view: &Value, is_cut: impl Fn(&str, &str) -> bool) -> String {
    let inventory = &view["inventory"];
    let text = |name: &str| safe(inventory[name].as_str().unwrap_or("?"));
    let mut page = format!("{} ({}) to {} is {}.\n", text("name"), text("uuid"), text("peerAddress"), text("status"));
    let items = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let children = view["children"].as_array().map_or(&[][..], Vec::as_slice);
    let pairs = children.iter().flat_map(|child| {
        let remote = items(&child["remote"]);
        let with = move |local: String| remote.clone().into_iter().map(move |remote| (local.clone(), remote));
        items(&child["local"]).into_iter().flat_map(with)
    });
    let (cut, left): (Vec<_>, Vec<_>) = pairs.partition(|(local, remote)| is_cut(local, remote));
    if cut.is_empty() {
        return page + "It joins no networks that this cuts.\n";
    }
    page += "This cuts:\n";
    for (local, remote) in &cut {
        let _ = writeln!(page, "  {} === {}", safe(local), safe(remote));
    }
    if left.is_empty() { page + "Nothing is left: the tunnel goes down.\n" } else { page }
}

/// `cygnet delete`.
pub fn delete(client: &Client, args: &DeleteArgs) -> Result<()> {
    if !args.yes {
        ask::must_be_possible()?;
    }
    let uuid = select::uuid(client, &args.which.connection)?;
    if !args.yes {
        confirmed(client, &uuid, |_, _| true, "Delete it and close its tunnel?")?;
    }
    let mode = if args.enforce { "?deleteMode=Enforcing" } else { "" };
    let answer = client.write(Method::DELETE, &format!("{PATH}/{uuid}{mode}"), None, "deleting")?;
    if args.json.json {
        return print_json(&answer);
    }
    print(&format!("deleted {uuid}\n"))?;
    up::warn(&answer);
    Ok(())
}

/// `cygnet disable`: there is no tunnel to wait for.
pub fn disable(client: &Client, args: &DisableArgs) -> Result<()> {
    if !args.yes {
        ask::must_be_possible()?;
    }
    let uuid = select::uuid(client, &args.which.connection)?;
    if !args.yes {
        confirmed(client, &uuid, |_, _| true, "Disable it and close its tunnel?")?;
    }
    let answer = client.write(Method::PUT, &format!("{PATH}/{uuid}/actions"), Some(&state("disable")), "disabling")?;
    up::finish(client, answer, "disabled", None, args.json.json)
}

/// `cygnet remove-cidr` and `cygnet detach`.
pub fn remove(client: &Client, args: &CutArgs, what: &Networks) -> Result<()> {
    if args.networks.how.together {
        return Err(
            Stop::usage("--together gives a key to several connections, and this changes no key").hint("leave it out")
        );
    }
    let (yes, args) = (args.yes, &args.networks);
    if !yes {
        ask::must_be_possible()?;
    }
    let uuid = select::uuid(client, &args.which.connection)?;
    if !yes {
        let known = args.networks.iter().filter_map(|text| client.gateway.find_l3_network(text).ok());
        let known = known.flat_map(|network| network.cidrs.clone()).filter(|_| what.is_ours);
        let gone: Vec<IpNet> = args.networks.iter().filter_map(|text| text.parse().ok()).chain(known).collect();
        let is_gone = |net: &str| net.parse::<IpNet>().is_ok_and(|net| gone.iter().any(|gone| gone.trunc() == net));
        let is_cut = |local: &str, remote: &str| is_gone(if what.is_ours { local } else { remote });
        confirmed(client, &uuid, is_cut, "Remove these networks from it?")?;
    }
    let query: Vec<_> = args.networks.iter().map(|value| format!("{}={}", what.member, encoded(value))).collect();
    let path = format!("/{uuid}/{}?{}", what.collection, query.join("&"));
    let (doing, done) = ("removing networks from", "networks removed:");
    Write { uuid: &uuid, method: Method::DELETE, path, body: None, doing, done }.run(client, &args.how)
}
