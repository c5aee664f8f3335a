//! `cygnet show`: a connection on a page. Members that this program does not know are passed over.

use super::{
    args::OneArgs,
    client::Client,
    foreign,
    look::{Look, Tone, safe, tone_of, warnings},
    moments, select,
    show_sas::{self, items, text},
    stop::{Result, print, print_json},
};
use cygnet::settings::Gateway;
use serde_json::Value;
use std::fmt::Write as _;

/// `cygnet show`.
pub fn run(client: &Client, args: &OneArgs) -> Result<()> {
    let uuid = match select::uuid(client, &args.which.connection) {
        Ok(uuid) => uuid,
        Err(stop) => return stranger(client, args)?.ok_or(stop),
    };
    let view = client.get(&format!("/cygnet/v1/connections/{uuid}"))?;
    if args.json.json {
        return print_json(&view);
    }
    let page = page(&view, &client.gateway, Look::of_stdout());
    print(&super::width::fold(&page, super::width::of_stdout())).map(drop)
}

/// The same of a connection in charon that is not cygnet's, if one has this name.
fn stranger(client: &Client, args: &OneArgs) -> Result<Option<()>> {
    let Some(found) = foreign::named(client, &args.which.connection)? else { return Ok(None) };
    if args.json.json {
        return print_json(&found).map(Some);
    }
    let page = foreign::page(&found, Look::of_stdout());
    print(&super::width::fold(&page, super::width::of_stdout())).map(|_| Some(()))
}

fn page(view: &Value, gateway: &Gateway, look: Look) -> String {
    let inventory = &view["inventory"];
    let mut page = format!("{}  {}\n", look.say(Tone::Head, &text(inventory, "name")), safe(&text(inventory, "uuid")));
    let is_enabled = inventory["state"] == "Enabled";
    let status = inventory["status"].as_str().unwrap_or("Unknown");
    let tone = if is_enabled { tone_of(status) } else { Tone::Plain };
    let _ = writeln!(page, "  status       {}, {}", look.say(tone, status), safe(&text(inventory, "state")));
    if let Some(note) = view["note"].as_str() {
        let _ = writeln!(page, "               {}", look.say(Tone::Unsure, note));
    }
    reason(&mut page, &view["reason"], look);
    let left_out =
        items(&view["left_out"]).iter().map(|net| format!("{} (in {})", text(net, "network"), text(net, "within")));
    let own = [
        ("IKE version", versions(view)),
        ("options", options(view)),
        ("left out", left_out.collect::<Vec<_>>().join(", ")),
    ];
    for (title, line) in wanted(view, gateway).into_iter().chain(own) {
        if !line.is_empty() {
            let _ = writeln!(page, "  {title:<12} {}", safe(&line));
        }
    }
    if view["trial"].is_object() {
        let trial = &view["trial"];
        let (until, caller) = (moments::local(&text(trial, "until")), text(trial, "caller"));
        let _ = writeln!(page, "  on trial     until {until}; begun by {}", safe(&caller));
    }
    transition(&mut page, &view["transition"]);
    page.push_str(&passes(&view["passes"], "  "));
    settings_drift(&mut page, &view["settings_drift"]);
    drift(&mut page, &view["drift"]);
    show_sas::add(&mut page, view, look);
    let warnings = warnings(&view["warnings"], look);
    if !warnings.is_empty() {
        let _ = write!(page, "\n{}\n{warnings}", look.say(Tone::Head, "warnings"));
    }
    page
}

/// The peer, with its address where that is not what is stored, and who begins where that is not this end.
fn peer(view: &Value) -> String {
    let (stored, address) = (text(&view["inventory"], "peerAddress"), text(&view["peer"], "address"));
    let at = if address.is_empty() || stored.split('%').next() == Some(&address) {
        String::new()
    } else {
        format!(" ({address})")
    };
    let role = match view["role"].as_str() {
        Some("waits_for_peer") => ", which begins",
        Some("waits_for_traffic") => "; traffic begins",
        _ => "",
    };
    stored + &at + role
}

