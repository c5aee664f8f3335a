//! `cygnet show`: a connection on a page. Members that this program does not know are passed over.

use super::{
    args::OneArgs,
    client::Client,
    look::{Look, Table, Tone, bytes, safe, tone_of, warnings},
    select,
    stop::{Result, print, print_json},
};
use cygnet::settings::Gateway;
use serde_json::Value;
use std::fmt::Write as _;

/// `cygnet show`.
pub fn run(client: &Client, args: &OneArgs) -> Result<()> {
    let uuid = select::uuid(client, &args.which.connection)?;
    let view = client.get(&format!("/cygnet/v1/connections/{uuid}"))?;
    if args.json.json {
        return print_json(&view);
    }
    let page = page(&view, &client.gateway, Look::of_stdout());
    print(&super::width::fold(&page, super::width::of_stdout())).map(drop)
}

/// A value as text; nothing if there is none.
fn text(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
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
    page.push_str(&passes(&view["passes"], "  "));
    settings_drift(&mut page, &view["settings_drift"]);
    drift(&mut page, &view["drift"]);
    ike_sas(&mut page, view, look);
    children(&mut page, view, look);
    other_sas(&mut page, view, look);
    let warnings = warnings(&view["warnings"], look);
    if !warnings.is_empty() {
        let _ = write!(page, "\n{}\n{warnings}", look.say(Tone::Head, "warnings"));
    }
    page
}

/// The peer, with its address where that is not what is stored, and who begins where that is not this end.
fn peer(view: &Value) -> String {
    let (stored, address) = (text(&view["inventory"], "peerAddress"), text(&view["peer"], "address"));
    let at = if address.is_empty() || stored.starts_with(&address) { String::new() } else { format!(" ({address})") };
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
    let _ = writeln!(page, "  reason       {code} since {}", safe(&text(reason, "since")));
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
        ("here", list("l3NetworkRefs", "l3NetworkUuid")),
        ("there", list("peerCidrs", "cidr")),
        ("changed", format!("{}; created {}", of("lastOpDate"), of("createDate"))),
    ]
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
        let line = format!("{} at {}, {} times so far", what.join(", "), text(drift, "last"), text(drift, "count"));
        let _ = writeln!(page, "  put back     {}", safe(&line));
    }
}

/// Algorithms as they run: `AES_CBC-256/HMAC_SHA2_256_128/..`.
fn protection(sa: &Value) -> String {
    let encryption = match sa["key_bits"].as_u64().filter(|bits| *bits > 0) {
        Some(bits) => format!("{}-{bits}", text(sa, "encryption")),
        None => text(sa, "encryption"),
    };
    let parts = [encryption, text(sa, "integrity"), text(sa, "prf"), text(sa, "group")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// The state of an SA, and whether it is as wanted.
fn state(sa: &Value) -> (Tone, String) {
    let state = text(sa, "state");
    if sa["as_wanted"] == false { (Tone::Unsure, format!("{state}, not as wanted")) } else { (tone_of(&state), state) }
}

fn ike_sas(page: &mut String, view: &Value, look: Look) {
    if view["ike_sas"].is_null() {
        page.push_str("\nThe SAs are unknown: charon does not answer.\n");
        return;
    }
    let mut table = Table::new(&["IKE SA", "STATE", "VERSION", "LOCAL", "REMOTE", "PROTECTION"]);
    for sa in items(&view["ike_sas"]) {
        let cells = ["version", "local", "remote"].map(|name| (Tone::Plain, text(sa, name)));
        let [version, local, remote] = cells;
        table.row([(Tone::Plain, text(sa, "id")), state(sa), version, local, remote, (Tone::Plain, protection(sa))]);
    }
    let _ = match table.len() {
        0 => write!(page, "\nThere is no IKE SA.\n"),
        _ => write!(page, "\n{}", table.page_or_blocks(look, super::width::of_stdout())),
    };
}

/// The wanted and the running SAs of each pair of networks.
fn children(page: &mut String, view: &Value, look: Look) {
    let mut table =
        Table::new(&["HERE", "THERE", "CONDITION", "STATE", "PROTECTION", "AGE", "IN", "OUT", "MTU", "MSS", "REASON"]);
    for child in items(&view["children"]) {
        let nets = |name: &str| items(&child[name]).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
        let ends = || [nets("local"), nets("remote")].map(|text| (Tone::Plain, text));
        let word = text(child, "condition");
        let condition = || (tone_of(&word), word.clone());
        let why = || (Tone::Bad, text(&child["reason"], "code"));
        let sas = items(&child["sas"]);
        if sas.is_empty() {
            let (tone, state) = if child["sas"].is_null() { (Tone::Unsure, "unknown") } else { (Tone::Bad, "none") };
            let empty = || (Tone::Plain, String::new());
            let known = [condition(), (tone, state.to_owned())].into_iter();
            table.row(ends().into_iter().chain(known).chain((0..6).map(|_| empty())).chain([why()]));
        }
        for sa in sas {
            let traffic = |name: &str| (Tone::Plain, bytes(sa[name].as_u64().unwrap_or_default()));
            let (protection, age) = ((Tone::Plain, protection(sa)), (Tone::Plain, format!("{} s", text(sa, "age_s"))));
            let [mtu, mss] = ["mtu", "mss"].map(|name| (Tone::Plain, text(sa, name)));
            let (came, went) = (traffic("bytes_in"), traffic("bytes_out"));
            let rest = [condition(), state(sa), protection, age, came, went, mtu, mss, why()];
            table.row(ends().into_iter().chain(rest));
        }
    }
    if table.len() > 0 {
        let _ = write!(page, "\n{}", table.page_or_blocks(look, super::width::of_stdout()));
    }
    let advice = |child: &Value| Some((text(child, "condition"), child["condition_advice"].as_str()?.to_owned()));
    let all: std::collections::BTreeSet<_> = items(&view["children"]).iter().filter_map(advice).collect();
    for (word, advice) in all {
        let _ = writeln!(page, "\n{}: {}", look.say(tone_of(&word), &word), safe(&advice));
    }
}

/// The SAs of the connection that belong to none of its children.
fn other_sas(page: &mut String, view: &Value, look: Look) {
    let mut table =
        Table::new(&["NOT WANTED", "HERE", "THERE", "STATE", "PROTECTION", "AGE", "IN", "OUT", "MTU", "MSS"]);
    for sa in items(&view["other_sas"]) {
        let nets = |name: &str| items(&sa[name]).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
        let age = format!("{} s", text(sa, "age_s"));
        let traffic = |name: &str| bytes(sa[name].as_u64().unwrap_or_default());
        let state = (Tone::Unsure, text(sa, "state"));
        let plain = |text: String| (Tone::Plain, text);
        let [here, there] = [nets("local"), nets("remote")].map(plain);
        let [protection, age, in_, out] = [protection(sa), age, traffic("bytes_in"), traffic("bytes_out")].map(plain);
        let [mtu, mss] = ["mtu", "mss"].map(|name| plain(text(sa, name)));
        table.row([plain(text(sa, "id")), here, there, state, protection, age, in_, out, mtu, mss]);
    }
    if table.len() > 0 {
        let _ = write!(page, "\n{}", table.page_or_blocks(look, super::width::of_stdout()));
    }
}
