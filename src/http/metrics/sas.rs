//! The series of the SAs that run: of each connection its youngest IKE SA, of each child its youngest CHILD_SA.

use super::{
    children::{directed, labels},
    series::gauges,
};
use crate::{
    agent::View,
    ipsec::{ChildSa, ChildState, IkeSa, IkeState, Mode, sa::Suite},
};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;

/// All of them.
pub fn about(registry: &mut Registry, views: &[View]) {
    ikes(registry, views);
    children(registry, views);
}

fn ikes(registry: &mut Registry, views: &[View]) {
    let counts = gauges(registry, "ike_sas", "IKE SAs of a connection that are established");
    let info = gauges(registry, "ike_sa_info", "The youngest IKE SA of a connection; always 1");
    let ages = gauges(registry, "ike_sa_age_seconds", "Age of the youngest IKE SA of a connection");
    let rekeys = gauges(registry, "ike_sa_rekey_seconds", "Seconds until charon rekeys the youngest IKE SA");
    let reauths =
        gauges(registry, "ike_sa_reauth_seconds", "Seconds until charon authenticates the youngest IKE SA anew");
    for view in views {
        // Of what is unknown there is no number.
        let Some(running) = &view.running else { continue };
        let labels = vec![("uuid", view.record.id.to_string())];
        let established = || running.iter().filter(|ike| ike.state == IkeState::Established);
        counts.get_or_create(&labels).set(i64::try_from(established().count()).unwrap_or(i64::MAX));
        let Some(ike) = established().min_by_key(|ike| ike.times.age) else { continue };
        info.get_or_create(&labels.iter().cloned().chain(described(ike)).collect()).set(1);
        let age = ike.times.age.map(seconds);
        for (family, value) in [(&ages, age), (&rekeys, ike.times.rekey_in), (&reauths, ike.times.reauth_in)] {
            value.map(|value| family.get_or_create(&labels).set(value));
        }
    }
}

fn children(registry: &mut Registry, views: &[View]) {
    let counts = gauges(registry, "child_sas", "CHILD_SAs of a child that are installed");
    let info = gauges(registry, "child_sa_info", "The youngest CHILD_SA of a child; always 1");
    let ages = gauges(registry, "child_sa_age_seconds", "Age of the youngest SA of a child");
    let rekeys = gauges(registry, "child_sa_rekey_seconds", "Seconds until charon rekeys the youngest SA of a child");
    let ends = gauges(registry, "child_sa_expiry_seconds", "Seconds until the youngest SA of a child ends");
    let quantum =
        gauges(registry, "child_post_quantum", "Whether the youngest SA of a child is safe from quantum computers");
    let idle = gauges(registry, "child_idle_seconds", "Seconds since the last packet of the SAs that a child has now");
    for (view, child, sas) in views.iter().flat_map(by_child) {
        let labels = labels(view, child);
        counts.get_or_create(&labels).set(i64::try_from(sas.len()).unwrap_or(i64::MAX));
        if let Some(sa) = sas.iter().min_by_key(|sa| sa.age) {
            info.get_or_create(&labels.iter().cloned().chain(described_child(sa)).collect()).set(1);
            for (family, value) in [(&ages, Some(seconds(sa.age))), (&rekeys, sa.rekey_in), (&ends, sa.ends_in)] {
                value.map(|value| family.get_or_create(&labels).set(value));
            }
        }
        let protected = view.running.iter().flatten().flat_map(|ike| ike.children.iter().map(move |sa| (ike, sa)));
        let own = protected.filter(|(_, sa)| sa.state == ChildState::Installed && sa.name == child);
        if let Some((ike, sa)) = own.min_by_key(|(_, sa)| sa.age) {
            let (by, of_ike) = ike.post_quantum_of(sa);
            let safe = i64::from(by != "none");
            let by = [("post_quantum", by), ("by", if of_ike { "IKE_SA" } else { "CHILD_SA" }.to_owned())];
            quantum.get_or_create(&labels.iter().cloned().chain(by).collect()).set(safe);
        }
        let last = |unused: fn(&ChildSa) -> Option<u64>| sas.iter().filter_map(|sa| unused(sa)).min();
        for (direction, last) in [("in", last(|sa| sa.unused.inbound)), ("out", last(|sa| sa.unused.outbound))] {
            last.map(|last| idle.get_or_create(&directed(&labels, direction)).set(seconds(last)));
        }
    }
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

fn described(ike: &IkeSa) -> impl Iterator<Item = (&'static str, String)> {
    let nat = match (ike.nat.local, ike.nat.remote) {
        (false, false) => "none",
        (true, false) => "local",
        (false, true) => "remote",
        (true, true) => "both",
    };
    let initiator = if ike.is_initiator { "this" } else { "peer" };
    let own = [("version", ike.version.to_string()), ("initiator", initiator.into()), ("nat", nat.into())];
    own.into_iter().chain(algorithms(&ike.suite))
}

fn described_child(sa: &ChildSa) -> impl Iterator<Item = (&'static str, String)> {
    let mode = match sa.mode {
        Some(Mode::Tunnel) => "tunnel",
        Some(Mode::Transport) => "transport",
        None => "",
    };
    let (protocol, encap) = (if sa.ah { "ah" } else { "esp" }, if sa.encap { "yes" } else { "no" });
    let own = [("mode", mode.into()), ("protocol", protocol.into()), ("encap", encap.into())];
    own.into_iter().chain(algorithms(&sa.suite))
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