/// The options that are not at their defaults.
fn options(view: &Value) -> String {
    let chosen = view["options"].as_object().into_iter().flatten();
    chosen.map(|(name, value)| format!("{name} {}", value.to_string().trim_matches('"'))).collect::<Vec<_>>().join(", ")
}

/// Who a peer is that is given no identity.
fn unnamed(peer: &str) -> String {
    let is_address = peer.split('%').next().is_some_and(|address| address.parse::<std::net::IpAddr>().is_ok());
    if is_address { "the peer's address".into() } else { peer.into() }
}

/// The version of IKE that runs or is tried, for a connection with both; nothing for IKEv2, the default.
fn versions(view: &Value) -> String {
    let versions = &view["versions"];
    let remembered = if versions["remembered"].is_null() { "" } else { ", remembered of this peer" };
    let runs = items(&view["ike_sas"]).iter().find(|sa| sa["state"] == "established").map(|sa| text(sa, "version"));
    match (runs.as_deref(), versions["initiates"].as_str()) {
        _ if view["inventory"]["ikeVersion"] != "ike" => String::new(),
        (Some("1"), _) => format!("IKEv1 runs{remembered}"),
        (None, Some("ikev1")) => format!("IKEv1 is tried{remembered}; IKEv2 in turn with it"),
        _ => String::new(),
    }
}

fn reason(page: &mut String, reason: &Value, look: Look) {
    if reason.is_null() {
        return;
    }
    let code = look.say(Tone::Bad, &text(reason, "code"));
    let _ = writeln!(page, "  reason       {code} since {}", moments::local(&text(reason, "since")));
    for name in ["details", "advice"] {
        let _ = writeln!(page, "               {}", safe(&text(reason, name)));
    }
    if let Some(trigger) = reason["trigger"].as_str() {
        let cause = match trigger {
            "PEER_DELETED" => "the peer closed it (PEER_DELETED)",
            "DPD_TIMEOUT" => "the peer stopped answering (DPD_TIMEOUT)",
            other => other,
        };
        let _ = writeln!(page, "               it went down because {}", safe(cause));
    }
}

