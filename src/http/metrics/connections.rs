//! The series of connections.

use super::{series::Series, texts::Pieces};
use crate::{
    agent::{Agent, LocalAddresses, View},
    ipsec::{Carried, Certs, Code, State as Wanted, Status},
};
use jiff::Timestamp;
use std::collections::BTreeMap;

fn status_of(view: &View) -> &'static str {
    match view.status() {
        Some(Status::Ready) => "Ready",
        Some(Status::Connecting) => "Connecting",
        Some(Status::Disconnected) => "Disconnected",
        None => "Unknown",
    }
}

/// Their states, and what each carries.
pub fn about(pieces: &mut Pieces, views: &[View]) {
    let all = ["Enabled", "Disabled"]
        .into_iter()
        .flat_map(|state| ["Ready", "Connecting", "Disconnected", "Unknown"].map(|status| ((state, status), 0)));
    let mut counts: BTreeMap<_, u64> = all.collect();
    for view in views {
        let state = if view.record.state == Wanted::Enabled { "Enabled" } else { "Disabled" };
        *counts.entry((state, status_of(view))).or_default() += 1;
    }
    let mut all = Series::gauges(pieces, "connections", "Stored connections by state and status");
    for ((state, status), count) in counts {
        all.add(&[("state", state), ("status", status)], count);
    }
    let enabled = || views.iter().filter(|view| view.record.state == Wanted::Enabled);
    let mut up = Series::gauges(pieces, "connection_up", "Whether an enabled connection runs as wanted");
    for view in enabled() {
        up.add(&[("uuid", &uuid(view))], u8::from(view.status() == Some(Status::Ready)));
    }
    // Of what is unknown there is no number: unknown is not down.
    let carried = || enabled().filter_map(|view| Some((uuid(view), view.carried()?)));
    let help =
        "Whether some SA carries, of this or an earlier configuration, of a connection that has something to carry";
    let mut carrying = Series::gauges(pieces, "connection_carrying", help);
    for (uuid, carried) in carried() {
        carrying.add(&[("uuid", &uuid)], u8::from(carried.is_something()));
    }
    let help = "Whether exactly what is wanted carries, of a connection that has something to carry";
    let mut as_wanted = Series::gauges(pieces, "connection_as_wanted", help);
    for (uuid, carried) in carried() {
        as_wanted.add(&[("uuid", &uuid)], u8::from(carried == Carried::AsWanted));
    }
}

/// Why they are not up.
pub fn reasons(pieces: &mut Pieces, agent: &Agent, views: &[View]) {
    let host = LocalAddresses::read_host();
    let enabled = views.iter().filter(|view| view.record.state == Wanted::Enabled);
    let down: Vec<_> = enabled.filter_map(|view| Some((view, agent.reason(view, &host)?.code))).collect();
    let mut counts = Series::gauges(pieces, "connections_down", "Enabled connections that are not up, by reason");
    for code in Code::ALL {
        let count = down.iter().filter(|(_, other)| *other == code).count();
        counts.add(&[("reason", code.name())], count);
    }
    let mut each = Series::gauges(pieces, "connection_down", "The reason why an enabled connection is not up");
    for (view, code) in down {
        each.add(&[("uuid", &uuid(view)), ("reason", code.name())], 1);
    }
}

/// How often each was negotiated and rekeyed, and why it failed, since the start of the agent.
pub fn tallies(pieces: &mut Pieces, agent: &Agent, views: &[View]) {
    let all = || views.iter().map(|view| (uuid(view), agent.tally(view.record.id)));
    let help = "Negotiations of a connection that this gateway began";
    let mut attempts = Series::counters(pieces, "connection_attempts", help);
    for (uuid, tally) in all() {
        attempts.add(&[("uuid", &uuid)], tally.attempts);
    }
    let help = "Rekeyings of a connection by either end, by kind of SA";
    let mut rekeyings = Series::counters(pieces, "connection_rekeyings", help);
    for (uuid, tally) in all() {
        for (sa, count) in [("ike", tally.ike_rekeyings), ("child", tally.child_rekeyings)] {
            rekeyings.add(&[("uuid", &uuid), ("sa", sa)], count);
        }
    }
    let mut failures =
        Series::counters(pieces, "connection_failures", "Failed negotiations of a connection, by reason");
    for (uuid, tally) in all() {
        for (code, count) in tally.failures() {
            failures.add(&[("uuid", &uuid), ("reason", code.name())], count);
        }
    }
}

/// Of each role the certificate that ends first.
pub fn certificates(pieces: &mut Pieces, views: &[View], now: Timestamp) {
    let mut ends = Vec::new();
    for view in views {
        let mut first = BTreeMap::new();
        for (role, certificate) in view.record.connection.auth.certs().into_iter().flat_map(Certs::by_role) {
            let end = first.entry(role).or_insert(certificate.not_after);
            *end = certificate.not_after.min(*end);
        }
        ends.extend(first.into_iter().map(|(role, end)| (view, role.name(), end)));
    }
    let help = "Seconds until the first certificate of a connection in this role expires, negative when it has";
    let mut expiry = Series::gauges(pieces, "cert_expiry_seconds", help);
    for (view, role, end) in &ends {
        expiry.add(&[("uuid", &uuid(view)), ("certificate", role)], end.duration_since(now).as_secs());
    }
    let help = "When the first certificate of a connection in this role expires, in seconds since 1970";
    let mut not_after = Series::gauges(pieces, "cert_not_after_timestamp_seconds", help);
    for (view, role, end) in &ends {
        not_after.add(&[("uuid", &uuid(view)), ("certificate", role)], end.as_second());
    }
}

/// What people call them: to be joined with the other series by the uuid.
pub fn names(pieces: &mut Pieces, views: &[View]) {
    let mut info = Series::gauges(pieces, "connection_info", "Name, peer and VIP of a connection; always 1");
    for view in views {
        let (record, vip) = (&view.record, view.record.connection.local_addr.to_string());
        let (name, peer) = (record.spec.names.name.as_str(), record.spec.peer.to_string());
        info.add(&[("uuid", &uuid(view)), ("name", name), ("peer", &peer), ("vip", &vip)], 1);
    }
}

fn uuid(view: &View) -> String {
    view.record.id.to_string()
}
