//! The series of children: whether each is carried, and what it has carried in all.

use super::series::{Labels, gauges};
use crate::{
    agent::{Agent, View},
    ipsec::{ChildSa, ChildState, Condition, State},
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use std::collections::BTreeMap;

/// All of them.
pub fn about(registry: &mut Registry, agent: &Agent, views: &[View]) {
    conditions(registry, agent, views);
    sas(registry, views);
    totals(registry, agent, views);
}

fn conditions(registry: &mut Registry, agent: &Agent, views: &[View]) {
    let up = gauges(registry, "child_up", "Whether an SA carries a child of an enabled connection");
    let conditions = gauges(registry, "child_condition", "The condition of a child of an enabled connection; always 1");
    for view in views.iter().filter(|view| view.record.state == State::Enabled) {
        for (child, seen) in view.record.connection.children.iter().zip(agent.conditions(view)) {
            let mut labels = labels(view, &child.name);
            // Of what is unknown there is no number: unknown is not down.
            if seen.condition != Condition::Unknown {
                up.get_or_create(&labels).set(i64::from(seen.condition.is_carried()));
            }
            labels.push(("condition", seen.condition.name().to_owned()));
            conditions.get_or_create(&labels).set(1);
        }
    }
}

/// Of each child the youngest SA, and the last packet of any.
fn sas(registry: &mut Registry, views: &[View]) {
    let ages = gauges(registry, "child_sa_age_seconds", "Age of the youngest SA of a child");
    let idle = gauges(registry, "child_idle_seconds", "Seconds since the last packet of the SAs that a child has now");
    for view in views {
        let mut children: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let installed = view.running.iter().flatten().flat_map(|ike| &ike.children);
        for sa in installed.filter(|sa| sa.state == ChildState::Installed) {
            children.entry(&sa.name).or_default().push(sa);
        }
        for (child, sas) in children {
            let seconds = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            let labels = labels(view, child);
            ages.get_or_create(&labels).set(seconds(sas.iter().map(|sa| sa.age).min().unwrap_or(0)));
            let last = |unused: fn(&ChildSa) -> Option<u64>| sas.iter().filter_map(|sa| unused(sa)).min();
            for (direction, last) in [("in", last(|sa| sa.unused.inbound)), ("out", last(|sa| sa.unused.outbound))] {
                let Some(last) = last else { continue };
                idle.get_or_create(&directed(&labels, direction)).set(seconds(last));
            }
        }
    }
}

fn totals(registry: &mut Registry, agent: &Agent, views: &[View]) {
    let bytes = counters(registry, "child_bytes", "Bytes that a child has carried, over all its SAs");
    let packets = counters(registry, "child_packets", "Packets that a child has carried, over all its SAs");
    for view in views {
        for (child, sum) in agent.totals(view.record.id) {
            let labels = labels(view, &child);
            for (direction, amount) in [("in", sum.inbound), ("out", sum.outbound)] {
                let labels = directed(&labels, direction);
                bytes.get_or_create(&labels).inc_by(amount.bytes);
                packets.get_or_create(&labels).inc_by(amount.packets);
            }
        }
    }
}

fn labels(view: &View, child: &str) -> Labels {
    vec![("uuid", view.record.id.to_string()), ("child", child.to_owned())]
}

fn directed(labels: &Labels, direction: &str) -> Labels {
    labels.iter().cloned().chain([("direction", direction.to_owned())]).collect()
}

fn counters(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, Counter> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}
