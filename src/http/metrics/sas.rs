//! The series of the SAs that run: of each connection its youngest IKE SA, of each child its youngest CHILD_SA.

use super::{
    series::{Labels, Series},
    texts::Pieces,
};
use crate::{
    agent::View,
    ipsec::{ChildSa, ChildState, IkeSa, IkeState, Mode, sa::Suite},
};
use std::collections::BTreeMap;

/// All of them.
pub fn about(pieces: &mut Pieces, views: &[View]) {
    ikes(pieces, views);
    children(pieces, views);
}

fn ikes(pieces: &mut Pieces, views: &[View]) {
    // Of what is unknown there is no number.
    let known = || views.iter().filter_map(|view| Some((view.record.id.to_string(), view.running.as_ref()?)));
    let established = |running: &'_ Vec<IkeSa>| running.iter().filter(|ike| ike.state == IkeState::Established).count();
    let mut counts = Series::gauges(pieces, "ike_sas", "IKE SAs of a connection that are established");
    for (uuid, running) in known() {
        counts.add(&[("uuid", &uuid)], established(running));
    }
    let youngest = || known().filter_map(|(uuid, running)| Some((uuid, youngest(running)?)));
    let mut info = Series::gauges(pieces, "ike_sa_info", "The youngest IKE SA of a connection; always 1");
    for (uuid, ike) in youngest() {
        info.add(&with(&[("uuid", &uuid)], &described(ike)), 1);
    }
    let mut add = |name, help, of: fn(&IkeSa) -> Option<i64>| {
        let mut series = Series::gauges(pieces, name, help);
        for (uuid, value) in youngest().filter_map(|(uuid, ike)| Some((uuid, of(ike)?))) {
            series.add(&[("uuid", &uuid)], value);
        }
    };
    add("ike_sa_age_seconds", "Age of the youngest IKE SA of a connection", |ike| ike.times.age.map(seconds));
    add("ike_sa_rekey_seconds", "Seconds until charon rekeys the youngest IKE SA", |ike| ike.times.rekey_in);
    let help = "Seconds until charon authenticates the youngest IKE SA anew";
    add("ike_sa_reauth_seconds", help, |ike| ike.times.reauth_in);
}

fn youngest(running: &[IkeSa]) -> Option<&IkeSa> {
    running.iter().filter(|ike| ike.state == IkeState::Established).min_by_key(|ike| ike.times.age)
}

fn children(pieces: &mut Pieces, views: &[View]) {
    let all = || views.iter().flat_map(by_child);
    let mut counts = Series::gauges(pieces, "child_sas", "CHILD_SAs of a child that are installed");
    for (view, child, sas) in all() {
        counts.add(&labels(&view.record.id.to_string(), child), sas.len());
    }
    let mut info = Series::gauges(pieces, "child_sa_info", "The youngest CHILD_SA of a child; always 1");
    for (view, child, sas) in all() {
        if let Some(sa) = sas.iter().min_by_key(|sa| sa.age) {
            info.add(&with(&labels(&view.record.id.to_string(), child), &described_child(sa)), 1);
        }
    }
    let mut add = |name, help, of: fn(&ChildSa) -> Option<i64>| {
        let mut series = Series::gauges(pieces, name, help);
        for (view, child, sas) in all() {
            if let Some(value) = sas.iter().min_by_key(|sa| sa.age).and_then(|sa| of(sa)) {
                series.add(&labels(&view.record.id.to_string(), child), value);
            }
        }
    };
    add("child_sa_age_seconds", "Age of the youngest SA of a child", |sa| Some(seconds(sa.age)));
    let help = "Seconds until charon rekeys the youngest SA of a child";
    add("child_sa_rekey_seconds", help, |sa| sa.rekey_in);
    add("child_sa_expiry_seconds", "Seconds until the youngest SA of a child ends", |sa| sa.ends_in);
    quantum(pieces, views);
    let help = "Seconds since the last packet of the SAs that a child has now";
    let mut idle = Series::gauges(pieces, "child_idle_seconds", help);
    for (view, child, sas) in all() {
        let last = |unused: fn(&ChildSa) -> Option<u64>| sas.iter().filter_map(|sa| unused(sa)).min();
        for (direction, last) in [("in", last(|sa| sa.unused.inbound)), ("out", last(|sa| sa.unused.outbound))] {
            if let Some(last) = last {
                let uuid = view.record.id.to_string();
                idle.add(&[("uuid", &uuid), ("child", child), ("direction", direction)], last);
            }
        }
    }
}

