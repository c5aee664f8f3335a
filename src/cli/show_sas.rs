//! The SAs on the page of `cygnet show`: what runs, what of it is not wanted, and the times to go.

use super::{
    look::{Look, Tone, bytes, safe, tone_of},
    moments,
};
use ipnet::{Ipv4Subnets, Ipv6Subnets};
use serde_json::Value;
use std::{fmt::Write as _, net::IpAddr};

/// The most CIDRs that are written for a range of addresses.
const CIDRS: usize = 8;

/// A value as text; nothing if there is none.
pub(super) fn text(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The IKE SAs, the children with their CHILD_SAs, and the CHILD_SAs of no child.
pub(super) fn add(page: &mut String, view: &Value, look: Look) {
    if view["ike_sas"].is_null() {
        page.push_str("\nThe SAs are unknown: charon does not answer.\n");
    } else if items(&view["ike_sas"]).is_empty() {
        page.push_str("\nThere is no IKE SA.\n");
    }
    for sa in items(&view["ike_sas"]) {
        ike_sa(page, sa, uses_udp(view, sa), look);
    }
    for wanted in items(&view["children"]) {
        child(page, wanted, look);
    }
    for sa in items(&view["other_sas"]) {
        let _ = writeln!(page, "\n{}", look.say(Tone::Head, "CHILD_SA of no child"));
        child_sa(page, sa, None, look);
    }
    let advice = |child: &Value| Some((text(child, "condition"), child["condition_advice"].as_str()?.to_owned()));
    let all: std::collections::BTreeSet<_> = items(&view["children"]).iter().filter_map(advice).collect();
    for (word, advice) in all {
        let _ = writeln!(page, "\n{}: {}", look.say(tone_of(&word), &word), safe(&advice));
    }
}

/// A line of an SA, if there is something to say.
fn line(page: &mut String, title: &str, value: &str) {
    if !value.is_empty() {
        let _ = writeln!(page, "    {title:<11}  {}", safe(value));
    }
}

/// Whether a CHILD_SA of this IKE SA travels in UDP.
fn uses_udp(view: &Value, ike: &Value) -> bool {
    let own = items(&view["children"]).iter().flat_map(|child| items(&child["sas"]));
    own.chain(items(&view["other_sas"])).any(|sa| sa["ike_sa"] == ike["id"] && sa["udp"] == true)
}

/// An IKE SA: `view` may be one of a connection that is not cygnet's.
pub(super) fn ike_sa(page: &mut String, sa: &Value, uses_udp: bool, look: Look) {
    let title = format!("IKE SA {}", text(sa, "id"));
    let _ = writeln!(page, "\n{}  {}", look.say(Tone::Head, &title), state(sa, look));
    line(page, "version", &format!("IKEv{}, begun by {}", text(sa, "version"), initiator(sa)));
    line(page, "addresses", &format!("{} to {}", text(sa, "local"), text(sa, "remote")));
    line(page, "NAT-T", nat(sa, uses_udp));
    line(page, "algorithms", &algorithms(sa));
    line(page, "quantum", &post_quantum(sa));
    line(page, "SPIs", &format!("initiator {}, responder {}", text(sa, "initiator_spi"), text(sa, "responder_spi")));
    line(page, "to go", &to_go(sa, &[("rekey", "rekey_in_s"), ("reauthentication", "reauth_in_s")]));
}

fn initiator(sa: &Value) -> &'static str {
    if sa["initiator"] == "local" { "this gateway" } else { "the peer" }
}

/// NAT traversal: where a NAT is, and whether packets travel in UDP without one.
fn nat(sa: &Value, uses_udp: bool) -> &'static str {
    match (sa["nat_local"] == true, sa["nat_remote"] == true) {
        (true, true) => "yes: both ends are behind a NAT",
        (true, false) => "yes: this gateway is behind a NAT",
        (false, true) => "yes: the peer is behind a NAT",
        (false, false) if uses_udp => "yes, without a NAT: UDP is asked for",
        (false, false) => "no",
    }
}

/// A child: what is wanted of it, and each SA.
fn child(page: &mut String, child: &Value, look: Look) {
    let word = text(child, "condition");
    let since = child["condition_since"].as_str().map(|since| format!(" since {}", moments::local(since)));
    let _ = writeln!(
        page,
        "\n{}  {}{}",
        look.say(Tone::Head, "child"),
        look.say(tone_of(&word), &word),
        since.unwrap_or_default()
    );
    networks(page, child);
    if child["reason"].is_object() {
        let reason = &child["reason"];
        line(page, "reason", &format!("{}: {}", text(reason, "code"), text(reason, "details")));
    }
    if child["sas"].is_null() {
        line(page, "SAs", "unknown");
    } else if items(&child["sas"]).is_empty() {
        line(page, "SAs", "none");
    }
    for sa in items(&child["sas"]) {
        child_sa(page, sa, Some(child), look);
    }
}

/// Both sides' networks, of a child or an SA.
pub(super) fn networks(page: &mut String, of: &Value) {
    for (title, name) in [("here", "local"), ("there", "remote")] {
        let all = items(&of[name]).iter().filter_map(Value::as_str).map(cidrs);
        line(page, title, &all.collect::<Vec<_>>().join(", "));
    }
}