/// The stored values, one line each.
fn wanted(view: &Value, gateway: &Gateway) -> [(&'static str, String); 9] {
    let inventory = &view["inventory"];
    let of = |name: &str| text(inventory, name);
    let default = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
    let list = |name: &str, member: &str| {
        items(&inventory[name]).iter().map(|item| text(item, member)).collect::<Vec<_>>().join(", ")
    };
    let vip = of("vipUuid");
    // After a change of the settings, the connection keeps the former address.
    let moved = items(&view["settings_drift"]).iter().find(|item| item["setting"] == "gateway.vips");
    let address = moved
        .map(|item| text(item, "stored"))
        .or_else(|| gateway.vips.iter().find(|known| known.uuid == vip).map(|known| known.address.to_string()));
    let vip = address.map_or_else(|| format!("vip {vip}"), |address| format!("{address} (vip {vip})"));
    let vip = vip + if view["vip"]["role"] == "standby" { "; standby" } else { "" };
    let (local, remote) =
        (default(of("localId"), "the gateway's address"), default(of("remoteId"), &unnamed(&of("peerAddress"))));
    [
        ("description", of("description")),
        ("peer", peer(view)),
        ("gateway", vip),
        ("identities", format!("{local} and {remote} ({})", of("idType"))),
        (
            "IKE",
            format!(
                "{}, {}, {}, DH group {}, lifetime {} s",
                of("ikeVersion"),
                of("ikeEncryptionAlgorithm"),
                of("ikeAuthAlgorithm"),
                of("ikeDhGroup"),
                of("ikeLifeTime")
            ),
        ),
        (
            "traffic",
            format!(
                "{} in {} mode, {}, {}, pfs {}, lifetime {} s",
                of("transformProtocol"),
                of("policyMode"),
                of("policyEncryptionAlgorithm"),
                of("policyAuthAlgorithm"),
                of("pfs"),
                of("lifeTime")
            ),
        ),
        (
            "here",
            items(&inventory["l3NetworkRefs"])
                .iter()
                .map(|item| here(view, item, gateway))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("there", list("peerCidrs", "cidr")),
        ("changed", {
            let [changed, created] = ["changed", "created"].map(|name| moments::local(&text(view, name)));
            format!("{changed}; created {created}")
        }),
    ]
}

/// A local network: its name, its CIDRs and its uuid, as far as the settings know it. After a change of the settings, the
/// connection keeps the former CIDRs.
fn here(view: &Value, network: &Value, gateway: &Gateway) -> String {
    let uuid = text(network, "l3NetworkUuid");
    let moved = items(&view["settings_drift"]);
    let moved = moved.iter().find(|item| item["setting"] == "gateway.l3_networks" && item["uuid"] == uuid.as_str());
    let known = gateway.l3_networks.iter().find(|known| known.uuid == uuid);
    let cidrs = moved
        .map(|item| text(item, "stored"))
        .or_else(|| known.map(|known| known.cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")));
    let name = known.and_then(|known| known.name.clone());
    let parts: Vec<_> = name.into_iter().chain(cidrs).collect();
    if parts.is_empty() { uuid } else { format!("{} ({uuid})", parts.join(" ")) }
}

/// The pass policies of a connection, one line for each family.
pub(super) fn passes(list: &Value, indent: &str) -> String {
    let nets =
        |pass: &Value, side: &str| items(&pass[side]).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    let line = |pass: &Value| {
        let (local, remote) = (nets(pass, "local"), nets(pass, "remote"));
        format!("{indent}left alone   {}\n", safe(&format!("{remote} (with {local}: this host is in these networks)")))
    };
    items(list).iter().map(line).collect()
}

/// The differences between the settings and the connection.
fn settings_drift(page: &mut String, drift: &Value) {
    for item in items(drift) {
        let now = match &item["now"] {
            Value::Null => "gone from the settings; the connection keeps it".to_owned(),
            now => {
                format!("{} in the settings now; `cygnet reconnect` takes it over", now.as_str().unwrap_or_default())
            }
        };
        let (setting, uuid) = (text(item, "setting"), text(item, "uuid"));
        let _ =
            writeln!(page, "  {:<12} {}", "drift", safe(&format!("{setting} {uuid}: {}, {now}", text(item, "stored"))));
    }
}

fn drift(page: &mut String, drift: &Value) {
    if drift.is_object() {
        let what: Vec<_> = items(&drift["put_back"]).iter().filter_map(Value::as_str).collect();
        let line = format!(
            "{} at {}, {} times so far",
            what.join(", "),
            moments::local(&text(drift, "last")),
            text(drift, "count")
        );
        let _ = writeln!(page, "  put back     {}", safe(&line));
    }
}

/// The transition, if there is one.
fn transition(page: &mut String, transition: &Value) {
    if !transition.is_object() {
        return;
    }
    let until = moments::local(&text(transition, "until"));
    let what = if transition["over"] == true { "over since" } else { "until" };
    let accept = if transition["accept"] == true { "; the earlier proposals are as good as the new ones" } else { "" };
    let caller = text(transition, "caller");
    let _ = writeln!(page, "  transition   {what} {until}; begun by {}{accept}", safe(&caller));
    for (title, member) in [("earlier IKE", "ike"), ("earlier SAs", "child"), ("runs", "runs")] {
        let texts: Vec<_> = items(&transition[member]).iter().filter_map(Value::as_str).collect();
        if !texts.is_empty() {
            let _ = writeln!(page, "    {title:<12} {}", safe(&texts.join(", ")));
        }
    }
}