fn quantum(pieces: &mut Pieces, views: &[View]) {
    let help = "Whether the youngest SA of a child is safe from quantum computers";
    let mut series = Series::gauges(pieces, "child_post_quantum", help);
    for (view, child, _) in views.iter().flat_map(by_child) {
        let protected = view.running.iter().flatten().flat_map(|ike| ike.children.iter().map(move |sa| (ike, sa)));
        let own = protected.filter(|(_, sa)| sa.state == ChildState::Installed && sa.name == child);
        let Some((ike, sa)) = own.min_by_key(|(_, sa)| sa.age) else { continue };
        let (by, of_ike) = ike.post_quantum_of(sa);
        let by = [("post_quantum", by.clone()), ("by", if of_ike { "IKE_SA" } else { "CHILD_SA" }.to_owned())];
        let safe = u8::from(by[0].1 != "none");
        series.add(&with(&labels(&view.record.id.to_string(), child), &by), safe);
    }
}

fn labels<'a>(uuid: &'a str, child: &'a str) -> [(&'static str, &'a str); 2] {
    [("uuid", uuid), ("child", child)]
}

fn with<'a>(first: &[(&'a str, &'a str)], more: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    first.iter().copied().chain(more.iter().map(|(name, value)| (*name, value.as_str()))).collect()
}

/// The installed CHILD_SAs of a connection by the child that they carry.
fn by_child(view: &View) -> impl Iterator<Item = (&View, &str, Vec<&ChildSa>)> {
    let mut children: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let installed = view.running.iter().flatten().flat_map(|ike| &ike.children);
    for sa in installed.filter(|sa| sa.state == ChildState::Installed) {
        children.entry(sa.name.as_str()).or_default().push(sa);
    }
    children.into_iter().map(move |(child, sas)| (view, child, sas))
}

fn described(ike: &IkeSa) -> Labels {
    let nat = match (ike.nat.local, ike.nat.remote) {
        (false, false) => "none",
        (true, false) => "local",
        (false, true) => "remote",
        (true, true) => "both",
    };
    let initiator = if ike.is_initiator { "this" } else { "peer" };
    let own = [("version", ike.version.to_string()), ("initiator", initiator.into()), ("nat", nat.into())];
    own.into_iter().chain(algorithms(&ike.suite)).collect()
}

fn described_child(sa: &ChildSa) -> Labels {
    let mode = match sa.mode {
        Some(Mode::Tunnel) => "tunnel",
        Some(Mode::Transport) => "transport",
        None => "",
    };
    let (protocol, encap) = (if sa.ah { "ah" } else { "esp" }, if sa.encap { "yes" } else { "no" });
    let own = [("mode", mode.into()), ("protocol", protocol.into()), ("encap", encap.into())];
    own.into_iter().chain(algorithms(&sa.suite)).collect()
}

/// In charon's words; a label that is empty is as one that is not there.
fn algorithms(suite: &Suite) -> [(&'static str, String); 4] {
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let bits = suite.key_bits.map(|bits| bits.to_string()).unwrap_or_default();
    let [encryption, integrity, group] = [&suite.encryption, &suite.integrity, &suite.group].map(word);
    [("encryption", encryption), ("key_bits", bits), ("integrity", integrity), ("group", group)]
}

fn seconds(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