/// A CHILD_SA; its networks too, where they are not those of its child.
pub(super) fn child_sa(page: &mut String, sa: &Value, child: Option<&Value>, look: Look) {
    let _ = writeln!(page, "  {}  {}", look.say(Tone::Head, &format!("CHILD_SA {}", text(sa, "id"))), state(sa, look));
    let is_same = |child: &Value| ["local", "remote"].iter().all(|name| child[*name] == sa[*name]);
    if !child.is_some_and(is_same) {
        networks(page, sa);
    }
    let udp = if sa["udp"] == true { " in UDP" } else { "" };
    let mode = sa["mode"].as_str().map(|mode| format!(", {mode} mode")).unwrap_or_default();
    line(page, "protocol", &format!("{}{udp}{mode}", text(sa, "protocol").to_uppercase()));
    line(page, "algorithms", &algorithms(sa));
    line(page, "quantum", &post_quantum(sa));
    line(page, "SPIs", &format!("in {}, out {}", text(sa, "spi_in"), text(sa, "spi_out")));
    line(page, "in", &traffic(sa, "in"));
    line(page, "out", &traffic(sa, "out"));
    line(page, "to go", &to_go(sa, &[("rekey", "rekey_in_s"), ("expiry", "ends_in_s")]));
    let sizes = [("MTU", text(sa, "mtu")), ("MSS", text(sa, "mss"))];
    let sizes = sizes.iter().filter(|(_, size)| !size.is_empty()).map(|(title, size)| format!("{title} {size}"));
    line(page, "fits", &sizes.collect::<Vec<_>>().join(", "));
}

/// The state of an SA, its age, and why it is not wanted.
fn state(sa: &Value, look: Look) -> String {
    let state = text(sa, "state");
    let age = sa["age_s"].as_i64().filter(|_| state != "pending" && state != "connecting");
    let age = age.map(|age| format!(", {} old", moments::span(age))).unwrap_or_default();
    let surplus = match sa["not_wanted"].as_str() {
        None => return look.say(tone_of(&state), &state) + &age,
        Some("replaced") => "replaced by a rekeying",
        Some("closing") => "closing",
        Some("duplicate") => "duplicate of others",
        Some("outdated") => "of an earlier configuration",
        Some("differs") => "differs from the configuration",
        Some(other) => other,
    };
    format!("{}{age}; {}", look.say(Tone::Unsure, &state), look.say(Tone::Unsure, &format!("not wanted: {surplus}")))
}

/// Algorithms as they run: `AES_CBC-256, HMAC_SHA2_256_128`.
fn algorithms(sa: &Value) -> String {
    let encryption = match sa["key_bits"].as_u64().filter(|bits| *bits > 0) {
        Some(bits) => format!("{}-{bits}", text(sa, "encryption")),
        None => text(sa, "encryption"),
    };
    let parts = ["integrity", "prf", "group", "additional"].map(|name| text(sa, name));
    let parts = std::iter::once(encryption).chain(parts);
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// What protects an SA against quantum computers, and whether its IKE SA has it.
fn post_quantum(sa: &Value) -> String {
    let by = if sa["post_quantum_by"] == "IKE_SA" && sa["post_quantum"] != "none" { ", by IKE_SA" } else { "" };
    text(sa, "post_quantum") + by
}

/// Bytes and packets of a direction, and how long it has been idle.
fn traffic(sa: &Value, direction: &str) -> String {
    let count = |name: &str| sa[format!("{name}_{direction}")].as_u64().unwrap_or_default();
    let packets = count("packets");
    let noun = if packets == 1 { "packet" } else { "packets" };
    let idle = match sa[format!("unused_{direction}_s")].as_i64() {
        Some(seconds) => format!("idle for {}", moments::span(seconds)),
        None => "never used".to_owned(),
    };
    format!("{}, {packets} {noun}, {idle}", bytes(count("bytes")))
}

/// The times until something is due.
fn to_go(sa: &Value, times: &[(&str, &str)]) -> String {
    let time = |(what, name): &(&str, &str)| {
        Some(match sa[*name].as_i64()? {
            late if late < 0 => format!("{what} overdue by {}", moments::span(-late)),
            seconds => format!("{what} in {}", moments::span(seconds)),
        })
    };
    times.iter().filter_map(time).collect::<Vec<_>>().join(", ")
}

/// A selector of charon's, with a range of addresses as the few CIDRs that make it.
fn cidrs(selector: &str) -> String {
    let (addresses, ports) = selector.split_at(selector.find('[').unwrap_or(selector.len()));
    let ends = addresses.split_once("..").map(|(first, last)| (first.parse(), last.parse()));
    let nets: Vec<_> = match ends {
        Some((Ok(IpAddr::V4(first)), Ok(IpAddr::V4(last)))) => {
            Ipv4Subnets::new(first, last, 0).take(CIDRS + 1).map(|net| format!("{net}{ports}")).collect()
        }
        Some((Ok(IpAddr::V6(first)), Ok(IpAddr::V6(last)))) => {
            Ipv6Subnets::new(first, last, 0).take(CIDRS + 1).map(|net| format!("{net}{ports}")).collect()
        }
        _ => return selector.to_owned(),
    };
    if nets.is_empty() || nets.len() > CIDRS { selector.to_owned() } else { nets.join(", ") }
}

#[cfg(test)]
#[test]
fn ranges_are_shown_as_cidrs() {
    assert_eq!(cidrs("10.1.0.0/24"), "10.1.0.0/24");
    assert_eq!(
        cidrs("10.1.0.0..10.1.0.130[tcp/80]"),
        "10.1.0.0/25[tcp/80], 10.1.0.128/31[tcp/80], 10.1.0.130/32[tcp/80]"
    );
    assert_eq!(cidrs("fd00::1..fd00::3"), "fd00::1/128, fd00::2/127");
    let many = "10.0.0.1..10.255.255.254";
    assert_eq!(cidrs(many), many);
}
